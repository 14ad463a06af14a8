#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::Ipv4Addr;

use super::*;

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_client_has_as_many_sessions_as_it_may_and_no_more() {
    let clients = Arc::new(Clients::default());
    let terms = Terms { sessions: Some(2), rate: None };
    let held: Vec<_> = (0..2).map(|_| clients.enter(ip(1), terms, MS).unwrap()).collect();
    assert_eq!(clients.enter(ip(1), terms, MS).unwrap_err(), Excess::Sessions);
    assert_eq!(
        clients.enter(ClientNet::of("::ffff:0.0.0.1".parse().unwrap()), terms, MS).unwrap_err(),
        Excess::Sessions
    );
    let other = clients.enter(ip(2), terms, MS).unwrap();
    drop(held);
    assert_eq!(clients.live(&ip(1)), 0);
    drop(other);
    assert!(clients.is_empty(), "without a rate nothing is remembered");
}

#[test]
fn sessions_that_come_too_fast_are_refused_and_time_lets_them_in_again() {
    let clients = Arc::new(Clients::default());
    let terms = Terms { sessions: None, rate: Some(Rate::new(10, Duration::from_secs(1), 3)) };
    for _ in 0..3 {
        drop(clients.enter(ip(1), terms, MS).unwrap());
    }
    assert_eq!(clients.enter(ip(1), terms, MS).unwrap_err(), Excess::Rate);
    assert_eq!(clients.enter(ip(1), terms, MS * 100).unwrap_err(), Excess::Rate);
    assert!(clients.enter(ip(1), terms, MS * 102).is_ok());
}

#[test]
fn a21_a_million_networks_leave_a_bounded_table_and_no_live_count_is_forgotten() {
    let clients = Arc::new(Clients::default());
    let terms = Terms { sessions: Some(1), rate: Some(Rate::per_minute(1)) };
    let stays = clients.enter(ip(0), terms, MS).unwrap();
    for host in 1..=1_000_000 {
        drop(clients.enter(ip(host), terms, MS).unwrap());
    }
    assert!(clients.len() <= MAX + 1, "{}", clients.len());
    assert_eq!(clients.enter(ip(0), terms, MS).unwrap_err(), Excess::Sessions);
    assert_eq!(clients.enter(ip(1_000_000), terms, MS).unwrap_err(), Excess::Rate, "the last is known");
    drop(clients.enter(ip(1), terms, MS).unwrap());
    drop(stays);
    assert_eq!(clients.live(&ip(0)), 0);
}

#[test]
fn every_order_of_comings_and_goings_keeps_the_table_whole() {
    let clients = Arc::new(Clients::new(PARTS));
    let terms = Terms { sessions: Some(3), rate: Some(Rate::new(1000, Duration::from_secs(1), 50)) };
    let (mut held, mut dice) = (Vec::new(), 7_u64);
    for step in 0..50_000_u32 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let client = ip((dice >> 40) as u32 % 300);
        if dice >> 63 == 0 || held.is_empty() {
            held.extend(clients.enter(client, terms, MS * step).ok());
        } else {
            let place = (dice >> 20) as usize % held.len();
            drop(held.swap_remove(place));
        }
        if step % 1000 == 0 {
            let live: u32 = (0..300).map(|host| clients.live(&ip(host))).sum();
            assert_eq!(live as usize, held.len());
            let idle: usize = clients.parts.iter().map(|part| lock(part).idle.len()).sum();
            let zero = |part: &Mutex<Part<ClientNet>>| {
                lock(part).cells.values().filter(|cell| cell.live == 0).count()
            };
            assert_eq!(clients.parts.iter().map(zero).sum::<usize>(), idle);
        }
    }
}

fn ip(host: u32) -> ClientNet {
    ClientNet::of(Ipv4Addr::from_bits(host).into())
}
