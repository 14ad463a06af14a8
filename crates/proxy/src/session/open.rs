//! Doing what the opening machine says: greet, resolve, dial, tell.

use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::config::{ProxyHeader, Transport};
use portcullis_core::endpoint::{Host, HostName};
use portcullis_core::limit::entrance::Client;
use portcullis_core::opening::{Action, DialError, Input, Opening, Terms};
use portcullis_core::outcome::Reason;
use portcullis_core::resolver::{Ask, Resolved, Target};
use portcullis_core::snapshot::ListenerPlan;
use portcullis_core::upstream::Place;
use portcullis_core::wheel::Tick;
use portcullis_sys::epoll::Event;

use crate::handle::{Asked, NameError, Question};
use crate::io::Io;
use crate::leg::{
    self, Asking, Caller, Established, Introduction, Kcp, Leg, Onward, Opened, Received, Whose, message,
};
use crate::session::dial::{Plan, dial_tcp, dialling, onward, source, why};
use crate::session::queue::place_of;
use crate::session::{Phase, Session, Step};

/// What a session is while it opens: the machine and what its actions need.
#[derive(Debug)]
pub(super) struct Gate {
    machine: Opening,
    caller: Caller,
    greeted: bool,
    read_at_most: usize,
    /// A key whose turn for an expensive step has not come.
    key: Option<Option<Box<str>>>,
    pub(super) plan: Plan,
    /// Its place among those who wait for an endpoint to have room.
    pub(super) place: Option<Place>,
    awaited: Option<Awaited>,
    serial: u16,
    connected: bool,
    /// What the endpoint is told before it is ready.
    onward: Onward,
    /// The target's name, where the key has one.
    host: Option<HostName>,
    /// When the last attempt that may have failed was begun, as [`Clock::elapsed`](crate::io::Clock::elapsed).
    pub(super) dialled: Option<Duration>,
    /// Is its client not known yet, and so not let in?
    is_client_due: bool,
    /// Why its client is not let in, where its key is known already: it is refused like any other key.
    unwanted: Option<Reason>,
}

/// What an answer of the control plane is for.
#[derive(Debug)]
enum Awaited {
    /// The addresses of a key's target; each must be allowed.
    Target(HostName),
    /// The addresses of an upstream's endpoint.
    Endpoint,
}

impl Gate {
    pub(super) fn new(plan: &ListenerPlan, peer: SocketAddr, now: Tick, is_client_due: bool) -> Self {
        Self {
            machine: Opening::new(Terms::from(&plan.settings), now),
            caller: Caller::new(peer),
            greeted: false,
            read_at_most: 0,
            key: None,
            plan: Plan::Nothing,
            place: None,
            awaited: None,
            serial: 0,
            connected: false,
            onward: Onward::default(),
            host: None,
            dialled: None,
            is_client_due,
            unwanted: None,
        }
    }

    pub(super) fn is_greeting(&self) -> bool {
        self.machine.is_greeting()
    }

    pub(super) fn poll_timeout(&self) -> Tick {
        self.machine.poll_timeout()
    }

    /// The poller saw something of the endpoint: the attempt is decided.
    pub(super) fn endpoint_moved(&mut self, event: &Event) {
        self.connected |= event.writable || event.readable;
    }
}

