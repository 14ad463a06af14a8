//! Attempts, names, sources and budgets of dials: the real data plane on port 0.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use gate::{Gate, accept, by_address, closed_port, echo, hello, reset, to};
use portcullis_core::outcome::Reason;
use portcullis_proxy::{Event, Question};

#[test]
fn a_dial_given_up_by_a_reset_counts() {
    let (full, _queued) = full_listener();
    let deaf = full.local_addr().unwrap();
    let gate = Gate::start(1, 100, &format!("[limits]\nfailed_dials_per_minute = 3\n{}", by_address()));
    for _ in 0..3 {
        let mut client = gate.connect();
        client.write_all(&hello(deaf)).unwrap();
        until_dialled(deaf);
        reset(client);
        gate.wait_until_empty();
    }
    let mut honest = gate.connect();
    honest.write_all(&hello(echo())).unwrap();
    gate.wait_for(|counts| counts.listeners[0].refused.contains(&(Reason::DialBudget, 1)));
    assert_eq!(gate.handle.counts().listeners[0].opened, 0);
}

#[test]
fn a_late_answer_to_an_abandoned_attempt_does_nothing() {
    let (full, _queued) = full_listener();
    let deaf = full.local_addr().unwrap();
    let late = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoints = format!("{{ address = \"name.test:80\" }}, {{ address = \"{deaf}\" }}");
    let text = to(deaf).replace(&format!("{{ address = \"{deaf}\" }}"), &endpoints);
    let gate = Gate::start(1, 100, &format!("{text}connect_timeout = \"1500ms\"\nattempts = 2\n"));
    let mut client = gate.connect();
    let question = next_question(&gate);
    until_dialled(deaf);
    gate.handle.answer(question.asked, Ok(vec![late.local_addr().unwrap()]));
    gate.wait_for(|counts| counts.sessions == 0 || counts.listeners[0].opened == 1);
    assert_eq!(gate.handle.counts().listeners[0].opened, 0, "an abandoned attempt was gone on with");
    late.set_nonblocking(true).unwrap();
    assert!(late.accept().is_err());
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_congestion_control_that_is_refused_does_not_refuse_the_dial() {
    let gate = Gate::start(1, 100, &format!("{}congestion = \"nosuchcc\"\n", to(echo())));
    for _ in 0..3 {
        let mut client = gate.connect();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0; 1]).unwrap();
    }
    let told = gate.events();
    assert!(matches!(&told[..], [Event::Degraded { what }] if what.contains("nosuchcc")), "{told:?}");
}

#[test]
fn the_second_attempt_at_a_name_takes_its_second_address() {
    let text = to(closed_port());
    let (head, _) = text.split_once("endpoints").unwrap();
    let gate = Gate::start(1, 100, &format!("{head}endpoints = [{{ address = \"name.test:80\" }}]\n"));
    let mut client = gate.connect();
    client.write_all(b"x").unwrap();
    let answer = vec![closed_port(), echo()];
    let deadline = Instant::now() + Duration::from_secs(20);
    while gate.handle.counts().listeners[0].opened == 0 {
        for question in gate.handle.questions().take() {
            gate.handle.answer(question.asked, Ok(answer.clone()));
        }
        assert!(Instant::now() < deadline, "{:#?}", gate.handle.counts());
        thread::park_timeout(Duration::from_millis(1));
    }
    client.read_exact(&mut [0; 1]).unwrap();
}

#[test]
fn every_source_address_is_used_by_every_worker() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = to(listener.local_addr().unwrap());
    let gate = Gate::start(2, 1000, &format!("{text}source = [\"127.0.0.2\", \"127.0.0.3\"]\n"));
    let mut held = Vec::new();
    for _ in 0..40 {
        // One after the other: whichever worker is woken, it may well be the same one each time.
        held.push((gate.connect(), accept(&listener)));
    }
    let from = |ip: &str| {
        held.iter().filter(|(_, endpoint)| endpoint.peer_addr().unwrap().ip().to_string() == ip).count()
    };
    let (two, three) = (from("127.0.0.2"), from("127.0.0.3"));
    assert!(two >= 10 && three >= 10 && two + three == 40, "{two} {three} {:?}", gate.handle.loads());
}

/// A listener that answers nobody any more, and what fills its queue.
fn full_listener() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = listener.local_addr().unwrap();
    let patience = Duration::from_millis(500);
    let queued = (0..8).map_while(|_| TcpStream::connect_timeout(&address, patience).ok()).collect();
    (listener, queued)
}

/// Waits until somebody waits for a connection to `address`.
fn until_dialled(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_dialled(address) {
        assert!(Instant::now() < deadline, "{address} is not dialled");
        thread::park_timeout(Duration::from_millis(1));
    }
}

/// Does someone wait for a connection to `address`?
fn is_dialled(address: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X} 02 ", address.port()); // 02 = SYN sent
    table.lines().any(|line| line.contains(&port))
}

fn next_question(gate: &Gate) -> Question {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(question) = gate.handle.questions().take().pop_front() {
            return question;
        }
        assert!(Instant::now() < deadline, "nothing is asked");
        thread::park_timeout(Duration::from_millis(1));
    }
}
