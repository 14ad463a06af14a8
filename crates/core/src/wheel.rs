//! Timers: a hierarchical wheel of millisecond ticks, and nothing else.
//!
//! Entries are lazy: there is no cancel. An entry that fires for a session that has moved its deadline
//! is answered by scheduling it again, so a session at rest owns one entry of 16 bytes however often
//! its deadline moves. (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987.)

use std::time::Duration;

/// A moment: milliseconds since an epoch that the owner of the wheel chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// A moment that never comes.
    pub const NEVER: Tick = Tick(u64::MAX);

    /// The first tick that is at least `wait` later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Tick {
        let whole = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let part = u64::from(!wait.subsec_nanos().is_multiple_of(1_000_000));
        Tick(self.0.saturating_add(whole).saturating_add(part))
    }

    /// The time from `earlier` to here; zero if that is later.
    #[must_use]
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// 64 slots a level: 64 ms, 4 s, 4 min, 4.6 h, 12 days, 2 years.
const LEVELS: usize = 6;
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
/// The farthest an entry is put; one that is farther fires early and is scheduled again by its owner.
/// One slot of the top level less than the whole circle, so that far ahead is never mistaken for here.
const SPAN: u64 = (1 << (BITS * LEVELS as u32)) - (1 << (BITS * (LEVELS as u32 - 1))) - 1;

/// A set of (moment, key) pairs that gives back keys whose moment has come.
#[derive(Debug)]
pub struct Wheel {
    now: u64,
    entries: usize,
    levels: [Level; LEVELS],
}

#[derive(Debug)]
struct Level {
    occupied: u64,
    slots: [Vec<Entry>; SLOTS],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    key: u64,
}

impl Wheel {
    /// An empty wheel that stands at `now`.
    #[must_use]
    pub fn new(now: Tick) -> Self {
        let level = || Level { occupied: 0, slots: std::array::from_fn(|_| Vec::new()) };
        Self { now: now.0, entries: 0, levels: std::array::from_fn(|_| level()) }
    }

    /// Adds an entry; a moment that has passed fires at the next tick.
    pub fn schedule(&mut self, at: Tick, key: u64) {
        let at = at.0.clamp(self.now + 1, self.now.saturating_add(SPAN));
        self.entries += 1;
        self.put(Entry { at, key });
    }

    /// A moment before which nothing fires; `None` when the wheel is empty.
    #[must_use]
    pub fn next(&self) -> Option<Tick> {
        let level = (0..LEVELS).find(|level| self.levels[*level].occupied != 0)?;
        let shift = BITS * level as u32;
        let place = self.now >> shift;
        let ahead = self.levels[level].occupied.rotate_right((place % SLOTS as u64) as u32).trailing_zeros();
        Some(Tick((place + u64::from(ahead)) << shift))
    }

