//! What becomes of clients when endpoints die and come back, under traffic: the real data plane on port 0.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gate::{Gate, closed_port, echo, members, to_upstream};
use portcullis_core::health::Change;
use portcullis_peers::{Endpoint, serve};
use portcullis_proxy::Event;

/// The tests' patience; nothing of the product waits as long.
const PATIENCE: Duration = Duration::from_secs(60);

fn until(what: &str, so: impl FnMut() -> bool) {
    gate::until(PATIENCE, what, so);
}

fn changes(gate: &Gate) -> Vec<Change> {
    let change = |event| if let Event::Endpoint { change, .. } = event { Some(change) } else { None };
    gate.events().into_iter().filter_map(change).collect()
}

/// A new client asks and is answered.
fn is_served(gate: &Gate) -> bool {
    let mut client = gate.connect();
    client.write_all(b"ask").is_ok() && client.read_exact(&mut [0; 3]).is_ok()
}

/// Starts an echo where another endpoint was.
fn again(address: SocketAddr) -> Endpoint {
    let mut started = None;
    until("the port is free again", || {
        started = Endpoint::bind(address, serve::echo).ok();
        started.is_some()
    });
    started.unwrap()
}

#[test]
fn s04_s05_an_endpoint_that_is_killed_costs_no_new_client_and_is_used_again_once_it_is_back() {
    let (doomed, steady) = (Endpoint::start(serve::echo).unwrap(), Endpoint::start(serve::echo).unwrap());
    let address = doomed.address();
    let settings = "slow_start = \"500ms\"\nhealth = { interval = \"200ms\", timeout = \"5s\" }";
    let gate = Gate::start(2, 1000, &to_upstream("tcp", &[address, steady.address()], settings));
    let state = Arc::clone(&members(&gate)[0]);
    until("it was probed", || state.fitness.counted().good > 0);
    drop(doomed);
    let killed = Instant::now();
    let mut served = 0;
    until("it is left alone", || {
        assert!(is_served(&gate), "a client has noticed, after {served}");
        served += 1;
        !state.fitness.is_up(gate.handle.now())
    });
    let noticed = killed.elapsed();
    until("probes have found it down", || {
        assert!(is_served(&gate));
        state.fitness.is_down()
    });
    let back = again(address);
    let started = Instant::now();
    let before = back.accepted();
    until("it is used again", || {
        assert!(is_served(&gate));
        state.sessions() > 0 || back.accepted() > before && state.fitness.is_fit(gate.handle.now())
    });
    println!("left alone {noticed:?} after it was killed, fit {:?} after it was started", started.elapsed());
    let mut told = Vec::new();
    until("both changes are told", || {
        told.extend(changes(&gate));
        told.contains(&Change::Down) && told.contains(&Change::Up)
    });
}

#[test]
fn s04_when_all_were_down_once_all_serve_again() {
    let first: Vec<_> = (0..3).map(|_| Endpoint::start(serve::echo).unwrap()).collect();
    let addresses: Vec<_> = first.iter().map(Endpoint::address).collect();
    let settings = "slow_start = \"0s\"\nhealth = { interval = \"100ms\", timeout = \"5s\" }";
    let gate = Gate::start(2, 1000, &to_upstream("tcp", &addresses, settings));
    let states = members(&gate);
    until("they were probed", || states.iter().all(|state| state.fitness.counted().good > 0));
    assert!(is_served(&gate));
    drop(first);
    until("all are down", || {
        assert!(!is_served(&gate));
        states.iter().all(|state| state.fitness.is_down())
    });
    let back: Vec<_> = addresses.into_iter().map(again).collect();
    until("all are fit", || states.iter().all(|state| state.fitness.is_fit(gate.handle.now())));
    let before: Vec<_> = back.iter().map(Endpoint::accepted).collect();
    let held: Vec<TcpStream> = (0..30).map(|_| gate.connect()).collect();
    gate.wait_for(|counts| counts.listeners[0].opened >= 31);
    let shares: Vec<_> = states.iter().map(|state| state.sessions()).collect();
    assert!(shares.iter().all(|sessions| *sessions >= 9), "{shares:?} after {before:?}");
    drop(held);
}

#[test]
fn b1_without_probes_a_dead_endpoint_is_left_alone_and_tried_again_by_one_session_at_a_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let settings = "slow_start = \"0s\"\neject = { failures = 5, time = \"1s\" }";
    let gate = Gate::start(1, 1000, &to_upstream("tcp", &[address, echo()], settings));
    let state = Arc::clone(&members(&gate)[0]);
    until("it is left alone", || {
        assert!(is_served(&gate), "the other one is there for everybody");
        state.fitness.counted().ejections == 1
    });
    until("it is left alone for longer", || {
        assert!(is_served(&gate));
        state.fitness.counted().ejections == 2
    });
    let back = again(address);
    until("it serves again", || {
        assert!(is_served(&gate));
        changes(&gate).contains(&Change::Returned)
    });
    assert!(back.accepted() >= 1);
    assert!(state.fitness.is_up(gate.handle.now()) && !state.fitness.is_half_open(gate.handle.now()));
}

#[test]
fn b2_clients_of_a_host_that_is_gone_are_served_by_another_and_it_is_left_alone() {
    // Nobody takes from its queue, which is full: what knocks is not answered.
    let (full, _queued) = full_listener();
    let settings = "connect_timeout = \"200ms\"\neject = { failures = 3, time = \"10m\" }";
    let gate = Gate::start(1, 1000, &to_upstream("tcp", &[full.local_addr().unwrap(), echo()], settings));
    let state = Arc::clone(&members(&gate)[0]);
    until("it is left alone", || {
        assert!(is_served(&gate));
        state.fitness.counted().ejections == 1
    });
    // From here on nobody waits for it.
    let begun = Instant::now();
    let quick = (0..20).filter(|_| {
        let begun = Instant::now();
        is_served(&gate) && begun.elapsed() < Duration::from_millis(150)
    });
    assert!(quick.count() >= 15, "{:?} for twenty", begun.elapsed());
}

/// A listener whose queue is full.
fn full_listener() -> (TcpListener, Vec<TcpStream>) {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    listen(&socket, 1).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let knock = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
    let queued = (0..8).map_while(|_| knock()).collect();
    (listener, queued)
}

#[test]
fn a_reload_keeps_what_is_known_of_endpoints_and_asks_as_the_new_file_says() {
    let steady = Endpoint::start(serve::echo).unwrap();
    let dead = closed_port();
    let list = [dead, steady.address()];
    let health = |interval: &str| format!("health = {{ interval = \"{interval}\", timeout = \"5s\" }}");
    let mut gate = Gate::reloadable(2, 1000, &to_upstream("tcp", &list, &health("100ms")));
    let state = Arc::clone(&members(&gate)[0]);
    until("it is down", || state.fitness.is_down());
    gate.reload(&to_upstream("tcp", &list, &health("1h")));
    assert!(state.fitness.is_down() && Arc::ptr_eq(&state, &members(&gate)[0]));
    // The first probe of the new kind may come at any time within the hour; of the old kind none comes.
    gate.reload(&to_upstream("tcp", &list, &health("100ms")));
    let bad = state.fitness.counted().bad;
    until("it is asked again", || state.fitness.counted().bad > bad + 2);
    gate.reload(&to_upstream("tcp", &list, ""));
    until("what nobody asks keeps it from nothing", || !state.fitness.is_down());
    assert!(is_served(&gate));
}
