//! The machine that turns segments into a stream and back.
//!
//! Owns: what is sent, what is received, when each is told. Does not own: sockets, ciphers, forward error
//! correction, who may talk to whom, when a silent peer is given up (it says when that one was last heard).
//!
//! Bytes and time come in by calls, datagrams go out by [`Arq::poll_transmit`], and nothing ticks: at rest there
//! is no timer and no memory but the struct itself. What it does differently from kcp-go and ikcp.c, on the same
//! wire: data leaves when it is written, not at the next interval; `una` and ACK are believed only for what was
//! sent, a round trip only for a `ts` that was sent; a loss is found by what was sent later, however often a
//! segment was sent; the window is counted in bytes.

use std::time::Duration;

use super::outbox::Outbox;
use super::segment::{self, Command, HEADER, Malformed, Segment, before};
use crate::wheel::Tick;

mod acks;
mod congestion;
mod flight;
mod probe;
mod receive;
mod rtt;
mod send;
mod settings;
#[cfg(test)]
mod tests;
mod transmit;

use acks::Acks;
use flight::{Flight, Overtaker};
use probe::Probe;
use receive::{Arrival, Receiver};
use rtt::{RTO_MAX, Rtt};
use send::Sender;
pub use settings::{Settings, Start};

/// Until the peer has proved its address, an acknowledgement waits so long for data to ride on, in milliseconds: as
/// long as it does not come the peer sends again, which is what may be answered.
const SPARING_DELAY: u64 = 250;
/// Until then one segment is in flight at a time, of an eighth of the room, or of so many bytes.
const SPARING_LEN: usize = 16;
/// So many bytes are kept at most for an address that may be forged: more than may be sent to it soon.
const DOUBTED_SEND: usize = 4096;

/// How a datagram came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the network.
    Wire,
    /// Computed by forward error correction from others: of an earlier time, so it tells neither the peer's window
    /// nor a round trip, and proves nothing.
    Recovered,
}

/// What a session has counted since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Segments that were read, of every kind.
    pub segments_in: u64,
    /// Segments that were written, of every kind.
    pub segments_out: u64,
    /// Of those, PUSHes that were not the first of their number.
    pub retransmits: u64,
    /// Of those, the ones that did not wait for a timeout.
    pub fast_retransmits: u64,
    /// PUSHes that had arrived before.
    pub duplicates: u64,
    /// The smoothed round trip; `None` before the first sample.
    pub srtt: Option<Duration>,
    /// The latest sample of the round trip.
    pub rtt: Option<Duration>,
    /// How many samples there were: the latest is news when this has grown.
    pub rtt_samples: u32,
}

#[derive(Debug, Default)]
struct Counts {
    segments_in: u64,
    segments_out: u64,
    retransmits: u64,
    fast_retransmits: u64,
    duplicates: u64,
}

/// One side of a conversation.
#[derive(Debug)]
pub struct Arq {
    conv: u32,
    clock: u32,
    settings: Settings,
    sender: Sender,
    receiver: Receiver,
    acks: Acks,
    probe: Probe,
    rtt: Rtt,
    counts: Counts,
    heard_at: Tick,
    /// Before this there is no use in trying again: what is due did not fit into the room that was given.
    held_until: Tick,
    answered: bool,
    proven: bool,
    /// Is there little room until the address is proven?
    sparing: bool,
    /// What a sparing side has told of what arrived.
    told: u32,
    dead: bool,
}

/// What a datagram has told of what we sent, applied when it has been read to its end: its first segment's `una`
/// would else take away the record that its second segment's ACK is about.
struct News {
    origin: Origin,
    una: u32,
    overtaker: Overtaker,
}

impl Arq {
    /// A side that has neither sent nor received. Settings out of bounds are brought into them.
    #[must_use]
    pub fn new(conv: u32, settings: &Settings, start: Start) -> Self {
        let settings = settings.bounded();
        Self {
            conv,
            clock: start.clock,
            sender: Sender::new(start.sn),
            receiver: Receiver::new(start.sn, &settings),
            settings,
            acks: Acks::default(),
            probe: Probe::default(),
            rtt: Rtt::default(),
            counts: Counts::default(),
            heard_at: Tick::default(),
            held_until: Tick::default(),
            answered: false,
            proven: false,
            sparing: false,
            told: start.sn,
            dead: false,
        }
    }

