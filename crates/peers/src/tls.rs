//! TLS: the client, the endpoint, and the certificates that they show and trust.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::TcpClient;
use crate::endpoint::serve::{Bytes, Connection};
use crate::handshake::invalid;
use crate::message::{read_message, write_message};

mod stream;
#[cfg(test)]
mod tests;

pub use stream::TlsStream;

/// Whom a client trusts, and whom it asks for.
#[derive(Clone, Debug)]
pub struct Trust {
    /// For the library; what [`Trust::new`] made may be changed: versions, a client's certificate, resumption.
    pub config: Arc<ClientConfig>,
    /// The name that it asks for, and that the certificate must be for.
    pub name: ServerName<'static>,
}

impl Trust {
    /// Trusts certificates for `name` (a host's name or an address) that one of `ca`, in PEM, has signed.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when `ca` holds no certificate or `name` is none.
    pub fn new(ca: &[u8], name: &str) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| invalid(error.to_string()))?;
        }
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| invalid(error.to_string()))?;
        let config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
        let name = ServerName::try_from(name.to_owned()).map_err(|error| invalid(error.to_string()))?;
        Ok(Self { config, name })
    }
}

/// What an endpoint shows.
#[derive(Clone, Debug)]
pub struct Identity {
    /// For the library.
    pub config: Arc<ServerConfig>,
}

impl Identity {
    /// Shows the chain of `certs` and proves it by `key`, both in PEM; asks no client for a certificate.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when there is no certificate, no key, or they do not belong together.
    pub fn new(certs: &[u8], key: &[u8]) -> io::Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| invalid(error.to_string()))?;
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| invalid(error.to_string()))?.with_no_client_auth();
        let config = builder.with_single_cert(certificates(certs)?, key);
        Ok(Self { config: Arc::new(config.map_err(|error| invalid(error.to_string()))?) })
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| invalid(error.to_string()))?;
    if all.is_empty() { Err(invalid("no certificate")) } else { Ok(all) }
}

/// A client of a `tls` listener.
#[derive(Debug)]
pub struct TlsClient {
    stream: TlsStream,
}

impl TlsClient {
    /// Connects, shakes hands, and says nothing yet.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the gateway is not to be trusted or refuses, and whatever connecting
    /// fails with, each step after at most [`crate::PATIENCE`].
    pub fn connect(gate: SocketAddr, trust: &Trust) -> io::Result<Self> {
        let socket = TcpClient::connect(gate)?.into_stream();
        Ok(Self { stream: TlsStream::client(socket, trust)? })
    }

    /// Connects, sends `key` as the hello, and returns with the gateway's answer.
    ///
    /// The answer is `None` when the connection ended without one.
    ///
    /// # Errors
    /// See [`TlsClient::connect`], and whatever writing or reading fails with.
    pub fn open(gate: SocketAddr, trust: &Trust, key: &str) -> io::Result<(Self, Option<Vec<u8>>)> {
        let mut client = Self::connect(gate, trust)?;
        client.send_message(key.as_bytes())?;
        let answer = client.read_message()?;
        Ok((client, answer))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Whatever writing fails with.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.send(bytes)
    }

    /// Sends one length-prefixed message.
    ///
    /// # Errors
    /// Whatever writing fails with.
    pub fn send_message(&mut self, payload: &[u8]) -> io::Result<()> {
        write_message(&mut Bytes(&self.stream), payload)
    }

    /// Reads one length-prefixed message; `None` at the end of the stream.
    ///
    /// # Errors
    /// See [`read_message`].
    pub fn read_message(&mut self) -> io::Result<Option<Vec<u8>>> {
        read_message(&mut Bytes(&self.stream))
    }

    /// The stream, for everything else.
    #[must_use]
    pub fn stream(&self) -> &TlsStream {
        &self.stream
    }

    /// Gives the stream away.
    #[must_use]
    pub fn into_stream(self) -> TlsStream {
        self.stream
    }
}

/// The services of a TLS endpoint.
#[derive(Debug)]
pub struct TlsEndpoint;

impl TlsEndpoint {
    /// Returns a service for [`crate::Endpoint::start`] that shakes hands and runs `service` on what is inside.
    ///
    /// `service` may be one of [`crate::serve`], or one of [`crate::WsEndpoint`]: that is wss. When it has
    /// returned without an error, the own direction is ended and the client's end is waited for.
    pub fn serve<F>(identity: Identity, service: F) -> impl Fn(&TcpStream) -> io::Result<()> + Send + Sync
    where
        F: Fn(&TlsStream) -> io::Result<()> + Send + Sync,
    {
        move |socket: &TcpStream| {
            let stream = TlsStream::server(socket.try_clone()?, &identity)?;
            service(&stream)?;
            stream.end()?;
            let mut rest = [0; 4096];
            while Bytes(&stream).read(&mut rest)? != 0 {}
            Ok(())
        }
    }
}
