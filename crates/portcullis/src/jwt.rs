//! `portcullis jwt`: mints a token as the login service would, and judges one as the gateway would.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use portcullis_core::config::NameTarget;
use portcullis_core::endpoint::{Endpoint, parse_port};
use portcullis_core::resolver::jwt::{MAX_LEN, Verifier};
use portcullis_core::unit::parse_duration;
use serde_json::Map;

/// Mints and verifies JSON Web Tokens
#[derive(Debug, Args)]
pub(crate) struct JwtCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Mints a token, as a login service does
    Mint(Mint),
    /// Says whether the gateway would accept a token, or why not
    Verify(Verify),
}

/// What a token is to say.
#[derive(Debug, Args)]
struct Mint {
    /// The private key: PEM (PKCS#8), or raw bytes for HS256 of which one final newline is dropped
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// The algorithm [default: what the gateway expects of the key's public half]
    #[arg(long, value_name = "NAME")]
    alg: Option<Algorithm>,
    /// The key's id
    #[arg(long)]
    kid: Option<String>,
    /// The target's host: an address or a name
    #[arg(long, requires = "port", required_unless_present = "upstream")]
    host: Option<String>,
    /// The target's port
    #[arg(long, requires = "host")]
    port: Option<String>,
    /// The upstream, instead of a target
    #[arg(long, value_name = "NAME", conflicts_with_all = ["host", "port"])]
    upstream: Option<String>,
    /// Who the client is
    #[arg(long)]
    sub: Option<String>,
    /// Who it is for
    #[arg(long)]
    aud: Option<String>,
    /// Who it is from
    #[arg(long)]
    iss: Option<String>,
    /// How long it is good
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    ttl: Duration,
}

/// Which token, and what it is held to.
#[derive(Debug, Args)]
struct Verify {
    /// The key file as the route has it: PEM, JWK, JWK set or raw bytes
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// An accepted audience; several may be given
    #[arg(long)]
    aud: Vec<Box<str>>,
    /// An accepted issuer; several may be given
    #[arg(long)]
    iss: Vec<Box<str>>,
    /// The token, or `-` to read it from standard input, where other users of the machine do not see it
    token: Sealed,
}

impl JwtCommand {
    /// Does what was asked and prints the answer.
    ///
    /// # Errors
    /// A key that cannot be used, or a token that is refused.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Mint(mint) => say(&mint.token(SystemTime::now())?),
            Action::Verify(verify) => say(&verify.claims(SystemTime::now())?),
        }
    }
}

impl Mint {
    fn token(&self, now: SystemTime) -> anyhow::Result<String> {
        let mut claims = Map::new();
        for (name, text) in [("sub", &self.sub), ("aud", &self.aud), ("iss", &self.iss)] {
            if let Some(text) = text {
                claims.insert(name.into(), text.as_str().into());
            }
        }
        claims.insert("exp".into(), unix_seconds(now + self.ttl)?.into());
        if let (Some(host), Some(port)) = (&self.host, &self.port) {
            // Read as the gateway will read it: a slip shows here, not when a player connects.
            let bare = host.parse::<std::net::Ipv6Addr>().map(|ip| format!("[{ip}]"));
            let target = format!("{}:{port}", bare.as_ref().unwrap_or(host));
            target.parse::<Endpoint>()?;
            claims.insert("host".into(), host.as_str().into());
            claims.insert("port".into(), parse_port(port)?.get().into());
        }
        if let Some(upstream) = &self.upstream {
            claims.insert("upstream".into(), upstream.as_str().into());
        }
        let (key, algorithm) = signing_key(&read(&self.key_file)?, self.alg)
            .with_context(|| format!("key file {}", self.key_file.display()))?;
        let header = Header { kid: self.kid.clone(), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, &claims, &key).context("the key does not sign")
    }
}

impl Verify {
    fn claims(&self, now: SystemTime) -> anyhow::Result<String> {
        let verifier = Verifier::of_key_file(&read(&self.key_file)?)
            .with_context(|| format!("key file {}", self.key_file.display()))?;
        let verifier = verifier.expecting(self.aud.clone(), self.iss.clone());
        let claims = verifier.verify(&self.token.read(MAX_LEN)?, now)?;
        let target = match claims.target {
            NameTarget::Endpoint(endpoint) => format!("target {endpoint}"),
            NameTarget::Upstream(name) => format!("upstream {name}"),
        };
        Ok(claims.subject.map_or(target.clone(), |subject| format!("{target}\nsub {subject}")))
    }
}

