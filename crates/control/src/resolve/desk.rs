//! Who waits for which name, and what is remembered: pure, with time as an argument.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use portcullis_core::endpoint::HostName;

use super::{Found, IN_FLIGHT, LookupError};

/// How many names are remembered.
const CACHED: usize = 4096;

/// How many names may wait for one of the [`IN_FLIGHT`] places.
const QUEUED: usize = 1024;

/// How many askers may wait in all.
const ASKERS: usize = 65_536;

/// No answer is remembered for less: a burst of sessions is one question even with a TTL of 0.
const TTL_FLOOR: Duration = Duration::from_secs(1);

/// No answer is remembered for longer, whatever the server says.
const TTL_CAP: Duration = Duration::from_secs(300);

/// How long a failure is remembered.
const TTL_NEGATIVE: Duration = Duration::from_secs(1);

/// What is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Addresses of a host.
    Address(HostName),
    /// Targets of a service.
    Service(HostName),
}

/// What became of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun<T> {
    /// The answer is remembered.
    Known { asker: T, found: Result<Found, LookupError> },
    /// The caller is to look the name up; the asker waits.
    Start { key: Key, epoch: u64 },
    /// The asker waits for a look-up that is under way or will be.
    Waits,
    /// There is no room to wait.
    Full { asker: T },
}

/// The waiting and the remembered.
#[derive(Debug)]
pub(super) struct Desk<T> {
    cache: HashMap<Key, Kept>,
    waiting: HashMap<Key, Vec<T>>,
    queue: VecDeque<Key>,
    in_flight: usize,
    askers: usize,
    /// Counts the times everything was forgotten: older answers are not remembered.
    epoch: u64,
}

#[derive(Debug)]
struct Kept {
    found: Result<Found, LookupError>,
    until: Instant,
}

impl<T> Desk<T> {
    pub(super) fn new() -> Self {
        Self {
            cache: HashMap::new(),
            waiting: HashMap::new(),
            queue: VecDeque::new(),
            in_flight: 0,
            askers: 0,
            epoch: 0,
        }
    }

    /// Takes a question.
    pub(super) fn handle_question(&mut self, key: Key, asker: T, now: Instant) -> Begun<T> {
        if let Some(kept) = self.cache.get(&key)
            && now < kept.until
        {
            return Begun::Known { asker, found: kept.found.clone() };
        }
        let known = self.waiting.contains_key(&key);
        let room = known || self.in_flight < IN_FLIGHT || self.queue.len() < QUEUED;
        if self.askers == ASKERS || !room {
            return Begun::Full { asker };
        }
        self.askers += 1;
        self.waiting.entry(key.clone()).or_default().push(asker);
        if known {
            return Begun::Waits;
        }
        if self.in_flight == IN_FLIGHT {
            self.queue.push_back(key);
            return Begun::Waits;
        }
        self.in_flight += 1;
        Begun::Start { key, epoch: self.epoch }
    }

