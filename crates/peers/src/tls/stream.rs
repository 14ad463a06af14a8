//! The stream inside a TLS connection, to read and write with blocking calls.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::{ClientConnection, Connection, ServerConnection};

use super::{Identity, Trust};
use crate::endpoint::serve;
use crate::handshake::invalid;

/// How much is read from the socket at a time: one record of the largest size (RFC 8446 section 5.2) and its head.
const RECORD: usize = (16 << 10) + 256 + 5;

/// A TLS stream. As with a `TcpStream`, one thread may read while another writes.
///
/// Reading gives `Ok(0)` when the peer has said its end, and `UnexpectedEof` when its connection ended without:
/// somebody may have cut it. After a write that failed, a time-out included, nothing more can be written.
/// Dropped without [`serve::Connection::end`] it is cut.
#[derive(Debug)]
pub struct TlsStream {
    socket: TcpStream,
    /// Nobody waits while holding it, so that neither direction waits for the other.
    connection: Mutex<Connection>,
    inbound: Mutex<Inbound>,
    /// What was encrypted and not sent; who holds it sends, so that records leave in order.
    outbound: Mutex<Vec<u8>>,
}

/// What the socket gave and the connection has not taken: it takes no more than it has room for.
#[derive(Debug)]
struct Inbound {
    bytes: Box<[u8]>,
    from: usize,
    to: usize,
}

impl TlsStream {
    /// Shakes hands as a client.
    pub(super) fn client(socket: TcpStream, trust: &Trust) -> io::Result<Self> {
        let connection = ClientConnection::new(Arc::clone(&trust.config), trust.name.clone());
        Self::shake(socket, connection.map_err(|error| invalid(error.to_string()))?.into())
    }

    /// Shakes hands as a server.
    pub(super) fn server(socket: TcpStream, identity: &Identity) -> io::Result<Self> {
        let connection = ServerConnection::new(Arc::clone(&identity.config));
        Self::shake(socket, connection.map_err(|error| invalid(error.to_string()))?.into())
    }

    fn shake(socket: TcpStream, connection: Connection) -> io::Result<Self> {
        let inbound = Inbound { bytes: vec![0; RECORD].into(), from: 0, to: 0 };
        let stream = Self {
            socket,
            connection: Mutex::new(connection),
            inbound: Mutex::new(inbound),
            outbound: Mutex::default(),
        };
        stream.flush(&mut lock(&stream.outbound))?;
        while lock(&stream.connection).is_handshaking() {
            if stream.take_in(&mut lock(&stream.inbound))? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(stream)
    }

    /// The socket beneath: for its addresses, or to cut it.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// What the library knows of the connection: version, cipher, certificates, the name that was asked for.
    pub fn about<T>(&self, ask: impl FnOnce(&Connection) -> T) -> T {
        ask(&lock(&self.connection))
    }

    /// Gives the connection what has come, or what comes next; 0 at the end of the socket.
    fn take_in(&self, inbound: &mut Inbound) -> io::Result<usize> {
        if inbound.from == inbound.to {
            (inbound.from, inbound.to) = (0, 0);
            inbound.to = (&self.socket).read(&mut inbound.bytes)?;
        }
        let taken = {
            let mut connection = lock(&self.connection);
            let mut rest = &inbound.bytes[inbound.from..inbound.to];
            let taken = connection.read_tls(&mut rest)?;
            inbound.from += taken;
            connection.process_new_packets().map(|_| taken)
        };
        // An answer, or the alert that says why this is the end. A writer that is at it sends it too.
        if let Ok(mut outbound) = self.outbound.try_lock() {
            let sent = self.flush(&mut outbound);
            if taken.is_ok() {
                sent?;
            }
        }
        taken.map_err(|error| invalid(error.to_string()))
    }

    /// Sends what the connection has to send.
    fn flush(&self, outbound: &mut Vec<u8>) -> io::Result<()> {
        {
            let mut connection = lock(&self.connection);
            while connection.wants_write() {
                connection.write_tls(outbound)?;
            }
        }
        (&self.socket).write_all(outbound)?;
        outbound.clear();
        Ok(())
    }
}

impl serve::Connection for TlsStream {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut inbound = lock(&self.inbound);
        loop {
            match lock(&self.connection).reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
            self.take_in(&mut inbound)?;
        }
    }

    fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        let mut outbound = lock(&self.outbound);
        while !bytes.is_empty() {
            // The connection takes at most what it may buffer.
            let taken = lock(&self.connection).writer().write(bytes)?;
            bytes = &bytes[taken..];
            self.flush(&mut outbound)?;
        }
        Ok(())
    }

    /// Sends `close_notify`, and ends the socket's direction behind it.
    fn end(&self) -> io::Result<()> {
        let mut outbound = lock(&self.outbound);
        lock(&self.connection).send_close_notify();
        self.flush(&mut outbound)?;
        self.socket.shutdown(Shutdown::Write)
    }

    fn wait_at_most(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(timeout)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
