//! One side of a session: a transport, a codec on it, and the bytes it could not send yet.
//!
//! A leg is an enum of transports times an enum of codecs, not a trait: the relay asks it for units of
//! payload and gives it units of payload, and everything a protocol wants for itself (pongs, closes)
//! stays inside. Every method makes progress or says why not; none blocks.

mod asking;
mod caller;
mod frames;
mod kcp;
mod open;
mod payload;
mod tls;
mod unit;
mod wire;
mod ws;

use std::io;

use portcullis_core::config;
use portcullis_core::outcome::{Path, Reason};
use portcullis_core::snapshot::ListenerPlan;
use portcullis_core::tls::subject;
use portcullis_core::wire::http_upgrade::UpgradeReader;
use portcullis_sys::epoll::{Event, Poller};
use portcullis_sys::socket::Socket;

use crate::ring::{Lent, Ring};
pub(crate) use asking::{Asking, Whose};
pub(crate) use caller::Caller;
pub(crate) use frames::{FrameTally, Frames, Turn};
pub(crate) use kcp::{ASK_AFTER, Kcp, Newcomer, Terms};
use open::Stage;
pub(crate) use open::{Established, Introduction, Onward, Opened, message};
use tls::Tls;
pub(crate) use unit::{Border, Unit};
use wire::Wire;
pub(crate) use ws::Ws;

/// One side of a session.
#[derive(Debug)]
pub(crate) struct Leg {
    wire: Wire,
    codec: Codec,
    ring: Option<Box<Ring>>,
    unread: Option<Box<Unread>>,
    state: State,
    stage: Stage,
}

/// Bytes that were read too far, and how many of them were received since.
#[derive(Debug)]
struct Unread {
    bytes: Box<[u8]>,
    received: usize,
}

/// What is spoken on the transport.
#[derive(Debug)]
pub(crate) enum Codec {
    /// Payload as it is.
    Raw,
    /// An HTTP request that asks for RFC 6455 messages.
    Upgrading(Box<UpgradeReader>),
    /// Our own request for RFC 6455 messages, and the endpoint's answer.
    Asking(Box<Asking>),
    /// RFC 6455 messages.
    Ws(Box<Ws>),
}

/// What is known of both directions.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The transport may have something to read.
    may_read: bool,
    /// An end or urgent data is queued: a short read is not the last.
    end_queued: bool,
    /// The peer ended its direction, and all before it was read.
    ended: bool,
    /// The connection is broken.
    broken: bool,
    /// The kernel said that it is over; bytes may still be queued before the end.
    hung_up: bool,
    /// The kernel said that it is broken; bytes may still be queued before the error.
    failed: bool,
    /// Our direction is ended: what is written is dropped.
    shut: bool,
}

/// What a read gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes, and there may be more.
    Some(usize),
    /// So many bytes (or none), and there are no more.
    Last(usize),
    /// The peer ended its direction.
    Eof,
    /// The connection is broken.
    Broken,
    /// The peer broke its protocol; the codec's word about it waits to be sent.
    Violation(Reason),
}

impl Leg {
    /// What its bytes pass through.
    pub(crate) fn path(&self) -> Path {
        match (&self.wire, &self.codec) {
            (Wire::Kcp(_), _) => Path::Kcp,
            (Wire::Tcp(_) | Wire::Tls(_), Codec::Ws(_) | Codec::Upgrading(_) | Codec::Asking(_)) => Path::Ws,
            (Wire::Tls(_), Codec::Raw) => Path::Tls,
            (Wire::Tcp(_), Codec::Raw) => Path::Copy,
        }
    }

    /// A leg on a connected (or connecting) socket.
    pub(crate) fn tcp(socket: Socket) -> Self {
        Self::on(Wire::Tcp(socket))
    }

    /// A leg on such a socket on which TLS is about to be spoken.
    pub(crate) fn tls(socket: Socket) -> Self {
        Self::on(Wire::Tls(Box::new(Tls::new(socket))))
    }

    fn on(wire: Wire) -> Self {
        Self {
            wire,
            codec: Codec::Raw,
            ring: None,
            unread: None,
            state: State::default(),
            stage: Stage::default(),
        }
    }

    /// A leg on a connection that a client made. Where a client speaks first it has often done so already.
    pub(crate) fn accepted(socket: Socket, plan: &ListenerPlan) -> Self {
        let settings = &plan.settings;
        let codec = if settings.ws.is_some() { Codec::Upgrading(Box::default()) } else { Codec::Raw };
        let speaks_first = plan.tls.is_some()
            || settings.hello != config::Hello::None
            || !settings.proxy_protocol.is_empty();
        let state = State { may_read: speaks_first, ..State::default() };
        let leg = if plan.tls.is_some() { Self::tls(socket) } else { Self::tcp(socket) };
        Self { codec, state, ..leg }
    }

