//! One thread of the data plane: wait, sort events onto the ready list, step who is ready, free the dead.

mod arrivals;
mod datagrams;
mod desertion;
mod devices;
mod relief;
mod rounds;

use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_core::outcome::{Reason, SessionId};
use portcullis_core::snapshot::Snapshot;
use portcullis_core::wheel::{Tick, Wheel};
use portcullis_sys::datagram::Inbox;
use portcullis_sys::epoll::{Event as Ready, Events, Interest};

use crate::doors::{Door, Doors, Spare};
use crate::handle::{Command, Event, Told};
use crate::io::Io;
use crate::line::Line;
use crate::pool::{self, is_seat};
use crate::probe::{self, Probes};
use crate::ring::Lent;
use crate::session::{Arrival, Session, Side, Step};
use crate::tenants::{Tenant, Tenants, slot};
use desertion::Desertion;

/// The token of the mailbox; door `n` is `DOORS - n`. No session's slot number comes near.
const MAILBOX: u64 = u64::MAX;
const DOORS: u64 = u64::MAX - 1;
const LOWEST_DOOR: u64 = u64::MAX - 65_536;
/// Datagram port `n` is `PORTS - n`.
const PORTS: u64 = LOWEST_DOOR - 1;
const LOWEST_PORT: u64 = PORTS - 65_536;
/// Probe `n` is `PROBES - n`.
const PROBES: u64 = LOWEST_PORT - 1;
const LOWEST_PROBE: u64 = PROBES - probe::PROBES as u64;
/// So many timer entries of sessions that are gone are left alone.
const STALE_ENTRIES: usize = 4096;

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    io: Io,
    tenants: Tenants,
    ready: Vec<u64>,
    wheel: Wheel,
    /// So many entries of the wheel are looked at for those of sessions that are gone.
    sweep_above: usize,
    line: Line,
    /// Sessions whose addresses may be forged.
    young: Line,
    /// Bytes of clients that those hold.
    young_held: u64,
    doors: Doors,
    /// Datagram ports that had more than a turn's share.
    busy_ports: Vec<u32>,
    inbox: Option<Inbox>,
    scratch: Vec<u8>,
    snapshot: Arc<Snapshot>,
    /// Closed doors whose queues are to be emptied.
    closing: Vec<Arc<Door>>,
    /// Orders to close that are carried out once they are empty.
    orders: u32,
    /// Which endpoints this worker asks how they are.
    probes: Probes,
    /// Endpoints that are down and whose sessions are being closed.
    deserting: Vec<Desertion>,
    hello_maximum: usize,
    resume_at: Tick,
    told_pause: bool,
    spare: Spare,
    next_id: u64,
    stop: bool,
    /// The slot up to which sessions were asked what is held for them.
    asked_until: u32,
}

impl Worker {
    pub(crate) fn new(io: Io, snapshot: Arc<Snapshot>) -> io::Result<Self> {
        let workers = io.shared.mailboxes.len();
        let bell = &io.shared.mailboxes[usize::from(io.worker)].bell;
        io.poller.add(bell, MAILBOX, Interest::Level)?;
        // Hellos in progress may take a quarter of the house, shared evenly by the workers.
        let hello_maximum = (io.shared.admission.maximum() as usize / 4 / workers).max(1);
        Ok(Self {
            wheel: Wheel::new(Tick(0)),
            sweep_above: STALE_ENTRIES,
            tenants: Tenants::default(),
            ready: Vec::new(),
            line: Line::default(),
            young: Line::default(),
            young_held: 0,
            busy_ports: Vec::new(),
            inbox: None,
            scratch: Vec::new(),
            doors: Doors::default(),
            snapshot,
            closing: Vec::new(),
            orders: 0,
            probes: Probes::default(),
            deserting: Vec::new(),
            hello_maximum,
            resume_at: Tick::NEVER,
            told_pause: false,
            spare: Spare::default(),
            next_id: u64::from(io.worker),
            stop: false,
            asked_until: 0,
            io,
        })
    }

