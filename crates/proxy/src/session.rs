//! The story of one session: accept, open, relay, end.
//!
//! One explicit struct from accept to the end, stepped by its worker whenever something may have
//! changed. What comes before the first byte is relayed is told in [`open`] with the pure machine in
//! `core/opening.rs`; how a session ends is told in [`close`].

mod close;
mod open;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_core::config::Idle;
use portcullis_core::outcome::{Ended, Reason, SessionId};
use portcullis_core::snapshot::{Lease, ListenerPlan, Snapshot};
use portcullis_core::wheel::Tick;
use portcullis_sys::epoll::Event;

use crate::admission::Permit;
use crate::handle::{Opened, Told};
use crate::io::Io;
use crate::leg::{Codec, Leg};
use crate::meter::Meter;
use crate::relay::{Flow, Pumped};
use close::{Parting, Resetting};
use open::Gate;

/// One client connection and all that serves it.
#[derive(Debug)]
pub(crate) struct Session {
    id: SessionId,
    token: u64,
    plan: Arc<ListenerPlan>,
    snapshot: Arc<Snapshot>,
    meter: Arc<Meter>,
    _permit: Permit,
    client: Leg,
    endpoint: Option<Leg>,
    lease: Option<Lease>,
    phase: Phase,
    up: Flow,
    down: Flow,
    first_end: Option<Reason>,
    client_address: SocketAddr,
    endpoint_address: Option<SocketAddr>,
    target: Option<Box<str>>,
    identity: Option<Box<str>>,
    began: Tick,
    /// When it was open; `NEVER` before.
    opened: Tick,
    heard: Tick,
    moved: Tick,
    pinged: Tick,
    /// When a break that cannot be read yet is passed on all the same.
    broke: Tick,
    /// Unacknowledged bytes when silence was last looked at.
    owed: u32,
    lasting: bool,
}

/// How long a session is young. What only a lasting one needs is not set up for a young one.
const YOUNG: Duration = Duration::from_secs(10);

/// Where the story is.
#[derive(Debug)]
enum Phase {
    Opening(Box<Gate>),
    Relaying,
    Resetting(Box<Resetting>),
    Parting(Box<Parting>),
    Over(Reason),
}

/// What the worker does with a session after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing until an event or the deadline.
    Wait,
    /// Step it again in the next turn: it stopped for the budget.
    Again,
    /// Free it.
    Over,
}

/// Which leg of a session an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Endpoint,
}

/// Where a session comes from.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) client: Leg,
    pub(crate) peer: SocketAddr,
    pub(crate) plan: Arc<ListenerPlan>,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) permit: Permit,
}

impl Session {
    /// Begins a session at accept.
    pub(crate) fn begin(id: SessionId, token: u64, arrival: Arrival, io: &Io) -> Self {
        let Arrival { client, peer, plan, snapshot, meter, permit } = arrival;
        let gate = Box::new(Gate::new(&plan, io.next_tick()));
        Self {
            id,
            token,
            plan,
            snapshot,
            meter,
            _permit: permit,
            client,
            endpoint: None,
            lease: None,
            phase: Phase::Opening(gate),
            up: Flow::default(),
            down: Flow::default(),
            first_end: None,
            client_address: peer,
            endpoint_address: None,
            target: None,
            identity: None,
            began: io.now,
            opened: Tick::NEVER,
            heard: io.now,
            moved: io.now,
            pinged: io.now,
            broke: Tick::NEVER,
            owed: u32::MAX,
            lasting: false,
        }
    }

    /// The client's leg, to be watched.
    pub(crate) fn client(&self) -> &Leg {
        &self.client
    }

    /// Takes note of what the poller saw.
    pub(crate) fn note(&mut self, side: Side, event: &Event) {
        match (side, &mut self.endpoint) {
            (Side::Client, _) => self.client.note(event),
            (Side::Endpoint, Some(endpoint)) => {
                endpoint.note(event);
                if let Phase::Opening(gate) = &mut self.phase {
                    gate.endpoint_moved(event);
                }
            }
            (Side::Endpoint, None) => {} // an abandoned attempt
        }
    }

