//! What a worker lends to the session it steps: buffers, pools, the clock and the way out.

use std::collections::HashSet;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use portcullis_core::limit::bucket::ClientNet;
use portcullis_core::upstream::{Line, Waiter};
use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::crypt::NonceSource;
use portcullis_sys::datagram::Inbox;
use portcullis_sys::epoll::Poller;
use portcullis_sys::random;
use portcullis_sys::splice::Pipe;

use crate::admission::TurnedAway;
use crate::device::{DeviceQuestion, Families};
use crate::handle::{Command, DialBudgets, Event, Question, Shared, Told};
use crate::leg::Leg;
use crate::near::Near;
use crate::pool::Pools;
use crate::post::Post;
use crate::ring::Lent;
use crate::shards::Shards;

/// The read buffer of a worker, in bytes.
pub(crate) const BUFFER: usize = 64 * 1024;
/// Pipes a worker may have; without one a direction copies.
const PIPES: usize = 64;
/// Expensive steps (signatures, sealed boxes) in one turn; the rest wait for the next.
pub(crate) const EXPENSIVE: usize = 8;

/// How far back the wall clock may be set while the process runs.
const SET_BACK: Duration = Duration::from_secs(60);

/// What a worker lends.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) worker: u16,
    pub(crate) poller: Poller,
    pub(crate) shared: Arc<Shared>,
    pub(crate) buffer: Box<[u8]>,
    pub(crate) lent: Lent,
    pub(crate) pipes: Pipes,
    /// Connections made in advance.
    pub(crate) pools: Pools,
    pub(crate) clock: Clock,
    pub(crate) near: Near,
    /// Was a congestion control refused by the kernel before? It is told once.
    pub(crate) near_refused: bool,
    pub(crate) failed_dials: Option<Arc<DialBudgets>>,
    /// The moment of this turn.
    pub(crate) now: Tick,
    /// Expensive steps left in this turn.
    pub(crate) expensive: usize,
    pub(crate) questions: Vec<Question>,
    /// Questions about devices.
    pub(crate) devices: Vec<DeviceQuestion>,
    /// Sessions of devices that have logged in.
    pub(crate) families: Families,
    pub(crate) told: Vec<Told>,
    pub(crate) shards: Shards,
    /// What goes out on a socket of its own.
    pub(crate) post: Post,
    /// What came in on one.
    pub(crate) inbox: Inbox,
    pub(crate) nonces: NonceSource,
    pub(crate) dice: Dice,
    /// Networks that had more than their share of the sessions when that last mattered.
    pub(crate) crowded: HashSet<ClientNet>,
    pub(crate) turned_away: TurnedAway,
}

impl Io {
    pub(crate) fn new(worker: u16, shared: Arc<Shared>) -> io::Result<Self> {
        let clock = shared.clock;
        let nonces = NonceSource::new(&shared.nonce_seed, worker);
        Ok(Self {
            worker,
            poller: Poller::new()?,
            shared,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            lent: Lent::default(),
            pipes: Pipes::default(),
            pools: Pools::default(),
            clock,
            near: Near::of_system(),
            near_refused: false,
            failed_dials: None,
            now: Tick(0),
            expensive: EXPENSIVE,
            questions: Vec::new(),
            devices: Vec::new(),
            families: Families::default(),
            told: Vec::new(),
            shards: Shards::default(),
            post: Post::default(),
            inbox: Inbox::default(),
            nonces,
            dice: Dice::default(),
            crowded: HashSet::new(),
            turned_away: TurnedAway::default(),
        })
    }

    /// Reads the clock and renews what is rationed by the turn.
    pub(crate) fn begin_turn(&mut self) {
        self.now = self.clock.now();
        self.lent.now = self.now;
        self.expensive = EXPENSIVE;
    }

    /// May this client cause another dial?
    pub(crate) fn may_dial(&self, client: IpAddr, is_claimed: bool) -> bool {
        let now = self.now.since(Tick(0));
        self.failed_dials.as_ref().is_none_or(|budgets| budgets.of(is_claimed).allows(client, now))
    }

    /// Calls the session that is first in line, if there is one, to look for room.
    pub(crate) fn call_first(&self, line: &Line) {
        if let Some(Waiter { worker, token }) = line.first()
            && let Some(mailbox) = self.shared.mailboxes.get(usize::from(worker))
        {
            mailbox.put(Command::Look { token });
        }
    }

