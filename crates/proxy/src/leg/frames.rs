//! Frames between a client and its endpoint: passed on in pieces, as they come, with the gateway's own between them.
//!
//! Owns the borders of both directions, what becomes of a client's frame, and what the gateway has to say itself. A
//! frame is never assembled. What cannot be looked at yet is held: at most one read of the client.

mod run;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::config::{self, OnLimit};
use portcullis_core::limit::entrance::{Entrance, Ration};
use portcullis_core::limit::rates::Rates;
use portcullis_core::limit::scope::Node;
use portcullis_core::outcome::Reason;
use portcullis_core::wheel::Tick;
use portcullis_core::wire::frame::message::{Codec, RATE_LIMITED, Reply, Stamp};
use portcullis_core::wire::frame::{self, Decoder, Event, Header};

use super::{Leg, Unit};
use crate::io::{Clock, Io};
use crate::ring::Lent;
use run::Run;

/// So many bytes of the gateway's own wait at most before no more of the client's frames are looked at.
const OWN_AT_MOST: usize = 4 * 1024;
/// Answers of the gateway's own to one client in one turn; then others have their turn.
const ANSWERS: usize = 512;

/// What is known of both directions of a session that speaks in frames.
#[derive(Debug)]
pub(crate) struct Frames {
    settings: Arc<config::Frames>,
    up: Decoder,
    down: Decoder,
    /// Of the client's frame that is being read.
    fate: Fate,
    /// A frame that waits for its limit.
    late: Option<Late>,
    /// What the client sent behind what was looked at.
    held: Vec<u8>,
    /// What the gateway says itself, once it may.
    own: Vec<u8>,
    rates: Rates,
    /// When the last frame of the client was whole.
    heard: Tick,
    /// Must it go on sending frames?
    must_beat: bool,
    counts: FrameTally,
}

/// What was counted since the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameTally {
    /// Frames of the client, whatever became of them.
    pub(crate) up: u64,
    /// Frames of the endpoint.
    pub(crate) down: u64,
    /// Of the client's, heartbeats that were answered here.
    pub(crate) heartbeats: u64,
    /// Of the client's, those that were refused for a limit.
    pub(crate) limited: u64,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The endpoint gets it.
    Passed,
    /// It is a heartbeat, of this version.
    Answered { version: u8 },
    /// It is beyond a limit.
    Refused { version: u8, kind: u16 },
}

/// A frame whose header was read and that waits until its limit lets it pass.
#[derive(Clone, Copy, Debug)]
struct Late {
    header: Header,
    /// When to ask again; [`Tick::NEVER`]: at once.
    until: Tick,
    /// When it is refused.
    refused: Tick,
}

impl Late {
    fn is_due(&self, now: Tick) -> bool {
        self.until <= now || self.until == Tick::NEVER
    }
}

/// What a turn lends.
#[derive(Debug)]
pub(crate) struct Turn {
    now: Tick,
    clock: Clock,
    stamp: Option<Stamp>,
    answers: usize,
}

impl Turn {
    pub(crate) fn of(io: &Io) -> Self {
        Self { now: io.now, clock: io.clock, stamp: None, answers: ANSWERS }
    }

    /// The time as clients are told it; the clock is asked once.
    fn stamp(&mut self) -> Stamp {
        *self.stamp.get_or_insert_with(|| self.clock.wall_now().into())
    }

    /// Has the client had its share of answers?
    pub(crate) fn is_spent(&self) -> bool {
        self.answers == 0
    }
}

impl Frames {
    /// Begins when the session is open.
    pub(crate) fn new(settings: &Arc<config::Frames>, entrance: &Entrance, now: Tick) -> Self {
        let mut rates = Rates::default();
        if let Some(limit) = settings.message_rate {
            rates.push(limit.into(), Arc::new(Node::default()));
        }
        rates.append(entrance.rates(Ration::Messages));
        Self::with_rates(settings, rates, now)
    }