    /// Was it ever open?
    fn was_open(&self) -> bool {
        self.opened != Tick::NEVER
    }

    /// Is its hello still in progress?
    pub(crate) fn is_greeting(&self) -> bool {
        matches!(&self.phase, Phase::Opening(gate) if gate.is_greeting())
    }

    /// Its hello is in progress.
    pub(crate) fn joined_line(&self, io: &Io) {
        self.meter.cell(usize::from(io.worker)).hellos.add(1);
    }

    /// Its hello is no longer in progress.
    pub(crate) fn left_line(&self, io: &Io) {
        self.meter.cell(usize::from(io.worker)).hellos.less(1);
    }

    /// Goes on as far as possible.
    pub(crate) fn step(&mut self, io: &mut Io) -> Step {
        let before = self.moved_bytes();
        let step = match &self.phase {
            Phase::Opening(_) => self.open(io),
            Phase::Relaying => self.relay(io),
            Phase::Resetting(_) => self.resetting(io),
            Phase::Parting(_) => self.parting(io),
            Phase::Over(_) => Step::Over,
        };
        self.count(before, io);
        step
    }

    /// The moment at which it wants to be stepped, whatever happens.
    pub(crate) fn poll_timeout(&self) -> Tick {
        match &self.phase {
            Phase::Opening(gate) => gate.poll_timeout(),
            Phase::Relaying => self.relay_timeout(),
            Phase::Resetting(resetting) => resetting.poll_timeout(),
            Phase::Parting(parting) => parting.poll_timeout(),
            Phase::Over(_) => Tick::NEVER,
        }
    }

    /// Moves what there is, passes ends on, and sees to silence.
    fn relay(&mut self, io: &mut Io) -> Step {
        let Some(endpoint) = &mut self.endpoint else { return self.over(Reason::Bug) };
        let zero_copy = self.plan.settings.zero_copy;
        self.client.flush(&mut io.lent);
        endpoint.flush(&mut io.lent);
        let mut spent = false;
        if self.client.may_read() || self.up.holds_bytes() {
            match self.up.pump(&mut self.client, endpoint, zero_copy, io) {
                Pumped::Violation(reason) => return self.part(reason, io),
                Pumped::Spent => spent = true,
                Pumped::Drained | Pumped::Blocked | Pumped::Ended => {}
            }
        }
        if endpoint.may_read() || self.down.holds_bytes() {
            match self.down.pump(endpoint, &mut self.client, zero_copy, io) {
                Pumped::Violation(reason) => return self.part(reason, io),
                Pumped::Spent => spent = true,
                Pumped::Drained | Pumped::Blocked | Pumped::Ended => {}
            }
        }
        spent |= self.has_unheard_break();
        self.notice_breaks(io.now);
        self.hear(io.now);
        match self.pass_ends_on(io) {
            Step::Wait if spent => Step::Again,
            Step::Wait if matches!(self.phase, Phase::Relaying) && io.now >= self.relay_timeout() => {
                self.relay_due(io)
            }
            step => step,
        }
    }

    /// Did a write fail on a leg that has more to be read before its break? No event will tell again.
    fn has_unheard_break(&self) -> bool {
        let Some(endpoint) = &self.endpoint else { return false };
        let unheard = |from: &Leg, to: &Leg, flow: &Flow| {
            from.is_broken() && from.may_read() && !to.is_blocked() && !flow.holds_bytes()
        };
        unheard(&self.client, endpoint, &self.up) || unheard(endpoint, &self.client, &self.down)
    }

