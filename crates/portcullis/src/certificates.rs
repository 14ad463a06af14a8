//! Certificates of listeners: when they end.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use portcullis_control::log::{Entry, Log};
use portcullis_control::status::Status;
use portcullis_core::name::ListenerName;
use portcullis_core::snapshot::Snapshot;

/// How often their files are looked at while the gateway runs.
pub(crate) const LOOK: Duration = Duration::from_secs(2);

/// A certificate that a listener shows, and its end.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// Whose it is.
    pub(crate) listener: ListenerName,
    /// Where it is read from.
    pub(crate) file: PathBuf,
    /// When it ends.
    pub(crate) expires: SystemTime,
    /// Does it serve every name that no other is for?
    is_first: bool,
}

/// Every certificate of every listener that says when it ends.
pub(crate) fn all(snapshot: &Snapshot) -> Vec<Certificate> {
    let mut found = Vec::new();
    for settings in &snapshot.config.listeners {
        let server = snapshot.listener(&settings.name).and_then(|plan| plan.tls.as_ref());
        let (Some(tls), Some(server)) = (&settings.tls, server) else { continue };
        for (index, (files, expires)) in tls.certs.iter().zip(&server.expiries).enumerate() {
            let Some(expires) = *expires else { continue };
            let (listener, file) = (settings.name.clone(), files.cert.clone());
            found.push(Certificate { listener, file, expires, is_first: index == 0 });
        }
    }
    found
}

/// Those that have ended.
pub(crate) fn expired(snapshot: &Snapshot) -> impl Iterator<Item = Certificate> {
    let now = SystemTime::now();
    all(snapshot).into_iter().filter(move |certificate| certificate.expires <= now)
}

/// Notes when those in force end, and warns of those that have ended: they are shown all the same, for many a client
/// does not look.
pub(crate) fn tell(snapshot: &Snapshot, status: &Status, log: &Log) {
    let first = all(snapshot).into_iter().filter(|certificate| certificate.is_first);
    status.certified(first.map(|certificate| (certificate.listener, certificate.expires)).collect());
    for Certificate { listener, file, .. } in expired(snapshot) {
        let entry = Entry::warn("a certificate has expired").with("listener", listener.as_str());
        log.tell(entry.with_text("file", file.display()).every_time());
    }
}