    /// Turns until it is told to stop.
    ///
    /// # Errors
    /// Only what breaks the loop itself: epoll refuses.
    pub(crate) fn run(mut self) -> io::Result<()> {
        self.spare.take();
        let mut events = Events::default();
        let mut due = Vec::new();
        while !self.stop {
            let wait = self.patience();
            self.io.poller.wait(&mut events, wait)?;
            self.io.begin_turn();
            for event in events.as_slice() {
                self.sort(event)?;
            }
            self.wheel.expire(self.io.now, &mut due);
            due.drain(..).for_each(|token| self.wake(token));
            if self.io.now >= self.resume_at {
                self.resume()?;
            }
            for port in mem::take(&mut self.busy_ports) {
                self.listen_to(port)?;
            }
            self.empty_closed_doors()?;
            self.probes.turn(&mut self.io);
            if self.io.now >= self.next_desertion() {
                self.close_deserters();
            }
            self.step_ready();
            if self.io.now >= self.io.pools.poll_timeout() {
                pool::tend(&mut self.io);
            }
            self.sweep();
            self.io.end_turn();
        }
        Ok(())
    }

    /// How long nothing can happen by itself.
    fn patience(&self) -> Option<Duration> {
        // Doors that close while the house is full are emptied when somebody leaves.
        if !self.ready.is_empty()
            || !self.busy_ports.is_empty()
            || (!self.closing.is_empty() && !self.doors.is_paused())
        {
            return Some(Duration::ZERO);
        }
        let next = self.wheel.next().unwrap_or(Tick::NEVER).min(self.resume_at);
        let next = next.min(self.io.pools.poll_timeout());
        let next = next.min(self.probes.poll_timeout()).min(self.next_desertion());
        (next != Tick::NEVER).then(|| self.io.clock.until(next))
    }

    fn sort(&mut self, event: &Ready) -> io::Result<()> {
        match event.token {
            MAILBOX => self.read_mail(),
            door if door >= LOWEST_DOOR => match self.doors.find(DOORS - door) {
                Some(door) => self.take_from(&door).map(|_| ()),
                None => Ok(()),
            },
            port if port >= LOWEST_PORT => {
                // It may be writable: what waits goes out at the end of the turn.
                self.listen_to(u32::try_from(PORTS - port).unwrap_or(u32::MAX))
            }
            seat if is_seat(seat) => {
                pool::handle_event(&mut self.io, event);
                Ok(())
            }
            probe if probe >= LOWEST_PROBE => {
                self.probes.note(PROBES - probe, event);
                Ok(())
            }
            token => {
                let side = if token & 1 == 0 { Side::Client } else { Side::Endpoint };
                if let Some(tenant) = self.tenants.find(token & !1) {
                    tenant.session.note(side, event);
                    self.wake(token & !1);
                }
                Ok(())
            }
        }
    }

    fn listen_to(&mut self, port: u32) -> io::Result<()> {
        if self.read_port(port)? {
            self.busy_ports.push(port);
        }
        Ok(())
    }

    /// Puts a session on the ready list, once.
    fn wake(&mut self, token: u64) {
        if let Some(tenant) = self.tenants.find(token) {
            tenant.alarm.rang(self.io.now);
            if !mem::replace(&mut tenant.ready, true) {
                self.ready.push(token);
            }
        }
    }

    /// Begins a session that may stand in line with its hello.
    fn greet(&mut self, arrival: Arrival) {
        let Some(token) = self.begin(arrival) else { return };
        // Whoever says its hello at once never stands in line.
        self.step(token);
        self.stand_in_line(token);
    }