    /// Moves to `now` and appends the keys whose moment has come, in order of their moments.
    pub fn expire(&mut self, now: Tick, due: &mut Vec<u64>) {
        while let Some(Tick(next)) = self.next()
            && next <= now.0
        {
            self.now = next;
            let level = (0..LEVELS).find(|level| self.levels[*level].occupied != 0).unwrap_or(0);
            let slot = ((next >> (BITS * level as u32)) % SLOTS as u64) as usize;
            self.levels[level].occupied &= !(1 << slot);
            let mut entries = std::mem::take(&mut self.levels[level].slots[slot]);
            for entry in entries.drain(..) {
                if entry.at <= self.now {
                    self.entries -= 1;
                    due.push(entry.key);
                } else {
                    self.put(entry);
                }
            }
            // Only the lowest level keeps its room: slots of higher levels hold many entries once.
            if level == 0 {
                self.levels[level].slots[slot] = entries;
            }
        }
        self.now = self.now.max(now.0);
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Drops the entries of keys that `keep` does not want: those of sessions that are gone, once they are many.
    pub fn retain(&mut self, mut keep: impl FnMut(u64) -> bool) {
        for level in &mut self.levels {
            for (place, slot) in level.slots.iter_mut().enumerate() {
                slot.retain(|entry| keep(entry.key));
                slot.shrink_to_fit();
                if slot.is_empty() {
                    level.occupied &= !(1 << place);
                }
            }
        }
        self.entries = self.levels.iter().flat_map(|level| &level.slots).map(Vec::len).sum();
    }

    fn put(&mut self, entry: Entry) {
        let differs = (entry.at ^ self.now) | (SLOTS as u64 - 1);
        let level = ((u64::BITS - 1 - differs.leading_zeros()) / BITS).min(LEVELS as u32 - 1);
        let slot = ((entry.at >> (BITS * level)) % SLOTS as u64) as usize;
        let level = &mut self.levels[level as usize];
        level.occupied |= 1 << slot;
        level.slots[slot].push(entry);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_fires_at_its_tick_and_not_before() {
        for wait in [1, 2, 63, 64, 65, 4095, 4096, 4097, 262_143, 262_145, 3_600_000, 90_000_000] {
            let mut wheel = Wheel::new(Tick(977));
            wheel.schedule(Tick(977 + wait), 5);
            let mut due = Vec::new();
            wheel.expire(Tick(977 + wait - 1), &mut due);
            assert!(due.is_empty(), "early by one tick, wait {wait}");
            wheel.expire(Tick(977 + wait), &mut due);
            assert_eq!(due, [5], "wait {wait}");
            assert_eq!(wheel.next(), None);
        }
    }

    #[test]
    fn a_moment_that_has_passed_fires_at_the_next_tick() {
        let mut wheel = Wheel::new(Tick(100));
        wheel.schedule(Tick(3), 1);
        let mut due = Vec::new();
        wheel.expire(Tick(101), &mut due);
        assert_eq!(due, [1]);
    }

    #[test]
    fn entries_of_sessions_that_are_gone_are_swept() {
        let mut wheel = Wheel::new(Tick(977));
        // Every level holds some: of even keys and of odd ones.
        let waits = [1u64, 2, 63, 64, 4095, 4097, 262_145, 3_600_000, 90_000_000, 1 << 31];
        for (key, wait) in (0u64..).zip(waits.into_iter().flat_map(|wait| [wait, wait])) {
            wheel.schedule(Tick(977 + wait), key);
        }
        let mut asked = Vec::new();
        wheel.retain(|key| {
            asked.push(key);
            key % 2 == 1
        });
        asked.sort_unstable();
        assert_eq!(asked, (0..20).collect::<Vec<u64>>(), "each is asked for once");
        for (index, wait) in (0u64..).zip(waits) {
            let mut due = Vec::new();
            wheel.expire(Tick(977 + wait - 1), &mut due);
            assert!(due.is_empty(), "early, wait {wait}: {due:?}");
            wheel.expire(Tick(977 + wait), &mut due);
            assert_eq!(due, [2 * index + 1], "wait {wait}");
        }
        assert_eq!(wheel.next(), None);
        wheel.schedule(Tick(u64::MAX >> 20), 7);
        wheel.retain(|_| false);
        assert_eq!(wheel.next(), None, "a slot that was emptied is not looked at");
    }

    #[test]
    fn ticks_round_up() {
        assert_eq!(Tick(5).after(Duration::from_micros(1)), Tick(6));
        assert_eq!(Tick(5).after(Duration::from_millis(1)), Tick(6));
        assert_eq!(Tick(5).after(Duration::MAX), Tick(u64::MAX));
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(
            start in 0u64..1 << 40,
            steps in prop::collection::vec((0u64..200_000, 0u64..70_000), 1..120),
        ) {
            let mut wheel = Wheel::new(Tick(start));
            let mut model: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
            let mut now = start;
            for (key, (wait, step)) in steps.into_iter().enumerate() {
                wheel.schedule(Tick(now + wait), key as u64);
                model.entry((now + wait).max(now + 1)).or_default().push(key as u64);
                if let Some(next) = wheel.next() {
                    prop_assert!(next.0 <= *model.keys().next().unwrap());
                }
                now += step;
                let mut due = Vec::new();
                wheel.expire(Tick(now), &mut due);
                let later = model.split_off(&(now + 1));
                let mut want: Vec<u64> = std::mem::replace(&mut model, later).into_values().flatten().collect();
                want.sort_unstable();
                due.sort_unstable();
                prop_assert_eq!(due, want);
            }
        }
    }
}
