//! The story of one session: accept, open, relay, end.
//!
//! One explicit struct from accept to the end, stepped by its worker whenever something may have
//! changed. What comes before the first byte is relayed is told in [`open`] with the pure machine in
//! `core/opening.rs`; what happens while bytes flow in [`relay`], how a session ends in [`close`].

mod close;
mod device;
mod dial;
mod live;
mod open;
mod queue;
mod relay;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_core::outcome::{Ended, Path, Reason, SessionId};
use portcullis_core::snapshot::{ListenerPlan, Snapshot};
use portcullis_core::upstream::{EndpointState, Lease};
use portcullis_core::wheel::Tick;
use portcullis_sys::epoll::Event;

use crate::admission::{Permit, is_told_later};
use crate::handle::{Opened, Told};
use crate::io::Io;
use crate::leg::{Frames, Kcp, Leg};
use crate::meter::Meter;
use crate::relay::Flow;
use close::{Parting, Resetting};
pub(crate) use dial::{dial_tcp, onward, source, why};
use open::Gate;

/// One client connection and all that serves it.
#[derive(Debug)]
pub(crate) struct Session {
    id: SessionId,
    token: u64,
    plan: Arc<ListenerPlan>,
    snapshot: Arc<Snapshot>,
    meter: Arc<Meter>,
    permit: Permit,
    client: Leg,
    endpoint: Option<Leg>,
    lease: Option<Lease>,
    /// What is known of its frames, if it speaks in them, once it is open.
    frames: Option<Box<Frames>>,
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
    /// What both sides ask for, once it is open.
    path: Path,
    /// When a break that cannot be read yet is passed on all the same.
    broke: Tick,
    /// Unacknowledged bytes when silence was last looked at.
    owed: u32,
    lasting: bool,
}

/// How long a session is young. What only a lasting one needs is not set up for a young one.
const YOUNG: Duration = Duration::from_secs(10);

