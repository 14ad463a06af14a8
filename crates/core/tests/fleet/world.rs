//! The world of the fleet: events in virtual time, endpoints with their truth, and what is measured.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_core::config::{self, Balance, Config, Health, RateLimit};
use portcullis_core::endpoint::Endpoint;
use portcullis_core::health::{Change, WHOLE};
use portcullis_core::unit;
use portcullis_core::upstream::{Ask, Lease, NoLease, Place, Upstream, Waiter};
use portcullis_core::wheel::Tick;

pub(crate) const SESSIONS: u32 = 100_000;
const ENDPOINTS: usize = 10;
/// Sessions arrive over so many milliseconds: 800 a second.
const ARRIVALS: u64 = 125_000;
/// How long a session lasts on average, in milliseconds.
const LASTS: f64 = 10_000.0;
/// The new sessions that an endpoint admits.
pub(crate) const RATE: Admission = Admission { per_second: 150, burst: 30 };
/// Of a healthy endpoint, one attempt in so many fails.
const FLAKY: u64 = 50;
/// Clients behind the sessions.
const CLIENTS: u64 = 20_000;
const TIMEOUT: u64 = 3_000;
const QUEUE: u32 = 1024;
const QUEUE_TIMEOUT: u64 = 5_000;
const LOOK: u64 = 250;
const SAMPLE: u64 = 100;

/// What happens to endpoints, and when.
const TROUBLES: [(u64, std::ops::Range<usize>, Truth); 6] = [
    (20_000, 0..1, Truth::Slow),
    (30_000, 1..2, Truth::Silent),
    (35_000, 0..1, Truth::Well),
    (50_000, 1..2, Truth::Well),
    (60_000, 3..10, Truth::Dead),
    (75_000, 3..10, Truth::Well),
];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    per_second: u32,
    burst: u32,
}

impl Admission {
    pub(crate) fn most_in_a_second(self) -> u32 {
        self.per_second + self.burst
    }
}

/// How an endpoint really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Well,
    /// It takes 60 times as long to answer.
    Slow,
    /// It says nothing.
    Silent,
    /// It refuses.
    Dead,
}

/// What is told in the end.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Of endpoints that are well and have their whole share: most sessions of one by the mean, at the worst moment.
    pub(crate) worst_spread: f64,
    pub(crate) served: u32,
    pub(crate) failed: u32,
    pub(crate) refused: u32,
    /// How often an endpoint was left alone that was well.
    pub(crate) false_ejections: u32,
    /// Milliseconds until the silent one was left alone, and until the first of the dead ones was.
    pub(crate) silent_after: u64,
    pub(crate) dead_after: u64,
    /// The most new sessions that an endpoint had within one second, and that the naive model gave one.
    pub(crate) most_in_a_second: u32,
    pub(crate) naive_in_a_second: u32,
    pub(crate) all_fit_again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    Decided { session: u64, good: bool },
    Ends { session: u64 },
    Looks { session: u64 },
    Probe { endpoint: usize },
    Trouble { which: usize },
    Sample,
}

#[derive(Debug, Default)]
struct Session {
    client: u64,
    tried: Vec<Endpoint>,
    lease: Option<Lease>,
    place: Option<Place>,
    queued_at: Option<u64>,
    began: u64,
    is_open: bool,
    ends_at: u64,
}

pub(crate) struct World {
    upstream: Upstream,
    truth: [Truth; ENDPOINTS],
    now: u64,
    /// By moment; those of one moment in an order that chance makes, as workers do.
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    sessions: BTreeMap<u64, Session>,
    next: u64,
    dice: u64,
    /// Sessions of each endpoint, counted by hand.
    counts: [u32; ENDPOINTS],
    admitted: [VecDeque<u64>; ENDPOINTS],
    last_of_line: u64,
    naive: Naive,
    told: Told,
}

/// Gives each session to the well endpoint with the fewest, knowing the truth.
#[derive(Default)]
struct Naive {
    ends: [BinaryHeap<Reverse<u64>>; ENDPOINTS],
    seated: [VecDeque<u64>; ENDPOINTS],
}

