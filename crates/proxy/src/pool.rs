//! Warm connections: open ones that wait at each endpoint, so that a session need not.
//!
//! Each worker has its own, and its share of what is configured for the process. They are made in the background as
//! fast as `core/pool.rs` says; the one made last is taken first. An idle connection has nothing to say: one on
//! which the endpoint speaks, or which it ends, is closed at once, as edge-triggered events tell it, and each is
//! looked at once more when it is taken.

mod keep;
mod making;
mod seats;

use std::collections::BTreeMap;
use std::mem;
use std::net::SocketAddr;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::pool::{AT_ONCE, share};
use portcullis_core::snapshot::Snapshot;
use portcullis_core::upstream::{EndpointState, Upstream};
use portcullis_core::wheel::Tick;
use portcullis_sys::epoll::Event;

use crate::io::Io;
use crate::leg::Leg;
use crate::meter::Discard;
use keep::{Keep, Quiet, quiet};
pub(crate) use seats::is_seat;
use seats::{Life, Seat, Seats};

/// How often each keep is looked at, whatever happens.
const LOOK: Duration = Duration::from_secs(1);

/// The warm connections of one worker.
#[derive(Debug)]
pub(crate) struct Pools {
    /// By the place of their endpoint's state in memory, which is the same in every snapshot that has the endpoint.
    /// A keep holds it, so that no other comes to lie there.
    keeps: BTreeMap<usize, Keep>,
    seats: Seats,
    /// Connections that go on in the next turn: what came next was too expensive for the last.
    busy: Vec<u64>,
    /// Keeps that may have a connection to make.
    wanting: Vec<usize>,
    /// No deadline of any is before.
    next: Tick,
    /// How many dials there were: addresses are taken in turn.
    turn: u64,
    snapshot: Option<Arc<Snapshot>>,
}

impl Default for Pools {
    fn default() -> Self {
        Self {
            keeps: BTreeMap::new(),
            seats: Seats::default(),
            busy: Vec::new(),
            wanting: Vec::new(),
            next: Tick::NEVER,
            turn: 0,
            snapshot: None,
        }
    }
}

/// Names the keep of an endpoint.
fn place(endpoint: &EndpointState) -> usize {
    ptr::from_ref(endpoint).addr()
}

impl Pools {
    /// The moment at which [`tend`] has something to do; the beginning of time when it has now.
    pub(crate) fn poll_timeout(&self) -> Tick {
        if self.busy.is_empty() && self.wanting.is_empty() { self.next } else { Tick(0) }
    }

    fn expect(&mut self, at: Tick) {
        self.next = self.next.min(at);
    }

    /// Closes an idle connection on which there is anything to be read.
    fn look(&mut self, token: u64, io: &mut Io) {
        let Some(Seat { life: Life::Idle { leg, .. }, .. }) = self.seats.find(token) else { return };
        if !leg.may_read() {
            return;
        }
        match quiet(leg, &mut io.buffer, &mut io.lent) {
            Quiet::Yes => {}
            Quiet::Spoke => self.lost(token, Discard::Spoke, io),
            Quiet::Ended => self.lost(token, Discard::Ended, io),
        }
    }

    fn discard(&mut self, token: u64, cause: Discard) {
        let Some(seat) = self.seats.remove(token) else { return };
        let Some(keep) = self.keeps.get_mut(&seat.place) else { return };
        keep.idle.retain(|idle| *idle != token);
        keep.meter.discarded(cause);
        self.wanting.push(seat.place);
    }

    /// Closes everything of a keep that is gone.
    fn close(&mut self, keep: &Keep) {
        for token in keep.idle.iter().chain(&keep.making) {
            self.seats.remove(*token);
        }
        keep.idle.iter().for_each(|_| keep.meter.discarded(Discard::Surplus));
    }
}

