//! Which endpoints are fit for a session: what probes, real traffic and an agent have shown of one.
//!
//! A [`Fitness`] belongs to one endpoint, is shared by all workers and outlives reloads. Choosing reads atomics
//! only; what changes them takes a lock for a few instructions. It knows no socket: probes are made elsewhere.
//!
//! Three things make an endpoint unfit. **Probes** that fail `fall` times in a row, until `rise` in a row are
//! good. **Traffic** that fails `failures` times in a row ejects it for a while, the n-th time n times as long;
//! then it is tried again with one session at a time until one is good (half open). An **agent** that says so.
//! Whatever happened, an endpoint that answers comes back by itself.

pub mod agent;
mod change;
pub mod exchange;
mod response;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::{Eject, Health};
use crate::upstream::Standing;
use crate::wheel::Tick;
use agent::Said;
use change::Tally;
pub use change::{Change, Counted};
use response::Response;

/// A whole share: see [`Fitness::share`].
pub const WHOLE: u16 = 256;

/// What an endpoint that has just come back gets: a sixteenth.
const FIRST_SHARE: u16 = WHOLE / 16;
/// The n-th ejection lasts n times as long as the first, and n grows no further than this.
const MOST_TIMES: u8 = 10;
/// Ejections are forgotten after so many ejection times without one.
const FORGET_AFTER: u32 = 10;
/// No ejection, no trial, no return.
const NEVER: u64 = 0;

/// How fit one endpoint is.
#[derive(Debug)]
pub struct Fitness {
    /// Have probes found it down?
    is_down: AtomicBool,
    /// Has its agent?
    is_stopped: AtomicBool,
    /// A tick + 1: until then traffic has ejected it, and from then on it is half open. [`NEVER`]: it is not.
    ejected_until: AtomicU64,
    /// A tick + 1: until then another session tries a half-open endpoint.
    trial_until: AtomicU64,
    /// A tick + 1: when it came back; its share grows from then on.
    back_at: AtomicU64,
    /// Nanoseconds + 1; 0 = nothing was measured.
    response: AtomicU64,
    /// What its agent wants of its weight, in percent.
    percent: AtomicU16,
    /// The most sessions its agent wants, + 1; 0 = as configured.
    most: AtomicU64,
    /// What its agent lets it have: a place in [`Standing::ALL`].
    standing: AtomicU8,
    history: Mutex<History>,
    tally: Tally,
}

/// What has happened so far, as far as it decides anything.
#[derive(Clone, Copy, Debug, Default)]
struct History {
    /// Good probes in a row, and bad ones.
    good: u8,
    bad: u8,
    /// Failures of traffic in a row.
    failures: u8,
    /// Ejections that are not forgotten.
    times: u8,
    /// Has a probe failed around the ejection? Then good ones are proof that it is over.
    seen_bad: bool,
    response: Response,
}

impl Default for Fitness {
    /// Fit: nothing bad is known.
    fn default() -> Self {
        Self {
            is_down: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            ejected_until: AtomicU64::new(NEVER),
            trial_until: AtomicU64::new(NEVER),
            back_at: AtomicU64::new(NEVER),
            response: AtomicU64::new(0),
            percent: AtomicU16::new(100),
            most: AtomicU64::new(0),
            standing: AtomicU8::new(Standing::Ready as u8),
            history: Mutex::default(),
            tally: Tally::default(),
        }
    }
}

/// What choosing asks.
impl Fitness {
    /// May a session be given to it? A half-open endpoint says so while nobody tries it; whoever then chooses
    /// it must [`Fitness::claim`] it.
    #[must_use]
    pub fn is_fit(&self, now: Tick) -> bool {
        let trial = self.trial_until.load(Ordering::Relaxed);
        self.is_up(now) && !self.rests() && (!self.is_half_open(now) || is_past(trial, now))
    }

    /// Is it neither down nor ejected? A half-open endpoint is up.
    #[must_use]
    pub fn is_up(&self, now: Tick) -> bool {
        !self.is_down.load(Ordering::Relaxed)
            && !self.is_stopped.load(Ordering::Relaxed)
            && is_past(self.ejected_until.load(Ordering::SeqCst), now)
    }