    /// Watches the transport under `token`.
    pub(crate) fn watch(&self, poller: &Poller, token: u64) -> io::Result<()> {
        self.wire.watch(poller, token)
    }

    /// Watches the transport under another token from here on; what is there already is told anew.
    pub(crate) fn watch_as(&self, poller: &Poller, token: u64) -> io::Result<()> {
        self.wire.watch_as(poller, token)
    }

    /// Takes note of what the poller saw.
    pub(crate) fn note(&mut self, event: &Event) {
        if !self.wire.note(event) {
            return;
        }
        self.state.may_read |= event.readable;
        self.state.end_queued |= event.ended || event.urgent;
        self.state.hung_up |= event.broken;
        self.state.failed |= event.failed;
    }

    /// Gives bytes back that were read too far; they are the next that are received.
    pub(crate) fn put_back(&mut self, unread: Box<[u8]>) {
        if !unread.is_empty() {
            let behind = self.take_unread();
            let bytes = if behind.is_empty() { unread } else { [&unread[..], &behind].concat().into() };
            self.unread = Some(Box::new(Unread { bytes, received: 0 }));
        }
    }

    /// What was given back and not received again: the first wire bytes of what is begun now.
    fn take_unread(&mut self) -> Vec<u8> {
        let unread = self.unread.take();
        unread.map_or_else(Vec::new, |unread| unread.bytes.into_vec().split_off(unread.received))
    }

    /// The socket, when bytes may move on it without this process looking at them.
    pub(crate) fn plain(&self) -> Option<&Socket> {
        match (&self.wire, &self.codec) {
            (Wire::Tcp(socket), Codec::Raw) if self.unread.is_none() => Some(socket),
            _ => None,
        }
    }

    /// Has the kernel watch over a connection that is to last.
    pub(crate) fn keep_watch(&self) {
        self.wire.keep_watch();
    }

    /// Sets the congestion control of the transport.
    pub(crate) fn set_congestion(&self, name: &str) -> io::Result<()> {
        self.wire.set_congestion(name)
    }

    /// Might there be something to read?
    pub(crate) fn may_read(&self) -> bool {
        let held = matches!(&self.wire, Wire::Tls(tls) if tls.holds());
        (self.state.may_read || self.unread.is_some() || held) && !self.has_ended()
    }

    /// Has the peer ended its direction, with everything before it read?
    pub(crate) fn has_ended(&self) -> bool {
        self.state.ended
    }

    /// Is the connection broken?
    pub(crate) fn is_broken(&self) -> bool {
        self.state.broken
    }

    /// Did the kernel report it broken, though bytes may still be queued?
    pub(crate) fn hung_up(&self) -> bool {
        self.state.hung_up
    }

    /// Did the kernel report an error? After the peer's end no read will tell it.
    pub(crate) fn has_failed(&self) -> bool {
        self.state.failed
    }

    /// Did the kernel report the peer's end, though bytes may still be queued?
    pub(crate) fn has_end_queued(&self) -> bool {
        self.state.end_queued
    }

    /// Is our direction ended?
    pub(crate) fn is_shut(&self) -> bool {
        self.state.shut
    }

    /// Does it hold bytes that could not be sent yet?
    pub(crate) fn is_blocked(&self) -> bool {
        self.ring.is_some() || !self.wire.has_room()
    }

    /// How many bytes may be read for it without having to be kept here.
    pub(crate) fn room(&self) -> usize {
        self.wire.room()
    }

    /// Marks the connection as broken, as a failed write has shown. What the peer sent before is still
    /// queued, so it is read to its end first.
    pub(crate) fn mark_broken(&mut self) {
        self.state.broken = true;
        self.state.may_read = true;
        self.state.end_queued = true;
    }

    /// Marks the peer's direction as ended, as a codec or a pipe has shown.
    pub(crate) fn mark_ended(&mut self) {
        self.state.ended = true;
    }

    /// Marks the transport as drained, as a pipe has shown.
    pub(crate) fn mark_drained(&mut self) {
        self.state.may_read = self.state.end_queued;
    }

