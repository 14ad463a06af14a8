//! Key files of tokens: which key, and the one algorithm it is for.

use std::fmt;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    self, EcdsaVerificationAlgorithm, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{DecodingKey, jwk};
use serde::Deserialize;
use serde_json::Value;

use super::json;

/// A key with the one algorithm it is for.
pub(super) struct Key {
    kid: Option<Box<str>>,
    algorithm: &'static Algorithm,
    check: Check,
}

enum Check {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

/// An algorithm: its name in `alg` (RFC 7518 section 3.1), and how it checks.
struct Algorithm {
    label: &'static str,
    method: Method,
}

enum Method {
    Rsa(&'static RsaParameters),
    /// The curve's name, the bytes of a coordinate, and the check.
    Ecdsa(&'static str, usize, &'static EcdsaVerificationAlgorithm),
    Ed25519,
    /// The hash, and the shortest secret in bytes (RFC 7518 section 3.2).
    Hmac(&'static hmac::Algorithm, usize),
}

static ALGORITHMS: [Algorithm; 12] = [
    Algorithm { label: "RS256", method: Method::Rsa(&signature::RSA_PKCS1_2048_8192_SHA256) },
    Algorithm { label: "RS384", method: Method::Rsa(&signature::RSA_PKCS1_2048_8192_SHA384) },
    Algorithm { label: "RS512", method: Method::Rsa(&signature::RSA_PKCS1_2048_8192_SHA512) },
    Algorithm { label: "PS256", method: Method::Rsa(&signature::RSA_PSS_2048_8192_SHA256) },
    Algorithm { label: "PS384", method: Method::Rsa(&signature::RSA_PSS_2048_8192_SHA384) },
    Algorithm { label: "PS512", method: Method::Rsa(&signature::RSA_PSS_2048_8192_SHA512) },
    Algorithm { label: "ES256", method: Method::Ecdsa("P-256", 32, &signature::ECDSA_P256_SHA256_FIXED) },
    Algorithm { label: "ES384", method: Method::Ecdsa("P-384", 48, &signature::ECDSA_P384_SHA384_FIXED) },
    Algorithm { label: "EdDSA", method: Method::Ed25519 },
    Algorithm { label: "HS256", method: Method::Hmac(&hmac::HMAC_SHA256, 32) },
    Algorithm { label: "HS384", method: Method::Hmac(&hmac::HMAC_SHA384, 48) },
    Algorithm { label: "HS512", method: Method::Hmac(&hmac::HMAC_SHA512, 64) },
];

/// Why a file holds no key that tokens can be checked with. Never shows the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Raw bytes that are too few.
    #[error("a raw HS256 key has at least 32 bytes, this has {given}; `openssl rand -hex 32` makes one")]
    TooShort {
        /// Its length in bytes, without a final newline.
        given: usize,
    },
    /// PEM that is not one public key of a known kind.
    #[error(
        "the PEM is not one public key (RSA of 2048 to 8192 bits, P-256, P-384 or Ed25519); `openssl pkey -in private.pem -pubout` writes it"
    )]
    Pem,
    /// A public key in another form than PEM: as raw bytes it would be a secret that everybody knows.
    #[error("this is a public key, but not in PEM; `openssl pkey -pubin -inform DER -in key.der` writes PEM")]
    PublicNotPem,
    /// It begins like JSON, and is no JWK or set of them.
    #[error("the file begins like JSON, but is no JWK and no JWK set")]
    Json,
    /// A JWK cannot be used.
    #[error("JWK {kid:?}: {why}")]
    Jwk {
        /// Its `kid`, or what number it is.
        kid: Box<str>,
        /// What is wrong.
        why: &'static str,
    },
    /// A set without a key for signatures.
    #[error("the JWK set has no key for signatures")]
    NoKey,
    /// More keys than tokens may cost checks.
    #[error("there are more than {} keys; drop those that no longer sign", super::MAX_KEYS)]
    TooMany,
}