impl Session {
    /// Goes on with the opening as far as possible.
    pub(super) fn open(&mut self, io: &mut Io) -> Step {
        if self.client.hung_up() && !self.is_greeting() {
            return self.feed(Input::ClientGone, io);
        }
        let Phase::Opening(gate) = &mut self.phase else { return Step::Wait };
        // A deadline comes first: no progress in the same turn extends it.
        if io.now >= gate.poll_timeout() {
            gate.key = None;
            return self.feed(Input::Due, io);
        }
        if gate.machine.is_queued() {
            return self.look(io); // it may have been called
        }
        if let Some(key) = gate.key.take() {
            return self.resolve(key, io);
        }
        if gate.connected {
            gate.connected = false;
            return self.endpoint_decided(io);
        }
        if !gate.greeted {
            let opened = self.client.open(&mut gate.caller, &self.plan, io);
            // Who stands between may have said whose connection it is: from here on it is that client's.
            let is_told = gate.caller.client() != self.client_address || matches!(opened, Opened::Ready(_));
            self.client_address = gate.caller.client();
            if gate.is_client_due && is_told {
                gate.is_client_due = false;
                let has_key = matches!(opened, Opened::Ready(Some(_)));
                if let Err(reason) = self.admit_client(io) {
                    if !has_key {
                        return self.over(reason);
                    }
                    if let Phase::Opening(gate) = &mut self.phase {
                        gate.unwanted = Some(reason);
                    }
                }
            }
            match opened {
                Opened::NotYet => {}
                Opened::Later => return Step::Again,
                Opened::Ready(key) => {
                    if let Phase::Opening(gate) = &mut self.phase {
                        gate.greeted = true;
                    }
                    return self.feed(Input::ClientOpen(key), io);
                }
                Opened::Refused(Reason::ProxyHeader) => return self.over(Reason::ProxyHeader),
                Opened::Refused(reason) => return self.part(reason, io),
                Opened::Ended => return self.feed(Input::ClientEnded, io),
            }
        } else if gate.read_at_most > 0 && gate.is_greeting() && self.client.may_read() {
            return self.read_hello(io);
        }
        self.feed_due(io)
    }

    /// Lets in the client that somebody in between has told of. A proxy that speaks for itself, as for a check of
    /// health, is nobody's client.
    fn admit_client(&mut self, io: &mut Io) -> Result<(), Reason> {
        let Phase::Opening(gate) = &self.phase else { return Ok(()) };
        if !self.plan.settings.proxy_protocol.is_empty() && !gate.caller.is_told() {
            return Ok(());
        }
        let client = Client { ip: self.client_address.ip(), is_claimed: false };
        io.admit_client(&self.plan, client, &mut self.permit)
    }

    fn feed_due(&mut self, io: &mut Io) -> Step {
        match &self.phase {
            Phase::Opening(gate) if io.now >= gate.poll_timeout() => self.feed(Input::Due, io),
            _ => Step::Wait,
        }
    }

    /// Feeds the machine and does what it says.
    pub(super) fn feed(&mut self, input: Input<'_>, io: &mut Io) -> Step {
        let Phase::Opening(gate) = &mut self.phase else { return Step::Wait };
        let now = if matches!(input, Input::Due) { io.now } else { io.next_tick() };
        let action = gate.machine.handle(now, input);
        self.act(action, io)
    }

    fn act(&mut self, action: Action, io: &mut Io) -> Step {
        match action {
            Action::Wait => Step::Wait,
            Action::Read(at_most) => {
                if let Phase::Opening(gate) = &mut self.phase {
                    gate.read_at_most = at_most;
                }
                if self.client.may_read() { self.read_hello(io) } else { Step::Wait }
            }
            Action::Resolve(key) => self.resolve(key, io),
            Action::Dial => self.dial(io),
            Action::Look => self.look(io),
            Action::AbandonDial => self.dial_failed(DialError::Timeout, io),
            Action::Relay { surplus } => self.begin_relay(surplus, io),
            Action::Refuse(reason) => self.refuse(reason, io),
            Action::Close(reason) => self.give_up(reason, io),
        }
    }

    /// Reads no more than the hello may still need, so that a stream's bytes stay in the kernel.
    fn read_hello(&mut self, io: &mut Io) -> Step {
        let Phase::Opening(gate) = &mut self.phase else { return Step::Wait };
        let room = gate.read_at_most.min(io.buffer.len());
        let action = match self.client.receive(&mut io.buffer[..room], &mut io.lent) {
            Received::Last(0) => return self.feed_due(io),
            Received::Some(0) => return Step::Again, // what came was none of the hello's
            Received::Some(count) | Received::Last(count) => {
                gate.machine.handle(io.next_tick(), Input::Bytes(&io.buffer[..count]))
            }
            Received::Eof => gate.machine.handle(io.now, Input::ClientEnded),
            Received::Broken | Received::Violation(_) => gate.machine.handle(io.now, Input::ClientGone),
        };
        self.act(action, io)
    }

