//! Keys that sign: made anew in each run, so that no private key is committed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey};

use super::*;
use crate::resolver::jwt::key;

/// A private key, with the key file that checks it.
pub(super) struct Signer {
    pub(super) algorithm: &'static str,
    pub(super) key_file: Vec<u8>,
    key: EncodingKey,
}

impl Signer {
    /// A token with this header and these claims, signed by the key's own algorithm.
    pub(super) fn mint(&self, header: &Value, claims: &Value) -> String {
        self.mint_as(self.algorithm, header, claims)
    }

    pub(super) fn mint_as(&self, algorithm: &str, header: &Value, claims: &Value) -> String {
        self.sign_as(algorithm, &format!("{}.{}", base64(header.to_string()), base64(claims.to_string())))
    }

    pub(super) fn sign(&self, message: &str) -> String {
        self.sign_as(self.algorithm, message)
    }

    fn sign_as(&self, algorithm: &str, message: &str) -> String {
        let algorithm: Algorithm = algorithm.parse().unwrap();
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

pub(super) fn hmac() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| hmac_with(&[b's'; 64], "HS256"))
}

pub(super) fn hmac_with(secret: &[u8], algorithm: &'static str) -> Signer {
    Signer { algorithm, key_file: [secret, b"\n"].concat(), key: EncodingKey::from_secret(secret) }
}

pub(super) fn rsa() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let private = pem(
            "PRIVATE KEY",
            aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)
                .unwrap()
                .as_ref(),
        );
        let key = EncodingKey::from_rsa_pem(&private).unwrap();
        Signer { algorithm: "RS256", key_file: public_pem(pair.public_key()), key }
    })
}

pub(super) fn ec(curve: &'static str) -> &'static Signer {
    static SIGNERS: OnceLock<BTreeMap<&str, Signer>> = OnceLock::new();
    let make = |algorithm: &'static str, signing| {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let key = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
        Signer { algorithm, key_file: public_pem(pair.public_key()), key }
    };
    let make_all = || {
        BTreeMap::from([
            ("P-256", make("ES256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING)),
            ("P-384", make("ES384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING)),
        ])
    };
    &SIGNERS.get_or_init(make_all)[curve]
}

pub(super) fn ed() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref());
        Signer { algorithm: "EdDSA", key_file: public_pem(pair.public_key()), key }
    })
}

/// The public key in binary.
pub(super) fn x509(signer: &Signer) -> Vec<u8> {
    let text = str::from_utf8(&signer.key_file).unwrap();
    STANDARD.decode(text.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap()
}

pub(super) fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let lines: Vec<String> = STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}

