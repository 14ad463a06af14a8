//! The one door between the control plane and the workers: commands in, counts and records out.

mod told;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use portcullis_core::limit::ban::{Ban, Bans, TooMany};
use portcullis_core::limit::bucket::FailedDials;
use portcullis_core::limit::network::canonical;
use portcullis_core::name::UpstreamName;
use portcullis_core::outcome::Reason;
use portcullis_core::overload;
use portcullis_core::snapshot::{ListenerPlan, Snapshot};
use portcullis_core::token::Family;
use portcullis_core::token::bearer::{self, FamilyChange};
use portcullis_core::upstream::EndpointState;
use portcullis_core::wheel::Tick;
use portcullis_sys::random;
use portcullis_sys::wake::Wake;

use crate::admission::Admission;
use crate::census::{Answer, Visit};
use crate::device::DeviceQuestion;
use crate::io::Clock;
use crate::meter::{Counts, Meter, PoolMeter, endpoint_counts};
use crate::outlet::Outlet;
use crate::session::Arrival;
use crate::sockets::{Bound, Sockets};

pub use told::{Asked, Event, NameError, Opened, Question, Refused, Told};

/// How many questions may wait for the control plane.
const QUESTIONS: usize = 4096;
/// How many records may wait to be written.
const ENDINGS: usize = 65_536;
/// A turn of less is not worth a word.
const LONG_TURN: Duration = Duration::from_millis(100);
/// A worker with so many commands before it is not visited.
pub(crate) const CROWD: usize = 4096;

/// Steers a running data plane. Clones steer the same one.
#[derive(Clone, Debug)]
pub struct ProxyHandle {
    pub(crate) shared: Arc<Shared>,
}

/// What workers and handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    snapshot: Mutex<Arc<Snapshot>>,
    meters: Mutex<Vec<Arc<Meter>>>,
    pools: Mutex<Vec<Arc<PoolMeter>>>,
    pub(crate) mailboxes: Vec<Mailbox>,
    pub(crate) questions: Outlet<Question>,
    pub(crate) devices: Outlet<DeviceQuestion>,
    pub(crate) endings: Outlet<Told>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) tell_opened: AtomicBool,
    pub(crate) tell_ended: AtomicBool,
    pub(crate) accept_pauses: AtomicU64,
    pub(crate) bugs: AtomicU64,
    /// Sessions by worker.
    pub(crate) loads: Vec<AtomicU32>,
    /// Does a worker wait for room?
    pub(crate) someone_paused: AtomicBool,
    /// Orders to close the doors that workers have not carried out yet.
    pub(crate) closing: AtomicU32,
    /// Begins every worker's row of nonces.
    pub(crate) nonce_seed: [u8; 32],
    /// One clock for all workers: what they count together is counted by it.
    pub(crate) clock: Clock,
    pub(crate) bans: Bans,
    /// How much is given up under pressure.
    step: AtomicU8,
    /// The longest turn of any worker since somebody looked, in milliseconds.
    longest_turn: AtomicU64,
    failed_dials: Mutex<Option<(u32, Arc<DialBudgets>)>>,
}

/// Failed dials of clients. Whoever can forge an address must not use up the budget of its owner.
#[derive(Debug)]
pub(crate) struct DialBudgets {
    shown: FailedDials,
    claimed: FailedDials,
}

impl DialBudgets {
    fn new(limit: u32) -> Self {
        Self { shown: FailedDials::new(limit), claimed: FailedDials::new(limit) }
    }

    /// The budgets of addresses that are only claimed, or of those that have shown to be real.
    pub(crate) fn of(&self, is_claimed: bool) -> &FailedDials {
        if is_claimed { &self.claimed } else { &self.shown }
    }
}

/// Commands for one worker.
#[derive(Debug)]
pub(crate) struct Mailbox {
    commands: Mutex<Vec<Command>>,
    pub(crate) bell: Wake,
}

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Command {
    Apply(Service),
    StopAccepting,
    CloseSome {
        count: u32,
        reason: Reason,
    },
    Answer {
        asked: Asked,
        answer: Result<Vec<SocketAddr>, NameError>,
    },
    Device {
        asked: Asked,
        answer: bearer::Answer,
    },
    Family {
        family: Family,
        change: FamilyChange,
    },
    Adopt(Box<Arrival>),
    /// That endpoint is down: its sessions are to be closed.
    Desert(Arc<EndpointState>),
    /// A session that stands in line for an endpoint may look for room.
    Look {
        token: u64,
    },
    Resume,
    Visit {
        visit: Visit,
        answer: Answer,
    },
    /// Closes the sessions of a network.
    Expel(IpNet),
    /// Gives up what a step asks for, once.
    Relieve(overload::Step),
    ShutDown,
}

/// What a worker serves.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) sockets: Sockets,
    pub(crate) meters: Vec<Arc<Meter>>,
}

