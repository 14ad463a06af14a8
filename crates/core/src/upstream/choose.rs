//! Which endpoints may be used, and the claim on the one that the policy picks of them.
//!
//! In this order: what an operator or an agent set aside gets nothing; of the rest those that are fit serve, the
//! backups only when no other is fit, and all when none is (or fewer than `panic_threshold` are); of those,
//! whoever has room; of those, whoever this session has not tried yet.

use std::time::Duration;

use super::{EndpointState, Lease, Standing, Upstream};
use crate::balance::{Candidate, Draw};
use crate::config::UpstreamEndpoint;
use crate::endpoint::Endpoint;
use crate::wheel::Tick;

/// How often a claim is made anew when other workers were quicker, before the session waits for the next tick.
const TRIES: u32 = 64;
/// So many of those insist on what the policy saw; the rest only on what is allowed.
const EXACT_TRIES: u32 = 32;

/// What a session brings along when it asks for an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The moment.
    pub now: Tick,
    /// Evenly distributed, drawn anew for each ask.
    pub dice: u64,
    /// Stands for the client, as [`sip`](crate::balance::sip) hashes what the upstream's `hash_on` says.
    pub client: u64,
    /// Endpoints that this session has tried in vain.
    pub tried: &'a [Endpoint],
}

/// Why there is no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoLease {
    /// No endpoint may be used.
    NoEndpoint,
    /// Each that may be used is full.
    Full {
        /// When a bucket has a token again; [`Tick::NEVER`]: somebody must leave first.
        again: Tick,
    },
}

/// Which endpoints serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    /// Those that are fit, without the backups.
    Main,
    /// The backups that are fit.
    Backups,
    /// All but the backups, as if they were fit.
    AnyMain,
    /// All.
    Any,
}

/// What an endpoint has to offer.
enum Offer {
    /// Nothing: it does not serve.
    None,
    /// It is full, and may have room again then.
    Full(Tick),
    /// So much, in 1/256 of a weight of one.
    Weight(u32),
}

impl Upstream {
    /// Picks the next endpoint and claims it.
    ///
    /// # Errors
    /// [`NoLease`]: there is none to use, or none with room.
    pub fn lease(&self, ask: &Ask<'_>) -> Result<Lease, NoLease> {
        for tries in 0..TRIES {
            let candidates = self.candidates(ask)?;
            let dice = ask.dice.wrapping_add(u64::from(tries).wrapping_mul(ODD));
            let draw = Draw { dice, client: ask.client };
            let Some(index) = self.policy.pick(&candidates, &draw) else { return Err(NoLease::NoEndpoint) };
            let (Some(seen), Some((settings, endpoint))) = (candidates.get(index), self.members().nth(index))
            else {
                return Err(NoLease::NoEndpoint);
            };
            let is_exact = self.policy.is_exact_about_sessions() && tries < EXACT_TRIES;
            let most = if is_exact { Some(seen.sessions + 1) } else { most_sessions(settings, endpoint) };
            let least = if is_exact { seen.sessions } else { 0 };
            let Some(lease) = Lease::claim(endpoint, least, most) else { continue };
            if !self.settings.session_rate.is_none_or(|limit| endpoint.admit(limit.into(), ask.now)) {
                continue;
            }
            // One that is half open is tried by one session at a time, except when all are tried anyway.
            let patience = self.settings.dial.connect_timeout;
            if endpoint.fitness.claim(ask.now, patience) || !self.tier(ask.now).asks_for_fitness() {
                return Ok(lease);
            }
        }
        Err(NoLease::Full { again: Tick(ask.now.0.saturating_add(1)) })
    }

    /// Would an endpoint be chosen at the moment, leaving aside whether it has room? The word for the operator.
    #[must_use]
    pub fn serves(&self, endpoint: &EndpointState, now: Tick) -> bool {
        let tier = self.tier(now);
        self.members()
            .any(|(settings, known)| known.address == endpoint.address && tier.has(settings, known, now))
    }

