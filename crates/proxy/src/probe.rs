//! Probes of one worker: which endpoints it asks, and when.
//!
//! Each endpoint of an upstream with `health` is asked by one worker, the same over reloads; its agent likewise. A
//! probe is a small machine beside the sessions, on the same poller: none waits for another. What came of it goes
//! to the endpoint's `Fitness`, and where that changes, to the log.

mod check;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::mem;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_core::config::{Config, OnDown};
use portcullis_core::endpoint::Endpoint;
use portcullis_core::health::Change;
use portcullis_core::name::UpstreamName;
use portcullis_core::snapshot::Snapshot;
use portcullis_core::upstream::{EndpointState, Upstream};
use portcullis_core::wheel::Tick;
use portcullis_sys::epoll::Event as Ready;

use crate::handle::{Command, Event, NameError, Told};
use crate::io::{Dice, Io};
use crate::meter::KcpCell;
use check::{Check, Errand, Found, Turn};

/// How many probes one worker may have; endpoints beyond are not asked.
pub(crate) const PROBES: u32 = 1 << 20;

/// The addresses of a name.
type Named = Result<Vec<SocketAddr>, NameError>;

/// The probes of one worker. Slots are stable: what is watched goes by them.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    slots: Vec<Option<Place>>,
    /// When each wants to be stepped, and who.
    alarms: BTreeSet<(Tick, u32)>,
    ready: Vec<u32>,
    around: Around,
}

/// One probe with what is kept about it.
#[derive(Debug)]
struct Place {
    check: Check,
    alarm: Tick,
    is_ready: bool,
}

/// What all probes of a worker share.
#[derive(Debug, Default)]
pub(crate) struct Around {
    config: Option<Arc<Config>>,
    /// Counts the questions, so that an answer to another one misses.
    serial: u16,
    /// What probes say and hear by datagrams is no session's.
    cell: KcpCell,
}

impl Probes {
    /// Asks the endpoints of this snapshot from here on. `base` is the highest token: probe `n` is watched under
    /// `base - n`. A probe whose settings are the same goes on as it is.
    pub(crate) fn apply(&mut self, snapshot: &Snapshot, base: u64, io: &mut Io) {
        self.around.config = Some(Arc::clone(&snapshot.config));
        let mut before: Vec<(u32, Check)> = Vec::new();
        for (slot, place) in (0..).zip(&mut self.slots) {
            before.extend(place.take().map(|place| (slot, place.check)));
        }
        self.alarms.clear();
        self.ready.clear();
        let mut fresh = Vec::new();
        for upstream in snapshot.upstreams() {
            for endpoint in upstream.endpoints() {
                if !is_owned(upstream, endpoint, io) {
                    continue;
                }
                for errand in errands(upstream, endpoint, io) {
                    let same = before.iter().position(|(_, check)| check.is_same(upstream, endpoint, errand));
                    match same.map(|index| before.swap_remove(index)) {
                        Some((slot, mut check)) => {
                            check.upstream = Arc::clone(upstream);
                            self.put(slot, check);
                        }
                        None => fresh.push((Arc::clone(upstream), Arc::clone(endpoint), errand)),
                    }
                }
            }
        }
        // The sockets of those that are gone are closed before their places are given away.
        drop(before);
        for (upstream, endpoint, errand) in fresh {
            let free = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
            let Some(slot) = u32::try_from(free).ok().filter(|slot| *slot < PROBES) else { break };
            if free == self.slots.len() {
                self.slots.push(None);
            }
            let interval = errand.interval(&upstream);
            let first = io.now.after(within(interval, &mut io.dice));
            let check = Check::new((upstream, endpoint), errand, base - u64::from(slot), first);
            self.put(slot, check);
        }
    }

