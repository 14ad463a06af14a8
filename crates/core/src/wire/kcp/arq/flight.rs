//! Segments on their way: which are acknowledged, which are lost, and the bytes to send them again.
//!
//! One ring of bytes holds the payload of all, and behind it what waits to be cut into segments; one ring of
//! records, found by number, says where each segment's bytes are. Every transmission takes its place in an order:
//! when one is acknowledged that was made later, an earlier one is overtaken, and overtaken often enough it is
//! lost. Since a segment that is sent again takes a new place, its second loss is found the same way, by what is
//! sent after it. Nothing here is looked at twice: finding the lost costs one step per transmission.

use std::collections::VecDeque;

use super::super::segment::before;
use super::rtt::RTO_MAX;
use crate::wheel::Tick;

mod record;

use record::{NO_RECORD, Record, Spare, State};

/// How many times a segment may be sent and still be found lost by being overtaken (`IKCP_FASTACK_LIMIT`).
const FAST_LIMIT: u8 = 5;
/// The first size of the ring of records.
const RECORDS_MIN: usize = 16;
/// The most datagrams that are remembered as overtaking; see `Settings::resend`.
const OVERTAKERS: usize = 8;

/// Exists only while something waits to be sent or acknowledged.
#[derive(Debug)]
pub(super) struct Flight {
    /// From the first byte that is not acknowledged in order; positions in it are kept as wrapping numbers.
    bytes: VecDeque<u8>,
    /// The position of the first byte.
    base: u32,
    /// How many of the bytes are cut into segments.
    cut: usize,
    /// Where writes end that must not be packed with the next, as positions.
    ends: VecDeque<u32>,
    /// By number; a power of two.
    records: Box<[Record]>,
    una: u32,
    next: u32,
    /// Transmissions that may yet be overtaken, oldest first: (place, number).
    order: VecDeque<(u32, u32)>,
    /// Segments that were sent again and may be sent once more without waiting for an answer, oldest first.
    spares: VecDeque<Spare>,
    /// Datagrams that brought a certain arrival.
    answers: u32,
    /// The place of the next transmission.
    place: u32,
    /// The latest places that each of the last datagrams of acknowledgements had, the highest first.
    overtakers: [u32; OVERTAKERS],
    overtaken_by: u8,
    /// Segments to be sent again.
    lost: VecDeque<u32>,
    /// No timeout passes before this.
    resend_at: Tick,
}

/// A segment to be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) sn: u32,
    /// Its payload's length.
    pub(super) len: usize,
    /// It did not wait for its timeout.
    pub(super) overtaken: bool,
}

/// What an ACK tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its `ts` is one that the segment was sent with.
    pub(super) proof: bool,
    /// The segment was not known to have arrived.
    pub(super) new: bool,
    /// It was sent once.
    pub(super) first: bool,
    /// The place of the transmission that arrived, where that is certain.
    place: Option<u32>,
}

/// When a transmission is made, and how long it waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) now: Tick,
    pub(super) ts: u32,
    /// In milliseconds.
    pub(super) rto: u32,
    /// How many copies of a segment that was overtaken may follow without waiting for an answer.
    pub(super) spares: u8,
    /// How many answering datagrams lie between two of them.
    pub(super) spacing: u32,
}

/// What has been overtaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Overtaken {
    pub(super) any: bool,
    /// How many segments for the first time.
    pub(super) first: u32,
}

/// What has become of the timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Expired {
    /// One passed.
    pub(super) any: bool,
    /// One passed for a segment that was sent as often as a segment is sent.
    pub(super) dead: bool,
}

impl Flight {
    pub(super) fn new(sn: u32) -> Self {
        Self {
            bytes: VecDeque::new(),
            base: 0,
            cut: 0,
            ends: VecDeque::new(),
            records: Box::default(),
            una: sn,
            next: sn,
            order: VecDeque::new(),
            spares: VecDeque::new(),
            answers: 0,
            place: 0,
            overtakers: [0; OVERTAKERS],
            overtaken_by: 0,
            lost: VecDeque::new(),
            resend_at: Tick::NEVER,
        }
    }

    pub(super) fn una(&self) -> u32 {
        self.una
    }

    /// The number of the next new segment.
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// Segments from the first that is not acknowledged on.
    pub(super) fn span(&self) -> u32 {
        self.next.wrapping_sub(self.una)
    }

    /// All bytes it holds.
    pub(super) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that wait to be sent for the first time.
    pub(super) fn queued(&self) -> usize {
        self.bytes.len() - self.cut
    }

