//! Which certificate a client is shown.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::der;

/// The certificates of a listener by the names they are for.
///
/// A name that is there as such goes before a wildcard, which stands for one label (RFC 6125 section 6.4.3); every
/// other name is shown the first certificate. Where several serve, the first whose key the client can check.
#[derive(Debug)]
pub(super) struct Certificates {
    exact: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what follows the first label.
    wildcard: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// All, in the operator's order.
    all: Vec<Arc<CertifiedKey>>,
}

impl Certificates {
    pub(super) fn new(all: Vec<Arc<CertifiedKey>>) -> Self {
        let mut exact: HashMap<_, Vec<_>> = HashMap::new();
        let mut wildcard: HashMap<_, Vec<_>> = HashMap::new();
        for pair in &all {
            for name in pair.cert.first().map(|cert| der::names(cert)).unwrap_or_default() {
                let name = name.to_ascii_lowercase();
                let (map, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut wildcard, rest),
                    None => (&mut exact, name.as_str()),
                };
                map.entry(name.into()).or_default().push(Arc::clone(pair));
            }
        }
        Self { exact, wildcard, all }
    }

    /// Those that are for `name`, in lower case; the operator's first one is for every other.
    pub(super) fn for_name(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let named = name.and_then(|name| {
            let by_wildcard = || name.split_once('.').and_then(|(_, rest)| self.wildcard.get(rest));
            self.exact.get(name).or_else(by_wildcard)
        });
        named.map_or(&self.all, Vec::as_slice)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let fitting = self.for_name(name.as_deref());
        let usable = fitting.iter().find(|pair| pair.key.choose_scheme(hello.signature_schemes()).is_some());
        usable.or_else(|| fitting.first()).cloned()
    }
}