    /// A break after the peer's end is told by no read. One behind bytes for which the other side has no
    /// room is passed on after a second, and the bytes are lost with it, as they would be in a kernel.
    fn notice_breaks(&mut self, now: Tick) {
        let Some(endpoint) = &mut self.endpoint else { return };
        let mut waits = false;
        for leg in [&mut self.client, endpoint] {
            if leg.has_failed() && leg.has_ended() {
                leg.mark_broken();
            } else if leg.has_failed() && now >= self.broke {
                leg.mark_broken();
                leg.mark_ended();
            } else {
                waits |= leg.has_failed();
            }
        }
        if waits && self.broke == Tick::NEVER {
            self.broke = now.after(close::RESET_WITHIN);
        }
    }

    /// Has the peer taken anything since silence was last looked at?
    fn is_still_taking(&mut self) -> bool {
        let owed = self.client.unacknowledged() + self.endpoint.as_ref().map_or(0, Leg::unacknowledged);
        let owed = u32::try_from(owed).unwrap_or(u32::MAX);
        let less = owed > 0 && owed < self.owed;
        self.owed = owed;
        less
    }

    /// Notes whose bytes were heard in this step.
    fn hear(&mut self, now: Tick) {
        let either = self.plan.settings.idle == Idle::Either;
        if self.up.heard || (either && self.down.heard) {
            self.heard = now;
        }
        // What is dropped because its reader has gone is no progress.
        if self.up.heard || (self.down.heard && !self.client.is_shut()) {
            self.moved = now;
            self.owed = u32::MAX;
        }
        self.up.heard = false;
        self.down.heard = false;
    }

    /// A direction that has ended is ended towards the other leg, after every byte; a break is a break.
    fn pass_ends_on(&mut self, io: &mut Io) -> Step {
        let Some(endpoint) = &mut self.endpoint else { return self.over(Reason::Bug) };
        let (client_ended, endpoint_ended) = (self.client.has_ended(), endpoint.has_ended());
        if !client_ended && !endpoint_ended {
            return Step::Wait;
        }
        if self.first_end.is_none() {
            self.moved = io.now; // the timeout of a half-close counts from the end
        }
        let client_said = if self.client.is_broken() { Reason::ClientReset } else { Reason::ClientEnded };
        let endpoint_said = if endpoint.is_broken() { Reason::EndpointReset } else { Reason::EndpointEnded };
        let first = *self.first_end.get_or_insert(if client_ended { client_said } else { endpoint_said });
        let client_broke = client_ended && self.client.is_broken();
        let endpoint_broke = endpoint_ended && endpoint.is_broken();
        match (client_broke, endpoint_broke) {
            (true, true) => return self.over(first),
            (true, false) => return self.reset_other(Side::Endpoint, client_said, io),
            (false, true) => return self.reset_other(Side::Client, endpoint_said, io),
            (false, false) => {}
        }
        let up_done = client_ended && !self.up.holds_bytes() && !endpoint.is_blocked();
        let down_done = endpoint_ended && !self.down.holds_bytes() && !self.client.is_blocked();
        if up_done && down_done && self.client.can_half_close() {
            return self.over(first);
        }
        if up_done {
            endpoint.shut();
        }
        if !self.client.can_half_close() && (down_done || (client_ended && !self.client.is_blocked())) {
            return self.ws_ended(up_done && down_done, endpoint_ended, io);
        }
        if down_done {
            self.client.shut();
        }
        Step::Wait
    }

    /// A WebSocket cannot end one direction. Endpoint's end: everything, then close 1000. Client's close:
    /// answered; the endpoint reads its end, and what it still says is dropped.
    fn ws_ended(&mut self, both: bool, endpoint_ended: bool, io: &mut Io) -> Step {
        if both || (endpoint_ended && !self.client.has_ended()) {
            return self.part(self.first_end.unwrap_or(Reason::EndpointEnded), io);
        }
        if self.client.has_ended() && !self.client.is_blocked() {
            self.client.shut();
        }
        Step::Wait
    }

