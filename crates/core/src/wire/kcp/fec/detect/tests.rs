#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::wire::kcp::fec::tests::Chance;

/// Pairs in use somewhere, and some at the borders.
const MANY: [(u8, u8); 20] = [
    (1, 1),
    (2, 1),
    (1, 2),
    (3, 1),
    (3, 2),
    (4, 2),
    (5, 2),
    (5, 5),
    (7, 3),
    (8, 2),
    (10, 2),
    (10, 3),
    (10, 10),
    (15, 5),
    (20, 5),
    (20, 10),
    (30, 10),
    (70, 30),
    (100, 20),
    (128, 128),
];

#[test]
fn shards_are_found_under_any_loss() {
    for (data, parity) in MANY {
        let shards = Shards::new(data, parity).unwrap();
        for percent in [0, 1, 5, 10, 20, 30] {
            for seed in 0..3 {
                let first =
                    if seed == 0 { 0 } else { 1_000_003 * seed as u32 % shards.groups() * shards.group() };
                let mut detector = Detector::new(None);
                let took = frames_until(&mut detector, shards, first, percent, Chance(seed));
                // Six groups, or for small ones thirty frames: with 30 % loss not all borders are seen at once.
                let bound = (shards.group() * 6).max(40) + shards.group() * percent as u32 / 3;
                assert!(
                    took.is_some_and(|took| took <= bound),
                    "{data}/{parity} {percent} % {first}: {took:?} of {bound}"
                );
                assert_eq!(detector.held(), 0);
            }
        }
    }
}

#[test]
fn without_loss_four_groups_are_enough() {
    for (data, parity) in MANY {
        let shards = Shards::new(data, parity).unwrap();
        let mut detector = Detector::new(None);
        let took = frames_until(&mut detector, shards, 0, 0, Chance(1)).unwrap();
        assert!(took <= (4 * shards.group()).max(24), "{data}/{parity}: {took}");
    }
}

#[test]
fn a_belief_that_is_right_is_never_weighed() {
    for (data, parity) in MANY {
        let shards = Shards::new(data, parity).unwrap();
        let mut detector = Detector::new(Some(shards));
        for seqid in 0..3000 {
            assert!(!detector.observe(shards.kind(seqid), seqid));
            assert_eq!(detector.held(), 0);
        }
    }
}

#[test]
fn data_alone_tells_nothing_and_holds_nothing() {
    let mut detector = Detector::new(None);
    for seqid in 0..10_000 {
        assert!(!detector.observe(Kind::Data, seqid));
    }
    assert_eq!((detector.known(), detector.held()), (None, 0));
}

#[test]
fn a_change_of_shards_is_followed() {
    let changes = [
        ((10, 3), (5, 2)),
        ((5, 2), (10, 3)),
        ((10, 3), (10, 4)),
        ((10, 3), (11, 3)),
        ((20, 1), (21, 1)),
        ((3, 1), (1, 1)),
        ((1, 1), (10, 3)),
        ((100, 20), (10, 3)),
        ((10, 3), (20, 5)),
        ((10, 3), (20, 6)),
    ];
    for ((data, parity), (next_data, next_parity)) in changes {
        for percent in [0, 10, 30] {
            let before = Shards::new(data, parity).unwrap();
            let after = Shards::new(next_data, next_parity).unwrap();
            let mut detector = Detector::new(Some(before));
            let first = 5000 * after.group();
            let took = frames_until(&mut detector, after, first, percent, Chance(5));
            assert!(
                took.is_some_and(|took| took <= 400),
                "{before:?} to {after:?} with {percent} %: {took:?}"
            );
        }
    }
}

#[test]
fn strays_do_not_change_a_right_belief() {
    let shards = Shards::new(10, 3).unwrap();
    for (percent, bound) in [(1, 0), (5, 0), (20, 0)] {
        let mut chance = Chance(11);
        let mut detector = Detector::new(Some(shards));
        let mut wrong = 0;
        for seqid in 0..8000 {
            let stray = chance.below(100) < percent;
            let kind = if chance.below(2) == 0 { Kind::Data } else { Kind::Parity };
            if stray {
                detector.observe(kind, chance.below(1 << 32) as u32);
            }
            detector.observe(shards.kind(seqid), seqid);
            wrong += usize::from(detector.known() != Some(shards));
            assert!(detector.held() <= 2 * SAMPLES * size_of::<Sample>());
        }
        assert_eq!(wrong, bound, "with {percent} %");
    }
}

#[test]
fn shards_are_found_among_strays_and_over_the_wrap() {
    let shards = Shards::new(10, 3).unwrap();
    let mut chance = Chance(2);
    let mut detector = Detector::new(None);
    let first = shards.paws() - 40;
    for step in 0..400 {
        if chance.below(40) == 0 {
            detector.observe(Kind::Parity, chance.below(1 << 32) as u32);
        }
        let seqid = ((u64::from(first) + step) % u64::from(shards.paws())) as u32;
        detector.observe(shards.kind(seqid), seqid);
    }
    assert_eq!(detector.known(), Some(shards));
}

/// How many frames were sent until the belief was right; `None` when it never was within a hundred groups.
fn frames_until(
    detector: &mut Detector,
    shards: Shards,
    first: u32,
    percent: u64,
    mut chance: Chance,
) -> Option<u32> {
    (0..(shards.group() * 100).max(1000)).find(|step| {
        let seqid = first + step;
        let came = chance.below(100) >= percent;
        came && detector.observe(shards.kind(seqid), seqid) && detector.known() == Some(shards)
    })
}
