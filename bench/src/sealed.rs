//! TLS under a load: a connection of the library's own client on a socket that never blocks.
//!
//! Every subject is met with the same version, cipher and key exchange, and without resumption: what is compared is
//! the same work.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// What is agreed on, as it is told.
pub(crate) const AGREED: &str = "TLS 1.3, AES-128-GCM, X25519, ECDSA P-256, no resumption";

/// The certificate's name.
const NAME: &str = "bench.test";

/// The certificate that every subject shows, with its key behind it, in one file as HAProxy wants it.
pub(crate) struct Shown {
    pub(crate) file: std::path::PathBuf,
    pub(crate) config: Arc<ClientConfig>,
}

impl Shown {
    /// Makes one in `folder`.
    pub(crate) fn make(folder: &Path) -> io::Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(io::Error::other)?;
        let file = folder.join("shown.pem");
        std::fs::write(&file, made.cert.pem() + &made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).map_err(io::Error::other)?;
        let provider = CryptoProvider {
            cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
            kx_groups: vec![aws_lc_rs::kx_group::X25519],
            ..aws_lc_rs::default_provider()
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(io::Error::other)?;
        let mut config = builder.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self { file, config: Arc::new(config) })
    }

    /// A target that shows it.
    pub(crate) fn at(&self, address: SocketAddr) -> SealedTarget {
        SealedTarget { address, config: Arc::clone(&self.config) }
    }
}

/// A target that speaks TLS.
#[derive(Clone, Debug)]
pub(crate) struct SealedTarget {
    pub(crate) address: SocketAddr,
    pub(crate) config: Arc<ClientConfig>,
}

impl SealedTarget {
    /// Connects and shakes hands; blocking.
    pub(crate) fn open(&self) -> io::Result<Sealed> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut sealed = Sealed::new(stream, &self.config)?;
        sealed.shake()?;
        Ok(sealed)
    }
}

/// A connection that is sealed.
pub(crate) struct Sealed {
    stream: TcpStream,
    connection: ClientConnection,
}

impl Sealed {
    /// Nothing is sent yet.
    pub(crate) fn new(stream: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        Ok(Self { stream, connection })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Goes on until both agree; on a socket that blocks.
    pub(crate) fn shake(&mut self) -> io::Result<()> {
        while self.connection.is_handshaking() {
            self.connection.complete_io(&mut self.stream)?;
        }
        Ok(())
    }

    /// Sends what waits to be sent.
    fn push(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Read for Sealed {
    /// Payload until `buffer` is full or the socket is drained; goes on with the handshake before.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        loop {
            self.push()?;
            match self.connection.reader().read(&mut buffer[count..]) {
                Ok(0) => return Ok(count),
                Ok(some) => count += some,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match self.connection.read_tls(&mut self.stream) {
                        Err(error) if error.kind() == ErrorKind::WouldBlock && count > 0 => return Ok(count),
                        Err(error) => return Err(error),
                        Ok(_) => {}
                    }
                    self.connection.process_new_packets().map_err(io::Error::other)?;
                }
                Err(error) => return Err(error),
            }
            if count == buffer.len() {
                return Ok(count);
            }
        }
    }
}

impl Write for Sealed {
    /// Takes it all; the handshake may have to come first.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.connection.writer().write(bytes)?;
        match self.push() {
            Ok(()) => Ok(taken),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                Ok(taken)
            }
            Err(error) => Err(error),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