    /// The next moment that matters while relaying.
    fn relay_timeout(&self) -> Tick {
        let settings = &self.plan.settings;
        let client_ended = self.client.has_ended();
        let endpoint_ended = self.endpoint.as_ref().is_some_and(Leg::has_ended);
        if client_ended || endpoint_ended {
            return self.moved.after(settings.half_close_timeout).min(self.broke);
        }
        let mut idle = self.heard.after(settings.idle_timeout).min(self.broke);
        if !self.lasting {
            idle = idle.min(self.opened.after(YOUNG));
        }
        match &settings.ws {
            Some(ws) => idle.min(self.heard.max(self.pinged).after(ws.ping_interval)),
            None => idle,
        }
    }

    fn relay_due(&mut self, io: &mut Io) -> Step {
        if self.first_end.is_some() {
            if self.is_still_taking() {
                self.moved = io.now;
                return Step::Wait;
            }
            return self.part(Reason::HalfCloseTimeout, io);
        }
        if io.now >= self.heard.after(self.plan.settings.idle_timeout) {
            // A WebSocket's pong may wait behind a download that is under way.
            if self.plan.settings.ws.is_some() && self.is_still_taking() {
                self.heard = io.now;
                return Step::Wait;
            }
            return self.part(Reason::Idle, io);
        }
        if let (false, Some(endpoint)) = (self.lasting, &self.endpoint) {
            endpoint.keep_watch();
            self.lasting = true;
            return Step::Wait;
        }
        if let Codec::Ws(ws) = self.client.codec() {
            ws.ping();
            self.pinged = io.now;
            self.client.flush(&mut io.lent);
        }
        Step::Wait
    }

    /// Payload bytes moved so far: up, down, and of both those that were spliced.
    fn moved_bytes(&self) -> (u64, u64, u64) {
        (self.up.bytes, self.down.bytes, self.up.spliced + self.down.spliced)
    }

    /// Adds what a step has moved to the counters.
    fn count(&self, before: (u64, u64, u64), io: &Io) {
        let now = self.moved_bytes();
        if now != before {
            let cell = self.meter.cell(usize::from(io.worker));
            cell.up_bytes.add(now.0 - before.0);
            cell.down_bytes.add(now.1 - before.1);
            cell.spliced_bytes.add(now.2 - before.2);
        }
    }

    /// The client has its endpoint: told once, counted once.
    fn opened(&mut self, io: &mut Io) {
        self.opened = io.now;
        self.heard = io.now;
        self.moved = io.now;
        self.pinged = io.now;
        self.phase = Phase::Relaying;
        self.meter.cell(usize::from(io.worker)).opened.add(1);
        if io.shared.tell_opened.load(Ordering::Relaxed)
            && let Some(endpoint) = self.endpoint_address
        {
            let (session, listener) = (self.id, self.plan.settings.name.clone());
            let (client, identity) = (self.client_address, self.identity.clone());
            io.told.push(Told::Opened(Box::new(Opened { session, listener, client, endpoint, identity })));
        }
    }

    /// Ends the story: what is still held is given back, the end is told once and counted once.
    pub(crate) fn finish(mut self, io: &mut Io) {
        let reason = if let Phase::Over(reason) = self.phase { reason } else { Reason::Bug };
        self.up.release(io);
        self.down.release(io);
        let cell = self.meter.cell(usize::from(io.worker));
        cell.sessions.less(1);
        if self.was_open() {
            cell.closed(reason)
        } else {
            cell.refused(reason)
        }
        if !io.shared.tell_ended.load(Ordering::Relaxed) {
            return;
        }
        let ended = Ended {
            session: self.id,
            listener: self.plan.settings.name.clone(),
            client: self.client_address,
            target: self.target.take(),
            endpoint: self.endpoint_address,
            identity: self.identity.take(),
            reason,
            up_bytes: self.up.bytes,
            down_bytes: self.down.bytes,
            spliced: self.up.spliced + self.down.spliced > 0,
            began: io.clock.wall(self.began),
            opened_after: self.was_open().then(|| self.opened.since(self.began)),
            lasted: io.now.since(self.began),
        };
        io.told.push(Told::Ended(Box::new(ended)));
    }
}