    fn begin(&mut self, arrival: Arrival) -> Option<u64> {
        if self.stop {
            return None; // the connection is closed by the drop
        }
        self.next_id += self.io.shared.mailboxes.len() as u64;
        if let Some(name) = self.io.near.congestion(
            &arrival.plan.settings.congestion,
            arrival.peer.ip(),
            &self.snapshot.config,
        ) {
            self.io.tune(&arrival.client, &name);
        }
        let meter = Arc::clone(&arrival.meter);
        let token = self.tenants.next_token();
        let mut session = Session::begin(SessionId(self.next_id), token, arrival, &self.io);
        meter.cell(usize::from(self.io.worker)).sessions.add(1);
        if session.client().watch(&self.io.poller, token).is_err() {
            session.cut(Reason::Overload); // the kernel has no memory for the watch
            session.finish(&mut self.io);
            return None;
        }
        self.tenants.insert(Tenant::new(session));
        self.io.shared.loads[usize::from(self.io.worker)].store(self.load(), Ordering::Relaxed);
        Some(token)
    }

    /// A hello that is still in progress joins the line; when that is full, its oldest makes room.
    fn stand_in_line(&mut self, token: u64) {
        match self.tenants.find(token) {
            Some(tenant) if tenant.session.is_greeting() => {
                tenant.in_line = true;
                tenant.session.joined_line(&self.io);
            }
            _ => return,
        }
        if self.line.len() >= self.hello_maximum
            && let Some(oldest) = self.line.oldest()
        {
            self.evict(oldest);
        }
        self.line.join(slot(token));
    }

    fn load(&self) -> u32 {
        u32::try_from(self.tenants.len()).unwrap_or(u32::MAX)
    }

    /// Drops the oldest unfinished hello: never the newcomer.
    fn evict(&mut self, slot: u32) {
        let Some(token) = self.tenants.token_of(slot) else { return };
        self.line.leave(slot);
        if let Some(tenant) = self.tenants.find(token) {
            tenant.in_line = false;
            tenant.session.left_line(&self.io);
        }
        self.end(token, Reason::HelloEvicted);
    }

    fn end(&mut self, token: u64, reason: Reason) {
        self.guarded(token, |session, io| session.end(reason, io));
        self.wake(token);
    }

    /// Lets a session do something. A panic ends that session and nothing else.
    fn guarded(&mut self, token: u64, act: impl FnOnce(&mut Session, &mut Io) -> Step) -> Step {
        let Self { tenants, io, .. } = self;
        let Some(Tenant { session, .. }) = tenants.find(token) else { return Step::Over };
        match catch_unwind(AssertUnwindSafe(|| act(session, io))) {
            Ok(step) => step,
            Err(panic) => {
                io.shared.bugs.fetch_add(1, Ordering::Relaxed);
                io.told.push(Told::Event(Event::Bug { message: panic_message(&*panic) }));
                io.lent = Lent::default(); // what it was about to send is nobody else's
                io.lent.now = io.now;
                session.cut(Reason::Bug);
                Step::Over
            }
        }
    }

    fn step_ready(&mut self) {
        let mut ready = mem::take(&mut self.ready);
        for token in ready.drain(..) {
            self.step(token);
        }
        // Sessions that stopped for the budget were pushed meanwhile; the room is kept.
        if self.ready.is_empty() {
            self.ready = ready;
        }
    }

    /// Entries of sessions that are gone would stay until their moment: they are dropped once they are many.
    fn sweep(&mut self) {
        let Self { wheel, tenants, .. } = self;
        if wheel.len() > self.sweep_above {
            wheel.retain(|token| tenants.find(token).is_some());
            // What is left is of sessions that are there: looking again before it has doubled would be for nothing.
            self.sweep_above = (2 * wheel.len()).max(STALE_ENTRIES);
        } else if wheel.len() < self.sweep_above / 8 {
            self.sweep_above = (self.sweep_above / 2).max(STALE_ENTRIES);
        }
    }