/// Lets the pools follow the snapshot in force. What was made under other settings is closed.
pub(crate) fn apply(io: &mut Io, snapshot: &Arc<Snapshot>) {
    let workers = u16::try_from(io.shared.mailboxes.len()).unwrap_or(u16::MAX);
    let Io { pools, shared, worker, .. } = io;
    let mut before = mem::take(&mut pools.keeps);
    for upstream in snapshot.upstreams().filter(|upstream| keep::may_pool(upstream)) {
        let meter = shared.pool_meter(&upstream.settings.name);
        let settings = &upstream.settings.pool;
        for endpoint in upstream.endpoints() {
            let place = place(endpoint);
            let mut keep = match before.remove(&place) {
                Some(keep) if keep.is_good_for(upstream) => keep,
                Some(gone) => {
                    pools.close(&gone);
                    Keep::new(share(AT_ONCE, workers, *worker), Arc::clone(&meter))
                }
                None => Keep::new(share(AT_ONCE, workers, *worker), Arc::clone(&meter)),
            };
            keep.serve(upstream, endpoint, share(settings.min_idle, workers, *worker));
            pools.keeps.insert(place, keep);
        }
    }
    before.values().for_each(|gone| pools.close(gone));
    pools.next = if pools.keeps.is_empty() { Tick::NEVER } else { io.now };
    pools.snapshot = Some(Arc::clone(snapshot));
}

/// Makes no more connections in advance, and closes those that are there.
pub(crate) fn stop(io: &mut Io) {
    let Pools { keeps, .. } = &mut io.pools;
    for keep in mem::take(keeps).values() {
        io.pools.close(keep);
    }
    io.pools.wanting.clear();
}

/// Takes a connection to an endpoint of an upstream, watched under `token` from here on. `None`: there is none.
pub(crate) fn take(
    io: &mut Io,
    upstream: &Arc<Upstream>,
    endpoint: &EndpointState,
    token: u64,
) -> Option<(Leg, SocketAddr)> {
    let Io { pools, poller, lent, buffer, dice, now, .. } = io;
    let place = place(endpoint);
    let keep = pools.keeps.get_mut(&place).filter(|keep| keep.is_of(upstream))?;
    pools.wanting.push(place);
    while let Some(idle) = keep.idle.pop() {
        let Some(seat) = pools.seats.remove(idle) else { continue };
        let Life::Idle { mut leg, address } = seat.life else { continue };
        if *now >= seat.until {
            keep.meter.discarded(Discard::Age);
            continue;
        }
        // An end that came in this turn is not told by an event yet.
        let cause = match quiet(&mut leg, buffer, lent) {
            Quiet::Yes if leg.watch_as(poller, token).is_ok() => {
                keep.meter.hit();
                return Some((leg, address));
            }
            Quiet::Yes | Quiet::Ended => Discard::Ended,
            Quiet::Spoke => Discard::Spoke,
        };
        keep.meter.discarded(cause);
        keep.refill.lost(*now, seat.since, dice.throw().unwrap_or_default());
    }
    keep.meter.missed();
    None
}

/// Takes note of what the poller saw of a connection.
pub(crate) fn handle_event(io: &mut Io, event: &Event) {
    let mut pools = mem::take(&mut io.pools);
    if let Some(seat) = pools.seats.find(event.token) {
        if let Some(leg) = seat.leg() {
            leg.note(event);
        }
        if matches!(seat.life, Life::Idle { .. }) {
            pools.look(event.token, io);
        } else {
            pools.go_on(event.token, io);
        }
    }
    io.pools = pools;
}

/// Takes the control plane's answer about an endpoint's name.
pub(crate) fn handle_answer(io: &mut Io, token: u64, addresses: &[SocketAddr]) {
    let mut pools = mem::take(&mut io.pools);
    pools.answered(token, addresses, io);
    io.pools = pools;
}

/// Does what is due: goes on with what waited for a turn, closes what is too old, makes what is missing.
pub(crate) fn tend(io: &mut Io) {
    let mut pools = mem::take(&mut io.pools);
    for token in mem::take(&mut pools.busy) {
        pools.go_on(token, io);
    }
    if io.now >= pools.next {
        // An operator's word about an endpoint is no event.
        pools.next = if pools.keeps.is_empty() { Tick::NEVER } else { io.now.after(LOOK) };
        pools.wanting = pools.keeps.keys().copied().collect();
    }
    let mut wanting = mem::take(&mut pools.wanting);
    wanting.sort_unstable();
    wanting.dedup();
    for place in wanting {
        pools.expire(place, io);
        pools.refill(place, io);
    }
    io.pools = pools;
}
