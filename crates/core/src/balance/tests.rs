//! What is asked of every policy.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::config::HashOn;

const ALL: [Balance; 5] = [
    Balance::RoundRobin,
    Balance::LeastSessions,
    Balance::LeastResponseTime,
    Balance::Hash(HashOn::Key),
    Balance::Random,
];

#[test]
fn nobody_is_picked_where_nobody_is_usable() {
    for balance in ALL {
        assert_eq!(Fleet::new(balance, &[]).pick(), None, "{balance:?}");
        let mut fleet = Fleet::new(balance, &[1, 7, 256]);
        fleet.candidates.iter_mut().for_each(|candidate| candidate.weight = 0);
        assert_eq!(fleet.pick(), None, "{balance:?}");
    }
}

#[test]
fn the_only_usable_one_is_picked_whoever_asks_and_whatever_it_weighs() {
    for balance in ALL {
        for only in 0..5 {
            for weight in [1, 256, 65_536] {
                let mut fleet = Fleet::new(balance, &[1, 256, 3, 1, 9]);
                fleet.candidates.iter_mut().for_each(|candidate| candidate.weight = 0);
                fleet.candidates[only].weight = weight;
                for _ in 0..300 {
                    assert_eq!(fleet.seat(), Some(only), "{balance:?} {weight}");
                }
            }
        }
    }
}

#[test]
fn sessions_are_shared_by_weight() {
    for balance in ALL {
        for weights in [&[1, 1, 1, 1][..], &[1, 2, 4], &[5, 1]] {
            let mut fleet = Fleet::new(balance, weights);
            let sessions = 20_000;
            for _ in 0..sessions {
                fleet.seat().unwrap();
            }
            let sum: u16 = weights.iter().sum();
            for (weight, candidate) in weights.iter().zip(&fleet.candidates) {
                let share = f64::from(sessions) * f64::from(*weight) / f64::from(sum);
                let off = (f64::from(candidate.sessions) - share).abs() / share;
                let most = match balance {
                    Balance::RoundRobin | Balance::LeastSessions => 0.001,
                    Balance::LeastResponseTime | Balance::Random => 0.05,
                    Balance::Hash(_) => 0.2501,
                };
                assert!(off <= most, "{balance:?} {weights:?}: {:?}", fleet.sessions());
            }
        }
    }
}

#[test]
fn the_same_dice_and_clients_give_the_same_endpoints() {
    for balance in ALL {
        let picks = || {
            let mut fleet = Fleet::new(balance, &[1, 2, 3, 40, 5]);
            (0..2000).map(|_| fleet.seat()).collect::<Vec<_>>()
        };
        assert_eq!(picks(), picks(), "{balance:?}");
    }
}

#[test]
fn each_of_a_thousand_endpoints_has_its_sessions() {
    for balance in ALL {
        let mut fleet = Fleet::new(balance, &[1; 1000]);
        for _ in 0..20_000 {
            fleet.seat().unwrap();
        }
        let picked: BTreeSet<usize> =
            (0..1000).filter(|&index| fleet.candidates[index].sessions > 0).collect();
        assert_eq!(picked.len(), 1000, "{balance:?}");
    }
}

