#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[test]
fn weights_are_spread_smoothly() {
    let rows: [(&[u16], &[usize]); 6] = [
        (&[1, 1, 1], &[0, 1, 2]),
        (&[5, 1, 1], &[0, 0, 1, 0, 2, 0, 0]),
        (&[2, 1], &[0, 1, 0]),
        (&[256, 256], &[0, 1]),
        (&[0, 3], &[1]),
        (&[7], &[0]),
    ];
    for (weights, want) in rows {
        let turns = RoundRobin::new(weights);
        let twice = [want, want].concat();
        let got: Vec<usize> = twice.iter().map(|_| pick(&turns, |_| true).unwrap()).collect();
        assert_eq!(got, twice, "{weights:?}");
    }
}

#[test]
fn nobody_is_picked_from_nobody() {
    assert_eq!(pick(&RoundRobin::new(&[]), |_| true), None);
    assert_eq!(pick(&RoundRobin::new(&[0, 0]), |_| true), None);
    assert_eq!(pick(&RoundRobin::new(&[1, 1]), |_| false), None);
    // Only an endpoint without a share would do.
    assert_eq!(pick(&RoundRobin::new(&[1, 0]), |index| index == 1), None);
}

#[test]
fn a_missing_endpoint_gives_its_turns_to_all_the_others() {
    let turns = RoundRobin::new(&[1, 1, 1]);
    let got: Vec<usize> = (0..6).map(|_| pick(&turns, |index| index != 1).unwrap()).collect();
    assert_eq!(got, [0, 2, 0, 2, 0, 2]);
}

#[test]
fn turns_are_exact_over_many_workers() {
    for (workers, each) in [(1, 9), (3, 3), (8, 900), (7, 3)] {
        let turns = RoundRobin::new(&[1, 1, 1]);
        let counts = count_over(workers, each, &turns, &|_| true);
        let share = workers * each / 3;
        assert_eq!(counts, BTreeMap::from([(0, share), (1, share), (2, share)]), "{workers} workers");
    }
}

#[test]
fn turns_are_exact_over_many_workers_while_an_endpoint_is_down() {
    let turns = RoundRobin::new(&[1, 1, 2]);
    let counts = count_over(6, 500, &turns, &|index| index != 0);
    // Concurrent pickers may pass over a slot each, never take one twice: at most one round of difference.
    assert_eq!(counts.values().sum::<usize>(), 3000);
    assert!(counts[&1].abs_diff(1000) <= 6 && counts[&2].abs_diff(2000) <= 6, "{counts:?}");
}

#[test]
fn a_huge_upstream_is_worked_out_in_bounded_steps() {
    let weights: Vec<u16> = (0..3000).map(|index| 1 + index % 251).collect();
    let turns = RoundRobin::new(&weights);
    assert!(turns.round.len() as u64 * 3000 <= STEPS + 3000 * 3000, "{}", turns.round.len());
    let seen: std::collections::BTreeSet<u16> = turns.round.iter().copied().collect();
    assert_eq!(seen.len(), 3000, "every endpoint has a turn");
    assert_eq!(RoundRobin::new(&[256; 70_000]).round.len(), RoundRobin::MAX_ENDPOINTS);
}

#[test]
fn an_endpoint_that_is_to_have_less_has_its_turns_spread_and_the_others_keep_theirs() {
    // What each weighs now of a weight of one, in 1/256, against what a round of 1, 1, 2 was made for.
    let rows: [([u32; 3], [usize; 3]); 5] = [
        ([256, 256, 512], [256, 256, 512]),
        ([64, 256, 512], [64, 256, 512]),
        ([16, 16, 32], [256, 256, 512]),
        ([256, 16, 0], [256, 16, 0]),
        ([512, 256, 512], [512, 256, 512]), // more than the round was made for
    ];
    for (weights, want) in rows {
        let turns = RoundRobin::new(&[1, 1, 2]);
        let mut counts = [0; 3];
        let mut last = [0; 3];
        let all: usize = want.iter().sum();
        for turn in 0..all {
            let index = turns.pick(|index| weights[index]).unwrap();
            assert!(
                turn - last[index] <= 4 * all / want[index],
                "{weights:?}: {index} waits since {}",
                last[index]
            );
            last[index] = turn;
            counts[index] += 1;
        }
        assert!(
            counts.iter().zip(want).all(|(got, want)| usize::abs_diff(*got, want) <= 2),
            "{weights:?}: {counts:?}"
        );
    }
}

/// Picks among usable endpoints that weigh what the round was made for.
fn pick(turns: &RoundRobin, usable: impl Fn(usize) -> bool) -> Option<usize> {
    turns.pick(|index| if usable(index) { 256 * u32::from(turns.weights[index]) } else { 0 })
}

/// How often each endpoint was picked by so many workers at once.
fn count_over(
    workers: usize,
    each: usize,
    turns: &RoundRobin,
    usable: &(impl Fn(usize) -> bool + Sync),
) -> BTreeMap<usize, usize> {
    let picked: Vec<usize> = std::thread::scope(|scope| {
        let picks = || (0..each).map(|_| pick(turns, usable).unwrap()).collect::<Vec<_>>();
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(picks)).collect();
        running.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let mut counts = BTreeMap::new();
    for index in picked {
        *counts.entry(index).or_default() += 1;
    }
    counts
}

/// The textbook form: state per endpoint, moved at every pick.
struct Naive(Vec<(i64, i64)>);

impl Naive {
    fn pick(&mut self) -> usize {
        let total: i64 = self.0.iter().map(|(weight, _)| weight).sum();
        self.0.iter_mut().for_each(|(weight, credit)| *credit += *weight);
        let most = self.0.iter().map(|(_, credit)| *credit).max().unwrap();
        let index = self.0.iter().position(|(_, credit)| *credit == most).unwrap();
        self.0[index].1 -= total;
        index
    }
}

proptest! {
    #[test]
    fn the_order_is_that_of_the_textbook(weights in prop::collection::vec(1_u16..=40, 1..9)) {
        let turns = RoundRobin::new(&weights);
        let mut naive = Naive(weights.iter().map(|&w| (i64::from(w), 0)).collect());
        for turn in 0..2 * weights.iter().map(|&w| usize::from(w)).sum::<usize>() {
            prop_assert_eq!(pick(&turns, |_| true), Some(naive.pick()), "turn {}", turn);
        }
    }

    #[test]
    fn what_is_left_keeps_its_proportions(
        weights in prop::collection::vec(1_u16..=20, 2..7),
        down in prop::collection::vec(any::<bool>(), 7),
    ) {
        let up: Vec<usize> = (0..weights.len()).filter(|&index| !down[index]).collect();
        prop_assume!(!up.is_empty());
        let turns = RoundRobin::new(&weights);
        let mut counts = vec![0; weights.len()];
        for _ in 0..up.iter().map(|&index| usize::from(weights[index])).sum::<usize>() {
            counts[pick(&turns, |index| !down[index]).unwrap()] += 1;
        }
        for index in up {
            prop_assert_eq!(counts[index], usize::from(weights[index]), "endpoint {}", index);
        }
    }
}