fn public_pem(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Vec<u8> {
    pem("PUBLIC KEY", key.as_der().unwrap().as_ref())
}

fn read(bytes: impl AsRef<[u8]>) -> Result<Vec<(Option<String>, &'static str)>, KeyError> {
    let keys = key::read(bytes.as_ref())?;
    Ok(keys.iter().map(|key| (key.kid().map(String::from), key.algorithm())).collect())
}

#[test]
fn a_key_file_decides_the_algorithm() {
    for signer in [hmac(), rsa(), ec("P-256"), ec("P-384"), ed()] {
        assert_eq!(read(&signer.key_file), Ok(vec![(None, signer.algorithm)]));
    }
    assert_eq!(read([0xff; 32]), Ok(vec![(None, "HS256")]));
    // 0x30, as DER begins: hex digits of any length are a secret all the same.
    for len in 32..200 {
        assert_eq!(read(vec![b'0'; len]), Ok(vec![(None, "HS256")]), "{len} digits");
    }
    assert_eq!(read([b'x'; 31]), Err(KeyError::TooShort { given: 31 }));
    assert_eq!(read([&[b'x'; 31][..], b"\n"].concat()), Err(KeyError::TooShort { given: 31 }));
    assert_eq!(
        read([&[b'x'; 31][..], b"\n\n"].concat()),
        Ok(vec![(None, "HS256")]),
        "only one newline is dropped"
    );
    assert_eq!(read(b""), Err(KeyError::TooShort { given: 0 }));
}

#[test]
fn a_public_key_never_becomes_a_secret() {
    for signer in [rsa(), ec("P-256"), ec("P-384"), ed()] {
        let text = String::from_utf8(signer.key_file.clone()).unwrap();
        let (bare, der) = (STANDARD.encode(x509(signer)), x509(signer));
        for (broken, want) in [
            (text.replace("-----END", "----END").into_bytes(), KeyError::Pem),
            (text.replace("-----BEGIN", "----BEGIN").into_bytes(), KeyError::Pem),
            (text.replace("PUBLIC KEY", "PUBLIC KEYS").into_bytes(), KeyError::Pem),
            (text.replace("PUBLIC KEY", "CERTIFICATE").into_bytes(), KeyError::Pem),
            (
                text.replacen("MI", "NI", 1)
                    .replacen("MC", "NC", 1)
                    .replacen("MF", "NF", 1)
                    .replacen("MH", "NH", 1)
                    .into_bytes(),
                KeyError::Pem,
            ),
            (text.repeat(2).into_bytes(), KeyError::Pem),
            (bare.into_bytes(), KeyError::PublicNotPem),
            (der, KeyError::PublicNotPem),
        ] {
            assert_eq!(read(&broken), Err(want), "{} {}", signer.algorithm, String::from_utf8_lossy(&broken));
        }
    }
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    assert_eq!(read(ssh), Err(KeyError::PublicNotPem));
    assert_eq!(read(pem("PRIVATE KEY", b"0000")), Err(KeyError::Pem));
    assert_eq!(read("-----BEGIN PUBLIC KEY-----"), Err(KeyError::Pem));
}

#[test]
fn a_small_rsa_key_is_refused() {
    let jwk = |bytes: usize| json!({ "kty": "RSA", "n": base64(vec![0xc5; bytes]), "e": "AQAB" }).to_string();
    assert_eq!(read(jwk(256)), Ok(vec![(None, "RS256")]));
    assert!(matches!(read(jwk(255)), Err(KeyError::Jwk { .. })));
    assert!(matches!(read(jwk(1025)), Err(KeyError::Jwk { .. })));
}

#[test]
fn a_jwk_is_for_one_algorithm_that_goes_with_it() {
    let n = base64([0xc5; 256]);
    let k = |len: usize| base64(vec![7; len]);
    let rows = [
        (json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "PS512", "kid": "a" }), Ok((Some("a"), "PS512"))),
        (json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "RS384", "use": "sig" }), Ok((None, "RS384"))),
        (json!({ "kty": "oct", "k": k(32) }), Ok((None, "HS256"))),
        (
            json!({ "kty": "oct", "k": k(64), "alg": "HS512", "key_ops": ["sign", "verify"] }),
            Ok((None, "HS512")),
        ),
        (json!({ "kty": "RSA", "n": n, "e": "AQAB", "alg": "HS256" }), Err("does not go with")),
        (json!({ "kty": "oct", "k": k(64), "alg": "RS256" }), Err("does not go with")),
        (
            json!({ "kty": "EC", "crv": "P-256", "x": k(32), "y": k(32), "alg": "ES384" }),
            Err("does not go with"),
        ),
        (json!({ "kty": "EC", "crv": "P-256", "x": k(32), "y": k(32) }), Err("not a valid one")),
        (json!({ "kty": "EC", "crv": "P-256", "x": k(31), "y": k(33) }), Err("wrong length")),
        (json!({ "kty": "EC", "crv": "secp256k1", "x": k(32), "y": k(32) }), Err("not supported")),
        (json!({ "kty": "OKP", "crv": "Ed448", "x": k(57) }), Err("not supported")),
        (json!({ "kty": "OKP", "crv": "Ed25519", "x": k(31) }), Err("not a valid one")),
        (json!({ "kty": "oct", "k": k(31) }), Err("shorter")),
        (json!({ "kty": "oct", "k": k(32), "alg": "HS512" }), Err("shorter")),
        (json!({ "kty": "oct", "k": "a+b=" }), Err("no base64url")),
        (json!({ "kty": "oct" }), Err("missing")),
        (json!({ "kty": "oct", "k": k(32), "alg": "none" }), Err("not supported")),
        (json!({ "kty": "oct", "k": k(32), "use": "enc" }), Err("not for signatures")),
        (json!({ "kty": "oct", "k": k(32), "key_ops": ["sign"] }), Err("not for signatures")),
        (json!({ "kty": 1 }), Err("wrong type")),
    ];
    for (jwk, want) in rows {
        match (read(jwk.to_string()), want) {
            (Ok(keys), Ok((kid, algorithm))) => {
                assert_eq!(keys, vec![(kid.map(String::from), algorithm)], "{jwk}")
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{jwk}: {error}"),
            (got, want) => panic!("{jwk}: {got:?}, want {want:?}"),
        }
    }
    assert_eq!(read("{\"kty\":"), Err(KeyError::Json));
    assert_eq!(read(r#"{"kty":"oct","kty":"oct"}"#), Err(KeyError::Json));
}

#[test]
fn a_set_of_keys_is_searched_by_kid_and_algorithm() {
    let secret = |byte: u8| vec![byte; 32];
    let member = |kid: &str, byte| json!({ "kty": "oct", "kid": kid, "k": base64(secret(byte)) });
    let odd = json!({ "kty": "RSA", "use": "enc", "kid": "x", "n": "AQAB", "e": "AQAB" });
    let set = json!({ "keys": [member("one", 1), odd, member("../two", 2)] }).to_string();
    let verifier = Verifier::of_key_file(set.as_bytes()).unwrap();
    let rows = [
        (1, json!({ "alg": "HS256", "kid": "one" }), Ok(())),
        (2, json!({ "alg": "HS256", "kid": "../two" }), Ok(())),
        (2, json!({ "alg": "HS256" }), Ok(())),
        (2, json!({ "alg": "HS256", "kid": "one" }), Err(Fault::Signature)),
        (1, json!({ "alg": "HS256", "kid": "three" }), Err(Fault::Key)),
        (1, json!({ "alg": "HS256", "kid": "../../dev/null" }), Err(Fault::Key)),
        (1, json!({ "alg": "RS256", "kid": "one" }), Err(Fault::Key)),
    ];
    for (byte, header, want) in rows {
        let token = hmac_with(&secret(byte), "HS256").mint(&header, &claims());
        assert_eq!(verifier.verify(&token, now()).map(|_| ()), want.map_err(Refusal::Token), "{header}");
    }
    let twice = json!({ "keys": [member("one", 1), member("one", 2)] }).to_string();
    assert!(read(twice).unwrap_err().to_string().contains("another key's too"));
    assert_eq!(read(r#"{"keys":[]}"#), Err(KeyError::NoKey));
    assert_eq!(read(r#"{"keys":{}}"#), Err(KeyError::Json));
    let many: Vec<Value> = (0..=MAX_KEYS).map(|n| member(&n.to_string(), 1)).collect();
    assert_eq!(
        Verifier::of_key_file(json!({ "keys": many }).to_string().as_bytes()).unwrap_err(),
        KeyError::TooMany
    );
}

#[test]
fn no_key_is_shown() {
    let shown = format!("{:?}", Verifier::of_key_file(&[b'q'; 40]).unwrap());
    assert!(shown.contains("***") && !shown.contains("qqqq") && !shown.contains("113"), "{shown}");
}
