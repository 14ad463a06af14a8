//! Frames between a client and its endpoint: passed on in pieces, as they come, with the gateway's own between them.
//!
//! Owns the borders of both directions, what becomes of a client's frame, and what the gateway has to say itself. A
//! frame is never assembled. What cannot be looked at yet is held: at most one read of the client.

mod device;
mod run;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use portcullis_core::config::{self, OnLimit};
use portcullis_core::limit::entrance::{Entrance, Ration};
use portcullis_core::limit::rates::Rates;
use portcullis_core::limit::scope::Node;
use portcullis_core::outcome::Reason;
use portcullis_core::token::bearer::{Answer, Ask, FamilyChange};
use portcullis_core::token::record::Grant;
use portcullis_core::token::{ClientId, Family, Refusal, Unix};
use portcullis_core::wheel::Tick;
use portcullis_core::wire::frame::message::{Codec, Granted, RATE_LIMITED, Reply, Stamp};
use portcullis_core::wire::frame::{self, Decoder, Event, Header};

use super::{Leg, Unit};
use crate::io::{Clock, Io};
use crate::ring::Lent;
use device::{Device, REFUSED, Say};
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
    /// Whose session it is, where devices are asked who they are.
    device: Option<Box<Device>>,
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
    /// It is for the gateway itself: the device registers or logs in.
    Read { kind: u16 },
    /// Its token is being asked for.
    Shown,
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
    unix: Option<Unix>,
    answers: usize,
}

impl Turn {
    pub(crate) fn of(io: &Io) -> Self {
        Self { now: io.now, clock: io.clock, stamp: None, unix: None, answers: ANSWERS }
    }

    /// The time as clients are told it; the clock is asked once.
    fn stamp(&mut self) -> Stamp {
        *self.stamp.get_or_insert_with(|| self.clock.wall_now().into())
    }

    /// Seconds since 1970; the clock is asked once.
    fn unix(&mut self) -> Unix {
        let clock = self.clock;
        *self
            .unix
            .get_or_insert_with(|| clock.wall_now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
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
            device: None,
            held: Vec::new(),
            own: Vec::new(),
            rates,
            heard: now,
            must_beat: settings.heartbeat == config::Heartbeat::Required,
            counts: FrameTally::default(),
        }
    }

