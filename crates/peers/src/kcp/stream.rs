//! The stream of one conversation, to read and write with blocking calls.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use portcullis_core::wire::kcp::arq::Tally;

use super::hub::{Hub, Running, State, wait};
use super::session::Session;

/// A KCP stream. As with a `TcpStream`, `&KcpStream` reads and writes too, so that two threads can share it.
///
/// Dropped it is forgotten: what is not acknowledged is lost unless it was flushed, and the peer is not told.
/// Reading gives `Ok(0)` when the peer was silent for [`super::KcpOptions::idle_timeout`], `TimedOut` when it left
/// something unacknowledged too often, `ConnectionAborted` when this side has ended or the peer has begun another
/// conversation from the same address.
#[derive(Debug)]
pub struct KcpStream {
    hub: Arc<Hub>,
    peer: SocketAddr,
    conv: u32,
    /// A client's socket ends with its one stream.
    running: Option<Running>,
}

impl KcpStream {
    pub(super) fn new(hub: Arc<Hub>, peer: SocketAddr, conv: u32) -> Self {
        Self { hub, peer, conv, running: None }
    }

    pub(super) fn with_hub(mut self, running: Running) -> Self {
        self.running = Some(running);
        self
    }

    /// The address at the other end.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The address of the socket.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.hub.address()
    }

    /// The conversation's number.
    #[must_use]
    pub fn conv(&self) -> u32 {
        self.conv
    }

    /// Sets how long a read waits; `None`: for ever.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) {
        if let Some(session) = self.hub.lock().session(self.peer, self.conv) {
            session.read_timeout = timeout;
        }
    }

    /// Sets how long a write or a flush waits; `None`: for ever.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) {
        if let Some(session) = self.hub.lock().session(self.peer, self.conv) {
            session.write_timeout = timeout;
        }
    }

    /// Asks the peer for its window, which whoever is there answers.
    pub fn ask_window(&self) {
        let mut state = self.hub.lock();
        if let Some(session) = state.session(self.peer, self.conv) {
            session.conversation.ask_window();
            self.hub.transmit(&mut state, self.peer);
        }
    }

    /// Did a valid segment of the peer ever come?
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.hub
            .lock()
            .session(self.peer, self.conv)
            .is_some_and(|session| session.conversation.is_answered())
    }

    /// What the conversation has counted; `None` when it is forgotten.
    #[must_use]
    pub fn tally(&self) -> Option<Tally> {
        self.hub.lock().session(self.peer, self.conv).map(|session| session.conversation.tally())
    }

    /// Datagrams that forward error correction brought back.
    #[must_use]
    pub fn recovered(&self) -> u64 {
        self.hub.lock().session(self.peer, self.conv).map_or(0, |session| session.conversation.recovered())
    }

    /// Runs `attempt` until it has a result, the conversation has ended or the timeout that `patience` picks is over.
    fn until<T>(
        &self,
        patience: impl Fn(&Session) -> Option<Duration>,
        mut attempt: impl FnMut(&mut Session) -> Option<T>,
    ) -> io::Result<Option<T>> {
        let began = Instant::now();
        let mut state: MutexGuard<'_, State> = self.hub.lock();
        loop {
            let stopping = state.is_stopping();
            let Some(session) = state.session(self.peer, self.conv).filter(|_| !stopping) else {
                return Err(ErrorKind::ConnectionAborted.into());
            };
            if let Some(result) = attempt(session) {
                self.hub.transmit(&mut state, self.peer);
                return Ok(Some(result));
            }
            if session.conversation.is_dead() {
                return Err(ErrorKind::TimedOut.into());
            }
            if session.is_over() {
                return Ok(None);
            }
            let left = patience(session).map(|patience| patience.saturating_sub(began.elapsed()));
            if left == Some(Duration::ZERO) {
                return Err(ErrorKind::WouldBlock.into());
            }
            let changed = Arc::clone(&session.changed);
            state = wait(&changed, state, left);
        }
    }
}

impl Read for &KcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.until(
            |session| session.read_timeout,
            |session| {
                let readable = session.conversation.readable();
                let count = readable.len().min(buffer.len());
                buffer[..count].copy_from_slice(&readable[..count]);
                session.conversation.consume(count);
                (count > 0).then_some(count)
            },
        )?;
        Ok(read.unwrap_or(0))
    }
}

impl Write for &KcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let written = self.until(
            |session| session.write_timeout,
            |session| {
                let count = if session.is_over() { 0 } else { session.conversation.write(bytes) };
                (count > 0).then_some(count)
            },
        )?;
        written.ok_or_else(|| ErrorKind::BrokenPipe.into())
    }

    /// Waits until the peer has acknowledged everything.
    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.until(
            |session| session.write_timeout,
            |session| (session.conversation.unacknowledged() == 0).then_some(()),
        )?;
        flushed.ok_or_else(|| ErrorKind::BrokenPipe.into())
    }
}

impl Read for KcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for KcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

impl Drop for KcpStream {
    fn drop(&mut self) {
        self.hub.forget(self.peer, self.conv);
    }
}
