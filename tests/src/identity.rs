//! Certificates of one's own, made anew for each world.

use portcullis_peers::{Identity, Trust};
use rcgen::{CertificateParams, KeyPair};

use crate::Site;

/// The name that the certificate is for, besides `127.0.0.1`.
pub const HOST: &str = "gate.test";

/// A certificate that signs itself, and its key, both in PEM.
#[derive(Clone, Debug)]
pub struct Own {
    /// The certificate.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

impl Own {
    /// Makes one for [`HOST`] and `127.0.0.1`, as `own.pem` and `own.key` in the site's folder too.
    #[must_use]
    pub fn new(site: &Site) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![HOST.to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let own = Self { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() };
        site.write("own.pem", &own.cert);
        site.write("own.key", &own.key);
        own
    }

    /// The line of a listener that shows it.
    #[must_use]
    pub fn shown() -> &'static str {
        "tls = { certs = [{ cert = \"{folder}/own.pem\", key = \"{folder}/own.key\" }] }"
    }

    /// Whoever trusts it.
    #[must_use]
    pub fn trust(&self) -> Trust {
        Trust::new(self.cert.as_bytes(), HOST).unwrap()
    }

    /// An endpoint that shows it.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity::new(self.cert.as_bytes(), self.key.as_bytes()).unwrap()
    }
}
