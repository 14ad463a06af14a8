//! What an endpoint may do with a connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::kcp::KcpStream;
use crate::message::read_message;

/// What a service needs of a connection, whatever carries it.
pub trait Connection {
    /// Reads what there is, at least a byte; 0 at the end of the stream.
    ///
    /// # Errors
    /// Whatever the connection fails with; `WouldBlock` after the read timeout.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// Whatever the connection fails with.
    fn send(&self, bytes: &[u8]) -> io::Result<()>;

    /// Says that no more will be sent, where there is a way to say that.
    ///
    /// # Errors
    /// Whatever the connection fails with.
    fn end(&self) -> io::Result<()>;

    /// Sets how long [`Connection::receive`] waits; `None`: for ever.
    ///
    /// # Errors
    /// Whatever the connection fails with.
    fn wait_at_most(&self, timeout: Option<Duration>) -> io::Result<()>;
}

impl<C: Connection + ?Sized> Connection for &C {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).receive(buffer)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (**self).send(bytes)
    }

    fn end(&self) -> io::Result<()> {
        (**self).end()
    }

    fn wait_at_most(&self, timeout: Option<Duration>) -> io::Result<()> {
        (**self).wait_at_most(timeout)
    }
}

impl Connection for TcpStream {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&mut &*self).write_all(bytes)
    }

    fn end(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn wait_at_most(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout)
    }
}

impl Connection for KcpStream {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&mut &*self).write_all(bytes)
    }

    /// KCP has no word for it: waits until all is acknowledged.
    fn end(&self) -> io::Result<()> {
        (&mut &*self).flush()
    }

    fn wait_at_most(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(timeout);
        Ok(())
    }
}

/// A connection to read and write by the traits of [`std::io`].
#[derive(Debug)]
pub struct Bytes<'c, C: ?Sized>(
    /// The connection.
    pub &'c C,
);

impl<C: Connection + ?Sized> Read for Bytes<'_, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(buffer)
    }
}

impl<C: Connection + ?Sized> Write for Bytes<'_, C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The greeting of [`hello_world`].
pub const HELLO_WORLD: &[u8] = b"hello world\n";

/// Sends back what comes, then ends its own direction.
///
/// # Errors
/// Whatever the connection fails with.
pub fn echo<C: Connection>(stream: &C) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.receive(&mut buffer)? {
            0 => return stream.end(),
            read => stream.send(&buffer[..read])?,
        }
    }
}

/// Reads to the end and drops it all.
///
/// # Errors
/// Whatever the connection fails with.
pub fn sink<C: Connection>(stream: &C) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    while stream.receive(&mut buffer)? != 0 {}
    Ok(())
}

/// Sends zeros until the other side is gone.
///
/// # Errors
/// Whatever the connection fails with; it has no other end.
pub fn source<C: Connection>(stream: &C) -> io::Result<()> {
    let buffer = vec![0; 64 << 10];
    loop {
        stream.send(&buffer)?;
    }
}

/// Returns a service that sends [`HELLO_WORLD`] at each `interval` and hands each length-prefixed message
/// that comes to `told`.
///
/// One thread does both: between two greetings it reads, and a message cut by the moment of a greeting is
/// kept and read on.
pub fn hello_world<C, T>(interval: Duration, told: T) -> impl Fn(&C) -> io::Result<()> + Send + Sync
where
    C: Connection,
    T: Fn(&C, &[u8]) + Send + Sync,
{
    move |stream: &C| {
        let mut due = Instant::now();
        let mut seen = Vec::new();
        loop {
            let now = Instant::now();
            if now >= due {
                stream.send(HELLO_WORLD)?;
                due = now + interval;
                continue;
            }
            stream.wait_at_most(Some(due - now))?;
            if !read_some(stream, &mut seen)? {
                return Ok(());
            }
            while let Some(message) = take_message(&mut seen)? {
                told(stream, &message);
            }
        }
    }
}

/// Reads once; `false` at the end of the stream. A time-out counts as nothing read.
fn read_some<C: Connection>(stream: &C, seen: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    match stream.receive(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(read) => {
            seen.extend_from_slice(&buffer[..read]);
            Ok(true)
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Takes one whole message off the front.
fn take_message(seen: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut rest = &seen[..];
    match read_message(&mut rest) {
        Ok(message) => {
            let taken = seen.len() - rest.len();
            seen.drain(..taken);
            Ok(message)
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