impl World {
    pub(crate) fn new(balance: Balance, seed: u64) -> Self {
        let mut world = Self {
            upstream: upstream(balance),
            truth: [Truth::Well; ENDPOINTS],
            now: 0,
            events: BinaryHeap::new(),
            sessions: BTreeMap::new(),
            next: 0,
            dice: seed,
            counts: [0; ENDPOINTS],
            admitted: Default::default(),
            last_of_line: 0,
            naive: Naive::default(),
            told: Told::default(),
        };
        for _ in 0..SESSIONS {
            let at = world.roll() % ARRIVALS;
            world.plan(at, Event::Arrives);
        }
        for endpoint in 0..ENDPOINTS {
            let at = world.roll() % 2_000;
            world.plan(at, Event::Probe { endpoint });
        }
        (0..TROUBLES.len()).for_each(|which| world.plan(TROUBLES[which].0, Event::Trouble { which }));
        world.plan(2_000, Event::Sample);
        world
    }

    pub(crate) fn run(mut self) -> Told {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            match event {
                Event::Arrives => self.arrives(),
                Event::Decided { session, good } => self.decided(session, good),
                Event::Ends { session } => self.ends(session),
                Event::Looks { session } => self.looks(session),
                Event::Probe { endpoint } => self.probe(endpoint),
                Event::Trouble { which } => self.trouble(which),
                Event::Sample => self.sample(),
            }
            let counted: Vec<u32> = self.upstream.endpoints().map(|endpoint| endpoint.sessions()).collect();
            assert_eq!(counted, self.counts, "at {at}: leases are counted as they are held");
        }
        assert!(self.sessions.is_empty() && self.upstream.line().is_empty(), "nobody is left behind");
        let now = Tick(self.now);
        self.told.all_fit_again = self.upstream.endpoints().all(|endpoint| endpoint.fitness.is_fit(now));
        self.told
    }

    fn arrives(&mut self) {
        self.next += 1;
        let (session, client) = (self.next, self.roll() % CLIENTS);
        let client = portcullis_core::balance::sip::hash(&client.to_le_bytes());
        self.sessions.insert(session, Session { client, ..Session::default() });
        let lasts = self.lasts();
        let most = self.naive.seat(&self.truth, self.now, self.now + lasts);
        self.told.naive_in_a_second = self.told.naive_in_a_second.max(most);
        if self.upstream.line().is_empty() {
            self.seek(session);
        } else {
            self.stands_in_line(session, Tick::NEVER);
        }
    }

    /// Asks for an endpoint; true: it has one, and an attempt is under way, or it is over.
    fn seek(&mut self, session: u64) -> bool {
        let dice = self.roll();
        let asking = &self.sessions[&session];
        let ask = Ask { now: Tick(self.now), dice, client: asking.client, tried: &asking.tried };
        match self.upstream.lease(&ask) {
            Ok(lease) => self.dials(session, lease),
            Err(NoLease::NoEndpoint) => self.over(session, |told| told.failed += 1),
            Err(NoLease::Full { again }) => {
                self.stands_in_line(session, again);
                return false;
            }
        }
        true
    }

    fn dials(&mut self, session: u64, lease: Lease) {
        let address = lease.endpoint().address.clone();
        let index = self.upstream.endpoints().position(|endpoint| endpoint.address == address).unwrap();
        assert!(
            lease.endpoint().fitness.is_fit(Tick(self.now))
                || self.nobody_is_fit()
                || lease.endpoint().fitness.is_half_open(Tick(self.now))
        );
        self.counts[index] += 1;
        let most = in_a_second(&mut self.admitted[index], self.now);
        self.told.most_in_a_second = self.told.most_in_a_second.max(most);
        let (chance, jitter) = (self.roll(), self.roll());
        let (good, takes) = match self.truth[index] {
            Truth::Well => (!chance.is_multiple_of(FLAKY), 2 + jitter % 5),
            Truth::Slow => (!chance.is_multiple_of(FLAKY), 200 + jitter % 200),
            Truth::Silent => (false, TIMEOUT),
            Truth::Dead => (false, 1),
        };
        let dialling = self.sessions.get_mut(&session).unwrap();
        dialling.tried.push(address);
        dialling.lease = Some(lease);
        dialling.place = None;
        dialling.began = self.now;
        self.plan(self.now + takes, Event::Decided { session, good });
    }

    fn decided(&mut self, session: u64, good: bool) {
        let now = Tick(self.now);
        let decided = &self.sessions[&session];
        let (began, attempts) = (decided.began, decided.tried.len());
        let endpoint = decided.lease.as_ref().unwrap().endpoint().clone();
        if good {
            let lasts = self.lasts();
            endpoint.fitness.connected(Duration::from_millis(self.now - began), now);
            self.told.served += 1;
            let opened = self.sessions.get_mut(&session).unwrap();
            opened.is_open = true;
            opened.ends_at = self.now + lasts;
            self.plan(self.now + lasts, Event::Ends { session });
            return;
        }
        let all = self.upstream.endpoints().map(|endpoint| &endpoint.fitness);
        let change = endpoint.fitness.failed(now, &self.upstream.settings.eject, all);
        let index = self.upstream.endpoints().position(|known| known.address == endpoint.address).unwrap();
        self.left_alone(index, change);
        self.gives_back(session);
        if attempts < 3 {
            if self.upstream.line().is_empty() {
                self.seek(session);
            } else {
                self.stands_in_line(session, Tick::NEVER);
            }
        } else {
            self.over(session, |told| told.failed += 1);
        }
    }

    fn ends(&mut self, session: u64) {
        // Those of an endpoint that died are gone before.
        if self.sessions.get(&session).is_some_and(|ended| ended.ends_at == self.now) {
            self.gives_back(session);
            self.sessions.remove(&session);
        }
    }

    fn stands_in_line(&mut self, session: u64, again: Tick) {
        let now = self.now;
        if self.sessions[&session].place.is_none() {
            let Some(place) = self.upstream.line().join(Waiter { worker: 0, token: session }, QUEUE) else {
                return self.over(session, |told| told.refused += 1);
            };
            let waiting = self.sessions.get_mut(&session).unwrap();
            waiting.place = Some(place);
            waiting.queued_at = Some(now);
        }
        let ends = self.sessions[&session].queued_at.unwrap() + QUEUE_TIMEOUT;
        self.plan(again.0.min(now + LOOK).min(ends).max(now + 1), Event::Looks { session });
    }

    fn looks(&mut self, session: u64) {
        let Some(waiting) = self.sessions.get(&session) else { return };
        let (Some(place), Some(since)) = (&waiting.place, waiting.queued_at) else { return };
        if self.now >= since + QUEUE_TIMEOUT {
            self.over(session, |told| told.refused += 1);
        } else if place.is_first() {
            if self.seek(session) {
                assert!(since >= self.last_of_line, "whoever came first is served first");
                self.last_of_line = since;
                self.calls();
            }
        } else {
            self.stands_in_line(session, Tick::NEVER);
        }
    }

    /// Whoever is first in line may look.
    fn calls(&mut self) {
        if let Some(waiter) = self.upstream.line().first() {
            self.plan(self.now, Event::Looks { session: waiter.token });
        }
    }

    fn gives_back(&mut self, session: u64) {
        let lease = self.sessions.get_mut(&session).and_then(|session| session.lease.take());
        if let Some(lease) = lease {
            let found = |endpoint: &&std::sync::Arc<_>| std::sync::Arc::ptr_eq(*endpoint, lease.endpoint());
            let index =
                self.upstream.endpoints().enumerate().find(|(_, endpoint)| found(endpoint)).unwrap().0;
            self.counts[index] -= 1;
            drop(lease);
            self.calls();
        }
    }

    fn over(&mut self, session: u64, count: impl FnOnce(&mut Told)) {
        self.gives_back(session);
        self.sessions.remove(&session);
        count(&mut self.told);
        self.calls();
    }

    fn probe(&mut self, index: usize) {
        let good = matches!(self.truth[index], Truth::Well | Truth::Slow);
        let health = Health::default();
        let endpoint = self.upstream.endpoints().nth(index).unwrap();
        let change = endpoint.fitness.probed(good, Tick(self.now), &health);
        self.left_alone(index, change);
        // The interval of 2 s, a tenth less to a tenth more; until there is quiet.
        let at = self.now + 1_800 + self.roll() % 400;
        if at < ARRIVALS + 60_000 {
            self.plan(at, Event::Probe { endpoint: index });
        }
    }

    /// Takes note of an endpoint that is left alone from here on.
    fn left_alone(&mut self, index: usize, change: Option<Change>) {
        if !matches!(change, Some(Change::Ejected(_) | Change::Down)) {
            return;
        }
        match self.truth[index] {
            Truth::Well | Truth::Slow => self.told.false_ejections += 1,
            Truth::Silent if self.told.silent_after == 0 => self.told.silent_after = self.now - 30_000,
            Truth::Dead if self.told.dead_after == 0 => self.told.dead_after = self.now - 60_000,
            Truth::Silent | Truth::Dead => {}
        }
    }

    fn trouble(&mut self, which: usize) {
        let (_, endpoints, truth) = TROUBLES[which].clone();
        for index in endpoints {
            self.truth[index] = truth;
            if matches!(truth, Truth::Silent | Truth::Dead) {
                self.naive.ends[index].clear();
                let address = self.upstream.endpoints().nth(index).unwrap().address.clone();
                let its = |session: &Session| {
                    session.is_open
                        && session.lease.as_ref().is_some_and(|lease| lease.endpoint().address == address)
                };
                let gone: Vec<u64> =
                    self.sessions.iter().filter(|(_, session)| its(session)).map(|(id, _)| *id).collect();
                for session in gone {
                    self.gives_back(session);
                    self.sessions.remove(&session);
                }
            }
        }
    }

    fn sample(&mut self) {
        let now = Tick(self.now);
        let slow_start = self.upstream.settings.slow_start;
        let whole: Vec<u32> = self
            .upstream
            .endpoints()
            .enumerate()
            .filter(|(index, endpoint)| {
                let fitness = &endpoint.fitness;
                let is_well = matches!(self.truth[*index], Truth::Well | Truth::Slow);
                is_well && fitness.is_fit(now) && fitness.share(now, slow_start) == WHOLE
            })
            .map(|(_, endpoint)| endpoint.sessions())
            .collect();
        // Where there are few sessions yet, one more is much.
        if self.now >= 10_000 {
            let most = whole.iter().max().copied().unwrap_or(0);
            let mean = f64::from(whole.iter().sum::<u32>()) / whole.len() as f64;
            self.told.worst_spread = self.told.worst_spread.max(f64::from(most) / mean);
        }
        if self.now + SAMPLE < ARRIVALS {
            self.plan(self.now + SAMPLE, Event::Sample);
        }
    }

    fn nobody_is_fit(&self) -> bool {
        !self.upstream.endpoints().any(|endpoint| endpoint.fitness.is_fit(Tick(self.now)))
    }

    fn plan(&mut self, at: u64, event: Event) {
        let order = self.roll();
        self.events.push(Reverse((at, order, event)));
    }

    /// An exponentially distributed time.
    fn lasts(&mut self) -> u64 {
        let even = (self.roll() >> 11) as f64 / (1_u64 << 53) as f64;
        (-(1.0 - even).ln() * LASTS) as u64 + 1
    }

    /// `SplitMix64`.
    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Naive {
    /// Returns how many new ones that endpoint has had within a second.
    fn seat(&mut self, truth: &[Truth; ENDPOINTS], now: u64, ends: u64) -> u32 {
        let well = |index: &usize| matches!(truth[*index], Truth::Well | Truth::Slow);
        for all in &mut self.ends {
            while all.peek().is_some_and(|ends| ends.0 <= now) {
                all.pop();
            }
        }
        let least = (0..ENDPOINTS).filter(well).min_by_key(|index| self.ends[*index].len()).unwrap();
        self.ends[least].push(Reverse(ends));
        in_a_second(&mut self.seated[least], now)
    }
}

