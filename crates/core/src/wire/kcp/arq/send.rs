//! What is to be sent: how much may be, by our window, the peer's and the network's.

use super::super::segment::WINDOW_LEAST;
use super::Settings;
use super::congestion::Congestion;
use super::flight::{Answer, Expired, Flight, Overtaker, Stamp};
use super::rtt::Rtt;
use crate::wheel::Tick;

#[derive(Debug)]
pub(super) struct Sender {
    /// The number of the next segment, while nothing waits to be sent or acknowledged.
    rest: u32,
    flight: Option<Box<Flight>>,
    /// In segments; until it is heard of, the least one around.
    peer_window: u16,
    congestion: Congestion,
    /// Which share of first transmissions is lost.
    loss: Loss,
}

/// A share of 2^16, over some hundred segments.
#[derive(Debug, Default)]
struct Loss(u32);

impl Loss {
    const ONE: u32 = 1 << 16;
    /// The weight of a segment is one of 2^8.
    const PACE: u32 = 8;
    const SPARES_MAX: u8 = 3;

    fn arrived(&mut self) {
        self.0 -= self.0 >> Self::PACE;
    }

    fn lost(&mut self) {
        self.0 += (Self::ONE - self.0) >> Self::PACE;
    }

    /// How many copies follow a segment that is sent again, so that of `span` segments in flight hardly one in four
    /// times one is lost in all of them.
    fn spares(&self, span: u32) -> u8 {
        let share = u64::from(self.0);
        let again = |expected: u64| (expected * share) >> 16;
        let mut expected = again(u64::from(span) * share);
        let mut spares = 0;
        while expected >= u64::from(Self::ONE / 4) && spares < Self::SPARES_MAX {
            expected = again(expected);
            spares += 1;
        }
        spares
    }
}

impl Sender {
    pub(super) fn new(sn: u32) -> Self {
        Self {
            rest: sn,
            flight: None,
            peer_window: WINDOW_LEAST,
            congestion: Congestion::default(),
            loss: Loss::default(),
        }
    }

    pub(super) fn flight(&self) -> Option<&Flight> {
        self.flight.as_deref()
    }

    pub(super) fn flight_mut(&mut self) -> Option<&mut Flight> {
        self.flight.as_deref_mut()
    }

    /// The first number that is not known to have arrived.
    pub(super) fn una(&self) -> u32 {
        self.flight().map_or(self.rest, Flight::una)
    }

    /// The number of the next new segment.
    pub(super) fn next(&self) -> u32 {
        self.flight().map_or(self.rest, Flight::next)
    }

    /// Bytes queued or in flight.
    pub(super) fn held(&self) -> usize {
        self.flight().map_or(0, Flight::held)
    }

    /// How many bytes there is room for.
    pub(super) fn room(&self, settings: &Settings) -> usize {
        let borders = self.flight().map_or(0, Flight::borders);
        if !settings.stream && borders >= usize::from(settings.send_window) {
            return 0;
        }
        settings.send_limit().saturating_sub(self.held())
    }

    /// Queues what there is room for, and says how much that was.
    pub(super) fn write(&mut self, bytes: &[u8], settings: &Settings) -> usize {
        let taken = bytes.get(..self.room(settings)).unwrap_or(bytes);
        if !taken.is_empty() {
            let rest = self.rest;
            let flight = self.flight.get_or_insert_with(|| Box::new(Flight::new(rest)));
            flight.queue(taken, !settings.stream);
        }
        taken.len()
    }

    /// Takes the peer's window. What is beyond ours is of no use.
    pub(super) fn peer_has_room_for(&mut self, window: u16, settings: &Settings) {
        self.peer_window = window.min(settings.send_window);
    }

    /// Is something queued for a peer that has no room?
    pub(super) fn is_stuck(&self) -> bool {
        self.peer_window == 0 && self.flight().is_some_and(|flight| flight.queued() > 0)
    }

    /// How many bytes the next new segment may have; 0 when none may be sent.
    pub(super) fn sendable(&self, settings: &Settings) -> usize {
        let Some(flight) = self.flight() else { return 0 };
        let mut window = u32::from(settings.send_window.min(self.peer_window));
        if settings.congestion {
            window = window.min(self.congestion.window());
        }
        if flight.span() < window { flight.next_len().min(settings.mss()) } else { 0 }
    }

    /// Is there something to be sent?
    pub(super) fn has_work(&self, settings: &Settings) -> bool {
        self.flight().is_some_and(Flight::has_lost) || self.sendable(settings) > 0
    }

    /// Makes a segment of the next `len` bytes; gives its number.
    pub(super) fn cut(&mut self, len: usize, stamp: Stamp) -> Option<u32> {
        self.flight_mut().map(|flight| flight.cut(len, stamp))
    }

    /// Takes an ACK. `None` for a segment that is not in flight.
    pub(super) fn acknowledge(&mut self, sn: u32, ts: u32) -> Option<Answer> {
        let answer = self.flight_mut()?.acknowledge(sn, ts)?;
        if answer.first {
            self.loss.arrived();
        }
        Some(answer)
    }

    /// How many copies of a segment that was overtaken may follow without waiting for an answer: none for those who
    /// care for the network.
    pub(super) fn spares(&self, settings: &Settings) -> u8 {
        let span = self.flight().map_or(0, Flight::span);
        if settings.congestion { 0 } else { self.loss.spares(span) }
    }

    /// Ends a datagram's acknowledgements: moves the left edge, finds what was overtaken, frees what is done.
    pub(super) fn settle(&mut self, una: u32, overtaker: &Overtaker, settings: &Settings) {
        let Some(flight) = self.flight.as_deref_mut() else { return };
        let (old, mss) = (flight.una(), settings.mss() as u32);
        (0..flight.advance(una)).for_each(|_| self.loss.arrived());
        let moved = flight.una() != old;
        let overtaken = flight.overtake(overtaker, settings.resend);
        (0..overtaken.first).for_each(|_| self.loss.lost());
        if overtaken.any {
            self.congestion.overtaken(flight.span(), settings.resend, mss);
        }
        if moved {
            self.congestion.advance(u32::from(self.peer_window), mss);
        }
        if flight.held() == 0 {
            self.rest = flight.next();
            self.flight = None;
        }
    }

    /// Looks for timeouts that have passed.
    pub(super) fn expire(&mut self, now: Tick, rtt: &Rtt, settings: &Settings) -> Expired {
        let Some(flight) = self.flight.as_deref_mut() else { return Expired::default() };
        let expired = flight.expire(now, settings.dead_link, |rto| rtt.backed_off(rto, settings));
        if expired.any {
            self.congestion.timed_out(settings.mss() as u32);
        }
        expired
    }

    /// No timeout passes before this.
    pub(super) fn resend_at(&self) -> Tick {
        self.flight().map_or(Tick::NEVER, Flight::resend_at)
    }
}
