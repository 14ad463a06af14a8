//! TLS under a leg: the library's state machine, fed from a socket and emptied into it.
//!
//! Nothing is kept here that the socket could keep: wire bytes that it would not take lie in the leg's ring, so that
//! there is one place where a direction is stopped. What the library holds of the peer's counts as readable, for no
//! event tells of it again.

mod handshake;
mod records;

use std::io::{self, IoSlice, Read, Write};
use std::mem;
use std::sync::Arc;

use portcullis_core::wheel::Tick;
use portcullis_sys::socket::Socket;
use rustls::pki_types::CertificateDer;
use rustls::server::{Accepted, Acceptor};
use rustls::{Connection, ServerConfig};

use super::{Leg, Received, Wire};
use crate::ring::{Lent, Ring};
pub(super) use handshake::Shaken;
use records::Pace;

/// Wire bytes received at once: what a handshake's message needs, and a bulk's records.
const LEAST_RECEIVED: usize = 4 * 1024;
/// The library grows its buffer for a record in parts and keeps it; a burst of more than this gives it back.
const KEPT_BY_LIBRARY: usize = 4 * 1024;

/// One side of a session that is spoken in records.
pub(crate) struct Tls {
    socket: Socket,
    talk: Talk,
    /// Wire bytes that the library has not taken yet.
    unfed: Vec<u8>,
    /// Payload that the library holds, in bytes.
    held: usize,
    /// How the peer's direction ended.
    end: End,
    /// Our direction is to be ended when the ring is empty.
    end_due: bool,
    pace: Pace,
}

/// Where the conversation is.
enum Talk {
    /// Not begun: bytes go as they are.
    Plain,
    /// Waiting for the client's first message, with what to answer it by.
    Hello(Box<Acceptor>, Arc<ServerConfig>),
    /// That message is there; the answer costs a signature.
    Accepted(Box<Accepted>, Arc<ServerConfig>),
    /// Agreeing, and then talking.
    Talking(Box<Connection>),
    /// It came to nothing: bytes go as they are.
    Failed,
}

/// How the peer's direction ended, as far as the library was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It goes on.
    Open,
    /// It was said (close_notify).
    Said,
    /// The connection ended without it, or what came is no TLS.
    Cut,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("socket", &self.socket).field("end", &self.end).finish_non_exhaustive()
    }
}

