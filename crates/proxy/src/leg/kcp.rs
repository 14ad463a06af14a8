//! KCP under a leg: a conversation, its cipher, and what carries its datagrams.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::config;
use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::arq::{Start, Tally};
use portcullis_core::wire::kcp::conversation::{Conversation, Plan};
use portcullis_core::wire::kcp::crypt::Crypt;
use portcullis_core::wire::kcp::fec::Shards;
use portcullis_core::wire::kcp::roster::Dropped;
use portcullis_sys::datagram::Datagrams;
use portcullis_sys::epoll::{Event, Interest, Poller};
use portcullis_sys::gf256;

use super::{Leg, Received, Unit, Wire};
use crate::io::{Dice, Io};
use crate::meter::KcpCell;
use crate::post::Course;
use crate::ring::Lent;
use crate::shards::Seat;

/// Reads of an endpoint's socket in one turn.
const READS: usize = 4;
/// Payload handed on in one read.
const READ_AT_MOST: usize = 64 * 1024;
/// How long a parting peer is given for what it has not acknowledged, at least and at most: three times its
/// timeout in between, and again whenever it acknowledges something.
/// The first period passes whatever it acknowledges, so that a silent one is gone within two: 5 s.
const PART_WITHIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(2400));

/// After so much silence a peer that speaks by datagrams is asked whether it is there.
pub(crate) const ASK_AFTER: Duration = Duration::from_secs(15);
/// An endpoint that has left so many questions unanswered is lost: after 90 s, as with TCP's keepalive of 60/10/3.
const LOST_AFTER: u8 = 5;

/// One side of a session that is spoken over datagrams.
#[derive(Debug)]
pub(crate) struct Kcp {
    talk: Conversation,
    crypt: Arc<Crypt>,
    carrier: Carrier,
    /// Is an endpoint open only when it has answered?
    probe: bool,
    /// When it is next asked whether it is there; `NEVER`: it is not asked.
    ask_again: Tick,
    /// Questions since it was last heard.
    unanswered: u8,
    counted: Tally,
    recovered: u64,
}

/// How KCP is spoken: what was configured, and the cipher made of it.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) settings: Arc<config::Kcp>,
    pub(crate) crypt: Arc<Crypt>,
}

impl Terms {
    fn code(&self) -> Option<Shards> {
        let (data, parity) = self.settings.fec?;
        Shards::new(data, parity).ok()
    }
}

/// What carries the datagrams.
#[derive(Debug)]
enum Carrier {
    /// The port's socket, with everybody else's.
    Port(Seat),
    /// A socket of its own.
    Own { socket: Datagrams, may_read: bool, error: Option<io::Error> },
}

/// Who begins a conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newcomer {
    pub(crate) conv: u32,
    /// Did it come in frames of forward error correction?
    pub(crate) framed: bool,
}

/// What became of a conversation while it was given the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// It goes on.
    Goes,
    /// It was found dead just now.
    Died,
}

impl Kcp {
    /// The conversation that a client begins, answered in its framing.
    ///
    /// # Errors
    /// The kernel's, when it has no random number.
    pub(crate) fn accepted(
        newcomer: Newcomer,
        terms: &Terms,
        seat: Seat,
        dice: &mut Dice,
    ) -> io::Result<Self> {
        let clock = dice.throw()?;
        Ok(Self::new((newcomer.conv, clock), newcomer.framed, terms, Carrier::Port(seat)))
    }

    /// The conversation that we begin with an endpoint.
    ///
    /// # Errors
    /// The kernel's, when it has no socket or no random number.
    pub(crate) fn dialled(
        to: SocketAddr,
        source: Option<IpAddr>,
        terms: &Terms,
        io: &mut Io,
    ) -> io::Result<Self> {
        let socket = Datagrams::connect(to, source)?;
        let (conv, clock) = (io.dice.throw()?, io.dice.throw()?);
        let carrier = Carrier::Own { socket, may_read: false, error: None };
        let mut kcp = Self::new((conv, clock), terms.settings.fec.is_some(), terms, carrier);
        if kcp.probe {
            kcp.ask_again = io.now;
        }
        Ok(kcp)
    }