#[test]
fn equals_of_least_sessions_take_turns() {
    let mut fleet = Fleet::new(Balance::LeastSessions, &[1; 3]);
    let picked: Vec<_> = (0..6).map(|_| fleet.seat().unwrap()).collect();
    assert_eq!(picked, [0, 1, 2, 0, 1, 2]);
    // Those that hold nothing take turns too: short sessions do not all meet the first one.
    let mut idle = Fleet::new(Balance::LeastSessions, &[1; 3]);
    let picked: Vec<_> = (0..6).map(|_| idle.pick().unwrap()).collect();
    assert_eq!(picked, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn who_answers_sooner_has_more_sessions_and_a_silent_one_is_tried_once() {
    let mut fleet = Fleet::new(Balance::LeastResponseTime, &[1, 1, 1]);
    for (candidate, millis) in fleet.candidates.iter_mut().zip([1, 4, 4]) {
        candidate.response = Some(Duration::from_millis(millis));
    }
    for _ in 0..3000 {
        fleet.seat().unwrap();
    }
    let sessions = fleet.sessions();
    assert!(sessions[0] > 3 * sessions[1] && sessions[0] > 3 * sessions[2], "{sessions:?}");
    fleet.candidates[1] = Candidate { response: None, sessions: 0, ..fleet.candidates[1] };
    let before = fleet.sessions();
    for _ in 0..300 {
        fleet.seat().unwrap();
    }
    assert_eq!(fleet.sessions()[1], 1, "before {before:?}, after {:?}", fleet.sessions());
}

#[test]
fn a_client_keeps_its_endpoint_and_only_those_of_one_that_is_gone_move() {
    let mut fleet = Fleet::new(Balance::Hash(HashOn::Client), &[1; 10]);
    let place = |fleet: &Fleet, client: u32| {
        let draw = Draw { dice: 0, client: sip::hash(&client.to_le_bytes()) };
        fleet.policy.pick(&fleet.candidates, &draw).unwrap()
    };
    let first: Vec<usize> = (0..5000).map(|client| place(&fleet, client)).collect();
    let again: Vec<usize> = (0..5000).map(|client| place(&fleet, client)).collect();
    assert_eq!(first, again);
    fleet.candidates[3].weight = 0;
    for (client, before) in (0..).zip(&first) {
        let after = place(&fleet, client);
        assert!(if *before == 3 { after != 3 } else { after == *before }, "client {client}");
    }
}

#[test]
fn another_node_that_names_its_endpoints_in_another_order_agrees_where_a_client_belongs() {
    let addresses: Vec<Endpoint> = (0..7).map(address).collect();
    let listed = |reverse: bool| {
        let mut endpoints: Vec<_> = addresses.iter().map(|address| (address, 1)).collect();
        if reverse {
            endpoints.reverse();
        }
        let policy = Policy::new(Balance::Hash(HashOn::Key), &endpoints);
        let candidates = [Candidate { weight: 256, ..Candidate::default() }; 7];
        let name = |client: u32| {
            let draw = Draw { dice: 0, client: sip::hash(&client.to_le_bytes()) };
            endpoints[policy.pick(&candidates, &draw).unwrap()].0.to_string()
        };
        (0..500).map(name).collect::<Vec<_>>()
    };
    assert_eq!(listed(false), listed(true));
    // Written down: a later version that moved its clients would fail here.
    let last = |name: &String| name.strip_prefix("10.1.0.").unwrap()[..1].parse::<u8>().unwrap();
    assert_eq!(listed(false)[..16].iter().map(last).collect::<Vec<_>>(), WRITTEN_DOWN);
}

const WRITTEN_DOWN: [u8; 16] = [1, 2, 3, 4, 1, 1, 7, 6, 7, 7, 6, 3, 7, 4, 5, 7];

proptest! {
    /// Whatever is usable and however loaded, the one that is picked is usable.
    #[test]
    fn the_picked_one_is_usable(
        rows in prop::collection::vec((1_u16..=256, 0_u32..=65_536, 0_u32..100_000, prop::option::of(0_u64..1 << 62)), 1..40),
        usable in any::<u64>(),
        dice in any::<u64>(),
        client in any::<u64>(),
    ) {
        let weights: Vec<u16> = rows.iter().map(|row| row.0).collect();
        for balance in ALL {
            let mut fleet = Fleet::new(balance, &weights);
            for (index, (candidate, row)) in fleet.candidates.iter_mut().zip(&rows).enumerate() {
                let weight = if usable >> index & 1 == 1 { row.1 } else { 0 };
                *candidate = Candidate { weight, sessions: row.2, response: row.3.map(Duration::from_nanos) };
            }
            let anybody = fleet.candidates.iter().any(|candidate| candidate.weight > 0);
            let picked = fleet.policy.pick(&fleet.candidates, &Draw { dice, client });
            prop_assert_eq!(picked.is_some(), anybody, "{:?}", balance);
            if let Some(index) = picked {
                prop_assert!(fleet.candidates[index].weight > 0, "{:?}", balance);
            }
        }
    }

    /// Sessions come and go at random: least-sessions is never further from even than what left.
    #[test]
    fn the_least_one_is_the_least(
        weights in prop::collection::vec(1_u16..=256, 1..20),
        sessions in prop::collection::vec(0_u32..1000, 20),
    ) {
        let mut fleet = Fleet::new(Balance::LeastSessions, &weights);
        for (candidate, sessions) in fleet.candidates.iter_mut().zip(sessions) {
            candidate.sessions = sessions;
        }
        let load = |candidate: &Candidate| f64::from(candidate.sessions + 1) / f64::from(candidate.weight);
        let least = fleet.candidates.iter().map(load).fold(f64::INFINITY, f64::min);
        let picked = fleet.pick().unwrap();
        prop_assert!(load(&fleet.candidates[picked]) <= least * 1.000_001);
    }

    /// No endpoint gets a session beyond 5/4 of its share while it has more than a handful.
    #[test]
    fn loads_by_hash_are_bounded(weights in prop::collection::vec(1_u16..=16, 2..12), same in any::<u64>()) {
        let mut fleet = Fleet::new(Balance::Hash(HashOn::Key), &weights);
        let sum: f64 = weights.iter().copied().map(f64::from).sum();
        for session in 1..2000_u32 {
            // All of one client: the worst case.
            let index = fleet.policy.pick(&fleet.candidates, &Draw { dice: 0, client: same }).unwrap();
            fleet.candidates[index].sessions += 1;
            let most = (1.25 * f64::from(session) * f64::from(weights[index]) / sum).ceil().max(8.0);
            prop_assert!(f64::from(fleet.candidates[index].sessions) <= most, "{:?}", fleet.sessions());
        }
    }
}

/// Endpoints that hold what they were given, and dice.
struct Fleet {
    policy: Policy,
    candidates: Vec<Candidate>,
    dice: u64,
}

impl Fleet {
    fn new(balance: Balance, weights: &[u16]) -> Self {
        let addresses: Vec<Endpoint> = (0..weights.len()).map(address).collect();
        let endpoints: Vec<_> = addresses.iter().zip(weights.iter().copied()).collect();
        let candidate = |weight: &u16| Candidate { weight: 256 * u32::from(*weight), ..Candidate::default() };
        let candidates = weights.iter().map(candidate).collect();
        Self { policy: Policy::new(balance, &endpoints), candidates, dice: 0 }
    }

    fn pick(&mut self) -> Option<usize> {
        self.dice += 1;
        let dice = sip::hash(&self.dice.to_le_bytes());
        self.policy.pick(&self.candidates, &Draw { dice, client: dice.rotate_left(17) })
    }

    /// Picks one, which then has a session more.
    fn seat(&mut self) -> Option<usize> {
        let index = self.pick()?;
        self.candidates[index].sessions += 1;
        Some(index)
    }

    fn sessions(&self) -> Vec<u32> {
        self.candidates.iter().map(|candidate| candidate.sessions).collect()
    }
}

fn address(index: usize) -> Endpoint {
    format!("10.1.{}.{}:7000", index / 250, index % 250 + 1).parse().unwrap()
}