impl Key {
    /// Its id, if it came with one.
    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The only value of `alg` that it accepts (RFC 7518 section 3.1).
    pub(super) fn algorithm(&self) -> &'static str {
        self.algorithm.label
    }

    /// Is this the key's signature of the message? Takes the same time for every wrong one.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.check {
            Check::Public(key) => key.verify_sig(message, signature).is_ok(),
            Check::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Key");
        shown.field("kid", &self.kid).field("algorithm", &self.algorithm.label).field("key", &"***").finish()
    }
}

/// Reads a key file: PEM, JWK, JWK set, or raw bytes (HS256).
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Key>, KeyError> {
    let text = bytes.trim_ascii_start();
    if contains(bytes, b"-----BEGIN") || contains(bytes, b"-----END") {
        return Ok(vec![from_pem(bytes)?]);
    }
    if text.starts_with(b"{") {
        return from_json(bytes);
    }
    if text.starts_with(b"ssh-") || text.starts_with(b"ecdsa-sha2-") || is_public_der(bytes) {
        return Err(KeyError::PublicNotPem);
    }
    let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if secret.len() < 32 {
        return Err(KeyError::TooShort { given: secret.len() });
    }
    let jwk = serde_json::json!({ "kty": "oct", "k": URL_SAFE_NO_PAD.encode(secret) });
    Ok(vec![from_jwk(jwk, 1)?])
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Is this a public key in binary (or in bare base64)?
fn is_public_der(bytes: &[u8]) -> bool {
    let bare: Vec<u8> = bytes.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    let decoded = STANDARD.decode(bare).unwrap_or_default();
    [bytes, &decoded].into_iter().any(|der| {
        // The smallest, Ed25519's, has 44 bytes. Any 32 bytes are a bare Ed25519 key, and any secret may be:
        // those that begin with the digit 0 (0x30, like DER) are not to be taken for one.
        let begins = der.len() >= 44 && der.first() == Some(&0x30);
        begins && ALL_PUBLIC.iter().any(|algorithm| ParsedPublicKey::new(*algorithm, der).is_ok())
    })
}

const ALL_PUBLIC: [&dyn VerificationAlgorithm; 4] = [
    &signature::RSA_PKCS1_2048_8192_SHA256,
    &signature::ECDSA_P256_SHA256_FIXED,
    &signature::ECDSA_P384_SHA384_FIXED,
    &signature::ED25519,
];

/// One public key in PEM, read as the JWK that says the same.
fn from_pem(bytes: &[u8]) -> Result<Key, KeyError> {
    let text = str::from_utf8(bytes).map_err(|_| KeyError::Pem)?;
    let public =
        text.contains("-----BEGIN PUBLIC KEY-----") || text.contains("-----BEGIN RSA PUBLIC KEY-----");
    if !public || text.matches("-----BEGIN").count() != 1 {
        return Err(KeyError::Pem);
    }
    let key = DecodingKey::from_rsa_pem(bytes)
        .or_else(|_| DecodingKey::from_ec_pem(bytes))
        .or_else(|_| DecodingKey::from_ed_pem(bytes));
    let jwk = key.and_then(|key| jwk::Jwk::from_decoding_key(&key, None)).map_err(|_| KeyError::Pem)?;
    let value = serde_json::to_value(jwk).map_err(|_| KeyError::Pem)?;
    from_jwk(value, 1).map_err(|_| KeyError::Pem)
}

fn from_json(bytes: &[u8]) -> Result<Vec<Key>, KeyError> {
    let mut object = json::object(bytes).ok_or(KeyError::Json)?;
    let Some(members) = object.remove("keys") else {
        return Ok(vec![from_jwk(Value::Object(object), 1)?]);
    };
    let Value::Array(members) = members else { return Err(KeyError::Json) };
    let mut keys = Vec::new();
    for (number, member) in (1..).zip(members) {
        // A set may hold keys that are not for us (RFC 7517 section 5), but none that is for us and broken.
        let read = from_jwk(member, number);
        if matches!(&read, Err(KeyError::Jwk { why, .. }) if *why == NOT_OURS) {
            continue;
        }
        let key = read?;
        if key.kid.is_some() && keys.iter().any(|other: &Key| other.kid == key.kid) {
            return Err(KeyError::Jwk {
                kid: key.kid.unwrap_or_default(),
                why: "its `kid` is another key's too",
            });
        }
        keys.push(key);
    }
    if keys.is_empty() { Err(KeyError::NoKey) } else { Ok(keys) }
}

/// The members of a JWK (RFC 7517, RFC 7518 section 6, RFC 8037) that matter here.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<Box<str>>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

/// Why a member of a set is passed over.
const NOT_OURS: &str = "it is not for signatures, or of a kind or algorithm that is not supported";

/// Reads one JWK; without `alg` it is for the plainest algorithm of its kind.
fn from_jwk(value: Value, number: usize) -> Result<Key, KeyError> {
    let kid = value.get("kid").and_then(Value::as_str).map(Box::<str>::from);
    let wrong = |why| KeyError::Jwk { kid: kid.clone().unwrap_or_else(|| number.to_string().into()), why };
    let jwk: Jwk = serde_json::from_value(value).map_err(|_| wrong("a member of it has the wrong type"))?;
    let signs = jwk.r#use.as_deref().is_none_or(|purpose| purpose == "sig")
        && jwk
            .key_ops
            .as_ref()
            .is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    let natural = match (&*jwk.kty, jwk.crv.as_deref()) {
        ("RSA", _) => "RS256",
        ("EC", Some("P-256")) => "ES256",
        ("EC", Some("P-384")) => "ES384",
        ("OKP", Some("Ed25519")) => "EdDSA",
        ("oct", _) => "HS256",
        _ => return Err(wrong(NOT_OURS)),
    };
    let named = jwk.alg.as_deref().unwrap_or(natural);
    let algorithm = ALGORITHMS.iter().find(|algorithm| algorithm.label == named && signs);
    let algorithm = algorithm.ok_or_else(|| wrong(NOT_OURS))?;
    let check = jwk.check(&algorithm.method).map_err(wrong)?;
    Ok(Key { kid: jwk.kid, algorithm, check })
}

impl Jwk {
    /// The check that this key makes with this method.
    fn check(&self, method: &Method) -> Result<Check, &'static str> {
        let decode = |member: &Option<String>| {
            let text = member.as_deref().ok_or("a member of it is missing")?;
            URL_SAFE_NO_PAD.decode(text).map_err(|_| "a member of it is no base64url")
        };
        let unsound = "its key is not a valid one";
        match (&*self.kty, method) {
            ("RSA", Method::Rsa(parameters)) => {
                let (n, e) = (decode(&self.n)?, decode(&self.e)?);
                let n = n.iter().position(|&b| b != 0).and_then(|first| n.get(first..)).ok_or(unsound)?;
                if !(256..=1024).contains(&n.len()) {
                    return Err("an RSA key has 2048 to 8192 bits");
                }
                let key = RsaPublicKeyComponents { n, e: &e }.to_parsed_public_key(parameters);
                key.map(Check::Public).map_err(|_| unsound)
            }
            ("EC", Method::Ecdsa(curve, size, check)) if self.crv.as_deref() == Some(curve) => {
                let (x, y) = (decode(&self.x)?, decode(&self.y)?);
                if x.len() != *size || y.len() != *size {
                    return Err("its coordinates have the wrong length");
                }
                // Refuses a point that is not on the curve: a key of another curve of the same size.
                let key = ParsedPublicKey::new(*check, [&[4], &x[..], &y].concat());
                key.map(Check::Public).map_err(|_| unsound)
            }
            ("OKP", Method::Ed25519) => {
                let key = ParsedPublicKey::new(&signature::ED25519, decode(&self.x)?);
                key.map(Check::Public).map_err(|_| unsound)
            }
            ("oct", Method::Hmac(hash, shortest)) => {
                let secret = decode(&self.k)?;
                if secret.len() < *shortest {
                    return Err("its `k` is shorter than its algorithm's hash (RFC 7518 section 3.2)");
                }
                Ok(Check::Secret(Box::new(hmac::Key::new(**hash, &secret))))
            }
            _ => Err("its `alg` does not go with its `kty` or `crv`"),
        }
    }
}