    /// Does its agent want no new session for it (`drain`, `maint`, `0%`)? Then it gets none, even when no other
    /// endpoint is fit.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.agent_standing() != Standing::Ready || self.percent.load(Ordering::Relaxed) == 0
    }

    /// What its agent lets it have; [`Standing::Ready`] without one.
    #[must_use]
    pub fn agent_standing(&self) -> Standing {
        let place = usize::from(self.standing.load(Ordering::Relaxed));
        Standing::ALL.get(place).copied().unwrap_or(Standing::Ready)
    }

    /// The most sessions that its agent wants; `None`: as configured.
    #[must_use]
    pub fn agent_max_sessions(&self) -> Option<u32> {
        u32::try_from(self.most.load(Ordering::Relaxed).checked_sub(1)?).ok()
    }

    /// Is it to be tried again after an ejection, with one session at a time?
    #[must_use]
    pub fn is_half_open(&self, now: Tick) -> bool {
        let until = self.ejected_until.load(Ordering::SeqCst);
        until != NEVER && is_past(until, now)
    }

    /// Claims it for a session that was chosen for it. False: it is half open and another session tries it; the
    /// caller passes on. A claim is given back by [`Fitness::connected`] or [`Fitness::failed`], and lapses after
    /// `patience` (what the attempt may take).
    #[must_use]
    pub fn claim(&self, now: Tick, patience: Duration) -> bool {
        if !self.is_half_open(now) {
            return true;
        }
        let until = mark(now.after(patience));
        let take = |trial| is_past(trial, now).then_some(until);
        self.trial_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// How much of its weight it gets, in 1/256: after a return from 1/16 to whole over `slow_start`, and what
    /// its agent wants of that. Never 0, unless it [`rests`](Fitness::rests).
    #[must_use]
    pub fn share(&self, now: Tick, slow_start: Duration) -> u16 {
        let percent = self.percent.load(Ordering::Relaxed).min(100);
        if percent == 0 {
            return 0;
        }
        let ramp = match self.back_at.load(Ordering::Relaxed) {
            NEVER => WHOLE,
            back => ramp(now.since(Tick(back - 1)), slow_start),
        };
        (ramp * percent / 100).max(1)
    }

    /// How long it takes to answer: a mean that rises at once and falls with 10 s of decay. `None`: nothing was
    /// measured yet.
    #[must_use]
    pub fn response(&self) -> Option<Duration> {
        self.response.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_nanos)
    }

    /// What was counted of it.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.tally.read()
    }
}

/// What traffic, probes and the agent tell.
impl Fitness {
    /// A session's attempt took `after` until it was open. A half-open endpoint is back with it.
    pub fn connected(&self, after: Duration, now: Tick) -> Option<Change> {
        let mut history = self.history();
        history.failures = 0;
        self.measure(&mut history, after, now);
        if !self.is_half_open(now) {
            return None;
        }
        self.return_from_ejection(now);
        Some(Change::Returned)
    }

    /// It took `after` to answer something, as a request of frame mode. Says nothing about connecting.
    pub fn answered(&self, after: Duration, now: Tick) {
        self.measure(&mut self.history(), after, now);
    }