impl Service {
    /// What is behind a port: its listener's plan and counters.
    pub(crate) fn behind(&self, bound: &Bound) -> Option<(Arc<ListenerPlan>, Arc<Meter>)> {
        let plan = self.snapshot.listener(&bound.listener)?;
        let meter = self.meters.iter().find(|meter| *meter.name() == bound.listener)?;
        Some((Arc::clone(plan), Arc::clone(meter)))
    }
}

impl Shared {
    pub(crate) fn new(snapshot: Arc<Snapshot>, workers: usize, sessions: u32) -> io::Result<Self> {
        let mailboxes = (0..workers).map(|_| Mailbox::new()).collect::<io::Result<_>>()?;
        Ok(Self {
            snapshot: Mutex::new(snapshot),
            meters: Mutex::new(Vec::new()),
            pools: Mutex::new(Vec::new()),
            mailboxes,
            questions: Outlet::new(QUESTIONS)?,
            devices: Outlet::new(QUESTIONS)?,
            endings: Outlet::new(ENDINGS)?,
            admission: Arc::new(Admission::new(sessions)),
            tell_opened: AtomicBool::new(false),
            tell_ended: AtomicBool::new(true),
            accept_pauses: AtomicU64::new(0),
            bugs: AtomicU64::new(0),
            loads: (0..workers).map(|_| AtomicU32::new(0)).collect(),
            someone_paused: AtomicBool::new(false),
            closing: AtomicU32::new(0),
            nonce_seed: random::bytes()?,
            clock: Clock::start(),
            bans: Bans::default(),
            step: AtomicU8::new(0),
            longest_turn: AtomicU64::new(0),
            failed_dials: Mutex::new(None),
        })
    }

    /// How much is given up under pressure.
    pub(crate) fn step(&self) -> overload::Step {
        overload::Step::of(self.step.load(Ordering::Relaxed))
    }

    /// A turn has taken so long.
    pub(crate) fn turned(&self, took: Duration) {
        if took >= LONG_TURN {
            let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            self.longest_turn.fetch_max(millis, Ordering::Relaxed);
        }
    }

    /// The count of failed dials that `limit` asks for; a new limit begins anew.
    pub(crate) fn failed_dials(&self, limit: Option<u32>) -> Option<Arc<DialBudgets>> {
        let mut held = self.failed_dials.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = limit?;
        match &*held {
            Some((known, table)) if *known == limit => Some(Arc::clone(table)),
            _ => {
                let table = Arc::new(DialBudgets::new(limit));
                *held = Some((limit, Arc::clone(&table)));
                Some(table)
            }
        }
    }

    /// The meters of the sockets' listeners, made where they are missing.
    pub(crate) fn meters(&self, sockets: &Sockets) -> Vec<Arc<Meter>> {
        let mut meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        for bound in sockets.iter() {
            if !meters.iter().any(|meter| *meter.name() == bound.listener) {
                meters.push(Arc::new(Meter::new(bound.listener.clone(), self.mailboxes.len())));
            }
        }
        meters.clone()
    }

    /// The meter of an upstream's pool, made where it is missing.
    pub(crate) fn pool_meter(&self, upstream: &UpstreamName) -> Arc<PoolMeter> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = pools.iter().find(|meter| meter.name == *upstream) {
            return Arc::clone(known);
        }
        let meter = Arc::new(PoolMeter::new(upstream.clone()));
        pools.push(Arc::clone(&meter));
        meter
    }
}

impl Mailbox {
    fn new() -> io::Result<Self> {
        Ok(Self { commands: Mutex::new(Vec::new()), bell: Wake::new()? })
    }

    pub(crate) fn put(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.bell.ring();
    }

    /// Puts a command where fewer than `crowd` wait; false: it is dropped.
    pub(crate) fn offer(&self, command: Command, crowd: usize) -> bool {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        if commands.len() >= crowd {
            return false;
        }
        commands.push(command);
        drop(commands);
        self.bell.ring();
        true
    }