    fn put(&mut self, slot: u32, check: Check) {
        let alarm = check.poll_timeout();
        self.alarms.insert((alarm, slot));
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(Place { check, alarm, is_ready: false });
        }
    }

    /// Takes note of what the poller saw of probe `number`.
    pub(crate) fn note(&mut self, number: u64, event: &Ready) {
        if let Some((slot, place)) = self.find(number) {
            place.check.note(event);
            self.wake(slot);
        }
    }

    /// Takes the control plane's answer to a question of probe `number`.
    pub(crate) fn answer(&mut self, number: u64, serial: u16, answer: Named) {
        if let Some((slot, place)) = self.find(number) {
            place.check.answer(serial, answer);
            self.wake(slot);
        }
    }

    fn find(&mut self, number: u64) -> Option<(u32, &mut Place)> {
        let slot = u32::try_from(number).ok()?;
        Some((slot, self.slots.get_mut(slot as usize)?.as_mut()?))
    }

    fn wake(&mut self, slot: u32) {
        if let Some(Some(place)) = self.slots.get_mut(slot as usize)
            && !mem::replace(&mut place.is_ready, true)
        {
            self.ready.push(slot);
        }
    }

    /// The moment at which a probe wants to be stepped; `Tick(0)`: at once.
    pub(crate) fn poll_timeout(&self) -> Tick {
        if !self.ready.is_empty() {
            return Tick(0);
        }
        self.alarms.first().map_or(Tick::NEVER, |(at, _)| *at)
    }

    /// Steps those whose moment has come, or of whom something was seen.
    pub(crate) fn turn(&mut self, io: &mut Io) {
        while let Some((at, slot)) = self.alarms.first().copied()
            && at <= io.now
        {
            self.alarms.pop_first();
            self.wake(slot);
        }
        for slot in mem::take(&mut self.ready) {
            self.step(slot, io);
        }
    }

    fn step(&mut self, slot: u32, io: &mut Io) {
        let Self { slots, around, alarms, .. } = self;
        let Some(Some(place)) = slots.get_mut(slot as usize) else { return };
        place.is_ready = false;
        let check = &mut place.check;
        // A defect ends one probe, as it ends one session.
        let turn = catch_unwind(AssertUnwindSafe(|| check.step(io, around))).unwrap_or_else(|_| {
            io.shared.bugs.fetch_add(1, Ordering::Relaxed);
            check.hang_up();
            Turn::Over(Found::Nothing)
        });
        let again = match turn {
            Turn::Wait => false,
            Turn::Again => true,
            Turn::Over(found) => {
                conclude(check, &found, io);
                false
            }
        };
        alarms.remove(&(place.alarm, slot));
        place.alarm = check.poll_timeout();
        alarms.insert((place.alarm, slot));
        if again {
            self.wake(slot);
        }
    }
}

/// Is it this worker that asks an endpoint? Says the same whatever else is configured.
fn is_owned(upstream: &Upstream, endpoint: &EndpointState, io: &Io) -> bool {
    let mut hasher = DefaultHasher::new();
    (upstream.settings.name.as_str(), endpoint.address.to_string()).hash(&mut hasher);
    hasher.finish() % io.shared.mailboxes.len().max(1) as u64 == u64::from(io.worker)
}

/// What is asked about an endpoint. What nobody asks about any more keeps it from nothing.
fn errands(upstream: &Upstream, endpoint: &EndpointState, io: &mut Io) -> Vec<Errand> {
    let mut errands = Vec::new();
    match &upstream.settings.health {
        Some(_) => errands.push(Errand::Health),
        None => {
            if let Some(change) = endpoint.fitness.forget_probes(io.now) {
                tell(io, &upstream.settings.name, &endpoint.address, (change, "it is not probed any more"));
            }
        }
    }
    match upstream.settings.health.as_ref().and_then(|health| health.agent) {
        Some(agent) => errands.push(Errand::Agent(agent)),
        None => {
            if let Some(change) = endpoint.fitness.forget_agent(io.now) {
                tell(io, &upstream.settings.name, &endpoint.address, (change, "it has no agent any more"));
            }
        }
    }
    errands
}

/// Tells the endpoint's fitness what was found, and the log and the sessions what has changed.
fn conclude(check: &mut Check, found: &Found, io: &mut Io) {
    let (upstream, endpoint) = (Arc::clone(&check.upstream), Arc::clone(&check.endpoint));
    let (fitness, now) = (&endpoint.fitness, io.now);
    let (change, why) = match (found, &upstream.settings.health) {
        (Found::Good, Some(health)) => (fitness.probed(true, now, health), "probes are good"),
        (Found::Bad(why), Some(health)) => (fitness.probed(false, now, health), &**why),
        (Found::Said(said), _) => (fitness.told(said, now), &*said.reason),
        (Found::Good | Found::Bad(_), None) | (Found::Nothing, _) => (None, ""),
    };
    check.rest(io);
    let Some(change) = change else { return };
    tell(io, &upstream.settings.name, &endpoint.address, (change, why));
    if matches!(change, Change::Down | Change::Stopped) && upstream.settings.on_down == OnDown::Close {
        for mailbox in &io.shared.mailboxes {
            mailbox.put(Command::Desert(Arc::clone(&endpoint)));
        }
    }
}

/// Tells the log of an endpoint that has changed, and why in words that are safe to print.
pub(crate) fn tell(io: &mut Io, upstream: &UpstreamName, endpoint: &Endpoint, (change, why): (Change, &str)) {
    let (upstream, endpoint, why) = (upstream.clone(), endpoint.clone(), why.into());
    io.told.push(Told::Event(Event::Endpoint { upstream, endpoint, change, why }));
}

/// A time that is at most that long, so that what begins together does not stay together.
fn within(time: Duration, dice: &mut Dice) -> Duration {
    // Without a random number all begin at once.
    time.mul_f64(f64::from(dice.throw().unwrap_or(0)) / f64::from(u32::MAX))
}