    fn with_rates(settings: &Arc<config::Frames>, rates: Rates, now: Tick) -> Self {
        Self {
            settings: Arc::clone(settings),
            up: Decoder::of_client(settings.type_bytes),
            down: Decoder::of_endpoint(settings.type_bytes),
            fate: Fate::Passed,
            late: None,
            held: Vec::new(),
            own: Vec::new(),
            rates,
            heard: now,
            must_beat: settings.heartbeat == config::Heartbeat::Required,
            counts: FrameTally::default(),
        }
    }

    /// Takes what the client sent and gives `sink` what goes on to the endpoint.
    ///
    /// # Errors
    /// The session ends.
    pub(crate) fn take_up(
        &mut self,
        bytes: &[u8],
        turn: &mut Turn,
        mut sink: impl FnMut(Unit<'_>),
    ) -> Result<(), Reason> {
        if !self.held.is_empty() {
            self.held.extend_from_slice(bytes);
            return Ok(());
        }
        self.look(bytes, turn, &mut sink)
    }

    /// Goes on with what is held, as far as may be.
    ///
    /// # Errors
    /// The session ends.
    pub(crate) fn resume(&mut self, turn: &mut Turn, mut sink: impl FnMut(Unit<'_>)) -> Result<(), Reason> {
        let is_due = self.late.is_none_or(|late| late.is_due(turn.now));
        if !is_due || self.is_full() || turn.is_spent() {
            return Ok(());
        }
        let held = mem::take(&mut self.held);
        self.look(&held, turn, &mut sink)
    }

    /// Looks at the client's frames until there are no more bytes or it must stop; what is left is held.
    fn look(&mut self, bytes: &[u8], turn: &mut Turn, sink: &mut impl FnMut(Unit<'_>)) -> Result<(), Reason> {
        let mut run = Run::new(bytes);
        let mut rest = bytes;
        if let Some(late) = self.late.take_if(|late| late.is_due(turn.now)) {
            self.begin(late.header, Some(late), turn)?;
            if self.late.is_none() && self.fate == Fate::Passed {
                run.lead(self.passed(late.header).encode(self.settings.type_bytes), sink);
            }
        }
        while !self.is_stopped(turn) {
            let from = bytes.len() - rest.len();
            let Some(event) = self.up.next(&mut rest) else { break };
            let to = bytes.len() - rest.len();
            match event {
                Event::Header(header) => {
                    self.begin(header, None, turn)?;
                    if self.late.is_none() && self.fate == Fate::Passed {
                        let passed = self.passed(header).encode(self.settings.type_bytes);
                        // Unchanged and whole in this read it goes on from where it lies.
                        if passed.len() == to - from && passed.first() == Some(&header.version) {
                            run.extend(from, to, sink);
                        } else {
                            run.lead(passed, sink);
                        }
                    }
                }
                Event::Payload(_) if self.fate == Fate::Passed => run.extend(from, to, sink),
                Event::Payload(_) => {}
                Event::End => self.end(turn),
            }
        }
        run.finish(sink);
        self.held.extend_from_slice(rest);
        Ok(())
    }

    /// Decides what becomes of a frame whose header is whole; it may have been late before.
    fn begin(&mut self, header: Header, before: Option<Late>, turn: &Turn) -> Result<(), Reason> {
        let is_beat = header.kind == self.settings.types.heartbeat;
        self.must_beat |= is_beat;
        let refused = Fate::Refused { version: header.version, kind: header.kind };
        self.fate = match self.rates.take(turn.now.since(Tick(0)), 1) {
            Ok(()) if is_beat && !self.settings.forward_heartbeats => {
                Fate::Answered { version: header.version }
            }
            Ok(()) => Fate::Passed,
            Err(wait) => match self.settings.on_limit {
                OnLimit::Close => return Err(Reason::MessageRate),
                OnLimit::Reply => refused,
                OnLimit::Delay { max } => {
                    let last = before.map_or(turn.now.after(max), |before| before.refused);
                    let until = turn.now.after(wait.max(Duration::from_millis(1)));
                    if until <= last {
                        self.late = Some(Late { header, until, refused: last });
                    }
                    refused
                }
            },
        };
        Ok(())
    }

    /// A frame of the client is whole.
    fn end(&mut self, turn: &mut Turn) {
        self.heard = Tick(turn.now.0 + 1);
        self.counts.up += 1;
        match self.fate {
            Fate::Passed => {}
            Fate::Answered { version } => {
                self.counts.heartbeats += 1;
                let reply = Reply::Heartbeat(turn.stamp(), None);
                self.answer(version, self.settings.types.heartbeat_reply, &reply, turn);
            }
            Fate::Refused { version, kind } => {
                self.counts.limited += 1;
                self.answer(version, kind, &Reply::Error(RATE_LIMITED), turn);
            }
        }
    }

    /// Says something itself, once it may.
    fn answer(&mut self, version: u8, kind: u16, reply: &Reply<'_>, turn: &mut Turn) {
        turn.answers = turn.answers.saturating_sub(1);
        let write = Codec::of(self.settings.codec).write;
        frame::push_with(&mut self.own, self.settings.type_bytes, (version, kind), |to| write(reply, to));
    }

    /// A header as the endpoint gets it.
    fn passed(&self, header: Header) -> Header {
        if self.settings.forward_token { header } else { header.without_token() }
    }

    /// May no more of the client's frames be looked at?
    fn is_stopped(&self, turn: &Turn) -> bool {
        self.late.is_some() || self.is_full() || turn.is_spent()
    }

    /// Does too much of its own wait to be said?
    pub(crate) fn is_full(&self) -> bool {
        self.own.len() >= OWN_AT_MOST
    }

    /// Is there something of the client's that was read and not passed on?
    pub(crate) fn holds(&self) -> bool {
        self.late.is_some() || !self.held.is_empty()
    }

    /// Does a frame wait for its limit?
    pub(crate) fn is_late(&self) -> bool {
        self.late.is_some()
    }

    /// Takes what the endpoint sent and gives `sink` what goes to the client: the same, with the gateway's own between
    /// two frames.
    pub(crate) fn take_down(&mut self, bytes: &[u8], mut sink: impl FnMut(Unit<'_>)) {
        let mut rest = bytes;
        let mut behind = bytes;
        if !self.own.is_empty() && self.down.skip_frame(&mut rest) {
            self.counts.down += 1;
            let (frame, others) = bytes.split_at(bytes.len() - rest.len());
            sink(Unit::of(frame));
            sink(Unit::of(&mem::take(&mut self.own)));
            behind = others;
        }
        while self.down.skip_frame(&mut rest) {
            self.counts.down += 1;
        }
        if !behind.is_empty() {
            sink(Unit::of(behind));
        }
    }

    /// Says what is to be said, if the client stands between two frames and has room.
    pub(crate) fn speak(&mut self, client: &mut Leg, lent: &mut Lent) {
        if !self.own.is_empty() && self.down.is_between() && !client.is_blocked() {
            client.write(Unit::of(&mem::take(&mut self.own)), lent);
            client.send_staged(lent);
        }
    }

    /// When it wants to be stepped, whatever happens: a late frame.
    pub(crate) fn late_at(&self) -> Tick {
        self.late.map_or(Tick::NEVER, |late| late.until)
    }

    /// A late frame whose moment has come waits for no moment any more: it passes when the endpoint has room.
    pub(crate) fn rang(&mut self, now: Tick) {
        if let Some(late) = self.late.as_mut().filter(|late| late.until <= now) {
            late.until = Tick::NEVER;
        }
    }

    /// When the client has missed its heartbeats, if no frame comes before.
    pub(crate) fn silent_at(&self) -> Tick {
        let misses = u32::from(self.settings.heartbeat_misses);
        if self.must_beat { self.heard.after(self.settings.heartbeat_interval * misses) } else { Tick::NEVER }
    }

    /// What was counted since the last time.
    pub(crate) fn take_counts(&mut self) -> FrameTally {
        mem::take(&mut self.counts)
    }
}