/// The key of a file, and the algorithm it signs with.
fn signing_key(bytes: &[u8], wanted: Option<Algorithm>) -> anyhow::Result<(EncodingKey, Algorithm)> {
    use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};
    let fits = |key: &EncodingKey, algorithm: &Algorithm| {
        wanted.is_none_or(|wanted| wanted == *algorithm)
            && jsonwebtoken::crypto::sign(b"", key, *algorithm).is_ok()
    };
    if !bytes.windows(10).any(|window| window == b"-----BEGIN") {
        let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if secret.len() < 32 {
            bail!(
                "a raw key has at least 32 bytes, this has {}; `openssl rand -hex 32` makes one",
                secret.len()
            );
        }
        let key = EncodingKey::from_secret(secret);
        let algorithm = [HS256, HS384, HS512].into_iter().find(|algorithm| fits(&key, algorithm));
        return Ok((key, algorithm.ok_or_else(|| anyhow!("a raw key signs with HS256, HS384 or HS512"))?));
    }
    let kinds: [(Result<EncodingKey, _>, &[Algorithm]); 3] = [
        (EncodingKey::from_rsa_pem(bytes), &[RS256, RS384, RS512, PS256, PS384, PS512]),
        (EncodingKey::from_ec_pem(bytes), &[ES256, ES384]),
        (EncodingKey::from_ed_pem(bytes), &[EdDSA]),
    ];
    let found = kinds.into_iter().find_map(|(key, algorithms)| {
        let key = key.ok()?;
        let algorithm = *algorithms.iter().find(|algorithm| fits(&key, algorithm))?;
        Some((key, algorithm))
    });
    found.ok_or_else(|| {
        anyhow!(
            "this is no private key in PKCS#8 PEM (RSA, P-256, P-384, Ed25519) for that algorithm; \
             `openssl pkcs8 -topk8 -nocrypt` writes one"
        )
    })
}

/// A token or ticket on the command line. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub(crate) struct Sealed(String);

impl Sealed {
    /// The text; at most `max` bytes and a newline are read from standard input if it was given as `-`.
    pub(crate) fn read(&self, max: usize) -> anyhow::Result<String> {
        if self.0 != "-" {
            return Ok(self.0.clone());
        }
        let mut text = String::new();
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(2);
        io::stdin().lock().take(limit).read_to_string(&mut text).context("standard input")?;
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }
}

impl FromStr for Sealed {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads a key file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("key file {}", path.display()))
}

/// Whole seconds since 1970.
pub(crate) fn unix_seconds(time: SystemTime) -> anyhow::Result<u64> {
    Ok(time.duration_since(SystemTime::UNIX_EPOCH).context("this machine's clock is before 1970")?.as_secs())
}

/// Prints lines to standard output; a reader that has gone away is no error.
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn what_is_minted_is_accepted_until_it_ends() {
        let key_file = std::env::temp_dir().join(format!("portcullis-jwt-{}", std::process::id()));
        std::fs::write(&key_file, [b's'; 32]).unwrap();
        let mint = |host: &str| Mint {
            key_file: key_file.clone(),
            alg: None,
            kid: None,
            host: Some(host.into()),
            port: Some("7083".into()),
            upstream: None,
            sub: Some("player".into()),
            aud: Some("gate".into()),
            iss: None,
            ttl: Duration::from_secs(60),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let token = mint("fd00::1").token(now).unwrap();
        let verify = |aud: &str, now| {
            let token = token.parse().unwrap();
            Verify { key_file: key_file.clone(), aud: vec![aud.into()], iss: vec![], token }.claims(now)
        };
        assert_eq!(verify("gate", now).unwrap(), "target [fd00::1]:7083\nsub player");
        assert!(verify("other", now).unwrap_err().to_string().contains("audience"));
        let later = verify("gate", now + Duration::from_secs(120)).unwrap_err();
        assert!(later.to_string().contains("expired"));
        assert!(mint("10.7").token(now).unwrap_err().to_string().contains("neither an IPv4 address"));
        let shown = format!("{:?}", token.parse::<Sealed>().unwrap());
        assert_eq!(shown, "***");
        std::fs::remove_file(key_file).unwrap();
    }
}