    fn step(&mut self, token: u64) {
        let step = self.guarded(token, Session::step);
        let Self { tenants, io, wheel, line, .. } = self;
        let Some(tenant) = tenants.find(token) else { return };
        tenant.ready = false;
        if tenant.in_line && (step == Step::Over || !tenant.session.is_greeting()) {
            tenant.in_line = false;
            tenant.session.left_line(io);
            line.leave(slot(token));
        }
        match step {
            Step::Over => return self.free(token),
            Step::Again => {
                tenant.ready = true;
                self.ready.push(token);
            }
            Step::Wait => {}
        }
        let at = tenant.session.poll_timeout();
        if tenant.alarm.must_arm(at) {
            wheel.schedule(at, token);
        }
    }

    fn free(&mut self, token: u64) {
        self.leave_young(token);
        let Some(tenant) = self.tenants.remove(token) else { return };
        tenant.session.finish(&mut self.io);
        self.io.shared.loads[usize::from(self.io.worker)].store(self.load(), Ordering::Relaxed);
        if self.doors.is_paused() {
            self.resume_at = self.io.now; // there is room again
        }
        if self.io.shared.someone_paused.load(Ordering::Relaxed) {
            self.io.shared.mailboxes.iter().for_each(|mailbox| mailbox.put(Command::Resume));
            self.io.shared.someone_paused.store(false, Ordering::Relaxed);
        }
    }

    fn read_mail(&mut self) -> io::Result<()> {
        let shared = Arc::clone(&self.io.shared);
        for command in shared.mailboxes[usize::from(self.io.worker)].take() {
            match command {
                Command::Apply(service) => {
                    let gone = self.doors.apply(&self.io.poller, DOORS, &service)?;
                    let worker = usize::from(self.io.worker);
                    self.io.shards.apply(&self.io.poller, PORTS, worker, &service)?;
                    let limits = &service.snapshot.config.limits;
                    self.io.failed_dials = shared.failed_dials(limits.failed_dials_per_minute);
                    self.probes.apply(&service.snapshot, PROBES, &mut self.io);
                    self.snapshot = service.snapshot;
                    pool::apply(&mut self.io, &self.snapshot);
                    self.closing.extend(gone);
                }
                Command::StopAccepting => {
                    let gone = self.doors.close(&self.io.poller)?;
                    self.io.shards.close();
                    pool::stop(&mut self.io);
                    self.closing.extend(gone);
                    self.orders += 1;
                }
                Command::Adopt(arrival) => self.greet(*arrival),
                Command::Look { token } => self.wake(token),
                Command::CloseSome { count, reason } => {
                    let tokens: Vec<u64> = self.tenants.going_on().take(count as usize).collect();
                    tokens.into_iter().for_each(|token| self.end(token, reason));
                }
                Command::Answer { asked, answer } if is_seat(asked.token) => {
                    pool::handle_answer(&mut self.io, asked.token, &answer.unwrap_or_default());
                }
                Command::Answer { asked, answer } if asked.token >= LOWEST_PROBE => {
                    self.probes.answer(PROBES - asked.token, asked.serial, answer);
                }
                Command::Answer { asked, answer } => {
                    self.guarded(asked.token, |session, io| session.answer(asked.serial, answer, io));
                    self.wake(asked.token);
                }
                Command::Desert(endpoint) => self.desert(endpoint),
                Command::Device { asked, answer } => self.answer_device(asked, answer),
                Command::Family { family, change } => self.change_family(family, change),
                Command::Resume => self.resume_at = self.io.now,
                Command::Visit { visit, answer } => (answer.0)(self.visit(&visit)),
                Command::Expel(network) => self.expel(network),
                Command::Relieve(step) => self.relieve(step),
                Command::ShutDown => self.shut_down(),
            }
        }
        Ok(())
    }

    /// Ends everything at once; each session is still told.
    fn shut_down(&mut self) {
        let tokens: Vec<u64> = self.tenants.tokens().collect();
        for token in tokens {
            if let Some(tenant) = self.tenants.find(token) {
                tenant.session.cut(Reason::Drained);
                self.step(token);
            }
        }
        self.closing.clear();
        self.stop = true;
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> Box<str> {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").into()
}