    /// The clock that is echoed is a secret: who echoes it has heard us.
    fn new((conv, clock): (u32, u32), framed: bool, terms: &Terms, carrier: Carrier) -> Self {
        let talk = Conversation::new(Plan {
            conv,
            settings: &terms.settings.arq,
            start: Start { sn: 0, clock },
            code: terms.code(),
            framed,
            seqid: 0,
            mul_acc: gf256::mul_acc(),
            dialled: matches!(carrier, Carrier::Own { .. }),
        });
        Self {
            talk,
            crypt: Arc::clone(&terms.crypt),
            carrier,
            probe: terms.settings.probe,
            ask_again: Tick::NEVER,
            unanswered: 0,
            counted: Tally::default(),
            recovered: 0,
        }
    }

    /// Its number and its place at the port; `None` with a socket of its own.
    pub(crate) fn seat(&self) -> Option<(&Seat, u32)> {
        match &self.carrier {
            Carrier::Port(seat) => Some((seat, self.talk.conv())),
            Carrier::Own { .. } => None,
        }
    }

    /// Keeps little of a client that is not proven, for as long as memory is short.
    pub(crate) fn tighten(&mut self, tight: bool) {
        self.talk.tighten(tight);
    }

    /// Bytes of its peer that it holds.
    pub(crate) fn held(&self) -> usize {
        self.talk.held()
    }

    /// Has the peer's address shown that it hears us?
    pub(crate) fn is_proven(&self) -> bool {
        self.talk.is_proven()
    }

    /// Is an endpoint's side open: has it answered, where it is asked to?
    pub(crate) fn is_open(&self) -> bool {
        !self.probe || self.talk.is_answered()
    }

    /// Is an endpoint of this kind expected to answer the question whether it is there?
    pub(crate) fn answers(&self) -> bool {
        self.probe
    }

    /// Is it sealed with that very cipher?
    pub(crate) fn speaks(&self, crypt: &Arc<Crypt>) -> bool {
        Arc::ptr_eq(&self.crypt, crypt)
    }

    pub(super) fn watch(&self, poller: &Poller, token: u64) -> io::Result<()> {
        match &self.carrier {
            Carrier::Port(_) => Ok(()), // the port is watched
            Carrier::Own { socket, .. } => poller.add(socket, token, Interest::Arrivals),
        }
    }

    pub(super) fn note(&mut self, event: &Event) {
        if let Carrier::Own { may_read, .. } = &mut self.carrier {
            *may_read |= event.readable;
        }
    }