/// Nobody forges so many bytes for one session.
const GROWN_BYTES: u64 = 16 * 1024;

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
        let later = is_told_later(&plan, peer.ip());
        let gate = Box::new(Gate::new(&plan, peer, io.next_tick(), later));
        Self {
            id,
            token,
            plan,
            snapshot,
            meter,
            permit,
            client,
            endpoint: None,
            lease: None,
            frames: None,
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
            path: Path::Copy,
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

    /// Its client's conversation, if it speaks by datagrams.
    pub(crate) fn talk(&self) -> Option<&Kcp> {
        self.client.talk()
    }

    /// Its client's conversation.
    pub(crate) fn talk_mut(&mut self) -> Option<&mut Kcp> {
        self.client.talk_mut()
    }

    /// Where its client is, as far as that is known.
    pub(crate) fn client_ip(&self) -> IpAddr {
        self.client_address.ip()
    }

    /// Bytes that are held for it, here and in the kernel, because a peer does not take them.
    pub(crate) fn held_bytes(&self) -> usize {
        self.client.unacknowledged() + self.endpoint.as_ref().map_or(0, Leg::unacknowledged)
    }

    /// Cuts it so that nothing is held for it any longer.
    pub(crate) fn shed(&mut self) {
        self.client.reset();
        if let Some(endpoint) = &mut self.endpoint {
            endpoint.reset();
        }
        self.cut(Reason::Shed);
    }

    /// The counters of its listener.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Takes a datagram of its client. With `zero_copy` payload that may go straight to the endpoint goes to
    /// `run`, to be handed over before the next step.
    pub(crate) fn handle_datagram<'b>(&mut self, now: Tick, plain: &'b [u8], run: &mut Vec<&'b [u8]>) {
        let straight = self.plan.settings.zero_copy
            && matches!(self.phase, Phase::Relaying)
            && self.frames.is_none()
            && run.len() < self.run_at_most()
            && !self.up.holds_bytes()
            && self.endpoint.as_ref().is_some_and(|to| to.plain().is_some() && !to.is_blocked());
        self.client.handle_datagram(now, plain, straight.then_some(run));
    }

    /// How many pieces may go straight to the endpoint in one batch: with what then waits to be read no more than
    /// two windows, however much a peer sends unasked.
    fn run_at_most(&self) -> usize {
        self.plan.settings.kcp.as_ref().map_or(0, |kcp| usize::from(kcp.arq.receive_window))
    }

    /// Writes what came in one batch to the endpoint, from where it lies.
    pub(crate) fn hand_over(&mut self, run: &[&[u8]], io: &mut Io) {
        let before = self.moved_bytes();
        let Some(endpoint) = &mut self.endpoint else { return };
        self.up.hand_over(run, endpoint, &mut io.lent);
        self.count(before, io);
    }

    /// Is its address only what its datagrams claim?
    fn is_address_claimed(&self) -> bool {
        self.talk().is_some_and(|talk| !talk.is_proven())
    }

    /// Need its address be doubted no more? It echoed a secret of ours, has sent what no forger would spend,
    /// or goes on for longer than one would.
    pub(crate) fn is_grown(&self) -> bool {
        let is_proven = self.talk().is_none_or(Kcp::is_proven);
        let heard = self.client.heard_at().unwrap_or(self.began);
        is_proven || self.up.bytes >= GROWN_BYTES || heard >= self.began.after(YOUNG)
    }

    /// Has it a lease on that very endpoint?
    pub(crate) fn is_at(&self, endpoint: &Arc<EndpointState>) -> bool {
        self.lease.as_ref().is_some_and(|lease| Arc::ptr_eq(lease.endpoint(), endpoint))
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
        if let Phase::Over(_) = self.phase {
            return Step::Over; // it was cut: nothing more is said
        }
        let before = self.moved_bytes();
        let more = self.listen(io);
        let step = match &self.phase {
            Phase::Opening(_) => self.open(io),
            Phase::Relaying => self.relay(io),
            Phase::Resetting(_) => self.resetting(io),
            Phase::Parting(_) => self.parting(io),
            Phase::Over(_) => Step::Over,
        };
        self.count(before, io);
        self.ask_about_device(io);
        match step {
            Step::Wait if self.speak(io) || more => Step::Again,
            Step::Wait => Step::Wait,
            Step::Again | Step::Over => {
                self.speak(io);
                step
            }
        }
    }

    /// Takes what came for legs with a socket of their own; true: there may be more.
    fn listen(&mut self, io: &mut Io) -> bool {
        let cell = &self.meter.cell(usize::from(io.worker)).kcp;
        self.endpoint.as_mut().is_some_and(|endpoint| endpoint.pull(io, cell))
    }

    /// Lets conversations say what is due; true: one was found dead just now.
    fn speak(&mut self, io: &mut Io) -> bool {
        let cell = &self.meter.cell(usize::from(io.worker)).kcp;
        let client_died = self.client.speak(io, cell);
        client_died | self.endpoint.as_mut().is_some_and(|endpoint| endpoint.speak(io, cell))
    }

    /// The moment at which it wants to be stepped, whatever happens.
    pub(crate) fn poll_timeout(&self) -> Tick {
        let legs = self.endpoint.as_ref().map_or(Tick::NEVER, Leg::poll_timeout);
        self.phase_timeout().min(legs).min(self.client.poll_timeout())
    }

    fn phase_timeout(&self) -> Tick {
        match &self.phase {
            Phase::Opening(gate) => gate.poll_timeout(),
            Phase::Relaying => self.relay_timeout(),
            Phase::Resetting(resetting) => resetting.poll_timeout(),
            Phase::Parting(parting) => parting.poll_timeout(),
            Phase::Over(_) => Tick::NEVER,
        }
    }

    /// Payload bytes moved so far: up, down, and of both those that were spliced.
    fn moved_bytes(&self) -> (u64, u64, u64) {
        (self.up.bytes, self.down.bytes, self.up.spliced + self.down.spliced)
    }

    /// Adds what a step has moved to the counters.
    fn count(&mut self, before: (u64, u64, u64), io: &Io) {
        if let Some(frames) = &mut self.frames {
            self.meter.cell(usize::from(io.worker)).frames.count(frames.take_counts());
        }
        let now = self.moved_bytes();
        if now != before {
            let cell = self.meter.cell(usize::from(io.worker));
            cell.up_bytes.add(now.0 - before.0);
            cell.down_bytes.add(now.1 - before.1);
            let (all, spliced) = (now.0 - before.0 + now.1 - before.1, now.2 - before.2);
            cell.moved(Path::Splice, spliced);
            cell.moved(self.path, all - spliced);
        }
    }

    /// The client has its endpoint: told once, counted once.
    fn opened(&mut self, io: &mut Io) {
        self.opened = io.now;
        self.heard = io.now;
        self.moved = io.now;
        self.pinged = io.now;
        self.phase = Phase::Relaying;
        if let Some(settings) = &self.plan.settings.frames {
            let frames = Frames::new(settings, &self.plan.entrance, io.next_tick());
            let by = Tick(self.began.0 + 1).after(self.plan.settings.hello_timeout);
            self.frames = Some(Box::new(match self.plan.settings.tokens {
                Some(_) => frames.of_device(by),
                None => frames,
            }));
        }
        self.path = self.client.path().max(self.endpoint.as_ref().map_or(Path::Copy, Leg::path));
        if self.frames.is_some() {
            self.path = Path::Frames;
        }
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
        self.give_back(io);
        self.leave_family(io);
        if let Some((seat, conv)) = self.client.talk().and_then(Kcp::seat) {
            // One that was cut for being unproven may knock again: its client may be real.
            let tombstone = (reason != Reason::Unproven).then_some(2 * self.plan.settings.idle_timeout);
            io.shards.leave(io.now, seat, conv, tombstone);
        }
        let cell = self.meter.cell(usize::from(io.worker));
        // Who sees that it is gone also sees why.
        if self.was_open() {
            cell.closed(reason)
        } else {
            cell.refused(reason)
        }
        cell.sessions.less(1);
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
            path: if self.up.spliced + self.down.spliced > 0 { Path::Splice } else { self.path },
            began: io.clock.wall(self.began),
            opened_after: self.was_open().then(|| self.opened.since(self.began)),
            lasted: io.now.since(self.began),
        };
        io.told.push(Told::Ended(Box::new(ended)));
    }
}
