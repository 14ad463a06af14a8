//! Bad weather between a client and a UDP port: loss, copies, reordering and delay, all decided by a seed.
//!
//! One thread carries datagrams between one socket that clients talk to and one connected socket a client
//! towards the port behind. What happens to the n-th datagram of a client in a direction depends on the seed,
//! the client's number, the direction and n, and on nothing else.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};

use crate::dice::Dice;

/// What may happen to a datagram, each way. Chances are in per cent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Weather {
    /// The chance of being lost.
    pub loss: u8,
    /// The chance of arriving twice.
    pub copies: u8,
    /// The chance of being held back by `hold`.
    pub reorder: u8,
    /// How long one that is held back stays behind.
    pub hold: Hold,
    /// How long every datagram is under way.
    pub delay: Duration,
}

impl Weather {
    /// Loses `per_cent` of the datagrams each way, and does nothing else.
    #[must_use]
    pub fn losing(per_cent: u8) -> Self {
        Self { loss: per_cent, ..Self::default() }
    }

    /// Loses `per_cent` each way, doubles and holds back a few, and takes 1 ms.
    #[must_use]
    pub fn rough(per_cent: u8) -> Self {
        let delay = Duration::from_millis(1);
        Self { loss: per_cent, copies: 2, reorder: 5, hold: Hold::Datagrams(3), delay }
    }
}

/// How long a datagram is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Until as many others of its client and direction have overtaken it, at most 50 ms.
    Datagrams(u32),
    /// For a time.
    Time(Duration),
}

impl Default for Hold {
    fn default() -> Self {
        Self::Datagrams(3)
    }
}

/// A direction: from the client, or to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the port behind.
    Up,
    /// From there to the client.
    Down,
}

/// What happened to the datagrams of one direction until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// Came in.
    pub arrived: u64,
    /// Went out, copies included.
    pub passed: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Doubled.
    pub copied: u64,
    /// Held back.
    pub held: u64,
    /// Dropped because there were too many, or because the kernel did not take them.
    pub overflowed: u64,
}

/// A running shim; it ends when dropped, at the latest after [`Shim::LIFETIME`].
#[derive(Debug)]
pub struct Shim {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Shim {
    /// How long a shim runs when nobody drops it.
    pub const LIFETIME: Duration = Duration::from_secs(600);