    /// Copies what is next in the stream.
    pub(super) fn recv(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() && !self.talk.readable().is_empty() {
            let bytes = self.talk.readable();
            let part = bytes.len().min(buffer.len() - count);
            buffer[count..count + part].copy_from_slice(&bytes[..part]);
            self.talk.consume(part);
            count += part;
        }
        match count {
            0 if self.talk.is_dead() => Err(io::ErrorKind::ConnectionReset.into()),
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }

    /// Takes what the window has room for.
    pub(super) fn send(&mut self, parts: [&[u8]; 3]) -> io::Result<usize> {
        if self.talk.is_dead() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut sent = 0;
        for part in parts {
            let taken = self.talk.write(part);
            sent += taken;
            if taken < part.len() {
                break;
            }
        }
        Ok(sent)
    }

    pub(super) fn room(&self) -> usize {
        self.talk.room()
    }

    pub(super) fn has_room(&self) -> bool {
        self.talk.has_room()
    }

    pub(super) fn unacknowledged(&self) -> usize {
        self.talk.unacknowledged()
    }

    /// What opening an endpoint has come to: it is open once it has answered.
    pub(super) fn establish(&mut self) -> io::Result<bool> {
        if let Carrier::Own { error, .. } = &mut self.carrier
            && let Some(error) = error.take()
        {
            return Err(error);
        }
        Ok(self.is_open())
    }

    /// Takes what came on a socket of its own; true: there may be more.
    fn pull(&mut self, io: &mut Io, cell: &KcpCell) -> bool {
        let Carrier::Own { socket, may_read, error } = &mut self.carrier else { return false };
        for _ in 0..READS {
            if !*may_read {
                return false;
            }
            match socket.receive(&mut io.inbox) {
                Ok(_) => {}
                Err(failed) if failed.kind() == io::ErrorKind::WouldBlock => {
                    *may_read = false;
                    return false;
                }
                Err(failed) if failed.kind() == io::ErrorKind::Interrupted => continue,
                Err(failed) => {
                    *error = Some(failed);
                    return false;
                }
            }
            *may_read = io.inbox.is_full();
            for incoming in io.inbox.iter_mut() {
                cell.datagrams_in.add(1);
                match self.crypt.open(incoming.bytes) {
                    Some(plain) => self.talk.handle_datagram(io.now, plain, None),
                    None => cell.dropped(Dropped::Sealed),
                }
            }
        }
        *may_read
    }

    /// An endpoint that we dialled is asked until it answers, and again whenever it has been silent for long: no
    /// kernel says that its machine is gone.
    fn see_to_silence(&mut self, now: Tick) {
        let heard = self.talk.heard_at();
        if !self.talk.is_answered() {
            self.talk.ask_window();
            self.ask_again = now.after(self.talk.rto());
        } else if now < heard.after(ASK_AFTER) {
            self.unanswered = 0;
            self.ask_again = heard.after(ASK_AFTER);
        } else if self.unanswered < LOST_AFTER {
            self.unanswered += 1;
            self.talk.ask_window();
            self.ask_again = now.after(ASK_AFTER);
        } else {
            if let Carrier::Own { error, .. } = &mut self.carrier {
                *error = Some(io::ErrorKind::TimedOut.into());
            }
            self.ask_again = Tick::NEVER;
        }
    }

    /// Says everything that is due.
    fn speak(&mut self, io: &mut Io, cell: &KcpCell) -> Life {
        if self.ask_again <= io.now {
            self.see_to_silence(io.now);
        }
        let (talk, crypt, now) = (&mut self.talk, &self.crypt, io.now);
        let was_dead = talk.is_dead();
        let Io { shards, post, nonces, .. } = io;
        let write = |out: &mut _| {
            talk.transmit(now, crypt, nonces, out);
        };
        let count = match &mut self.carrier {
            Carrier::Port(seat) => shards.get(seat.shard).map_or(0, |shard| shard.gather(seat, write)),
            Carrier::Own { socket, error, .. } => {
                let count = post.gather(Course::default(), write);
                match post.empty(socket) {
                    Ok(lost) => cell.full.add(lost),
                    Err(failed) => *error = Some(failed),
                }
                count
            }
        };
        cell.datagrams_out.add(count as u64);
        self.count(cell);
        let failed = matches!(&self.carrier, Carrier::Own { error: Some(_), .. });
        if (self.talk.is_dead() && !was_dead) || failed { Life::Died } else { Life::Goes }
    }

    fn count(&mut self, cell: &KcpCell) {
        let now = self.talk.tally();
        cell.count(&self.counted, &now);
        if let (Some(time), true) = (now.rtt, now.rtt_samples != self.counted.rtt_samples) {
            cell.round_trip(time);
        }
        self.counted = now;
        let recovered = self.talk.recovered();
        cell.recovered.add(recovered - self.recovered);
        self.recovered = recovered;
    }
}

impl Leg {
    /// A leg on a conversation.
    pub(crate) fn kcp(kcp: Kcp) -> Self {
        let may_read = !kcp.talk.readable().is_empty();
        let mut leg = Self::on(Wire::Kcp(Box::new(kcp)));
        leg.state.may_read = may_read;
        leg
    }

    /// The conversation, where there is one.
    pub(crate) fn talk(&self) -> Option<&Kcp> {
        match &self.wire {
            Wire::Kcp(kcp) => Some(kcp),
            Wire::Tcp(_) | Wire::Tls(_) => None,
        }
    }

    pub(crate) fn talk_mut(&mut self) -> Option<&mut Kcp> {
        match &mut self.wire {
            Wire::Kcp(kcp) => Some(kcp),
            Wire::Tcp(_) | Wire::Tls(_) => None,
        }
    }