    /// Takes the end of a look-up. Returns who waited for it, and the next name to look up.
    pub(super) fn handle_found(
        &mut self,
        key: &Key,
        epoch: u64,
        found: Result<Found, LookupError>,
        now: Instant,
    ) -> (Vec<T>, Option<(Key, u64)>) {
        let askers = self.waiting.remove(key).unwrap_or_default();
        self.askers -= askers.len();
        if epoch == self.epoch {
            self.keep(key.clone(), found, now);
        }
        let next = self.queue.pop_front();
        if next.is_none() {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        (askers, next.map(|key| (key, self.epoch)))
    }

    /// Forgets every answer, those under way included. Who waits goes on waiting.
    pub(super) fn forget(&mut self) {
        self.cache.clear();
        self.epoch += 1;
    }

    /// Names that are looked up or wait to be.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Names that are remembered.
    pub(super) fn cached(&self) -> usize {
        self.cache.len()
    }

    /// Remembers an answer; when there is no room, in place of the dead or of the one that dies first.
    fn keep(&mut self, key: Key, found: Result<Found, LookupError>, now: Instant) {
        let ttl = found.as_ref().map_or(TTL_NEGATIVE, |found| found.ttl.clamp(TTL_FLOOR, TTL_CAP));
        if self.cache.len() >= CACHED && !self.cache.contains_key(&key) {
            self.cache.retain(|_, kept| now < kept.until);
        }
        if self.cache.len() >= CACHED
            && let Some(first) =
                self.cache.iter().min_by_key(|(_, kept)| kept.until).map(|(key, _)| key.clone())
        {
            self.cache.remove(&first);
        }
        self.cache.insert(key, Kept { found, until: now + ttl });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use std::net::IpAddr;

    use super::super::Records;
    use super::*;

    fn key(name: &str) -> Key {
        Key::Address(HostName::parse(name).unwrap())
    }

    fn nth(nth: usize) -> Key {
        key(&format!("n{nth}.example"))
    }

    fn found(last: u8, ttl: u64) -> Result<Found, LookupError> {
        let records = Records::Addresses([IpAddr::from([10, 0, 0, last])].into());
        Ok(Found { records, ttl: Duration::from_secs(ttl) })
    }

    #[test]
    fn a_name_is_asked_for_once_however_many_wait() {
        let (mut desk, now) = (Desk::new(), Instant::now());
        assert!(matches!(desk.handle_question(key("a.b"), 1, now), Begun::Start { .. }));
        assert_eq!(desk.handle_question(key("a.b"), 2, now), Begun::Waits);
        assert_eq!(desk.handle_found(&key("a.b"), 0, found(1, 10), now), (vec![1, 2], None));
        assert_eq!((desk.waiting(), desk.askers, desk.in_flight), (0, 0, 0));
    }

    #[test]
    fn answers_live_as_long_as_they_say_within_bounds() {
        for (answer, lives) in
            [(found(1, 0), 1), (found(1, 7), 7), (found(1, 86_400), 300), (Err(LookupError::NotFound), 1)]
        {
            let (mut desk, now) = (Desk::new(), Instant::now());
            desk.handle_question(key("a.b"), 1, now);
            desk.handle_found(&key("a.b"), 0, answer.clone(), now);
            let last = now + Duration::from_secs(lives) - Duration::from_nanos(1);
            assert_eq!(
                desk.handle_question(key("a.b"), 2, last),
                Begun::Known { asker: 2, found: answer.clone() },
                "{answer:?}"
            );
            let after = now + Duration::from_secs(lives);
            assert!(matches!(desk.handle_question(key("a.b"), 3, after), Begun::Start { .. }), "{answer:?}");
        }
    }

    #[test]
    fn addresses_and_services_of_one_name_are_two_questions() {
        let (mut desk, now) = (Desk::new(), Instant::now());
        let host = HostName::parse("a.b").unwrap();
        assert!(matches!(desk.handle_question(Key::Address(host.clone()), 1, now), Begun::Start { .. }));
        assert!(matches!(desk.handle_question(Key::Service(host), 2, now), Begun::Start { .. }));
    }

    #[test]
    fn only_so_many_are_in_flight_and_only_so_many_wait() {
        let (mut desk, now) = (Desk::new(), Instant::now());
        for index in 0..IN_FLIGHT {
            assert!(matches!(desk.handle_question(nth(index), index, now), Begun::Start { .. }), "{index}");
        }
        for index in IN_FLIGHT..IN_FLIGHT + QUEUED {
            assert_eq!(desk.handle_question(nth(index), index, now), Begun::Waits, "{index}");
        }
        assert_eq!(desk.handle_question(nth(9999), 9999, now), Begun::Full { asker: 9999 });
        assert_eq!(desk.handle_question(nth(0), 0, now), Begun::Waits, "a known name costs no place");
        // Each that ends lets the next one begin, in order; at the end nothing is left.
        let mut order: VecDeque<Key> = (0..IN_FLIGHT).map(nth).collect();
        let mut answered = 0;
        while let Some(key) = order.pop_front() {
            let (askers, next) = desk.handle_found(&key, 0, Err(LookupError::Timeout), now);
            answered += askers.len();
            order.extend(next.map(|(key, _)| key));
        }
        assert_eq!(answered, IN_FLIGHT + QUEUED + 1);
        assert_eq!((desk.waiting(), desk.askers, desk.in_flight, desk.queue.len()), (0, 0, 0, 0));
    }

    #[test]
    fn the_memory_is_bounded_and_loses_the_one_that_dies_first() {
        let (mut desk, now) = (Desk::new(), Instant::now());
        for index in 0..CACHED {
            desk.handle_question(nth(index), index, now);
            desk.handle_found(&nth(index), 0, found(1, if index == 77 { 5 } else { 10 }), now);
        }
        desk.handle_question(nth(CACHED), CACHED, now);
        desk.handle_found(&nth(CACHED), 0, found(1, 10), now);
        assert_eq!(desk.cached(), CACHED);
        assert!(matches!(desk.handle_question(nth(77), 0, now), Begun::Start { .. }));
        assert!(matches!(desk.handle_question(nth(78), 0, now), Begun::Known { .. }));
        // The dead go first of all.
        let later = now + Duration::from_secs(10);
        desk.handle_found(&nth(77), 0, found(1, 10), later);
        assert_eq!(desk.cached(), 1);
    }

    #[test]
    fn what_old_servers_said_is_told_but_not_remembered() {
        let (mut desk, now) = (Desk::new(), Instant::now());
        desk.handle_question(key("a.b"), 1, now);
        desk.forget();
        assert_eq!(desk.handle_question(key("a.b"), 2, now), Begun::Waits);
        assert_eq!(desk.handle_found(&key("a.b"), 0, found(1, 10), now).0, vec![1, 2]);
        assert_eq!(desk.handle_question(key("a.b"), 3, now), Begun::Start { key: key("a.b"), epoch: 1 });
        assert_eq!(desk.handle_found(&key("never.asked"), 0, found(9, 10), now).0, Vec::<i32>::new());
    }
}
