//! What a listener shows its clients, and asks of them.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};

use super::choose::Certificates;
use super::{HTTP, Read, TlsError, der, pem, provider, versions};
use crate::config::{ClientAuth, Tls};

/// What a listener shows its clients, and asks of them.
///
/// Sessions are resumed by tickets that the client keeps: nothing is kept here per client. There is no early data.
#[derive(Debug)]
pub struct Server {
    /// For the library, where bytes are spoken.
    pub config: Arc<ServerConfig>,
    /// The same where HTTP is spoken inside: a client that offers protocols (RFC 7301) is answered `http/1.1`.
    pub http: Arc<ServerConfig>,
    /// When each certificate ends, in the operator's order; `None` where it does not say so.
    pub expiries: Vec<Option<SystemTime>>,
    ticketer: Arc<dyn ProducesTickets>,
    trust: Trust,
}

/// Whose certificates are taken. A ticket stands for one that was, so it is good under the same trust only.
#[derive(Debug, PartialEq, Eq)]
struct Trust {
    auth: ClientAuth,
    roots: Vec<rustls::pki_types::CertificateDer<'static>>,
}

impl Server {
    /// Makes it of its settings; `read` reads their files.
    ///
    /// The tickets of `previous` stay good unless what is asked of clients has changed.
    ///
    /// # Errors
    /// The first thing that is wrong, with the file it is in.
    pub fn build(settings: &Tls, read: Read<'_>, previous: Option<&Self>) -> Result<Self, TlsError> {
        let provider = provider();
        let pairs: Result<Vec<_>, _> =
            settings.certs.iter().map(|files| pem::pair(files, read, &provider)).collect();
        let pairs = pairs?;
        if pairs.is_empty() {
            return Err(TlsError::NoneNamed);
        }
        let expiries =
            pairs.iter().map(|pair| pair.cert.first().and_then(|cert| der::expires(cert))).collect();
        let trust = Trust::read(&settings.client_auth, read)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(settings.min_version))?;
        let builder = match &settings.client_auth {
            ClientAuth::Off => builder.with_no_client_auth(),
            ClientAuth::Optional(path) | ClientAuth::Required(path) => {
                let roots = Arc::new(pem::roots(path, read)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let is_required = matches!(settings.client_auth, ClientAuth::Required(_));
                let verifier = if is_required { verifier } else { verifier.allow_unauthenticated() };
                let unusable = |error: rustls::server::VerifierBuilderError| TlsError::Certificate {
                    path: path.clone(),
                    source: rustls::Error::General(error.to_string()),
                };
                builder.with_client_cert_verifier(verifier.build().map_err(unusable)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Certificates::new(pairs)));
        let ticketer = match previous {
            Some(previous) if previous.trust == trust => Arc::clone(&previous.ticketer),
            _ => Ticketer::new()?,
        };
        config.ticketer = Arc::clone(&ticketer);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        let mut http = config.clone();
        http.alpn_protocols = vec![HTTP.to_vec()];
        Ok(Self { config: Arc::new(config), http: Arc::new(http), expiries, ticketer, trust })
    }
}

impl Trust {
    fn read(auth: &ClientAuth, read: Read<'_>) -> Result<Self, TlsError> {
        let of = |path: &Path| pem::certificates(path, read);
        let roots = match auth {
            ClientAuth::Off => Vec::new(),
            ClientAuth::Optional(path) | ClientAuth::Required(path) => of(path)?,
        };
        Ok(Self { auth: auth.clone(), roots })
    }
}