    /// Finds the target of a key; a signature waits for a turn that can afford it.
    fn resolve(&mut self, key: Option<Box<str>>, io: &mut Io) -> Step {
        let Phase::Opening(gate) = &mut self.phase else { return Step::Wait };
        if let Some(reason) = gate.unwanted {
            return self.feed(Input::Unresolved(reason), io);
        }
        let plan = Arc::clone(&self.plan);
        if plan.route.resolver.is_expensive() {
            if io.expensive == 0 {
                gate.key = Some(key);
                return Step::Again;
            }
            io.expensive -= 1;
        }
        let client = self.client_address.ip();
        if !io.may_dial(client, self.is_address_claimed()) {
            return self.feed(Input::Unresolved(Reason::DialBudget), io);
        }
        let ask = Ask { key: key.as_deref().unwrap_or_default(), client, now: io.clock.wall_now() };
        match plan.route.resolver.resolve(&ask, &self.snapshot.own) {
            Ok(Resolved { target, identity }) => {
                self.identity = identity.or_else(|| self.client.identity());
                self.aim(target, key.as_deref(), io)
            }
            Err(refusal) => self.feed(Input::Unresolved(refusal.into()), io),
        }
    }

    /// The target is known: dial it, or ask for its addresses first.
    fn aim(&mut self, target: Target, key: Option<&str>, io: &mut Io) -> Step {
        let Phase::Opening(gate) = &mut self.phase else { return Step::Wait };
        let dial = &self.plan.route.dial;
        match target {
            Target::Address(address) => {
                self.target = Some(address.to_string().into());
                gate.plan = Plan::Addresses { list: vec![address], next: 0 };
                let plan = dialling(dial, true);
                self.feed(Input::Resolved(plan), io)
            }
            Target::Name { host, port } => {
                self.target = Some(format!("{}:{port}", host.as_str()).into());
                self.ask(Awaited::Target(host.clone()), host, Some(port), io)
            }
            Target::Service { host } => {
                self.target = Some(host.as_str().into());
                self.ask(Awaited::Target(host.clone()), host, None, io)
            }
            Target::Upstream(name) => {
                let upstream = self.snapshot.upstream(&name).cloned();
                let upstream = upstream.or_else(|| self.plan.route.default.clone());
                let Some(upstream) = upstream else {
                    return self.feed(Input::Unresolved(Reason::KeyUnknown), io);
                };
                self.target = Some(name.as_str().into());
                let plan = dialling(&upstream.settings.dial, upstream.endpoints().count() == 1);
                let client = place_of(&upstream, key, self.client_address.ip());
                gate.plan = Plan::Upstream { upstream, tried: Vec::new(), client };
                self.feed(Input::Resolved(plan), io)
            }
        }
    }

    fn ask(&mut self, awaited: Awaited, host: HostName, port: Option<NonZeroU16>, io: &mut Io) -> Step {
        let Phase::Opening(gate) = &mut self.phase else { return Step::Wait };
        gate.serial = gate.serial.wrapping_add(1);
        gate.awaited = Some(awaited);
        let asked = Asked { worker: io.worker, serial: gate.serial, token: self.token };
        io.questions.push(Question { asked, host, port });
        Step::Wait
    }