    /// How many writes wait whose borders are kept.
    pub(super) fn borders(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn resend_at(&self) -> Tick {
        self.resend_at
    }

    /// Queues bytes; with `border`, the next ones begin a segment of their own.
    pub(super) fn queue(&mut self, bytes: &[u8], border: bool) {
        self.bytes.extend(bytes);
        if border {
            self.ends.push_back(self.base.wrapping_add(self.bytes.len() as u32));
        }
    }

    /// How many bytes the next new segment may have at most, for the border's sake.
    pub(super) fn next_len(&self) -> usize {
        let start = self.base.wrapping_add(self.cut as u32);
        match self.ends.front() {
            Some(end) => end.wrapping_sub(start) as usize,
            None => self.queued(),
        }
    }

    /// Makes a segment of the next `len` bytes, at most [`Flight::next_len`], and counts it as sent.
    pub(super) fn cut(&mut self, len: usize, stamp: Stamp) -> u32 {
        if self.span() as usize == self.records.len() {
            self.grow();
        }
        let (sn, start) = (self.next, self.base.wrapping_add(self.cut as u32));
        self.next = self.next.wrapping_add(1);
        self.cut += len;
        let end = start.wrapping_add(len as u32);
        if self.ends.front() == Some(&end) {
            self.ends.pop_front();
        }
        let fresh = Record {
            start,
            len: len as u16,
            first_ts: stamp.ts,
            first_place: self.place,
            place: self.place,
            rto: stamp.rto,
            ..NO_RECORD
        };
        self.set(sn, fresh);
        self.sent(sn, stamp);
        sn
    }

    /// The first segment that is to be sent again.
    pub(super) fn lost(&mut self) -> Option<Lost> {
        while let Some(sn) = self.lost.front().copied() {
            if let Some(Record { len, state, .. }) = self.record(sn)
                && !matches!(state, State::Acked | State::Flying)
            {
                return Some(Lost { sn, len: usize::from(len), overtaken: state != State::TimedOut });
            }
            self.lost.pop_front();
        }
        None
    }

    /// Is there a segment to be sent again?
    pub(super) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Counts a segment as sent, the first time or again.
    pub(super) fn sent(&mut self, sn: u32, stamp: Stamp) {
        let place = self.place;
        let Some(mut record) = self.record(sn) else { return };
        match record.state {
            State::Overtaken => (record.rto, record.spares) = (stamp.rto, stamp.spares),
            State::Spare => record.spares = record.spares.saturating_sub(1),
            State::Acked | State::Flying | State::TimedOut => record.spares = 0,
        }
        if record.state != State::Spare {
            record.tries = record.tries.saturating_add(1);
        }
        record.distinct = record.last_ts != stamp.ts;
        record.last_ts = stamp.ts;
        record.state = State::Flying;
        record.place = place;
        record.resend_at = Tick(stamp.now.0.saturating_add(u64::from(record.rto)));
        self.resend_at = self.resend_at.min(record.resend_at);
        if record.spares > 0 {
            self.spares.push_back(Spare { due: self.answers.wrapping_add(stamp.spacing), place, sn });
        }
        self.set(sn, record);
        self.place = place.wrapping_add(1);
        self.order.push_back((place, sn));
    }

    /// A segment's payload, in two parts where the ring wraps.
    pub(super) fn payload(&self, sn: u32) -> (&[u8], &[u8]) {
        let Some(record) = self.record(sn) else { return (&[], &[]) };
        let from = record.start.wrapping_sub(self.base) as usize;
        let to = from + usize::from(record.len);
        let (front, back) = self.bytes.as_slices();
        let split = front.len();
        (
            front.get(from.min(split)..to.min(split)).unwrap_or_default(),
            back.get(from.saturating_sub(split)..to.saturating_sub(split)).unwrap_or_default(),
        )
    }

    /// Takes an ACK. `None` for a segment that is not in flight.
    pub(super) fn acknowledge(&mut self, sn: u32, ts: u32) -> Option<Answer> {
        let record = self.record(sn)?;
        let sent_since = record.last_ts.wrapping_sub(record.first_ts);
        let proof = ts.wrapping_sub(record.first_ts) <= sent_since;
        let certain = record.first_place == record.place || (record.distinct && ts == record.last_ts);
        let new = record.state != State::Acked;
        if new {
            self.set(sn, Record { state: State::Acked, ..record });
        }
        Some(Answer {
            proof,
            new,
            first: new && record.tries == 1,
            place: (new && certain).then_some(record.place),
        })
    }

    /// Takes the number before which everything arrived, at most [`Flight::next`], and frees those bytes and what is
    /// acknowledged behind them. Says how many segments that were sent once were not known to have arrived.
    pub(super) fn advance(&mut self, una: u32) -> u32 {
        let (mut bytes, mut first) = (0, 0);
        while let Some(record) = self.record(self.una) {
            if !before(self.una, una) && record.state != State::Acked {
                break;
            }
            bytes += usize::from(record.len);
            first += u32::from(record.tries == 1 && record.state != State::Acked);
            self.una = self.una.wrapping_add(1);
        }
        self.bytes.drain(..bytes.min(self.bytes.len()));
        self.cut -= bytes.min(self.cut);
        self.base = self.base.wrapping_add(bytes as u32);
        if self.span() == 0 {
            self.resend_at = Tick::NEVER;
        }
        first
    }

    /// Takes one datagram's latest certain arrival and finds what has been overtaken by `resend` datagrams.
    pub(super) fn overtake(&mut self, answers: &Overtaker, resend: u8) -> Overtaken {
        let resend = usize::from(resend).min(OVERTAKERS);
        if let Some(place) = answers.latest {
            self.remember(place);
            self.answers = self.answers.wrapping_add(1);
        }
        let limit = match resend.checked_sub(1).and_then(|last| self.overtakers.get(last)) {
            Some(limit) if usize::from(self.overtaken_by) >= resend => Some(*limit),
            _ => None,
        };
        let mut overtaken = Overtaken::default();
        while let Some((place, sn)) = self.order.front().copied() {
            let flying = |record: &Record| record.state == State::Flying && record.place == place;
            if let Some(record) = self.record(sn).filter(flying) {
                if !limit.is_some_and(|limit| before(place, limit)) {
                    break;
                }
                if record.tries <= FAST_LIMIT {
                    self.set(sn, Record { state: State::Overtaken, ..record });
                    self.lost.push_back(sn);
                    overtaken.any = true;
                    overtaken.first += u32::from(record.tries == 1);
                }
            }
            self.order.pop_front();
        }
        self.double();
        // What was acknowledged while it waited to be sent again is no work.
        self.lost();
        overtaken
    }

    /// Looks for timeouts that have passed. `backed_off` gives the one that follows.
    pub(super) fn expire(&mut self, now: Tick, dead_link: u8, backed_off: impl Fn(u32) -> u32) -> Expired {
        let mut expired = Expired::default();
        if now < self.resend_at {
            return expired;
        }
        let mut earliest = Tick::NEVER;
        let mut sn = self.una;
        while sn != self.next {
            if let Some(record) = self.record(sn).filter(|record| record.state == State::Flying) {
                if record.resend_at <= now {
                    expired.any = true;
                    expired.dead |= record.tries >= dead_link;
                    let rto = backed_off(record.rto).min(RTO_MAX);
                    self.set(sn, Record { state: State::TimedOut, rto, ..record });
                    self.lost.push_back(sn);
                } else {
                    earliest = earliest.min(record.resend_at);
                }
            }
            sn = sn.wrapping_add(1);
        }
        self.resend_at = earliest;
        expired
    }

    /// Finds what is to be sent once more without waiting for an answer.
    fn double(&mut self) {
        while let Some(Spare { due, place, sn }) = self.spares.front().copied() {
            if before(self.answers, due) {
                return;
            }
            let flying = |record: &Record| record.state == State::Flying && record.place == place;
            if let Some(record) = self.record(sn).filter(flying) {
                self.set(sn, Record { state: State::Spare, ..record });
                self.lost.push_back(sn);
            }
            self.spares.pop_front();
        }
    }

    /// Keeps the highest places of [`OVERTAKERS`] datagrams, in order.
    fn remember(&mut self, place: u32) {
        let mut place = place;
        let known = usize::from(self.overtaken_by);
        for slot in self.overtakers.iter_mut().take(known) {
            if before(*slot, place) {
                std::mem::swap(slot, &mut place);
            }
        }
        if let Some(slot) = self.overtakers.get_mut(known) {
            *slot = place;
            self.overtaken_by += 1;
        }
    }

    fn record(&self, sn: u32) -> Option<Record> {
        if sn.wrapping_sub(self.una) >= self.span() {
            return None;
        }
        self.records.get(sn as usize & self.records.len().wrapping_sub(1)).copied()
    }

    fn set(&mut self, sn: u32, record: Record) {
        let mask = self.records.len().wrapping_sub(1);
        if let Some(slot) = self.records.get_mut(sn as usize & mask) {
            *slot = record;
        }
    }

    fn grow(&mut self) {
        let size = (self.records.len() * 2).max(RECORDS_MIN);
        let kept: Vec<(u32, Record)> = (0..self.span())
            .filter_map(|step| {
                let sn = self.una.wrapping_add(step);
                self.record(sn).map(|record| (sn, record))
            })
            .collect();
        self.records = vec![NO_RECORD; size].into_boxed_slice();
        for (sn, record) in kept {
            self.set(sn, record);
        }
    }
}

/// The latest transmission that a datagram's acknowledgements are certain of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overtaker {
    latest: Option<u32>,
}

impl Overtaker {
    pub(super) fn take(&mut self, answer: &Answer) {
        if let Some(place) = answer.place
            && self.latest.is_none_or(|latest| before(latest, place))
        {
            self.latest = Some(place);
        }
    }
}