    pub(crate) fn take(&self) -> Vec<Command> {
        self.bell.hush();
        std::mem::take(&mut *self.commands.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ProxyHandle {
    /// Puts a snapshot and its sockets in force. Live sessions keep theirs; sockets that are gone are
    /// emptied of what is queued, then closed.
    pub fn apply(&self, snapshot: Arc<Snapshot>, sockets: Sockets) {
        *self.shared.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&snapshot);
        let service = Service { snapshot, meters: self.shared.meters(&sockets), sockets };
        self.shared.mailboxes.iter().for_each(|mailbox| mailbox.put(Command::Apply(service.clone())));
    }

    /// The snapshot in force.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.shared.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes what is queued at every listener, then closes them. Drop other clones of the sockets first.
    pub fn stop_accepting(&self) {
        for mailbox in &self.shared.mailboxes {
            self.shared.closing.fetch_add(1, Ordering::Release);
            mailbox.put(Command::StopAccepting);
        }
    }

    /// Closes at most `count` sessions, spread over the workers.
    pub fn close_some(&self, count: u32, reason: Reason) {
        let workers = u32::try_from(self.shared.mailboxes.len()).unwrap_or(1).max(1);
        for (index, mailbox) in (0u32..).zip(&self.shared.mailboxes) {
            let share = count / workers + u32::from(index < count % workers);
            if share > 0 {
                mailbox.put(Command::CloseSome { count: share, reason });
            }
        }
    }

    /// Keeps the clients of `network` out for so long, `None` = until it is lifted, and ends their sessions.
    ///
    /// # Errors
    /// There are too many bans.
    pub fn ban(&self, network: IpNet, lasts: Option<Duration>, why: &str) -> Result<(), TooMany> {
        let now = self.shared.clock.now();
        let until = lasts.map_or(Tick::NEVER, |lasts| Tick(now.0 + 1).after(lasts));
        self.shared.bans.ban(network, until, why, now)?;
        self.shared.mailboxes.iter().for_each(|mailbox| mailbox.put(Command::Expel(canonical(network))));
        Ok(())
    }

    /// Lifts the ban of `network`; false: there was none.
    #[must_use]
    pub fn lift_ban(&self, network: IpNet) -> bool {
        self.shared.bans.lift(network)
    }

    /// Every ban in force, with how long it still lasts; `None` = until it is lifted.
    #[must_use]
    pub fn bans(&self) -> Vec<(Ban, Option<Duration>)> {
        let now = self.shared.clock.now();
        let left = |ban: &Ban| (ban.until != Tick::NEVER).then(|| ban.until.since(now));
        self.shared.bans.list(now).into_iter().map(|ban| (ban.clone(), left(&ban))).collect()
    }

    /// Takes a step: what it gives up is given up from here on. To be told again each second while it lasts.
    pub fn relieve(&self, step: overload::Step) {
        let before = self.shared.step.swap(step.number(), Ordering::Relaxed);
        if before != step.number() || step > overload::Step::Calm {
            for mailbox in &self.shared.mailboxes {
                mailbox.offer(Command::Relieve(step), CROWD);
            }
        }
    }

    /// How much is given up under pressure.
    #[must_use]
    pub fn step(&self) -> overload::Step {
        self.shared.step()
    }

    /// Takes the longest turn of any worker since the last time; zero when none was long.
    #[must_use]
    pub fn longest_turn(&self) -> Duration {
        Duration::from_millis(self.shared.longest_turn.swap(0, Ordering::Relaxed))
    }

    /// The moment on the clock of all workers.
    #[must_use]
    pub fn now(&self) -> Tick {
        self.shared.clock.now()
    }

    /// Ends every session and every worker at once.
    pub fn shut_down(&self) {
        self.shared.mailboxes.iter().for_each(|mailbox| mailbox.put(Command::ShutDown));
    }

    /// Live sessions, those that are still opening included.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.shared.admission.live()
    }

    /// What a drain waits for: live sessions, and one more as long as there is a worker that has not yet taken
    /// everybody who was queued when [`ProxyHandle::stop_accepting`] was called.
    #[must_use]
    pub fn left(&self) -> u32 {
        // In this order: whoever is taken in is a session before the order is carried out.
        let closing = self.shared.closing.load(Ordering::Acquire);
        self.sessions().saturating_add(closing.min(1))
    }

    /// Live sessions of each worker.
    #[must_use]
    pub fn loads(&self) -> Vec<u32> {
        self.shared.loads.iter().map(|load| load.load(Ordering::Relaxed)).collect()
    }

    /// Questions of sessions, each to be answered with [`ProxyHandle::answer`].
    #[must_use]
    pub fn questions(&self) -> &Outlet<Question> {
        &self.shared.questions
    }

    /// Records to be logged.
    #[must_use]
    pub fn endings(&self) -> &Outlet<Told> {
        &self.shared.endings
    }

    /// Says which records of sessions are wanted; at first those of ended ones only.
    pub fn tell(&self, opened: bool, ended: bool) {
        self.shared.tell_opened.store(opened, Ordering::Relaxed);
        self.shared.tell_ended.store(ended, Ordering::Relaxed);
    }

    /// Answers a question; an answer that comes too late does nothing.
    pub fn answer(&self, asked: Asked, answer: Result<Vec<SocketAddr>, NameError>) {
        if let Some(mailbox) = self.shared.mailboxes.get(usize::from(asked.worker)) {
            mailbox.put(Command::Answer { asked, answer });
        }
    }

    /// Sums every counter.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let meters = self.shared.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut listeners: Vec<_> = meters.iter().map(|meter| meter.counts()).collect();
        drop(meters);
        listeners.sort_by(|left, right| left.name.cmp(&right.name));
        let pools = self.shared.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pools: Vec<_> = pools.iter().map(|meter| meter.counts()).collect();
        pools.sort_by(|left, right| left.name.cmp(&right.name));
        Counts {
            listeners,
            pools,
            endpoints: endpoint_counts(&self.snapshot(), self.now()),
            sessions: self.sessions(),
            session_maximum: self.shared.admission.maximum(),
            accept_pauses: self.shared.accept_pauses.load(Ordering::Relaxed),
            bugs: self.shared.bugs.load(Ordering::Relaxed),
            questions_dropped: self.shared.questions.dropped(),
            endings_dropped: self.shared.endings.dropped(),
        }
    }
}
