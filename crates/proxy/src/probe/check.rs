//! One probe: rest, find the address, connect, say something, judge what comes back.

mod reach;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::config::{Agent, Health};
use portcullis_core::health::agent::{Line, Said};
use portcullis_core::health::exchange::{Answer as Judged, Exchange, Wrong};
use portcullis_core::upstream::{EndpointState, Upstream};
use portcullis_core::wheel::Tick;
use portcullis_sys::epoll::Event;

use super::{Around, Named, within};
use crate::io::Io;
use crate::leg::{Leg, Onward, Received};
use crate::shards::open_each_other;

/// How long an endpoint must not close that need not answer.
const SILENCE: Duration = Duration::from_secs(1);
/// What is read in one turn, in reads of [`READ`] bytes.
const READS: usize = 4;
const READ: usize = 4096;
/// A silent conversation is asked so often within the timeout of a probe.
const ASKS: u32 = 4;
/// An endpoint that is coming back is asked so many times as often.
const SOONER: u32 = 4;
/// But no more often than this.
const SOONEST: Duration = Duration::from_millis(50);

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Errand {
    /// Is the endpoint fit?
    Health,
    /// What does its agent say?
    Agent(Agent),
}

/// What a probe has found.
#[derive(Debug)]
pub(super) enum Found {
    Good,
    /// Why it is not.
    Bad(Box<str>),
    /// The agent's words.
    Said(Said),
    /// Nothing that says anything about the endpoint.
    Nothing,
}

/// What a step has come to.
#[derive(Debug)]
pub(super) enum Turn {
    Wait,
    /// Step it again in the next turn.
    Again,
    Over(Found),
}

/// One probe.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) upstream: Arc<Upstream>,
    pub(super) endpoint: Arc<EndpointState>,
    errand: Errand,
    token: u64,
    stage: Stage,
    /// Of a conversation it is kept between probes: an endpoint is to see one for all of them.
    leg: Option<Leg>,
    /// Has the poller seen something since the last step?
    moved: bool,
    /// When the running probe began, and when it is too slow.
    began: Tick,
    until: Tick,
    /// Where a name led the last time.
    address: Option<SocketAddr>,
}

#[derive(Debug)]
enum Stage {
    /// Nothing runs until then.
    Resting { at: Tick },
    /// The name was asked for.
    Naming { serial: u16, answer: Option<Named> },
    /// The connection is being made.
    Opening(Box<Onward>),
    /// A conversation is asked whether the endpoint is there; where nothing has to answer, silence until then is
    /// good.
    Asking { heard: Tick, again: Tick, silent: Tick },
    /// Something was said; where silence is good, it is after that moment.
    Listening { exchange: Exchange, silent: Tick },
    /// The agent is listened to.
    Hearing(Line),
}

impl Errand {
    /// How often.
    pub(super) fn interval(self, upstream: &Upstream) -> Duration {
        match self {
            Self::Health => upstream.settings.health.as_ref().map_or(SILENCE, |health| health.interval),
            Self::Agent(agent) => agent.interval,
        }
    }
}

impl Check {
    /// A probe that begins at `first`.
    pub(super) fn new(
        (upstream, endpoint): (Arc<Upstream>, Arc<EndpointState>),
        errand: Errand,
        token: u64,
        first: Tick,
    ) -> Self {
        Self {
            upstream,
            endpoint,
            errand,
            token,
            stage: Stage::Resting { at: first },
            leg: None,
            moved: false,
            began: first,
            until: Tick::NEVER,
            address: None,
        }
    }

    /// Does it ask this, of this endpoint, in this way?
    pub(super) fn is_same(&self, upstream: &Upstream, endpoint: &Arc<EndpointState>, errand: Errand) -> bool {
        let (mine, other) = (&self.upstream, upstream);
        let one_cipher = match (&mine.crypt, &other.crypt) {
            (Some(mine), Some(other)) => open_each_other(mine, other),
            (mine, other) => mine.is_none() && other.is_none(),
        };
        let one_tls = match (&mine.tls, &other.tls) {
            (Some(mine), Some(other)) => Arc::ptr_eq(mine, other),
            (mine, other) => mine.is_none() && other.is_none(),
        };
        Arc::ptr_eq(&self.endpoint, endpoint)
            && self.errand == errand
            && mine.settings.health == other.settings.health
            && mine.settings.dial == other.settings.dial
            && one_cipher
            && one_tls
    }