    /// Counts a session that ended for lack of its endpoint against its client.
    pub(crate) fn charge_failed_dial(&self, client: IpAddr, is_claimed: bool) {
        if let Some(budgets) = &self.failed_dials {
            budgets.of(is_claimed).failed(client, self.now.since(Tick(0)));
        }
    }

    /// Sets a leg's congestion control. A kernel that refuses is told once; traffic goes on without it.
    pub(crate) fn tune(&mut self, leg: &Leg, name: &str) {
        if let Err(error) = leg.set_congestion(name)
            && !mem::replace(&mut self.near_refused, true)
        {
            let what = format!("congestion control `{name}`: {error}").into();
            self.told.push(Told::Event(Event::Degraded { what }));
        }
    }

    /// The tick that follows this moment. Deadlines count from it: `now` may be almost a tick old, and a
    /// timeout must not end early.
    pub(crate) fn next_tick(&self) -> Tick {
        Tick(self.now.0 + 1)
    }

    /// Hands over what this turn has to send, has asked and has told.
    pub(crate) fn end_turn(&mut self) {
        self.shards.flush(&self.poller);
        self.shared.questions.put(&mut self.questions);
        self.shared.devices.put(&mut self.devices);
        self.shared.endings.put(&mut self.told);
        self.shared.turned(self.clock.now().since(self.now));
    }
}

/// Numbers that nobody can foretell, drawn from the kernel by the page.
#[derive(Debug)]
pub(crate) struct Dice {
    drawn: [u8; 256],
    left: usize,
}

impl Default for Dice {
    fn default() -> Self {
        Self { drawn: [0; 256], left: 0 }
    }
}

impl Dice {
    /// The next one.
    ///
    /// # Errors
    /// The kernel's, when it has none.
    pub(crate) fn throw(&mut self) -> io::Result<u32> {
        if self.left == 0 {
            self.drawn = random::bytes()?;
            self.left = self.drawn.len() / 4;
        }
        self.left -= 1;
        let place = 4 * self.left;
        Ok(u32::from_le_bytes(std::array::from_fn(|index| self.drawn[place + index])))
    }
}

/// Ticks from the monotonic clock, and the wall clock they began at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
    epoch_wall: SystemTime,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { epoch: Instant::now(), epoch_wall: SystemTime::now() }
    }

    /// The milliseconds that are whole. What waits from here ends up to one of them early.
    pub(crate) fn now(&self) -> Tick {
        Tick(u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// How long it runs, as exactly as the clock tells.
    pub(crate) fn elapsed(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// How long to wait for `at`.
    pub(crate) fn until(&self, at: Tick) -> Duration {
        Duration::from_millis(at.0).saturating_sub(self.epoch.elapsed())
    }

    /// The wall clock, for expiry times. Set back while the process runs, it goes no further back than a
    /// minute behind what has passed since the start: an ended token does not come back.
    pub(crate) fn wall_now(&self) -> SystemTime {
        SystemTime::now().max(self.epoch_wall + self.epoch.elapsed().saturating_sub(SET_BACK))
    }

    /// The wall clock at `tick`, for the log only.
    pub(crate) fn wall(&self, tick: Tick) -> SystemTime {
        self.epoch_wall + Duration::from_millis(tick.0)
    }
}

/// A worker's pipes.
#[derive(Debug, Default)]
pub(crate) struct Pipes {
    #[expect(clippy::vec_box, reason = "a flow holds a pipe by one pointer, and gives back that very one")]
    free: Vec<Box<Pipe>>,
    made: usize,
}

impl Pipes {
    /// Takes an empty pipe; `None` when all are in use or no file is left.
    pub(crate) fn take(&mut self) -> Option<Box<Pipe>> {
        if let Some(pipe) = self.free.pop() {
            return Some(pipe);
        }
        if self.made >= PIPES {
            return None;
        }
        let pipe = Box::new(Pipe::new().ok()?);
        self.made += 1;
        Some(pipe)
    }

    /// Closes those that nobody uses.
    pub(crate) fn trim(&mut self) {
        self.made -= mem::take(&mut self.free).len();
    }

    /// Gives a pipe back; one with bytes in it is closed.
    pub(crate) fn give(&mut self, pipe: Box<Pipe>) {
        if pipe.held() == 0 {
            self.free.push(pipe);
        } else {
            self.made -= 1;
        }
    }
}
