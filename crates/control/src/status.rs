//! What the process says of itself: readiness, reloads, where it listens. Shared by whoever asks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use portcullis_core::config::AdminBind;
use portcullis_core::name::ListenerName;

/// Is the gateway to be sent clients?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet: it does not listen everywhere.
    Starting,
    /// Yes.
    Ready,
    /// No longer: it ends.
    Draining,
}

impl Readiness {
    /// The word in answers and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// How reloads went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloads {
    /// Taken over whole.
    pub applied: u64,
    /// Refused whole.
    pub refused: u64,
    /// The last one.
    pub last: Option<Reload>,
}

/// How one reload went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// When it ended.
    pub at: SystemTime,
    /// Why it was refused, one text per error; empty when it was applied.
    pub errors: Vec<String>,
}

/// Certificates and keys, whose files are looked at while the gateway runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// When the first certificate of each listener ends.
    pub expiries: Vec<(ListenerName, SystemTime)>,
    /// Times that a listener, a route or an upstream took what its changed files hold.
    pub taken: u64,
    /// Times that one could not, and kept what it had.
    pub kept: u64,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// Its file.
    pub file: PathBuf,
    /// Every value in force as TOML, with `***` in place of secrets.
    pub effective: Arc<str>,
    /// Tells whether two nodes run the same text; says nothing about it.
    pub hash: u32,
    /// Where clients connect, with real ports.
    pub listeners: Vec<(ListenerName, SocketAddr)>,
    /// Where the admin listener is; `None` = there is none.
    pub admin: Option<AdminBind>,
    /// The most sessions at a time.
    pub session_maximum: u32,
}

impl InForce {
    /// Returns where to connect to as JSON: `{"admin":"…"|null,"listeners":{"name":["…"]}}`.
    #[must_use]
    pub fn addresses(&self) -> String {
        let mut listeners: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, addr) in &self.listeners {
            listeners.entry(name.as_str()).or_default().push(addr.to_string());
        }
        let admin = self.admin.as_ref().map(ToString::to_string);
        format!("{}\n", serde_json::json!({ "admin": admin, "listeners": listeners }))
    }
}

/// Everything above, for one process.
#[derive(Debug)]
pub struct Status {
    began: SystemTime,
    began_at: Instant,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    readiness: Readiness,
    reloads: Reloads,
    in_force: InForce,
    certificates: Certificates,
}

impl Status {
    /// Begins as `Starting`.
    #[must_use]
    pub fn new(in_force: InForce) -> Self {
        let now = Now {
            readiness: Readiness::Starting,
            reloads: Reloads::default(),
            in_force,
            certificates: Certificates::default(),
        };
        Self { began: SystemTime::now(), began_at: Instant::now(), now: Mutex::new(now) }
    }

    /// When the process began, by the wall clock.
    #[must_use]
    pub fn began(&self) -> SystemTime {
        self.began
    }

    /// Seconds since the process began.
    #[must_use]
    pub fn uptime(&self) -> u64 {
        self.began_at.elapsed().as_secs()
    }

    /// Returns the readiness.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        self.now().readiness
    }

    /// Changes the readiness. Nothing leads back from `Draining`.
    pub fn become_ready(&self) {
        let mut now = self.now();
        if now.readiness == Readiness::Starting {
            now.readiness = Readiness::Ready;
        }
    }

    /// Ends readiness for good.
    pub fn begin_draining(&self) {
        self.now().readiness = Readiness::Draining;
    }

    /// Returns how reloads went.
    #[must_use]
    pub fn reloads(&self) -> Reloads {
        self.now().reloads.clone()
    }

    /// Returns what is in force.
    #[must_use]
    pub fn in_force(&self) -> InForce {
        self.now().in_force.clone()
    }

    /// Returns what there is to say of certificates.
    #[must_use]
    pub fn certificates(&self) -> Certificates {
        self.now().certificates.clone()
    }

    /// Notes when the first certificate of each listener ends.
    pub fn certified(&self, expiries: Vec<(ListenerName, SystemTime)>) {
        self.now().certificates.expiries = expiries;
    }

    /// Notes how many took what their changed files hold, and how many could not.
    pub fn renewed(&self, taken: u64, kept: u64) {
        let mut now = self.now();
        now.certificates.taken += taken;
        now.certificates.kept += kept;
    }

    /// Notes a reload that was applied.
    pub fn reloaded(&self, in_force: InForce) {
        let mut now = self.now();
        now.in_force = in_force;
        now.reloads.applied += 1;
        now.reloads.last = Some(Reload { at: SystemTime::now(), errors: Vec::new() });
    }

    /// Notes a reload that was refused, for at least one reason.
    pub fn refused(&self, errors: Vec<String>) {
        let mut now = self.now();
        now.reloads.refused += 1;
        now.reloads.last = Some(Reload { at: SystemTime::now(), errors });
    }

    /// Every change is one assignment: a panic elsewhere leaves nothing half done.
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a 32-bit fingerprint of `text` (FNV-1a, folded). Too short to test guesses of a secret with.
#[must_use]
pub fn fingerprint(text: &str) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    u32::try_from((hash >> 32) ^ (hash & 0xffff_ffff)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_is_for_good() {
        let in_force = InForce {
            file: PathBuf::new(),
            effective: "".into(),
            hash: 0,
            listeners: Vec::new(),
            admin: None,
            session_maximum: 1,
        };
        let status = Status::new(in_force);
        assert_eq!(status.readiness(), Readiness::Starting);
        status.become_ready();
        assert_eq!(status.readiness(), Readiness::Ready);
        status.begin_draining();
        status.become_ready();
        assert_eq!(status.readiness(), Readiness::Draining);
    }

    #[test]
    fn addresses_are_told_by_listener() {
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let listeners = vec![("b".into(), addr(1)), ("a".into(), addr(2)), ("b".into(), addr(3))];
        let in_force = InForce {
            file: PathBuf::new(),
            effective: "".into(),
            hash: 0,
            listeners,
            admin: Some(AdminBind::Tcp(addr(4))),
            session_maximum: 1,
        };
        assert_eq!(
            in_force.addresses(),
            "{\"admin\":\"127.0.0.1:4\",\"listeners\":{\"a\":[\"127.0.0.1:2\"],\"b\":[\"127.0.0.1:1\",\"127.0.0.1:3\"]}}\n"
        );
    }

    #[test]
    fn other_texts_have_other_fingerprints() {
        assert_eq!(fingerprint("a"), fingerprint("a"));
        assert_ne!(fingerprint("a = 1"), fingerprint("a = 2"));
        assert_ne!(fingerprint(""), 0);
    }
}