    /// Takes the control plane's answer; one to an earlier question does nothing.
    pub(crate) fn answer(
        &mut self,
        serial: u16,
        answer: Result<Vec<SocketAddr>, NameError>,
        io: &mut Io,
    ) -> Step {
        let Phase::Opening(gate) = &mut self.phase else { return Step::Wait };
        if gate.serial != serial {
            return Step::Wait;
        }
        match (gate.awaited.take(), answer) {
            (None, _) => Step::Wait,
            (Some(Awaited::Target(host)), Ok(answers)) => self.admit(&host, &answers, io),
            (Some(Awaited::Target(_)), Err(error)) => self.feed(Input::Unresolved(unnamed(error)), io),
            (Some(Awaited::Endpoint), Ok(answers)) if !answers.is_empty() => {
                let address = answers[gate.plan.earlier_attempts() % answers.len()];
                self.connect(address, io)
            }
            (Some(Awaited::Endpoint), _) => self.dial_failed(DialError::Unreachable, io),
        }
    }

    /// Every address of a name is checked; only checked addresses are dialled.
    fn admit(&mut self, host: &HostName, answers: &[SocketAddr], io: &mut Io) -> Step {
        let (resolver, own) = (&self.plan.route.resolver, &self.snapshot.own);
        let client = self.client_address.ip();
        let checked: Vec<_> =
            answers.iter().map(|answer| resolver.admit(client, own, host, *answer)).collect();
        let allowed: Vec<SocketAddr> =
            checked.iter().filter_map(|address| address.as_ref().ok().copied()).collect();
        if allowed.is_empty() {
            let refused = checked.into_iter().find_map(Result::err);
            return self.feed(Input::Unresolved(refused.map_or(Reason::NameNotFound, Reason::from)), io);
        }
        let plan = dialling(&self.plan.route.dial, allowed.len() == 1);
        if let Phase::Opening(gate) = &mut self.phase {
            gate.plan = Plan::Addresses { list: allowed, next: 0 };
            gate.host = Some(host.clone());
        }
        self.feed(Input::Resolved(plan), io)
    }

    /// Begins one attempt; a new attempt at an upstream takes a new lease.
    fn dial(&mut self, io: &mut Io) -> Step {
        self.endpoint = None;
        let Phase::Opening(gate) = &mut self.phase else { return Step::Wait };
        gate.awaited = None; // an answer to an attempt that was given up is none to this one
        let host = match &mut gate.plan {
            Plan::Nothing => return self.dial_failed(DialError::NoEndpoint, io),
            Plan::Addresses { list, next } => {
                let address = list[*next % list.len()];
                *next += 1;
                return self.connect(address, io);
            }
            Plan::Upstream { .. } => match self.take_lease(io) {
                Ok(lease) => self.lease.insert(lease).endpoint().address.clone(),
                Err(step) => return step,
            },
        };
        if let Phase::Opening(gate) = &mut self.phase {
            gate.plan.tries(&host);
        }
        if let Some(step) = self.take_warm(io) {
            return step;
        }
        match host.host {
            Host::Ip(ip) => self.connect(SocketAddr::new(ip, host.port.get()), io),
            Host::Name(name) => self.ask(Awaited::Endpoint, name, Some(host.port), io),
        }
    }