    /// What the policy may pick from; an endpoint that may not be picked has no weight.
    fn candidates(&self, ask: &Ask<'_>) -> Result<Vec<Candidate>, NoLease> {
        let tier = self.tier(ask.now);
        let (mut anybody, mut fresh, mut again) = (false, false, None);
        let mut candidates = Vec::with_capacity(self.endpoints.len());
        for (settings, endpoint) in self.members() {
            let weight = match self.offer(tier, settings, endpoint, ask.now) {
                Offer::None => 0,
                Offer::Full(at) => {
                    again = Some(again.map_or(at, |again: Tick| again.min(at)));
                    0
                }
                Offer::Weight(weight) => {
                    anybody = true;
                    fresh |= !ask.tried.contains(&endpoint.address);
                    weight
                }
            };
            let (sessions, response) = (endpoint.sessions(), endpoint.fitness.response());
            candidates.push(Candidate { weight, sessions, response });
        }
        if !anybody {
            return Err(again.map_or(NoLease::NoEndpoint, |again| NoLease::Full { again }));
        }
        // When all were tried, it goes on as if none were.
        if fresh && !ask.tried.is_empty() {
            let tried = |endpoint: &EndpointState| ask.tried.contains(&endpoint.address);
            let rows = candidates.iter_mut().zip(&self.endpoints);
            rows.filter(|(_, endpoint)| tried(endpoint)).for_each(|(candidate, _)| candidate.weight = 0);
        }
        Ok(candidates)
    }

    fn offer(&self, tier: Tier, settings: &UpstreamEndpoint, endpoint: &EndpointState, now: Tick) -> Offer {
        let weight = u32::from(endpoint.weight().unwrap_or(settings.weight));
        let share = u32::from(endpoint.fitness.share(now, self.settings.slow_start));
        if !tier.has(settings, endpoint, now) || weight * share == 0 {
            return Offer::None;
        }
        if most_sessions(settings, endpoint).is_some_and(|most| endpoint.sessions() >= most) {
            return Offer::Full(Tick::NEVER);
        }
        match self.settings.session_rate.and_then(|limit| endpoint.admits_after(limit.into(), now)) {
            Some(wait) => Offer::Full(now.after(wait)),
            None => Offer::Weight(weight * share),
        }
    }

    fn tier(&self, now: Tick) -> Tier {
        let may_serve = || self.members().filter(|(_, endpoint)| is_ready(endpoint));
        let mains = || may_serve().filter(|(settings, _)| !settings.backup);
        let is_fit = |endpoint: &EndpointState| endpoint.fitness.is_fit(now);
        // Most often the first one answers.
        if self.settings.panic_threshold == 0 && mains().any(|(_, endpoint)| is_fit(endpoint)) {
            return Tier::Main;
        }
        let (fit, all) = (mains().filter(|(_, endpoint)| is_fit(endpoint)).count(), mains().count());
        if fit > 0 {
            let is_panic = fit * 100 < usize::from(self.settings.panic_threshold) * all;
            return if is_panic { Tier::AnyMain } else { Tier::Main };
        }
        let has_backup = may_serve().any(|(settings, endpoint)| settings.backup && is_fit(endpoint));
        if has_backup { Tier::Backups } else { Tier::Any }
    }
}

impl Tier {
    fn has(self, settings: &UpstreamEndpoint, endpoint: &EndpointState, now: Tick) -> bool {
        let is_fit = || endpoint.fitness.is_fit(now);
        is_ready(endpoint)
            && match self {
                Self::Main => !settings.backup && is_fit(),
                Self::Backups => settings.backup && is_fit(),
                Self::AnyMain => !settings.backup,
                Self::Any => true,
            }
    }

    fn asks_for_fitness(self) -> bool {
        matches!(self, Self::Main | Self::Backups)
    }
}

/// May it serve, as far as operator and agent are concerned? Those are heeded even when nobody else is left.
fn is_ready(endpoint: &EndpointState) -> bool {
    endpoint.standing() == Standing::Ready && endpoint.weight() != Some(0) && !endpoint.fitness.rests()
}

/// The most sessions it is given: what is configured, or less if its agent wants less.
fn most_sessions(settings: &UpstreamEndpoint, endpoint: &EndpointState) -> Option<u32> {
    let agent = endpoint.fitness.agent_max_sessions();
    settings.max_sessions.into_iter().chain(agent).min()
}

/// How long from the beginning of the process; what buckets count by.
pub(super) fn since_start(now: Tick) -> Duration {
    now.since(Tick(0))
}

/// An odd number without pattern (2^64 ÷ the golden ratio): dice for the next try.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