    /// Takes a datagram that came at the port. What is next in the stream goes to `run` if one is given and
    /// nothing is in front of it.
    pub(crate) fn handle_datagram<'b>(
        &mut self,
        now: Tick,
        plain: &'b [u8],
        run: Option<&mut Vec<&'b [u8]>>,
    ) {
        let is_first = self.unread.is_none();
        if let Wire::Kcp(kcp) = &mut self.wire {
            kcp.talk.handle_datagram(now, plain, run.filter(|_| is_first));
            self.state.may_read |= !kcp.talk.readable().is_empty();
        }
    }

    /// Takes what came on a socket of its own; true: there may be more.
    pub(crate) fn pull(&mut self, io: &mut Io, cell: &KcpCell) -> bool {
        let Wire::Kcp(kcp) = &mut self.wire else { return false };
        let more = kcp.pull(io, cell);
        self.state.may_read |= !kcp.talk.readable().is_empty();
        more
    }

    /// Says everything that is due; true: the link was found dead just now.
    pub(crate) fn speak(&mut self, io: &mut Io, cell: &KcpCell) -> bool {
        let Wire::Kcp(kcp) = &mut self.wire else { return false };
        if self.state.broken || kcp.speak(io, cell) == Life::Goes {
            return false;
        }
        // What arrived before is read to its end first.
        let is_drained = kcp.talk.readable().is_empty() && self.unread.is_none();
        self.state.broken = true;
        self.state.ended = is_drained;
        self.state.may_read = !is_drained;
        true
    }

    /// The moment at which it has something to say by itself.
    pub(crate) fn poll_timeout(&self) -> Tick {
        match &self.wire {
            Wire::Kcp(kcp) if !self.state.broken => kcp.talk.poll_timeout().min(kcp.ask_again),
            Wire::Kcp(_) | Wire::Tcp(_) | Wire::Tls(_) => Tick::NEVER,
        }
    }

    /// When the peer was last heard, where that is more than when it last sent payload.
    pub(crate) fn heard_at(&self) -> Option<Tick> {
        self.talk().map(|kcp| kcp.talk.heard_at())
    }

    /// Asks a silent peer whether it is there.
    pub(crate) fn ask(&mut self) {
        if let Wire::Kcp(kcp) = &mut self.wire {
            kcp.talk.ask_window();
        }
    }

    /// Does nothing have to be waited for any more? A kernel goes on alone; a conversation ends with us.
    pub(crate) fn is_settled(&self) -> bool {
        match &self.wire {
            Wire::Tcp(_) | Wire::Tls(_) => self.has_ended(),
            Wire::Kcp(kcp) => kcp.unacknowledged() == 0,
        }
    }

    /// May it be let go once nothing of it is kept here?
    pub(crate) fn may_go(&self) -> bool {
        matches!(self.wire, Wire::Tcp(_) | Wire::Tls(_)) || self.is_settled() || self.is_broken()
    }

    /// How long a peer is waited for that has not acknowledged everything.
    pub(crate) fn part_within(&self) -> Duration {
        let (least, most) = PART_WITHIN;
        self.talk().map_or(least, |kcp| (kcp.talk.rto() * 3).clamp(least, most))
    }

    /// Hands on what is next in the stream from where it lies.
    pub(super) fn read_stream(
        &mut self,
        lent: &mut Lent,
        sink: &mut impl FnMut(Unit<'_>, &mut Lent),
    ) -> Option<Received> {
        let Wire::Kcp(kcp) = &mut self.wire else { return None };
        let mut count = 0;
        while count < READ_AT_MOST && !kcp.talk.readable().is_empty() {
            let bytes = kcp.talk.readable();
            let bytes = &bytes[..bytes.len().min(READ_AT_MOST - count)];
            count += bytes.len();
            sink(Unit::of(bytes), lent);
            let taken = bytes.len();
            kcp.talk.consume(taken);
        }
        let more = !kcp.talk.readable().is_empty();
        if self.state.broken {
            self.state.ended = count == 0;
            return Some(if count == 0 { Received::Broken } else { Received::Some(count) });
        }
        self.state.may_read = more;
        Some(if more { Received::Some(count) } else { Received::Last(count) })
    }
}