impl Tls {
    /// Nothing is said yet: bytes go as they are until one side begins.
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            talk: Talk::Plain,
            unfed: Vec::new(),
            held: 0,
            end: End::Open,
            end_due: false,
            pace: Pace::default(),
        }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Has it begun, and not come to nothing?
    fn is_sealed(&self) -> bool {
        !matches!(self.talk, Talk::Plain | Talk::Failed)
    }

    /// Is there something to be read that the socket will not tell of?
    pub(super) fn holds(&self) -> bool {
        self.is_sealed() && (self.held > 0 || !self.unfed.is_empty() || self.end != End::Open)
    }

    /// The name that the client asked for.
    pub(super) fn asked_name(&self) -> Option<&str> {
        match &self.talk {
            Talk::Talking(connection) => match &**connection {
                Connection::Server(server) => server.server_name(),
                Connection::Client(_) => None,
            },
            Talk::Plain | Talk::Hello(..) | Talk::Accepted(..) | Talk::Failed => None,
        }
    }

    /// The certificate that the peer has shown, which was verified where that was asked for.
    pub(super) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        match &self.talk {
            Talk::Talking(connection) => connection.peer_certificates().and_then(<[_]>::first),
            Talk::Plain | Talk::Hello(..) | Talk::Accepted(..) | Talk::Failed => None,
        }
    }

    /// Gives wire bytes to the library and puts what payload comes of them in `buffer`; what it cannot take
    /// yet is kept for the next time.
    fn digest(&mut self, bytes: &[u8], buffer: &mut [u8]) -> usize {
        let kept = mem::take(&mut self.unfed);
        let (count, rest) = self.feed(&kept, buffer);
        if !rest.is_empty() {
            self.unfed = [rest, bytes].concat();
            return count;
        }
        let (more, rest) = self.feed(bytes, &mut buffer[count..]);
        if !rest.is_empty() {
            self.unfed = rest.to_vec();
        }
        count + more
    }

    /// Feeds the library, as far as it takes; returns what it did not.
    fn feed<'b>(&mut self, mut sealed: &'b [u8], buffer: &mut [u8]) -> (usize, &'b [u8]) {
        let mut count = self.take(buffer);
        while !sealed.is_empty() && self.end == End::Open {
            let Talk::Talking(connection) = &mut self.talk else { break };
            if connection.read_tls(&mut sealed).is_err() {
                if self.held == 0 {
                    self.end = End::Cut; // a message longer than any
                }
                break;
            }
            let _ended = self.process();
            count += self.take(&mut buffer[count..]);
        }
        // Nothing is read behind an end (RFC 8446 section 6.1).
        if self.end == End::Open { (count, sealed) } else { (count, &[]) }
    }

    /// Has the library look at what it was given.
    fn process(&mut self) -> Result<(), rustls::Error> {
        let Talk::Talking(connection) = &mut self.talk else { return Ok(()) };
        match connection.process_new_packets() {
            Ok(state) => {
                self.held = state.plaintext_bytes_to_read();
                if state.peer_has_closed() {
                    self.end = End::Said;
                }
                Ok(())
            }
            Err(error) => {
                // What was whole before it is still good: as much as there is.
                self.held = usize::MAX;
                self.end = End::Cut;
                Err(error)
            }
        }
    }

    /// Moves payload out of the library.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let Talk::Talking(connection) = &mut self.talk else { return 0 };
        let mut count = 0;
        while self.held > 0 && count < buffer.len() {
            match connection.reader().read(&mut buffer[count..]) {
                Ok(some) if some > 0 => {
                    count += some;
                    self.held = self.held.saturating_sub(some);
                }
                Ok(_) | Err(_) => self.held = 0,
            }
        }
        count
    }

    /// Makes the library give back the room of a burst: a session at rest needs none of it.
    fn rest(&mut self) {
        if let Talk::Talking(connection) = &mut self.talk {
            // It looks at its room before it reads, and there is nothing to read.
            let _nothing = connection.read_tls(&mut Nothing);
        }
    }

    /// Seals payload; it waits in the library until [`Tls::empty`].
    fn seal(&mut self, bytes: &[u8], now: Tick) -> io::Result<()> {
        let Talk::Talking(connection) = &mut self.talk else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut rest = bytes;
        while !rest.is_empty() {
            let record = rest.len().min(self.pace.record(now));
            let taken = connection.writer().write(&rest[..record])?;
            if taken == 0 {
                return Err(io::ErrorKind::WriteZero.into()); // its keys are worn out
            }
            self.pace.sent(taken);
            rest = &rest[taken..];
        }
        Ok(())
    }

    /// Says that our direction ends, behind all that was sealed.
    fn say_end(&mut self) {
        if let Talk::Talking(connection) = &mut self.talk {
            connection.send_close_notify();
        }
    }

    /// Empties the library into the socket, and what that does not take into `ring`.
    fn empty(&mut self, ring: &mut Option<Box<Ring>>, lent: &mut Lent) -> io::Result<()> {
        let Talk::Talking(connection) = &mut self.talk else { return Ok(()) };
        let mut outlet = Outlet { socket: &self.socket, ring, lent };
        while connection.wants_write() {
            connection.write_tls(&mut outlet)?;
        }
        Ok(())
    }
}

/// A source that never has anything.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// Takes all that it is given: the socket what it has room for, a ring the rest.
struct Outlet<'o> {
    socket: &'o Socket,
    ring: &'o mut Option<Box<Ring>>,
    lent: &'o mut Lent,
}

