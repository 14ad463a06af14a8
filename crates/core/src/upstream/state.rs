//! One endpoint as it is now: shared by all workers, and kept over reloads.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Line;
use super::choose::since_start;
use crate::endpoint::Endpoint;
use crate::health::Fitness;
use crate::limit::bucket::{Bucket, Rate};
use crate::name::UpstreamName;
use crate::wheel::Tick;

/// What an operator wants of an endpoint, as HAProxy's `set server … state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It takes sessions.
    Ready,
    /// It takes no further ones; those it has go on, and it is still probed.
    Drain,
    /// It takes no further ones and is not probed: somebody works on it.
    Maint,
}

impl Standing {
    /// Every standing, in declaration order.
    pub const ALL: [Self; 3] = [Self::Ready, Self::Drain, Self::Maint];

    /// The word for it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }

    /// The standing that goes by this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.label() == word)
    }
}

/// One endpoint of an upstream, counted across workers and snapshots.
#[derive(Debug)]
pub struct EndpointState {
    /// Whose it is.
    pub upstream: UpstreamName,
    /// Where it listens.
    pub address: Endpoint,
    /// What probes, traffic and its agent have shown of it.
    pub fitness: Fitness,
    sessions: AtomicU32,
    /// A place in [`Standing::ALL`].
    standing: AtomicU8,
    /// The operator's; [`AS_CONFIGURED`] = none was set.
    weight: AtomicU16,
    /// New sessions over time; `None`: nobody asked yet.
    admission: Mutex<Option<Bucket>>,
    /// Who waits for its upstream.
    line: Arc<Line>,
}

/// Stands for no weight of the operator's.
const AS_CONFIGURED: u16 = u16::MAX;

impl EndpointState {
    /// The heaviest weight, as in the configuration.
    pub const MAX_WEIGHT: u16 = 256;

    pub(super) fn new(upstream: UpstreamName, address: Endpoint, line: Arc<Line>) -> Self {
        Self {
            upstream,
            address,
            fitness: Fitness::default(),
            sessions: AtomicU32::new(0),
            standing: AtomicU8::new(0),
            weight: AtomicU16::new(AS_CONFIGURED),
            admission: Mutex::default(),
            line,
        }
    }

    /// Sessions that hold a lease on it.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// What the operator wants of it.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let place = usize::from(self.standing.load(Ordering::Relaxed));
        Standing::ALL.get(place).copied().unwrap_or(Standing::Ready)
    }

    /// Says what is wanted of it; the next lease heeds that.
    pub fn set_standing(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::Relaxed);
    }

    /// The operator's weight, 0 to 256; `None` = as configured.
    #[must_use]
    pub fn weight(&self) -> Option<u16> {
        let weight = self.weight.load(Ordering::Relaxed);
        (weight != AS_CONFIGURED).then_some(weight)
    }

    /// Sets a weight in place of the configured one, at most [`Self::MAX_WEIGHT`]; 0 = no share at all. `None`
    /// gives the configured one back.
    pub fn set_weight(&self, weight: Option<u16>) {
        let weight = weight.map_or(AS_CONFIGURED, |weight| weight.min(Self::MAX_WEIGHT));
        self.weight.store(weight, Ordering::Relaxed);
    }

    /// Who waits for its upstream to have room: the first is to be called when a lease was given back.
    #[must_use]
    pub fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// How long until another session is admitted at this rate; `None` = one is at once.
    pub(super) fn admits_after(&self, rate: Rate, now: Tick) -> Option<Duration> {
        let now = since_start(now);
        let mut bucket = self.admission().unwrap_or_else(|| Bucket::full(rate, now));
        bucket.take(rate, now, 1).err()
    }

    /// Admits a session at this rate; false: there is no token.
    pub(super) fn admit(&self, rate: Rate, now: Tick) -> bool {
        let now = since_start(now);
        self.admission().get_or_insert_with(|| Bucket::full(rate, now)).take(rate, now, 1).is_ok()
    }

    fn admission(&self) -> MutexGuard<'_, Option<Bucket>> {
        self.admission.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's claim on an endpoint: counted while it lives.
#[derive(Debug)]
#[must_use = "the session is counted only while its lease lives"]
pub struct Lease {
    endpoint: Arc<EndpointState>,
}

impl Lease {
    /// Claims one that has at least `least` sessions, and at most `most` with this one.
    pub(super) fn claim(endpoint: &Arc<EndpointState>, least: u32, most: Option<u32>) -> Option<Self> {
        let join = |sessions: u32| {
            let has_room = sessions >= least && most.is_none_or(|most| sessions < most);
            has_room.then(|| sessions.saturating_add(1))
        };
        endpoint.sessions.fetch_update(Ordering::AcqRel, Ordering::Acquire, join).ok()?;
        Some(Self { endpoint: Arc::clone(endpoint) })
    }

    /// The endpoint claimed.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<EndpointState> {
        &self.endpoint
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}