    /// Reads bytes of the stream into `buffer`; what they are to the codec is not looked at. What the transport
    /// has to answer is sent.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], lent: &mut Lent) -> Received {
        if let Some(unread) = &mut self.unread {
            let left = &unread.bytes[unread.received..];
            let count = left.len().min(buffer.len());
            buffer[..count].copy_from_slice(&left[..count]);
            unread.received += count;
            if unread.received == unread.bytes.len() {
                self.unread = None;
            }
            return Received::Some(count);
        }
        if self.is_sealed() {
            return self.receive_sealed(buffer, lent);
        }
        match self.wire.recv(buffer) {
            Ok(0) => {
                self.state.ended = true;
                self.state.may_read = false;
                // A connection whose write failed before ends here too: the kernel tells an error once.
                if self.state.broken { Received::Broken } else { Received::Eof }
            }
            // A short read of a stream socket means drained, unless an end is queued behind it.
            Ok(count) if count < buffer.len() && !self.state.end_queued => {
                self.state.may_read = false;
                Received::Last(count)
            }
            Ok(count) => Received::Some(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.state.broken => {
                self.state.may_read = false;
                Received::Last(0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Received::Some(0),
            Err(_) => {
                self.state.broken = true;
                self.state.ended = true;
                Received::Broken
            }
        }
    }

    /// Sends bytes of the stream, behind what is kept.
    pub(crate) fn write_wire(&mut self, parts: [&[u8]; 3], lent: &mut Lent) {
        if self.state.shut || self.state.broken {
            return;
        }
        if self.is_sealed() {
            return self.write_sealed(parts, lent);
        }
        let mut sent = 0;
        if self.ring.is_none() {
            sent = match self.wire.send(parts) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return self.mark_broken(),
            };
            if sent == parts.iter().map(|part| part.len()).sum::<usize>() {
                return;
            }
        }
        let ring = self.ring.get_or_insert_with(|| lent.ring());
        for part in parts {
            let skip = sent.min(part.len());
            ring.push(&part[skip..]);
            sent -= skip;
        }
    }

    /// Sends many pieces of a stream with one call, behind what is kept. A leg without a codec only.
    pub(crate) fn write_run(&mut self, run: &[&[u8]], lent: &mut Lent) {
        let mut sent = 0;
        if self.ring.is_none() && !self.state.shut && !self.state.broken && !self.is_sealed() {
            sent = match self.wire.send_run(run) {
                Ok(sent) => sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(_) => return self.mark_broken(),
            };
        }
        for part in run {
            let skip = sent.min(part.len());
            sent -= skip;
            if skip < part.len() {
                self.write_wire([&[], &[], &part[skip..]], lent);
            }
        }
    }

    /// Sends what is kept, then what the codec itself has to say.
    pub(crate) fn flush(&mut self, lent: &mut Lent) {
        if let Some(ring) = &mut self.ring {
            match self.wire.send([&[], &[], ring.unsent()]) {
                Ok(sent) => ring.advance(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.ring = None;
                    return self.mark_broken();
                }
            }
            if !ring.unsent().is_empty() {
                return;
            }
            if let Some(ring) = self.ring.take() {
                lent.give(ring);
            }
            self.end_if_due();
        }
        if let Codec::Ws(ws) = &mut self.codec {
            match ws.take_own(&mut lent.masks) {
                Ok(frames) if frames.is_empty() => {}
                Ok(frames) => self.write_wire([&[], &[], &frames], lent),
                Err(_) => self.mark_broken(), // without a mask nothing may be said
            }
        }
    }

    /// Can our direction end while the peer's goes on?
    pub(crate) fn can_half_close(&self) -> bool {
        matches!(self.codec, Codec::Raw) && self.wire.can_half_close()
    }

    /// Ends our direction. Call when nothing is kept.
    pub(crate) fn shut(&mut self, lent: &mut Lent) {
        if !self.state.shut && !self.state.broken {
            if self.is_sealed() {
                self.shut_sealed(lent);
            } else {
                self.wire.shut_write();
            }
        }
        self.state.shut = true;
    }

    /// Says the end of a leg that is about to be dropped, where dropping it would not; true: it may be dropped.
    pub(crate) fn conclude(&mut self, lent: &mut Lent) -> bool {
        if self.is_sealed() && !self.is_blocked() {
            self.shut(lent);
        }
        !self.is_blocked()
    }

    /// Who a certificate says that its peer is. It is only of a listener that asks for one, and so verified.
    pub(crate) fn identity(&self) -> Option<Box<str>> {
        match &self.wire {
            Wire::Tls(tls) => tls.certificate().and_then(|shown| subject(shown)).map(Into::into),
            Wire::Tcp(_) | Wire::Kcp(_) => None,
        }
    }

    /// Bytes written that the peer has not acknowledged yet, those that are kept included.
    pub(crate) fn unacknowledged(&self) -> usize {
        let kept = self.ring.as_ref().map_or(0, |ring| ring.unsent().len());
        self.wire.unacknowledged() + kept
    }

    /// Makes the close that follows a reset.
    pub(crate) fn reset(&mut self) {
        self.wire.reset();
        self.state.broken = true;
    }
}
