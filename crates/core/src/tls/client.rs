//! How endpoints are met.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::{HTTP, Read, TlsError, pem, provider, versions};
use crate::config::{DialTls, TlsVersion};

/// Names whose sessions are kept to be resumed; each has at most eight tickets.
const RESUMED_NAMES: usize = 64;

/// How endpoints are met.
#[derive(Debug)]
pub struct Client {
    /// For the library, where bytes are spoken.
    pub config: Arc<ClientConfig>,
    /// The same where HTTP is spoken inside: `http/1.1` is offered (RFC 7301).
    pub http: Arc<ClientConfig>,
    /// The name to ask for and to verify; `None` = the host that is dialled.
    pub name: Option<ServerName<'static>>,
}

impl Client {
    /// Makes it of its settings; `read` reads their files, and the system's roots where no `ca_file` is named.
    ///
    /// # Errors
    /// The first thing that is wrong, with the file it is in.
    pub fn build(settings: &DialTls, read: Read<'_>) -> Result<Self, TlsError> {
        let provider = provider();
        let name = settings.server_name.as_deref().map(parse_name).transpose()?;
        let verifier: Arc<dyn ServerCertVerifier> = if settings.verify {
            let roots = match &settings.ca_file {
                Some(path) => pem::roots(path, read)?,
                None => pem::system_roots(read)?,
            };
            let verifier =
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
            verifier.map_err(|error| rustls::Error::General(error.to_string()))?
        } else {
            Arc::new(Anybody { provider: Arc::clone(&provider) })
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(TlsVersion::V12))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &settings.cert {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let pair: Arc<CertifiedKey> = pem::pair(files, read, &provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
            }
        };
        config.resumption = Resumption::in_memory_sessions(RESUMED_NAMES);
        config.enable_early_data = false;
        let mut http = config.clone();
        http.alpn_protocols = vec![HTTP.to_vec()];
        Ok(Self { config: Arc::new(config), http: Arc::new(http), name })
    }
}

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name { name: name.into() })
}

/// Takes any certificate, as `verify = false` says; that the endpoint has its key is checked all the same.
#[derive(Debug)]
struct Anybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