    /// Takes the segments of one datagram, headers of cipher and forward error correction off.
    ///
    /// Payload that is next in order goes to `run`, as parts of `input`, while nothing waits to be read; else it is
    /// copied and found by [`Arq::readable`], after what is in `run`. What of `run` finds no taker may be given back
    /// by [`Arq::restore`].
    ///
    /// # Errors
    /// The rest of the datagram, from a segment on that means nothing, is passed over; what was before it counts.
    pub fn handle_input<'b>(
        &mut self,
        now: Tick,
        input: &'b [u8],
        origin: Origin,
        mut run: Option<&mut Vec<&'b [u8]>>,
    ) -> Result<(), Malformed> {
        let mut news = News { origin, una: self.sender.una(), overtaker: Overtaker::default() };
        let mut result = Ok(());
        for segment in segment::segments(input) {
            match segment {
                Ok(segment) if segment.conv != self.conv => {
                    result = Err(Malformed::Conversation { given: segment.conv });
                    break;
                }
                Ok(segment) => self.handle_segment(now, &segment, &mut news, run.as_deref_mut()),
                Err(malformed) => result = Err(malformed),
            }
        }
        self.sender.settle(news.una, &news.overtaker, &self.settings);
        result
    }

    fn handle_segment<'b>(
        &mut self,
        now: Tick,
        segment: &Segment<'b>,
        news: &mut News,
        run: Option<&mut Vec<&'b [u8]>>,
    ) {
        self.counts.segments_in += 1;
        self.heard_at = now;
        self.answered = true;
        self.probe.heard();
        let plausible = !before(self.sender.next(), segment.una);
        if plausible && !before(segment.una, news.una) {
            news.una = segment.una;
            // A datagram that was overtaken by a later one tells an older window.
            if news.origin == Origin::Wire {
                self.sender.peer_has_room_for(segment.window, &self.settings);
            }
        }
        match segment.command {
            Command::Push => self.handle_push(now, segment, run),
            Command::Ack => self.handle_ack(now, segment, news),
            Command::WindowAsk => self.probe.tell(),
            Command::WindowTell => {}
        }
    }

    fn handle_push<'b>(&mut self, now: Tick, segment: &Segment<'b>, run: Option<&mut Vec<&'b [u8]>>) {
        let arrival = self.receiver.push(segment.sn, segment.payload, &self.settings, run);
        let due = match arrival {
            Arrival::Refused => return,
            Arrival::InOrder if self.is_sparing() => Tick(now.0.saturating_add(SPARING_DELAY)),
            Arrival::InOrder => Acks::delayed(now, self.settings.interval),
            Arrival::Duplicate => {
                self.counts.duplicates += 1;
                Tick(0)
            }
            Arrival::GapFilled | Arrival::Early => Tick(0),
        };
        if arrival != Arrival::Duplicate {
            self.probe.used();
        }
        let cap = usize::from(self.settings.receive_window) * 2;
        self.acks.add(segment.sn, segment.ts, cap, due);
        // The peer's segments may be a little shorter than ours.
        if segment.payload.len() * 2 >= self.settings.mss() {
            self.acks.full_segment();
        }
    }

    fn handle_ack(&mut self, now: Tick, segment: &Segment<'_>, news: &mut News) {
        let Some(answer) = self.sender.acknowledge(segment.sn, segment.ts) else {
            return;
        };
        news.overtaker.take(&answer);
        if !answer.proof || news.origin == Origin::Recovered {
            return;
        }
        self.proven = true;
        self.receiver.trust();
        let rtt = self.ts(now).wrapping_sub(segment.ts);
        if answer.new && rtt < RTO_MAX {
            self.rtt.sample(rtt);
        }
    }

    /// Writes at most one datagram: at most `room` bytes, and at most the MTU, behind `headroom` zero bytes.
    ///
    /// False when nothing is due, or when what is due does not fit into `room`; to be called until then after every
    /// input, write, consume and timeout.
    pub fn poll_transmit(&mut self, now: Tick, out: &mut Outbox, headroom: usize, room: usize) -> bool {
        self.expire(now);
        if self.dead || now < self.due() {
            return false;
        }
        let room = room.min(usize::from(self.settings.mtu));
        out.begin(headroom);
        let end = headroom + room;
        if HEADER <= room {
            if !self.owes_an_answer() {
                self.told = self.receiver.next();
                self.write_acks(out, end);
            }
            self.write_probes(now, out, end);
            self.write_data(now, out, headroom..end);
        }
        if out.open_len() == headroom {
            out.abandon();
            self.held_until = Tick(now.0.saturating_add(u64::from(self.settings.interval)));
            return false;
        }
        self.held_until = Tick(0);
        out.finish();
        true
    }

    /// The next moment at which [`Arq::poll_transmit`] has something to do; [`Tick::NEVER`] at rest, a moment in the
    /// past when it has something already.
    #[must_use]
    pub fn poll_timeout(&self) -> Tick {
        if self.dead {
            return Tick::NEVER;
        }
        self.due().max(self.held_until).min(self.sender.resend_at())
    }

    /// Did what was due last not fit into the room that was given?
    #[must_use]
    pub fn is_held(&self, now: Tick) -> bool {
        now < self.held_until
    }

    /// Queues what there is room for, and says how much that was: with what is in flight, never more than the send
    /// window of full segments.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let bytes = bytes.get(..self.room()).unwrap_or(bytes);
        self.sender.write(bytes, &self.settings)
    }

    /// Does [`Arq::write`] take anything?
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// How many bytes [`Arq::write`] takes. Of what an address that is not proven would be sent little is kept: one
    /// forged datagram must not have a window filled.
    #[must_use]
    pub fn room(&self) -> usize {
        let room = self.sender.room(&self.settings);
        if self.is_sparing() { room.min(DOUBTED_SEND.saturating_sub(self.unacknowledged())) } else { room }
    }

    /// The next bytes of the peer's stream; perhaps not all that are here, but none only when none are.
    #[must_use]
    pub fn readable(&self) -> &[u8] {
        self.receiver.readable()
    }

    /// Takes bytes off the front of those that wait to be read; the peer is told when that opens a closed window.
    pub fn consume(&mut self, count: usize) {
        self.receiver.consume(count);
        if self.receiver.reopened(&self.settings) && !self.probe.repeats() {
            self.probe.tell_open();
        }
    }

    /// Puts bytes in front of those that wait to be read: the end of a run that found no taker.
    pub fn restore(&mut self, bytes: &[u8]) {
        self.receiver.restore(bytes);
    }

    /// Bytes that were written and that the peer has not acknowledged in order.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.sender.held()
    }

    /// Bytes of the peer that are held: those that wait to be read, and those that came before their turn.
    #[must_use]
    pub fn held(&self) -> usize {
        self.receiver.held()
    }

    /// Asks for the peer's window with the next datagram: whoever is there answers.
    pub fn ask_window(&mut self) {
        self.probe.ask();
    }

    /// When the last segment of this conversation arrived; zero before the first.
    #[must_use]
    pub fn heard_at(&self) -> Tick {
        self.heard_at
    }

    /// Has any segment of this conversation ever arrived?
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.answered
    }

    /// Has the peer given back the `ts` of a segment that was sent to it? Then what is sent to its address is read
    /// there, if [`Start::clock`] is secret.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// Spares what may be sent to an address that is not proven: the last answer to a peer that then waits in
    /// silence must not be lost for want of room to send it again. Little is kept for it.
    pub fn spare(&mut self) {
        self.sparing = true;
        self.receiver.doubt();
    }

    /// Keeps little of what an address sends that is not proven, for as long as memory is short. It costs a peer
    /// that loses datagrams much of its speed, so it is for times of need.
    pub fn tighten(&mut self, tight: bool) {
        self.receiver.tighten(tight);
    }

    /// Is little kept of what the peer sends? Then this is how many bytes came in order.
    #[must_use]
    pub fn stinted(&self) -> Option<u64> {
        self.receiver.stinted()
    }

    fn is_sparing(&self) -> bool {
        self.sparing && !self.proven
    }

    /// Was a segment, or a question for a closed window, sent [`Settings::dead_link`] times without an answer? Then
    /// nothing more is sent.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// The number of this conversation.
    #[must_use]
    pub fn conv(&self) -> u32 {
        self.conv
    }

    /// How long an acknowledgement is waited for before a segment is sent again.
    #[must_use]
    pub fn rto(&self) -> Duration {
        Duration::from_millis(u64::from(self.rtt.rto(&self.settings)))
    }

    /// What was counted so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let milliseconds = |time: u32| Duration::from_millis(u64::from(time));
        let (rtt, rtt_samples) = self.rtt.latest();
        Tally {
            segments_in: self.counts.segments_in,
            segments_out: self.counts.segments_out,
            retransmits: self.counts.retransmits,
            fast_retransmits: self.counts.fast_retransmits,
            duplicates: self.counts.duplicates,
            srtt: self.rtt.smooth().map(milliseconds),
            rtt: rtt.map(milliseconds),
            rtt_samples,
        }
    }

    fn ts(&self, now: Tick) -> u32 {
        (now.0 as u32).wrapping_add(self.clock)
    }

    /// When there is something to write, timeouts of segments left aside.
    fn due(&self) -> Tick {
        // A timer that has to be started or stopped is work as well.
        if self.has_work() || self.sender.is_stuck() != self.probe.persists() {
            return Tick(0);
        }
        // The answer comes first, see `owes_an_answer`.
        let acks = if self.owes_an_answer() { Tick::NEVER } else { self.acks.due() };
        acks.min(self.probe.due())
    }

    fn has_work(&self) -> bool {
        if self.is_sparing() && self.is_flying() {
            return self.sender.flight().is_some_and(Flight::has_lost);
        }
        self.sender.has_work(&self.settings)
    }

    /// Does an address that is not proven wait for something it will acknowledge? Until then it is not told what
    /// arrived of it: it goes on saying it, and that buys what may be sent again to it. Told, it would wait in
    /// silence for an answer that is lost for good once the room for it is spent.
    fn owes_an_answer(&self) -> bool {
        self.is_sparing() && self.sender.held() > 0
    }

    fn is_flying(&self) -> bool {
        self.sender.flight().is_some_and(|flight| flight.span() > 0)
    }

    fn expire(&mut self, now: Tick) {
        let expired = self.sender.expire(now, &self.rtt, &self.settings);
        self.probe.persist(now, self.sender.is_stuck());
        self.dead |= expired.dead || self.probe.unanswered() > self.settings.dead_link;
    }
}