    fn connect(&mut self, address: SocketAddr, io: &mut Io) -> Step {
        let Phase::Opening(gate) = &mut self.phase else { return Step::Wait };
        gate.connected = false;
        let (dial, crypt, tls) = match &gate.plan {
            Plan::Upstream { upstream, .. } => (&upstream.settings.dial, &upstream.crypt, &upstream.tls),
            Plan::Nothing | Plan::Addresses { .. } => {
                (&self.plan.route.dial, &self.plan.route.crypt, &self.plan.route.tls)
            }
        };
        gate.onward = onward(dial, tls.as_deref(), gate.plan.host().or(gate.host.as_ref()), address);
        if dial.proxy_protocol == ProxyHeader::V2 {
            let header = Introduction {
                client: self.client_address,
                destination: gate.caller.destination().or_else(|| self.client.reached(io)),
                authority: self.client.server_name().or(gate.caller.name()),
                session: self.id,
                identity: self.identity.as_deref(),
            };
            gate.onward.introduce(&header, dial);
        }
        let turn = self.id.0 / io.shared.mailboxes.len() as u64 + gate.plan.earlier_attempts() as u64;
        let source = source(dial, address, turn);
        gate.dialled = Some(io.clock.elapsed());
        self.endpoint_address = Some(address);
        let leg = match (&dial.transport, crypt) {
            (Transport::Kcp(settings), Some(crypt)) => {
                let terms = leg::Terms { settings: Arc::clone(settings), crypt: Arc::clone(crypt) };
                // Without a question there is no answer to wait for.
                gate.connected = !settings.probe;
                Kcp::dialled(address, source, &terms, io).map(Leg::kcp)
            }
            _ => dial_tcp(address, source, dial, (&self.snapshot.config, io)),
        };
        let leg = match &dial.ws {
            Some(settings) => {
                let endpoint = gate.plan.called(address, self.target.as_deref());
                let client = self.client_address.ip();
                let whose = Whose { endpoint: &endpoint, client, is_secure: self.plan.tls.is_some() };
                leg.and_then(|leg| Ok(leg.asking(Asking::new(settings, &whose, &mut io.dice)?)))
            }
            None => leg,
        };
        match leg.and_then(|leg| leg.watch(&io.poller, self.token | 1).map(|()| leg)) {
            Ok(leg) => {
                self.endpoint = Some(leg);
                if matches!(&self.phase, Phase::Opening(gate) if gate.connected) {
                    Step::Again
                } else {
                    Step::Wait
                }
            }
            Err(error) => self.dial_failed(why(&error), io),
        }
    }

    /// The poller saw the endpoint's socket writable or broken.
    fn endpoint_decided(&mut self, io: &mut Io) -> Step {
        let (Phase::Opening(gate), Some(endpoint)) = (&mut self.phase, &mut self.endpoint) else {
            return Step::Wait;
        };
        match endpoint.establish(&mut gate.onward, io) {
            Established::Ready => {
                self.judge_endpoint(None, io);
                self.feed(Input::EndpointOpen, io)
            }
            Established::Failed(error) => self.dial_failed(why(&error), io),
            Established::Untrusted => self.dial_failed(DialError::Untrusted, io),
            Established::NotYet => self.feed_due(io),
            Established::Later => {
                gate.connected = true;
                Step::Again
            }
        }
    }

    pub(super) fn dial_failed(&mut self, error: DialError, io: &mut Io) -> Step {
        self.judge_endpoint(Some(error), io);
        self.endpoint = None;
        self.give_back(io);
        if let Phase::Opening(gate) = &mut self.phase {
            gate.awaited = None;
        }
        self.feed(Input::DialFailed(error), io)
    }

    /// Success goes out only here, when the endpoint is open: clients take the reply as «my server is
    /// there» and start their own timers on it.
    fn begin_relay(&mut self, surplus: Box<[u8]>, io: &mut Io) -> Step {
        let settings = &self.plan.settings;
        self.client.say(&message(settings.hello, &settings.success_message), &mut io.lent);
        self.client.put_back(surplus);
        // In frame mode messages are pieces of a stream: their borders mean nothing.
        if self.plan.settings.frames.is_none()
            && let Some(endpoint) = &mut self.endpoint
            && endpoint.has_farewells()
            && self.client.has_farewells()
        {
            endpoint.keep_borders();
            self.client.keep_borders();
        }
        self.opened(io);
        self.relay(io)
    }

    fn refuse(&mut self, reason: Reason, io: &mut Io) -> Step {
        self.endpoint = None;
        self.give_back(io);
        let Phase::Opening(gate) = &self.phase else { return Step::Wait };
        let greeted = gate.greeted;
        self.charge(reason, io);
        if !greeted {
            return self.over(reason); // its codec cannot say anything yet
        }
        let settings = &self.plan.settings;
        self.client.say(&message(settings.hello, &settings.failure_message), &mut io.lent);
        self.part(reason, io)
    }
}

/// Why a target's name led nowhere.
fn unnamed(error: NameError) -> Reason {
    match error {
        NameError::NotFound => Reason::NameNotFound,
        NameError::Timeout => Reason::NameTimeout,
        NameError::Busy => Reason::Overload,
    }
}