    /// Starts on a free port of loopback, in front of `behind`.
    #[must_use]
    pub fn start(behind: SocketAddr, weather: Weather, seed: u64) -> Self {
        let socket = bind(behind);
        let address = socket.local_addr().unwrap();
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            weather: Mutex::new(weather),
            tallies: Default::default(),
        });
        let carrier = Carrier {
            front: socket,
            behind,
            seed,
            flows: Vec::new(),
            by_client: HashMap::new(),
            later: BTreeMap::new(),
            held: Vec::new(),
            serial: 0,
            shared: Arc::clone(&shared),
        };
        let thread = thread::Builder::new().name("shim".to_owned()).spawn(move || carrier.run()).unwrap();
        Self { address, shared, thread: Some(thread) }
    }

    /// Where clients send to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes the weather for what arrives from now on.
    pub fn change(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    /// What happened in one direction, over all clients.
    #[must_use]
    pub fn tally(&self, way: Way) -> Tally {
        let count = |fate: Fate| self.shared.counter(way, fate).load(Ordering::Acquire);
        Tally {
            arrived: count(Fate::Arrived),
            passed: count(Fate::Passed),
            lost: count(Fate::Lost),
            copied: count(Fate::Copied),
            held: count(Fate::Held),
            overflowed: count(Fate::Overflowed),
        }
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// What the test and the thread both see.
#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    weather: Mutex<Weather>,
    tallies: [[AtomicU64; 6]; 2],
}

impl Shared {
    fn counter(&self, way: Way, fate: Fate) -> &AtomicU64 {
        &self.tallies[way as usize][fate as usize]
    }
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrived,
    Passed,
    Lost,
    Copied,
    Held,
    Overflowed,
}

/// The most clients at once; a datagram of one more is dropped.
const FLOWS: usize = 1024;
/// The most datagrams that wait for their moment.
const WAITING: usize = 16_384;
/// When one that waits for others to overtake it goes all the same.
const OVERTAKEN_BY: Duration = Duration::from_millis(50);
/// How many datagrams of one socket are taken before the others have their turn.
const BUDGET: usize = 64;
/// How often the thread looks whether it shall end.
const LOOK: Duration = Duration::from_millis(20);

/// A client.
struct Flow {
    client: SocketAddr,
    /// Connected to the port behind.
    socket: UdpSocket,
    dice: [Dice; 2],
}

/// A datagram on its way.
struct Travelling {
    flow: usize,
    way: Way,
    bytes: Vec<u8>,
}

/// One that others have yet to overtake.
struct Held {
    travelling: Travelling,
    others: u32,
    at_most_until: Instant,
}

/// The thread's own.
struct Carrier {
    front: UdpSocket,
    behind: SocketAddr,
    seed: u64,
    flows: Vec<Flow>,
    by_client: HashMap<SocketAddr, usize>,
    /// By moment and number, so that equals keep their order.
    later: BTreeMap<(Instant, u64), Travelling>,
    held: Vec<Held>,
    serial: u64,
    shared: Arc<Shared>,
}

impl Carrier {
    fn run(mut self) {
        let end = Instant::now() + Shim::LIFETIME;
        let mut buffer = vec![0; 65_536];
        while !self.shared.stop.load(Ordering::Acquire) && Instant::now() < end {
            let ready = self.wait();
            if ready.first() == Some(&true) {
                self.take_from_clients(&mut buffer);
            }
            for (flow, _) in ready.iter().skip(1).enumerate().filter(|(_, ready)| **ready) {
                self.take_from_behind(flow, &mut buffer);
            }
            self.send_what_is_due(Instant::now());
        }
    }

    /// Waits for a datagram or a moment; says which sockets have something, that of the clients first.
    fn wait(&self) -> Vec<bool> {
        let sockets = std::iter::once(&self.front).chain(self.flows.iter().map(|flow| &flow.socket));
        let mut fds: Vec<PollFd<'_>> = sockets.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        let now = Instant::now();
        let moments = self.later.keys().next().map(|(at, _)| *at).into_iter();
        let next = moments.chain(self.held.iter().map(|held| held.at_most_until)).min();
        let wait = next.map_or(LOOK, |at| at.saturating_duration_since(now).min(LOOK));
        let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        match poll(&mut fds, Some(&wait)) {
            Ok(_) => fds.iter().map(|fd| !fd.revents().is_empty()).collect(),
            Err(_) => Vec::new(),
        }
    }

    fn take_from_clients(&mut self, buffer: &mut [u8]) {
        for _ in 0..BUDGET {
            let (length, client) = match self.front.recv_from(buffer) {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A client that is gone: told once for each datagram that went there.
                Err(_) => continue,
            };
            match self.flow(client) {
                Some(flow) => self.arrive(flow, Way::Up, &buffer[..length]),
                None => self.count(Way::Up, Fate::Overflowed),
            }
        }
    }

    fn take_from_behind(&mut self, flow: usize, buffer: &mut [u8]) {
        for _ in 0..BUDGET {
            match self.flows[flow].socket.recv(buffer) {
                Ok(length) => self.arrive(flow, Way::Down, &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    /// The flow of `client`, made if it is new and there is room.
    fn flow(&mut self, client: SocketAddr) -> Option<usize> {
        if let Some(flow) = self.by_client.get(&client) {
            return Some(*flow);
        }
        if self.flows.len() >= FLOWS {
            return None;
        }
        let number = self.flows.len() as u64;
        let socket = bind(self.behind);
        socket.connect(self.behind).unwrap();
        let dice = [lane(self.seed, 2 * number), lane(self.seed, 2 * number + 1)];
        self.by_client.insert(client, self.flows.len());
        self.flows.push(Flow { client, socket, dice });
        Some(self.flows.len() - 1)
    }

    fn arrive(&mut self, flow: usize, way: Way, bytes: &[u8]) {
        let weather = *self.shared.weather.lock().unwrap_or_else(PoisonError::into_inner);
        self.count(way, Fate::Arrived);
        // Three draws for each, whatever comes of them: one chance does not shift the others.
        let dice = &mut self.flows[flow].dice[way as usize];
        let [lost, copied, held] =
            [weather.loss, weather.copies, weather.reorder].map(|odds| dice.hits(odds));
        if lost {
            return self.count(way, Fate::Lost);
        }
        let now = Instant::now();
        if copied {
            self.count(way, Fate::Copied);
            self.depart(Travelling { flow, way, bytes: bytes.to_vec() }, now + weather.delay, now);
        }
        let travelling = Travelling { flow, way, bytes: bytes.to_vec() };
        if !held {
            self.depart(travelling, now + weather.delay, now);
            return self.overtake(flow, way, weather.delay, now);
        }
        self.count(way, Fate::Held);
        match weather.hold {
            Hold::Time(time) => self.depart(travelling, now + weather.delay + time, now),
            Hold::Datagrams(others) => {
                self.held.push(Held { travelling, others, at_most_until: now + OVERTAKEN_BY });
            }
        }
    }

    /// One datagram went past those of its flow that are held.
    fn overtake(&mut self, flow: usize, way: Way, delay: Duration, now: Instant) {
        let same = |held: &Held| held.travelling.flow == flow && held.travelling.way == way;
        self.held
            .iter_mut()
            .filter(|held| same(held))
            .for_each(|held| held.others = held.others.saturating_sub(1));
        let free: Vec<Held> = self.held.extract_if(.., |held| same(held) && held.others == 0).collect();
        free.into_iter().for_each(|held| self.depart(held.travelling, now + delay, now));
    }

    /// Sends at the moment `at`, which is at once when it is now.
    fn depart(&mut self, travelling: Travelling, at: Instant, now: Instant) {
        if at <= now {
            self.send(&travelling);
        } else if self.later.len() + self.held.len() >= WAITING {
            self.count(travelling.way, Fate::Overflowed);
        } else {
            self.serial += 1;
            self.later.insert((at, self.serial), travelling);
        }
    }

    fn send_what_is_due(&mut self, now: Instant) {
        let free: Vec<Held> = self.held.extract_if(.., |held| held.at_most_until <= now).collect();
        free.iter().for_each(|held| self.send(&held.travelling));
        while let Some(first) = self.later.first_entry().filter(|first| first.key().0 <= now) {
            let travelling = first.remove();
            self.send(&travelling);
        }
    }

    fn send(&self, travelling: &Travelling) {
        let Travelling { flow, way, bytes } = travelling;
        let flow = &self.flows[*flow];
        let sent = match way {
            Way::Up => flow.socket.send(bytes),
            Way::Down => self.front.send_to(bytes, flow.client),
        };
        self.count(*way, if sent.is_ok() { Fate::Passed } else { Fate::Overflowed });
    }

    fn count(&self, way: Way, fate: Fate) {
        self.shared.counter(way, fate).fetch_add(1, Ordering::AcqRel);
    }
}

/// A socket of loopback in the family of `like`, with room for a burst: what the kernel drops no seed decides.
fn bind(like: SocketAddr) -> UdpSocket {
    let ip = match like.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.set_nonblocking(true).unwrap();
    if set_socket_recv_buffer_size_force(&socket, 4 << 20).is_err() {
        set_socket_recv_buffer_size(&socket, 4 << 20).unwrap();
    }
    socket
}

/// The dice of one direction of a client, which no other lane shares.
fn lane(seed: u64, number: u64) -> Dice {
    Dice::new(Dice::new(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95)).roll())
}
