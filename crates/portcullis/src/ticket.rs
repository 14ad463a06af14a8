//! `portcullis ticket`: makes keys, mints tickets as the login service would, and opens them.

use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use portcullis_core::config::NameTarget;
use portcullis_core::endpoint::Endpoint;
use portcullis_core::ticket::{KeyId, KeyRing, MAX_LEN, NONCE, Ticket, TicketKey};
use portcullis_core::unit::parse_duration;

use crate::jwt::{Sealed, read, say, unix_seconds};

/// Makes keys of tickets, mints and opens tickets
#[derive(Debug, Args)]
pub(crate) struct TicketCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Writes a key file with one new key, readable by its owner only
    Keygen(Keygen),
    /// Mints a ticket with the first key of the key file, as a login service does
    Mint(Mint),
    /// Opens a ticket and prints what it says
    Open(Open),
}

#[derive(Debug, Args)]
struct Keygen {
    /// The file to make; it must not exist
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// What a ticket is to say.
#[derive(Debug, Args)]
struct Mint {
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Where it leads
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "upstream")]
    target: Option<Endpoint>,
    /// The upstream, instead of a target
    #[arg(long, value_name = "NAME", conflicts_with = "target")]
    upstream: Option<String>,
    /// How long it is good
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    ttl: Duration,
    /// When it ends in Unix seconds, instead of --ttl
    #[arg(long, value_name = "SECONDS", conflicts_with = "ttl")]
    exp: Option<u64>,
    /// The only client address it is good for
    #[arg(long)]
    ip: Option<IpAddr>,
    /// Who it is for
    #[arg(long)]
    device: Option<String>,
    /// Good for one use
    #[arg(long)]
    once: bool,
    /// Its own name [default: random]
    #[arg(long)]
    jti: Option<String>,
}

#[derive(Debug, Args)]
struct Open {
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// The ticket, or `-` to read it from standard input, where other users of the machine do not see it
    ticket: Sealed,
}

impl TicketCommand {
    /// Does what was asked and prints the answer.
    ///
    /// # Errors
    /// A key file that cannot be used or made, or a ticket that does not open.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.action {
            Action::Keygen(keygen) => say(&keygen.make()?),
            Action::Mint(mint) => say(&mint.ticket(SystemTime::now())?),
            Action::Open(open) => say(&open.content(SystemTime::now())?),
        }
    }
}

impl Keygen {
    /// Makes the file and says what to do with it; the key itself is never printed.
    fn make(&self) -> anyhow::Result<String> {
        let (id, secret) = (random::<{ KeyId::LEN }>()?, random::<{ TicketKey::LEN }>()?);
        let made = || format!("cannot make {}", self.out.display());
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.out)
            .with_context(made)?;
        let line = format!("{}:{}\n", hex(&id), hex(&secret));
        file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).with_context(made)?;
        Ok(format!("{}: key {}", self.out.display(), hex(&id)))
    }
}

impl Mint {
    fn ticket(self, now: SystemTime) -> anyhow::Result<String> {
        let target = match (self.target, self.upstream) {
            (Some(endpoint), _) => NameTarget::Endpoint(endpoint),
            (None, name) => NameTarget::Upstream(name.as_deref().unwrap_or_default().into()),
        };
        let exp = match self.exp {
            Some(exp) => exp,
            None => unix_seconds(now + self.ttl)?,
        };
        let jti = match self.jti {
            Some(jti) => jti,
            None => URL_SAFE_NO_PAD.encode(random::<16>()?),
        };
        let device = self.device.map(Into::into);
        let ticket = Ticket { target, exp, jti: jti.into(), ip: self.ip, device, once: self.once };
        let ring = ring(&self.key_file)?;
        let key = ring.first().context("the key file has no key")?;
        Ok(ticket.seal(key, random::<NONCE>()?)?)
    }
}

impl Open {
    fn content(&self, now: SystemTime) -> anyhow::Result<String> {
        let (ticket, id) = Ticket::open(&self.ticket.read(MAX_LEN)?, &ring(&self.key_file)?)?;
        let now = unix_seconds(now)?;
        let life = match ticket.exp.checked_sub(now) {
            Some(left) if left > 0 => format!("ends in {left} s"),
            _ => format!("ended {} s ago", now.saturating_sub(ticket.exp)),
        };
        Ok(format!("{}\nkey {id}, {life}", ticket.to_json()?))
    }
}

fn ring(path: &Path) -> anyhow::Result<KeyRing> {
    let about = || format!("key file {}", path.display());
    let text = String::from_utf8(read(path)?).map_err(|_| anyhow!("it is not text")).with_context(about)?;
    KeyRing::parse(&text).with_context(about)
}

fn random<const LEN: usize>() -> anyhow::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    rand::fill(&mut bytes).map_err(|_| anyhow!("the system gives no random numbers"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_and_mints_what_opens() {
        let folder = std::env::temp_dir().join(format!("portcullis-ticket-{}", std::process::id()));
        std::fs::remove_dir_all(&folder).ok(); // left by one of this number that was killed
        std::fs::create_dir_all(&folder).unwrap();
        let key_file = folder.join("tickets.key");
        let keygen = Keygen { out: key_file.clone() };
        let said = keygen.make().unwrap();
        let written = std::fs::read_to_string(&key_file).unwrap();
        assert_eq!(std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!said.contains(written.trim().split_once(':').unwrap().1), "the key is not printed");
        assert!(keygen.make().is_err(), "an existing key is never overwritten");
        assert_eq!(std::fs::read_to_string(&key_file).unwrap(), written);

        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let mint = Mint {
            key_file: key_file.clone(),
            target: Some("10.0.0.7:7000".parse().unwrap()),
            upstream: None,
            ttl: Duration::from_secs(60),
            exp: None,
            ip: None,
            device: Some("d".into()),
            once: true,
            jti: Some("t-1".into()),
        };
        let ticket = mint.ticket(now).unwrap().parse().unwrap();
        let opened = Open { key_file, ticket }.content(now).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        let content = r#"{"target":"10.0.0.7:7000","exp":1800000060,"jti":"t-1","device":"d","once":true}"#;
        assert!(opened.starts_with(content) && opened.ends_with("ends in 60 s"), "{opened}");
    }
}
