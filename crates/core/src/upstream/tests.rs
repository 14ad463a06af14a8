#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::*;
use crate::config::{Balance, Config, Eject, Health, RateLimit, UpstreamEndpoint};
use crate::unit;
use crate::wheel::Tick;

const NOW: Tick = Tick(5_000);

#[test]
fn max_sessions_sends_the_next_one_elsewhere_and_then_nobody() {
    let upstream = upstream(3, |settings| {
        settings.endpoints[0].max_sessions = Some(1);
        settings.endpoints[1].max_sessions = Some(2);
        settings.endpoints[2].max_sessions = Some(3);
    });
    let mut held: Vec<Lease> = (0..6).map(|_| upstream.lease(&ask()).unwrap()).collect();
    assert_eq!(counts(&upstream), [1, 2, 3]);
    assert_eq!(upstream.lease(&ask()).unwrap_err(), NoLease::Full { again: Tick::NEVER });
    let left = held.remove(3);
    let place = left.endpoint().address.clone();
    drop(left);
    assert_eq!(upstream.lease(&ask()).unwrap().endpoint().address, place);
}

#[test]
fn max_sessions_is_never_passed_however_many_workers_claim() {
    for balance in [Balance::RoundRobin, Balance::LeastSessions, Balance::Random] {
        let upstream = upstream(2, |settings| {
            settings.balance = balance;
            settings.endpoints.iter_mut().for_each(|endpoint| endpoint.max_sessions = Some(25));
        });
        let held: Vec<Lease> = std::thread::scope(|scope| {
            let claim = |worker: u64| {
                let upstream = &upstream;
                move || (0..20).filter_map(|_| upstream.lease(&Ask { dice: worker, ..ask() }).ok()).collect()
            };
            let workers: Vec<_> = (0..4).map(|worker| scope.spawn(claim(worker))).collect();
            workers.into_iter().flat_map(|worker| -> Vec<Lease> { worker.join().unwrap() }).collect()
        });
        assert_eq!((held.len(), counts(&upstream)), (50, vec![25, 25]), "{balance:?}");
    }
}

