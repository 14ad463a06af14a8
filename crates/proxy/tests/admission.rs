//! Who is let in, who is put off and who is dropped: the real data plane on port 0.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use gate::{Gate, by_address, echo, hello, stays_silent, to};
use portcullis_core::outcome::Reason;
use portcullis_proxy::Event;

#[test]
fn the_oldest_unfinished_hello_makes_room_and_newcomers_are_served() {
    let endpoint = echo();
    let gate = Gate::start(1, 40, &by_address());
    let mut stalled: Vec<TcpStream> = (0..10).map(|_| gate.connect()).collect();
    gate.wait_for(|counts| counts.listeners[0].hellos == 10);
    // A quarter of 40 are in progress: the next one drops the oldest.
    let mut honest = gate.connect();
    let whole = hello(endpoint);
    let (first, rest) = whole.split_at(3);
    honest.write_all(first).unwrap();
    gate.wait_for(|counts| counts.listeners[0].refused == [(Reason::HelloEvicted, 1)]);
    assert_eq!(stalled[0].read(&mut [0; 16]).unwrap(), 0, "the oldest is closed without a word");
    honest.write_all(rest).unwrap();
    let mut answer = [0; 6];
    honest.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"\x02\0\0\0ok");
    stalled[9].set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(stalled[9].read(&mut [0; 16]).is_err(), "the newest is still waited for");
}

#[test]
fn one_worker_does_not_keep_what_two_can_carry() {
    let gate = Gate::start(2, 1000, &to(echo()));
    let clients: Vec<TcpStream> = (0..600).map(|_| gate.connect()).collect();
    gate.wait_for(|counts| counts.listeners[0].opened == 600);
    let loads = gate.handle.loads();
    assert!(loads.iter().all(|load| *load >= 150), "{loads:?}");
    drop(clients);
    gate.wait_until_empty();
}

#[test]
fn a_client_that_makes_dials_fail_is_put_off() {
    let closed = gate::closed_port();
    let text = by_address()
        .replace("hello = \"length-prefixed\"", "hello = \"length-prefixed\"\nfailure_delay = \"1ms\"");
    let text = format!("[limits]\nfailed_dials_per_minute = 3\n{text}");
    let gate = Gate::start(1, 100, &text);
    for _ in 0..5 {
        let mut client = gate.connect();
        client.write_all(&hello(closed)).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"\x05\0\0\0error", "the same bytes for every cause");
    }
    gate.wait_for(|counts| {
        counts.listeners[0].refused == [(Reason::DialBudget, 2), (Reason::DialRefused, 3)]
    });
}

#[test]
fn pauses_are_told() {
    let gate = Gate::start(1, 2, &to(echo()));
    let inside = [gate.connect(), gate.connect()];
    gate.wait_for(|counts| counts.listeners[0].opened == 2);
    let _outside = gate.connect();
    gate.wait_for(|counts| counts.accept_pauses == 1);
    drop(inside);
    gate.wait_for(|counts| counts.listeners[0].opened == 3 && counts.sessions == 1);
    assert_eq!(two_events(&gate), [Event::AcceptPausedFull, Event::AcceptResumed]);
}

#[test]
fn a_full_house_is_told_once() {
    let gate = Gate::start(1, 2, &to(echo()));
    let inside = [gate.connect(), gate.connect()];
    gate.wait_for(|counts| counts.listeners[0].opened == 2);
    let outside = gate.connect();
    gate.wait_for(|counts| counts.accept_pauses > 0);
    stays_silent(&outside, Duration::from_millis(500));
    assert_eq!(gate.handle.counts().accept_pauses, 1, "until there was room");
    drop(inside);
    assert_eq!(two_events(&gate), [Event::AcceptPausedFull, Event::AcceptResumed]);
}

#[test]
fn connections_queued_at_a_full_house_are_served_when_listening_stops() {
    let gate = Gate::start(1, 1, &to(echo()));
    let mut first = gate.connect();
    gate.wait_for(|counts| counts.listeners[0].opened == 1);
    let mut queued = gate.connect();
    queued.write_all(b"q").unwrap();
    gate.wait_for(|counts| counts.accept_pauses > 0);
    gate.handle.stop_accepting();
    // What comes back was sent after the command, so the worker has read that before.
    first.write_all(b"f").unwrap();
    first.read_exact(&mut [0; 1]).unwrap();
    drop(first);
    let mut answer = [0; 1];
    queued.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"q");
}

#[test]
fn a_drain_waits_for_who_is_queued_at_a_door_that_closes() {
    for _ in 0..50 {
        let gate = Gate::start(2, 100, &to(echo()));
        let client = gate.connect();
        gate.handle.stop_accepting();
        gate.wait_for(|counts| {
            // Queued, taken or served: somebody is there all the time.
            assert!(gate.handle.left() > 0, "{counts:#?}");
            counts.listeners[0].opened == 1
        });
        drop(client);
        gate.wait_for(|_| gate.handle.left() == 0);
    }
}

/// The first two events that are told.
fn two_events(gate: &Gate) -> Vec<Event> {
    let mut told = Vec::new();
    gate.wait_for(|_| {
        told.extend(gate.events());
        told.len() >= 2
    });
    told
}