impl Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let total = parts.iter().map(|part| part.len()).sum();
        let mut sent = 0;
        if self.ring.is_none() {
            sent = match self.socket.send_parts(parts) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
        }
        if sent < total {
            let ring = self.ring.get_or_insert_with(|| self.lent.ring());
            for part in parts {
                let skip = sent.min(part.len());
                ring.push(&part[skip..]);
                sent -= skip;
            }
        }
        Ok(total)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Leg {
    /// Reads payload out of records into `buffer`.
    pub(super) fn receive_sealed(&mut self, buffer: &mut [u8], lent: &mut Lent) -> Received {
        let Wire::Tls(tls) = &mut self.wire else { return Received::Last(0) };
        let mut count = tls.digest(&[], buffer);
        if count == 0 && tls.end == End::Open {
            let mut sealed = lent.sealed();
            let room = sealed.len().min(buffer.len().max(LEAST_RECEIVED));
            match tls.socket.recv(&mut sealed[..room]) {
                Ok(0) => tls.end = End::Cut,
                Ok(some) => {
                    // A short read of a stream socket means drained, unless an end is queued behind it.
                    self.state.may_read = some == room || self.state.end_queued;
                    count = tls.digest(&sealed[..some], buffer);
                    if some > KEPT_BY_LIBRARY && !self.state.may_read && tls.unfed.is_empty() {
                        tls.rest();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.state.broken => {
                    self.state.may_read = false;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => tls.end = End::Cut,
            }
            lent.give_sealed(sealed);
            self.empty_library(lent);
        }
        self.received_sealed(count)
    }

    /// What a read comes to, with so many bytes of payload.
    fn received_sealed(&mut self, count: usize) -> Received {
        let Wire::Tls(tls) = &self.wire else { return Received::Last(count) };
        match tls.end {
            End::Open if self.state.may_read || tls.holds() => Received::Some(count),
            End::Open => Received::Last(count),
            End::Said | End::Cut if count > 0 => Received::Some(count),
            End::Said if !self.state.broken => {
                self.state.ended = true;
                Received::Eof
            }
            // An end that was not said may be anybody's (RFC 8446 section 6.1).
            End::Said | End::Cut => {
                self.state.broken = true;
                self.state.ended = true;
                Received::Broken
            }
        }
    }

    /// The name that a client asked for.
    pub(crate) fn server_name(&self) -> Option<&str> {
        match &self.wire {
            Wire::Tls(tls) => tls.asked_name(),
            Wire::Tcp(_) | Wire::Kcp(_) => None,
        }
    }

    /// Does the leg speak in records, or is about to?
    pub(super) fn is_sealed(&self) -> bool {
        matches!(&self.wire, Wire::Tls(tls) if tls.is_sealed())
    }

    /// Seals payload and sends it; what the socket has no room for is kept.
    pub(super) fn write_sealed(&mut self, parts: [&[u8]; 3], lent: &mut Lent) {
        let Wire::Tls(tls) = &mut self.wire else { return };
        let sealed = parts.iter().try_for_each(|part| tls.seal(part, lent.now));
        self.empty_library(lent);
        if sealed.is_err() {
            self.mark_broken();
        }
    }

    /// Sends what the library has to say.
    fn empty_library(&mut self, lent: &mut Lent) {
        if let Wire::Tls(tls) = &mut self.wire
            && tls.empty(&mut self.ring, lent).is_err()
        {
            self.ring = None;
            self.mark_broken();
        }
    }

    /// Ends our direction: says so, then ends the stream once that is sent.
    pub(super) fn shut_sealed(&mut self, lent: &mut Lent) {
        if let Wire::Tls(tls) = &mut self.wire {
            tls.say_end();
            tls.end_due = true;
        }
        self.empty_library(lent);
        self.end_if_due();
    }

    /// Ends the stream if its end was said and sent.
    pub(super) fn end_if_due(&mut self) {
        if let Wire::Tls(tls) = &mut self.wire
            && self.ring.is_none()
            && mem::take(&mut tls.end_due)
        {
            // It fails only on a connection that is gone, which the next read tells too.
            drop(tls.socket.shut_write());
        }
    }
}
