//! A fleet in virtual time: a hundred thousand sessions over ten endpoints that slow down, fall silent, die and
//! return, for each policy. Beside the real upstream a naive model keeps plain counts, knows the truth about the
//! endpoints, and gives each session to the one with the fewest: the stampede that it makes is told beside.
//!
//! Run it with `--nocapture` for the table.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[path = "fleet/world.rs"]
mod world;

use std::fmt::Write as _;

use portcullis_core::config::{Balance, HashOn};
use world::{RATE, World};

const POLICIES: [(&str, Balance); 5] = [
    ("round-robin", Balance::RoundRobin),
    ("least-sessions", Balance::LeastSessions),
    ("least-response-time", Balance::LeastResponseTime),
    ("hash", Balance::Hash(HashOn::Client)),
    ("random", Balance::Random),
];
const SEEDS: [u64; 2] = [1, 7];

#[test]
fn every_policy_carries_a_fleet_through_its_troubles() {
    let mut table = format!(
        "{:<20} {:>4} {:>8} {:>7} {:>6} {:>7} {:>7} {:>8} {:>10} {:>7}\n",
        "policy",
        "seed",
        "max/mean",
        "served",
        "failed",
        "refused",
        "false",
        "eject ms",
        "survivor/s",
        "naive/s"
    );
    for (name, balance) in POLICIES {
        for seed in SEEDS {
            let told = World::new(balance, seed).run();
            let (silent, dead) = (told.silent_after, told.dead_after);
            writeln!(
                table,
                "{name:<20} {seed:>4} {:>8.3} {:>7} {:>6} {:>7} {:>7} {:>8} {:>10} {:>7}",
                told.worst_spread,
                told.served,
                told.failed,
                told.refused,
                told.false_ejections,
                format!("{silent}/{dead}"),
                told.most_in_a_second,
                told.naive_in_a_second,
            )
            .unwrap();
            assert_eq!(told.false_ejections, 0, "{name}, seed {seed}");
            assert!(told.most_in_a_second <= RATE.most_in_a_second(), "{name}, seed {seed}\n{table}");
            // Silence shows when the first attempts run into their timeout of 3 s, a refusal at once.
            assert!((1..=6_500).contains(&silent), "{name}, seed {seed}\n{table}");
            assert!((1..=1_000).contains(&dead), "{name}, seed {seed}\n{table}");
            assert_eq!(told.served + told.failed + told.refused, world::SESSIONS, "{name}, seed {seed}");
            assert!(told.all_fit_again, "{name}, seed {seed}: somebody never came back\n{table}");
            if balance == Balance::LeastSessions {
                assert!(told.worst_spread <= 1.05, "seed {seed}\n{table}");
            }
        }
    }
    println!("{table}");
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let told = || World::new(Balance::LeastResponseTime, 3).run();
    assert_eq!(format!("{:?}", told()), format!("{:?}", told()));
}