/// Adds one at `now`, and returns how many there were in the second that ends with it.
fn in_a_second(moments: &mut VecDeque<u64>, now: u64) -> u32 {
    moments.push_back(now);
    while moments.front().is_some_and(|at| *at + 999 < now) {
        moments.pop_front();
    }
    moments.len() as u32
}

fn upstream(balance: Balance) -> Upstream {
    let text = "[[listener]]\nname = 'in'\nprotocol = 'tcp'\nbind = ['127.0.0.1:0']\nhello = 'none'\nroute = 'r'\n\
        [route.r]\nresolver = 'upstream'\nupstreams = ['u']\n\
        [upstream.u]\nprotocol = 'tcp'\nendpoints = [{ address = '10.0.0.1:1' }]\n";
    let mut settings = Config::parse(text, "t.toml", &|_| None).unwrap().upstreams.remove(0);
    let endpoint = |index| config::UpstreamEndpoint {
        address: format!("10.0.0.{}:1", index + 1).parse().unwrap(),
        ..settings.endpoints[0].clone()
    };
    settings.endpoints = (0..ENDPOINTS).map(endpoint).collect();
    settings.balance = balance;
    let rate = unit::Rate { count: NonZeroU32::new(RATE.per_second).unwrap(), per: Duration::from_secs(1) };
    settings.session_rate = Some(RateLimit { rate, burst: RATE.burst });
    Upstream::new(&settings, None, None, None)
}