    /// The same where a device must log in, by `login_by`.
    pub(crate) fn of_device(self, login_by: Tick) -> Self {
        Self { device: Some(Box::new(Device::new(login_by))), ..self }
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
        if !is_due || self.is_full() || turn.is_spent() || self.is_asking() {
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
        if let Some(header) = self.device.as_mut().and_then(|device| device.take_shown()) {
            self.fate = self.usual_fate(header);
            if self.fate == Fate::Passed {
                run.lead(self.passed(header).encode(self.settings.type_bytes), sink);
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
                Event::Payload(piece) => {
                    if let (Fate::Read { .. }, Some(device)) = (self.fate, &mut self.device) {
                        device.read(piece);
                    }
                }
                Event::End => self.end(turn)?,
            }
        }
        run.finish(sink);
        self.held.extend_from_slice(rest);
        Ok(())
    }

    /// Decides what becomes of a frame whose header is whole; it may have been late before.
    fn begin(&mut self, header: Header, before: Option<Late>, turn: &mut Turn) -> Result<(), Reason> {
        let is_beat = header.kind == self.settings.types.heartbeat;
        self.must_beat |= is_beat;
        let refused = Fate::Refused { version: header.version, kind: header.kind };
        self.fate = match self.rates.take(turn.now.since(Tick(0)), 1) {
            Ok(()) => self.judge(header, turn)?,
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

    /// Decides about a frame that is within its limits: by whom it is from.
    fn judge(&mut self, header: Header, turn: &mut Turn) -> Result<Fate, Reason> {
        let usual = self.usual_fate(header);
        let Some(device) = &mut self.device else { return Ok(usual) };
        let types = &self.settings.types;
        let judged = if header.kind == types.register || header.kind == types.login {
            device.begin(header, turn.now).map(|()| Fate::Read { kind: header.kind })
        } else if matches!(usual, Fate::Answered { .. }) && header.token.is_none() {
            Ok(usual) // whoever is there may say so
        } else {
            device.may_pass(header, turn.now, turn.unix()).map(|may| if may { usual } else { Fate::Shown })
        };
        judged.map_err(|refusal| self.refuse(refusal, turn))
    }

    /// What becomes of a frame that nothing speaks against.
    fn usual_fate(&self, header: Header) -> Fate {
        let is_beat = header.kind == self.settings.types.heartbeat;
        if is_beat && !self.settings.forward_heartbeats {
            Fate::Answered { version: header.version }
        } else {
            Fate::Passed
        }
    }

    /// Tells the device that it must leave: the same, whatever the cause.
    fn refuse(&mut self, refusal: Refusal, turn: &mut Turn) -> Reason {
        let version = self.device.as_ref().map_or(frame::WITHOUT_TOKEN, |device| device.version());
        self.answer(version, self.settings.types.error, &Reply::Error(REFUSED), turn);
        match refusal {
            Refusal::Revoked | Refusal::Stolen => Reason::DeviceRevoked,
            _ => Reason::DeviceRefused,
        }
    }

    /// A frame of the client is whole.
    fn end(&mut self, turn: &mut Turn) -> Result<(), Reason> {
        self.heard = Tick(turn.now.0 + 1);
        self.counts.up += 1;
        match self.fate {
            Fate::Shown => {}
            Fate::Passed => {
                if let Some(device) = &mut self.device {
                    device.heard(false, turn.unix());
                }
            }
            Fate::Answered { version } => {
                self.counts.heartbeats += 1;
                let grant = self.device.as_mut().and_then(|device| device.heard(true, turn.unix()));
                self.answer_heartbeat(version, grant, turn);
            }
            Fate::Read { kind } => {
                let (types, codec) = (self.settings.types, self.settings.codec);
                let asked = self.device.as_mut().map_or(Ok(()), |device| device.end(kind, &types, codec));
                return asked.map_err(|refusal| self.refuse(refusal, turn));
            }
            Fate::Refused { version, kind } => {
                self.counts.limited += 1;
                self.answer(version, kind, &Reply::Error(RATE_LIMITED), turn);
            }
        }
        Ok(())
    }

    fn answer_heartbeat(&mut self, version: u8, grant: Option<Grant>, turn: &mut Turn) {
        let token = grant.map(|grant| grant.token.text());
        let granted = token.as_deref().zip(grant).map(granted);
        let reply = Reply::Heartbeat(turn.stamp(), granted);
        self.answer(version, self.settings.types.heartbeat_reply, &reply, turn);
    }

    /// Takes the answer to a question about the device.
    ///
    /// # Errors
    /// The session ends.
    pub(crate) fn handle_answer(
        &mut self,
        serial: u16,
        answer: Answer,
        turn: &mut Turn,
    ) -> Result<(), Reason> {
        let now = turn.unix();
        let Some(device) = &mut self.device else { return Ok(()) };
        let (said, version, kind) =
            (device.handle_answer(serial, answer, now), device.version(), self.settings.types.token);
        match said {
            Say::Nothing => {}
            Say::Token(grant) => {
                let token = grant.token.text();
                self.answer(version, kind, &Reply::Token(granted((&token, grant))), turn);
            }
            Say::LoggedIn { expires_at } => {
                self.answer(version, kind, &Reply::LoggedIn { expires_at }, turn);
            }
            Say::Refused(refusal) => return Err(self.refuse(refusal, turn)),
        }
        Ok(())
    }

    /// Takes note of what became of its device's family.
    ///
    /// # Errors
    /// The session ends.
    pub(crate) fn handle_change(
        &mut self,
        family: Family,
        change: FamilyChange,
        turn: &mut Turn,
    ) -> Result<(), Reason> {
        let must_leave = self.device.as_mut().is_some_and(|device| device.handle_change(family, change));
        if must_leave { Err(self.refuse(Refusal::Revoked, turn)) } else { Ok(()) }
    }

    /// Does it wait for an answer about its device?
    pub(crate) fn is_asking(&self) -> bool {
        self.device.as_ref().is_some_and(|device| device.is_waiting())
    }

    /// May the endpoint's bytes go to this client?
    pub(crate) fn is_let_in(&self) -> bool {
        self.device.as_ref().is_none_or(|device| device.is_in())
    }

    /// The device that has logged in.
    pub(crate) fn family(&self) -> Option<(&ClientId, Family)> {
        self.device.as_ref()?.family()
    }

    /// When a device must have logged in, or the question about one be answered.
    pub(crate) fn patience(&self) -> Tick {
        self.device.as_ref().map_or(Tick::NEVER, |device| device.patience())
    }

    /// The questions to be asked, with their serials.
    pub(crate) fn take_asks(&mut self) -> Vec<(u16, Ask)> {
        self.device.as_mut().map(|device| device.take_asks()).unwrap_or_default()
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
        self.late.is_some() || self.is_full() || turn.is_spent() || self.is_asking()
    }

    /// Does too much of its own wait to be said?
    pub(crate) fn is_full(&self) -> bool {
        self.own.len() >= OWN_AT_MOST
    }

    /// Is there something of the client's that was read and not passed on?
    pub(crate) fn holds(&self) -> bool {
        let is_shown = self.device.as_ref().is_some_and(|device| device.has_shown());
        self.late.is_some() || is_shown || !self.held.is_empty()
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

/// A grant as it is told.
fn granted((token, grant): (&str, Grant)) -> Granted<'_> {
    Granted { token, expires_at: grant.expires_at }
}