    /// A session's attempt has failed for a reason that is the endpoint's. `all` are the endpoints of its
    /// upstream, itself among them: never more than `eject.most` percent of those are ejected at a time.
    pub fn failed<'a>(
        &self,
        now: Tick,
        eject: &Eject,
        all: impl IntoIterator<Item = &'a Fitness>,
    ) -> Option<Change> {
        let mut history = self.history();
        history.failures = history.failures.saturating_add(1);
        let half_open = self.is_half_open(now);
        let is_ejected = !is_past(self.ejected_until.load(Ordering::SeqCst), now);
        if half_open {
            self.trial_until.store(NEVER, Ordering::Relaxed);
        }
        let enough = half_open || history.failures >= eject.failures;
        if eject.failures == 0 || is_ejected || !enough {
            return None;
        }
        let quiet = eject.time.saturating_mul(FORGET_AFTER);
        let back_at = self.back_at.load(Ordering::Relaxed);
        if !half_open && is_past(mark(Tick(back_at).after(quiet)), now) {
            history.times = 0;
        }
        let times = history.times.saturating_add(1).min(MOST_TIMES);
        let time = eject.time.saturating_mul(u32::from(times));
        let before = self.ejected_until.swap(mark(now.after(time)), Ordering::SeqCst);
        // Itself first and then counted: of two workers that eject at once, at least one sees the other.
        if !within(eject.most, now, all) {
            self.ejected_until.store(before, Ordering::SeqCst);
            return None;
        }
        history.times = times;
        history.failures = 0;
        history.seen_bad = history.bad > 0;
        history.good = 0;
        self.tally.ejections.fetch_add(1, Ordering::Relaxed);
        Some(Change::Ejected(time))
    }

    /// A probe has ended.
    pub fn probed(&self, good: bool, now: Tick, health: &Health) -> Option<Change> {
        let mut history = self.history();
        let was_down = self.is_down.load(Ordering::Relaxed);
        if !good {
            self.tally.bad.fetch_add(1, Ordering::Relaxed);
            history.good = 0;
            history.bad = history.bad.saturating_add(1);
            history.seen_bad = true;
            let falls = !was_down && history.bad >= health.fall.max(1);
            self.is_down.store(was_down || falls, Ordering::Relaxed);
            return falls.then_some(Change::Down);
        }
        self.tally.good.fetch_add(1, Ordering::Relaxed);
        history.bad = 0;
        history.good = history.good.saturating_add(1);
        if history.good < health.rise.max(1) {
            return None;
        }
        // Where probes saw the same trouble as the traffic, they may say that it is over. Where they were good
        // all the while, it is not theirs to say before its time.
        let is_ejected = self.ejected_until.load(Ordering::SeqCst) != NEVER;
        let returns = is_ejected && (history.seen_bad || self.is_half_open(now));
        history.seen_bad = false;
        if returns {
            history.failures = 0;
            self.return_from_ejection(now);
        }
        if was_down {
            history.failures = 0;
            self.is_down.store(false, Ordering::Relaxed);
            self.back_at.store(mark(now), Ordering::Relaxed);
            return Some(Change::Up);
        }
        returns.then_some(Change::Returned)
    }

    /// Is it between up and down: has the last probe said other than the state? The next one is worth making
    /// sooner.
    #[must_use]
    pub fn is_rising(&self) -> bool {
        self.is_down.load(Ordering::Relaxed) && self.history().good > 0
    }

    /// Have probes found it down?
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Nobody probes it any more: what probes said is no reason to leave it alone.
    pub fn forget_probes(&self, now: Tick) -> Option<Change> {
        let mut history = self.history();
        (history.good, history.bad, history.seen_bad) = (0, 0, false);
        let was_down = self.is_down.swap(false, Ordering::Relaxed);
        was_down.then(|| {
            self.back_at.store(mark(now), Ordering::Relaxed);
            Change::Up
        })
    }

    /// Its agent has spoken.
    pub fn told(&self, said: &Said, now: Tick) -> Option<Change> {
        let _history = self.history();
        if let Some(percent) = said.percent {
            self.percent.store(u16::from(percent), Ordering::Relaxed);
        }
        if let Some(most) = said.max_sessions {
            self.most.store(most.map_or(0, |most| u64::from(most) + 1), Ordering::Relaxed);
        }
        if let Some(standing) = said.standing {
            self.standing.store(standing as u8, Ordering::Relaxed);
        }
        let is_stopped = !said.is_up?;
        if self.is_stopped.swap(is_stopped, Ordering::Relaxed) == is_stopped {
            return None;
        }
        if is_stopped {
            return Some(Change::Stopped);
        }
        self.back_at.store(mark(now), Ordering::Relaxed);
        Some(Change::Resumed)
    }

    /// It has no agent any more: whatever that one said is forgotten.
    pub fn forget_agent(&self, now: Tick) -> Option<Change> {
        let said = Said {
            percent: Some(100),
            max_sessions: Some(None),
            standing: Some(Standing::Ready),
            is_up: Some(true),
            ..Said::default()
        };
        self.told(&said, now)
    }

    fn return_from_ejection(&self, now: Tick) {
        self.ejected_until.store(NEVER, Ordering::SeqCst);
        self.trial_until.store(NEVER, Ordering::Relaxed);
        self.back_at.store(mark(now), Ordering::Relaxed);
    }

    fn measure(&self, history: &mut History, after: Duration, now: Tick) {
        history.response.add(after, now);
        let nanos = u64::try_from(history.response.mean().as_nanos()).unwrap_or(u64::MAX);
        self.response.store(nanos.saturating_add(1), Ordering::Relaxed);
    }

    /// A panic elsewhere leaves counts that the next good answer sets right.
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment as it is kept in an atomic, where 0 is none.
fn mark(at: Tick) -> u64 {
    at.0.saturating_add(1)
}

/// Has the moment come? [`NEVER`] has.
fn is_past(marked: u64, now: Tick) -> bool {
    marked <= mark(now)
}

/// The share of an endpoint that came back `since`: linear, from a sixteenth to whole.
fn ramp(since: Duration, slow_start: Duration) -> u16 {
    if since >= slow_start {
        return WHOLE;
    }
    let grown = since.as_millis() * u128::from(WHOLE - FIRST_SHARE) / slow_start.as_millis().max(1);
    FIRST_SHARE + u16::try_from(grown).unwrap_or(0).min(WHOLE - FIRST_SHARE)
}

/// Are no more than `most` percent of these ejected?
fn within<'a>(most: u8, now: Tick, all: impl IntoIterator<Item = &'a Fitness>) -> bool {
    let count = |(ejected, total): (usize, usize), fitness: &Fitness| {
        let is_ejected = !is_past(fitness.ejected_until.load(Ordering::SeqCst), now);
        (ejected + usize::from(is_ejected), total + 1)
    };
    let (ejected, total) = all.into_iter().fold((0, 0), count);
    ejected * 100 <= usize::from(most) * total
}

#[cfg(test)]
mod tests;