    /// Takes note of what the poller saw.
    pub(super) fn note(&mut self, event: &Event) {
        if let Some(leg) = &mut self.leg {
            leg.note(event);
            self.moved |= event.writable || event.readable;
        }
    }

    /// Takes an answer about its name; one to an earlier question does nothing.
    pub(super) fn answer(&mut self, to: u16, answered: Named) {
        if let Stage::Naming { serial, answer } = &mut self.stage
            && *serial == to
        {
            *answer = Some(answered);
        }
    }

    /// The moment at which it wants to be stepped.
    pub(super) fn poll_timeout(&self) -> Tick {
        let leg = self.leg.as_ref().map_or(Tick::NEVER, Leg::poll_timeout);
        match &self.stage {
            // What a conversation has to say between probes waits for the next one.
            Stage::Resting { at } => *at,
            Stage::Naming { .. } | Stage::Opening(_) | Stage::Hearing(_) => self.until.min(leg),
            Stage::Asking { again, silent, .. } => self.until.min(*again).min(*silent).min(leg),
            Stage::Listening { silent, .. } => self.until.min(*silent).min(leg),
        }
    }

    /// Goes on as far as possible.
    pub(super) fn step(&mut self, io: &mut Io, around: &mut Around) -> Turn {
        if let Stage::Resting { at } = self.stage {
            if io.now < at {
                return Turn::Wait; // something late was seen; it is looked at with the next probe
            }
            let begun = self.begin(io, around);
            match begun {
                Turn::Wait => {}
                Turn::Over(Found::Bad(_)) if self.errand != Errand::Health => {
                    return Turn::Over(Found::Nothing);
                }
                begun => return begun,
            }
        }
        let more = self.leg.as_mut().is_some_and(|leg| leg.pull(io, &around.cell));
        let turn = match self.go_on(io, around) {
            // Only its words count of an agent: that it cannot be reached is no failure, and what it said holds.
            Turn::Over(Found::Good | Found::Bad(_)) if self.errand != Errand::Health => {
                Turn::Over(Found::Nothing)
            }
            turn => turn,
        };
        let died = self.leg.as_mut().is_some_and(|leg| leg.speak(io, &around.cell));
        match turn {
            Turn::Wait if more || died => {
                self.moved = true;
                Turn::Again
            }
            turn => turn,
        }
    }

    /// What it was about is over: it rests until the next time.
    pub(super) fn rest(&mut self, io: &mut Io) {
        match &mut self.leg {
            Some(leg) if leg.talk().is_some() && !leg.is_broken() => {}
            Some(leg) => {
                leg.conclude(&mut io.lent);
                self.leg = None;
            }
            None => {}
        }
        let interval = self.errand.interval(&self.upstream);
        let is_rising = self.errand == Errand::Health && self.endpoint.fitness.is_rising();
        let interval = if is_rising { (interval / SOONER).max(SOONEST).min(interval) } else { interval };
        // A tenth less to a tenth more.
        let next = interval.mul_f64(0.9) + within(interval.mul_f64(0.2), &mut io.dice);
        let at = self.began.after(next).max(io.now.after(SOONEST.min(interval)));
        self.stage = Stage::Resting { at };
        self.moved = false;
    }

    /// Nothing of its connection is trusted any more.
    pub(super) fn hang_up(&mut self) {
        self.leg = None;
    }

    fn health(&self) -> Option<&Health> {
        self.upstream.settings.health.as_deref()
    }

    fn exchange(&self) -> Option<Exchange> {
        Exchange::of(&self.health()?.kind, &self.endpoint.address.to_string())
    }

    fn go_on(&mut self, io: &mut Io, around: &mut Around) -> Turn {
        let moved = std::mem::take(&mut self.moved);
        let turn = match &mut self.stage {
            Stage::Resting { .. } => return Turn::Wait,
            Stage::Naming { answer, .. } => match answer.take() {
                Some(answer) => self.named(answer, io, around),
                None => Turn::Wait,
            },
            Stage::Opening(_) if moved => self.open(io),
            Stage::Opening(_) => Turn::Wait,
            Stage::Asking { .. } => self.ask(io),
            Stage::Listening { .. } => self.listen(io),
            Stage::Hearing(_) => self.hear(io),
        };
        match turn {
            Turn::Wait if io.now >= self.until => Turn::Over(self.too_slow()),
            turn => turn,
        }
    }

