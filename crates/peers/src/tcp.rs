//! The plain TCP client: a length-prefixed hello, then bytes.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;
use crate::message::{read_message, write_message};

/// A client of a `tcp` listener.
#[derive(Debug)]
pub struct TcpClient {
    stream: TcpStream,
}

impl TcpClient {
    /// Connects and says nothing yet: the way into listeners without a hello, and for tests that send their own.
    ///
    /// # Errors
    /// Whatever connecting fails with, after at most [`PATIENCE`].
    pub fn connect(gate: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&gate, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream })
    }

    /// Connects, sends `key` as the hello, and returns with the gateway's answer.
    ///
    /// The answer is `None` when the connection ended without one.
    ///
    /// # Errors
    /// Whatever connecting, writing or reading fails with.
    pub fn open(gate: SocketAddr, key: &str) -> io::Result<(Self, Option<Vec<u8>>)> {
        let mut client = Self::connect(gate)?;
        client.send_message(key.as_bytes())?;
        let answer = client.read_message()?;
        Ok((client, answer))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Whatever writing fails with.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends one length-prefixed message.
    ///
    /// # Errors
    /// Whatever writing fails with.
    pub fn send_message(&mut self, payload: &[u8]) -> io::Result<()> {
        write_message(&mut self.stream, payload)
    }

    /// Reads one length-prefixed message; `None` at the end of the stream.
    ///
    /// # Errors
    /// See [`read_message`].
    pub fn read_message(&mut self) -> io::Result<Option<Vec<u8>>> {
        read_message(&mut self.stream)
    }

    /// The connection, for everything else.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Gives the connection away.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }
}