#[test]
fn least_sessions_is_even_however_many_workers_claim() {
    let upstream = upstream(3, |settings| settings.balance = Balance::LeastSessions);
    let held: Vec<Lease> = std::thread::scope(|scope| {
        let claim = || (0..300).map(|_| upstream.lease(&ask()).unwrap()).collect::<Vec<_>>();
        let workers: Vec<_> = (0..4).map(|_| scope.spawn(claim)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!((held.len(), counts(&upstream)), (1200, vec![400, 400, 400]));
}

#[test]
fn a_session_rate_fills_one_endpoint_after_the_other_and_says_when_there_is_room_again() {
    let rate = unit::Rate { count: NonZeroU32::new(10).unwrap(), per: Duration::from_secs(1) };
    let upstream = upstream(2, |settings| settings.session_rate = Some(RateLimit { rate, burst: 3 }));
    // Short sessions: it is the rate that counts, not who is there.
    for _ in 0..6 {
        drop(upstream.lease(&ask()).unwrap());
    }
    assert_eq!(upstream.lease(&ask()).unwrap_err(), NoLease::Full { again: Tick(NOW.0 + 100) });
    let later = Ask { now: Tick(NOW.0 + 100), ..ask() };
    assert!(upstream.lease(&later).is_ok() && upstream.lease(&later).is_ok());
    assert_eq!(upstream.lease(&later).unwrap_err(), NoLease::Full { again: Tick(NOW.0 + 200) });
}

#[test]
fn backups_serve_only_while_no_other_is_fit() {
    let upstream = upstream(3, |settings| settings.endpoints[2].backup = true);
    assert_eq!(served(&upstream, 6), [3, 3, 0]);
    down(&upstream, &[0]);
    assert_eq!(served(&upstream, 6), [0, 6, 0]);
    down(&upstream, &[0, 1]);
    assert_eq!(served(&upstream, 6), [0, 0, 6]);
    down(&upstream, &[0, 1, 2]);
    assert_eq!(served(&upstream, 6), [2, 2, 2], "all are tried when none is fit");
    down(&upstream, &[]);
    assert_eq!(served(&upstream, 6), [3, 3, 0]);
}

#[test]
fn below_the_panic_threshold_all_are_tried() {
    let upstream = upstream(4, |settings| {
        settings.panic_threshold = 50;
        settings.endpoints[3].backup = true;
    });
    down(&upstream, &[0]);
    assert_eq!(served(&upstream, 6), [0, 3, 3, 0], "two of three are more than half");
    down(&upstream, &[0, 1]);
    assert_eq!(served(&upstream, 6), [2, 2, 2, 0]);
    down(&upstream, &[0, 1, 2]);
    assert_eq!(served(&upstream, 6), [0, 0, 0, 6], "the backup is fit");
}

#[test]
fn what_an_operator_set_aside_gets_nothing_even_when_nobody_else_is_left() {
    let upstream = upstream(2, |_| {});
    let first = upstream.endpoints().next().unwrap();
    let held = upstream.lease(&ask()).unwrap();
    for standing in [Standing::Drain, Standing::Maint] {
        first.set_standing(standing);
        assert_eq!(served(&upstream, 4), [0, 4]);
        assert!(!upstream.serves(first, NOW));
    }
    down(&upstream, &[1]);
    assert_eq!(served(&upstream, 4), [0, 4], "the last one is tried though it is down");
    upstream.endpoints().for_each(|endpoint| endpoint.set_standing(Standing::Drain));
    assert_eq!(upstream.lease(&ask()).unwrap_err(), NoLease::NoEndpoint);
    assert_eq!(counts(&upstream), [1, 0], "who is there stays");
    drop(held);
    first.set_standing(Standing::Ready);
    first.set_weight(Some(0));
    assert_eq!(upstream.lease(&ask()).unwrap_err(), NoLease::NoEndpoint);
}

#[test]
fn a_weight_set_at_run_time_holds_and_goes() {
    for balance in [Balance::RoundRobin, Balance::LeastSessions] {
        let upstream = upstream(3, |settings| settings.balance = balance);
        let first = upstream.endpoints().next().unwrap();
        first.set_weight(Some(4));
        let held: Vec<Lease> = (0..600).map(|_| upstream.lease(&ask()).unwrap()).collect();
        let got = counts(&upstream);
        assert!(got[0].abs_diff(400) <= 2 && got[1].abs_diff(100) <= 2, "{balance:?}: {got:?}");
        drop(held);
        first.set_weight(None);
        let _held: Vec<Lease> = (0..600).map(|_| upstream.lease(&ask()).unwrap()).collect();
        assert!(counts(&upstream).iter().all(|count| count.abs_diff(200) <= 2), "{balance:?}");
    }
}

#[test]
fn an_endpoint_that_came_back_begins_with_a_sixteenth() {
    let upstream = upstream(2, |settings| settings.slow_start = Duration::from_secs(30));
    down(&upstream, &[0]);
    down(&upstream, &[]);
    let got = served(&upstream, 340);
    assert!(got[0].abs_diff(20) <= 1, "{got:?}");
    let late = Ask { now: NOW.after(Duration::from_secs(30)), ..ask() };
    let held: Vec<Lease> = (0..340).map(|_| upstream.lease(&late).unwrap()).collect();
    assert_eq!((held.len(), counts(&upstream)), (340, vec![170, 170]));
}

#[test]
fn an_ejected_endpoint_is_tried_by_one_session_at_a_time() {
    let upstream = upstream(2, |_| {});
    let first = upstream.endpoints().next().unwrap();
    let eject = Eject::default();
    let all = || upstream.endpoints().map(|endpoint| &endpoint.fitness);
    for _ in 0..eject.failures {
        first.fitness.failed(NOW, &eject, all());
    }
    assert_eq!(served(&upstream, 4), [0, 4]);
    let later = NOW.after(eject.time);
    let held: Vec<Lease> = (0..40).map(|_| upstream.lease(&Ask { now: later, ..ask() }).unwrap()).collect();
    assert_eq!((held.len(), counts(&upstream)), (40, vec![1, 39]));
}

#[test]
fn turns_and_leases_outlive_a_reload_of_every_policy() {
    for balance in [Balance::RoundRobin, Balance::LeastSessions] {
        let first = upstream(3, |settings| settings.balance = balance);
        let mut held: Vec<Lease> = (0..4).map(|_| first.lease(&ask()).unwrap()).collect();
        let second = Upstream::new(&first.settings, None, None, Some(&first));
        held.extend((0..5).map(|_| second.lease(&ask()).unwrap()));
        assert_eq!(counts(&second), [3, 3, 3], "{balance:?}");
    }
}

#[test]
fn a_line_is_served_in_turn_and_holds_no_more_than_it_may() {
    let line = Arc::new(Line::default());
    assert_eq!(line.first(), None);
    let waiter = |token| Waiter { worker: 1, token };
    let mut places: Vec<Place> = (0..3).map(|token| line.join(waiter(token), 3).unwrap()).collect();
    assert!(line.join(waiter(3), 3).is_none());
    assert!(places[0].is_first() && !places[1].is_first());
    drop(places.remove(1)); // one in the middle gives up
    assert_eq!(line.first(), Some(waiter(0)));
    places.push(line.join(waiter(4), 3).unwrap());
    for token in [0, 2, 4] {
        assert_eq!(line.first(), Some(waiter(token)));
        drop(places.remove(0));
    }
    assert!(line.is_empty() && line.first().is_none());
    assert!(line.join(waiter(5), 0).is_none(), "nobody waits where nobody may");
}

fn ask() -> Ask<'static> {
    Ask { now: NOW, dice: 7, client: 7, tried: &[] }
}

/// An upstream of so many endpoints, with what `change` makes of its settings.
fn upstream(endpoints: usize, change: impl FnOnce(&mut config::Upstream)) -> Upstream {
    let text = "[[listener]]\nname = 'in'\nprotocol = 'tcp'\nbind = ['127.0.0.1:0']\nhello = 'none'\nroute = 'r'\n\
        [route.r]\nresolver = 'upstream'\nupstreams = ['u']\n\
        [upstream.u]\nprotocol = 'tcp'\nendpoints = [{ address = '10.0.0.1:1' }]\n";
    let mut settings = Config::parse(text, "t.toml", &|_| None).unwrap().upstreams.remove(0);
    let endpoint = |index| UpstreamEndpoint {
        address: format!("10.0.0.{}:1", index + 1).parse().unwrap(),
        ..settings.endpoints[0].clone()
    };
    settings.endpoints = (0..endpoints).map(endpoint).collect();
    change(&mut settings);
    Upstream::new(&settings, None, None, None)
}

/// How many of so many sessions each endpoint gets, which are over then.
fn served(upstream: &Upstream, sessions: u32) -> Vec<u32> {
    let mut counts = BTreeMap::new();
    let held: Vec<Lease> = (0..sessions).map(|_| upstream.lease(&ask()).unwrap()).collect();
    for lease in held {
        *counts.entry(lease.endpoint().address.to_string()).or_default() += 1;
    }
    let count = |endpoint: &Arc<EndpointState>| counts.get(&endpoint.address.to_string()).copied();
    upstream.endpoints().map(|endpoint| count(endpoint).unwrap_or(0)).collect()
}

fn counts(upstream: &Upstream) -> Vec<u32> {
    upstream.endpoints().map(|endpoint| endpoint.sessions()).collect()
}

/// Probes find exactly these down.
fn down(upstream: &Upstream, indices: &[usize]) {
    let health = Health::default();
    for (index, endpoint) in upstream.endpoints().enumerate() {
        for _ in 0..health.rise.max(health.fall) {
            endpoint.fitness.probed(!indices.contains(&index), NOW, &health);
        }
    }
}