    /// The name server's silence is not the endpoint's.
    fn too_slow(&self) -> Found {
        match &self.stage {
            Stage::Resting { .. } | Stage::Naming { .. } => Found::Nothing,
            Stage::Opening(_) => Found::Bad("it did not answer in time".into()),
            Stage::Asking { .. } | Stage::Listening { .. } | Stage::Hearing(_) => {
                Found::Bad("it did not reply in time".into())
            }
        }
    }

    fn opened(&mut self, io: &mut Io) -> Turn {
        if matches!(self.errand, Errand::Agent(_)) {
            self.stage = Stage::Hearing(Line::default());
            return self.hear(io);
        }
        match self.exchange() {
            // What need not answer was not asked yet.
            None if self.leg.as_ref().and_then(Leg::talk).is_some_and(|talk| !talk.answers()) => {
                self.inquire(io);
                self.ask(io)
            }
            None => Turn::Over(Found::Good),
            Some(exchange) => {
                self.say(exchange, io);
                self.listen(io)
            }
        }
    }

    fn say(&mut self, exchange: Exchange, io: &mut Io) {
        if let Some(leg) = &mut self.leg {
            leg.write_wire([&[], &[], exchange.words()], &mut io.lent);
        }
        let silent = if exchange.wants_silence() { io.next_tick().after(SILENCE) } else { Tick::NEVER };
        // A shorter timeout is a shorter silence.
        self.stage = Stage::Listening { exchange, silent: silent.min(self.until) };
    }

    fn ask(&mut self, io: &Io) -> Turn {
        let timeout = self.health().map_or(SILENCE, |health| health.timeout);
        let (Stage::Asking { heard, again, silent }, Some(leg)) = (&mut self.stage, &mut self.leg) else {
            return Turn::Wait;
        };
        if leg.is_broken() {
            return Turn::Over(Found::Bad("the conversation is dead".into()));
        }
        if leg.heard_at().is_some_and(|at| at > *heard) || io.now >= *silent {
            return Turn::Over(Found::Good);
        }
        if io.now >= *again {
            leg.ask();
            *again = io.now.after((timeout / ASKS).max(SOONEST));
        }
        Turn::Wait
    }

    fn listen(&mut self, io: &mut Io) -> Turn {
        let (Stage::Listening { exchange, silent }, Some(leg)) = (&mut self.stage, &mut self.leg) else {
            return Turn::Wait;
        };
        leg.flush(&mut io.lent);
        for _ in 0..READS {
            if !leg.may_read() {
                break;
            }
            let judged = match leg.receive(&mut io.buffer[..READ], &mut io.lent) {
                Received::Some(count) | Received::Last(count) => exchange.handle_bytes(&io.buffer[..count]),
                Received::Eof | Received::Broken | Received::Violation(_) => exchange.handle_end(),
            };
            match judged {
                Judged::NeedMore => {}
                Judged::Good => return Turn::Over(Found::Good),
                Judged::Bad(wrong) => return Turn::Over(Found::Bad(wrong.to_string().into())),
            }
        }
        if leg.is_broken() {
            return Turn::Over(Found::Bad(Wrong::Closed.to_string().into()));
        }
        // Nothing tells that a conversation is closed; but who is there acknowledges.
        let is_taken = leg.talk().is_none() || leg.unacknowledged() == 0;
        if exchange.wants_silence() && io.now >= *silent && is_taken {
            return Turn::Over(Found::Good);
        }
        if leg.may_read() { Turn::Again } else { Turn::Wait }
    }

    fn hear(&mut self, io: &mut Io) -> Turn {
        let (Stage::Hearing(line), Some(leg)) = (&mut self.stage, &mut self.leg) else { return Turn::Wait };
        for _ in 0..READS {
            if !leg.may_read() {
                return Turn::Wait;
            }
            let said = match leg.receive(&mut io.buffer[..READ], &mut io.lent) {
                Received::Some(count) | Received::Last(count) => line.handle_bytes(&io.buffer[..count]),
                Received::Eof => Some(line.handle_end()),
                Received::Broken | Received::Violation(_) => return Turn::Over(Found::Nothing),
            };
            if let Some(said) = said {
                return Turn::Over(Found::Said(said));
            }
        }
        Turn::Again
    }
}
