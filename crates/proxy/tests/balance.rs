//! Which endpoint sessions get: shares, backups, full endpoints and who waits for them, on the real data plane.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gate::{Gate, accept, closed_port, echo, to_with};
use portcullis_core::outcome::Reason;
use portcullis_core::upstream::{Standing, Upstream};

/// The tests' patience; nothing of the product waits as long.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn nine_sessions_on_three_endpoints_are_three_each_across_a_reload() {
    for workers in [1, 2, 4] {
        for balance in ["round-robin", "least-sessions"] {
            let endpoints: Vec<SocketAddr> = (0..3).map(|_| echo()).collect();
            let text = over(&endpoints, &format!("balance = \"{balance}\"\n"));
            let mut gate = Gate::reloadable(workers, 100, &text);
            let mut held: Vec<TcpStream> = (0..4).map(|_| open(&gate)).collect();
            gate.reload(&text);
            held.extend((0..5).map(|_| open(&gate)));
            assert_eq!(sessions(&gate), [3, 3, 3], "{workers} workers, {balance}");
        }
    }
}

#[test]
fn a_backup_serves_only_while_no_other_is_fit() {
    let (main, backup) = (TcpListener::bind("127.0.0.1:0").unwrap(), echo());
    let address = main.local_addr().unwrap();
    let list = format!("{{ address = \"{address}\" }}, {{ address = \"{backup}\", backup = true }}");
    let text = listed(&list, "eject = { failures = 1, time = \"10m\", most = 100 }\n");
    let gate = Gate::start(1, 100, &text);
    let mut client = gate.connect();
    let mut served = accept(&main);
    client.write_all(b"x").unwrap();
    served.read_exact(&mut [0; 1]).unwrap();
    assert_eq!(sessions(&gate), [1, 0]);
    drop(main);
    // The first attempt finds the main one gone, the second one is at the backup; later ones go there at once.
    let _held = [open(&gate), open(&gate)];
    assert_eq!(sessions(&gate), [1, 2]);
    let first = Arc::clone(upstream(&gate).endpoints().next().unwrap());
    assert_eq!(first.fitness.counted().ejections, 1);
}

#[test]
fn a_dead_endpoint_costs_no_session_and_is_left_alone_after_five_failures() {
    let live = echo();
    let gate = Gate::start(1, 100, &over(&[closed_port(), live], "slow_start = \"0s\"\n"));
    let held: Vec<TcpStream> = (0..20).map(|_| open(&gate)).collect();
    assert_eq!((held.len(), sessions(&gate)), (20, vec![0, 20]));
    let counted: Vec<u32> =
        upstream(&gate).endpoints().map(|endpoint| endpoint.fitness.counted().ejections).collect();
    assert_eq!(counted, [1, 0]);
    let response = |index| upstream(&gate).endpoints().nth(index).unwrap().fitness.response();
    assert!(response(0).is_none() && response(1).is_some(), "connecting is measured");
}

#[test]
fn those_who_wait_are_served_in_turn_and_one_too_many_is_refused() {
    for workers in [1, 2] {
        let list = format!("{{ address = \"{}\", max_sessions = 1 }}", echo());
        let gate = Gate::start(workers, 100, &listed(&list, "queue = { size = 2, timeout = \"1m\" }\n"));
        let first = open(&gate);
        let second = waits(&gate, 1);
        let third = waits(&gate, 2);
        let mut fourth = gate.connect();
        assert_eq!(fourth.read(&mut [0; 1]).unwrap_or(0), 0, "there is no place left");
        gate.wait_for(|counts| counts.listeners[0].refused.contains(&(Reason::QueueFull, 1)));
        drop(first);
        let second = answers(second);
        gate.wait_for(|counts| counts.listeners[0].opened == 2);
        assert_eq!(upstream(&gate).line().len(), 1, "the third still waits");
        drop(second);
        let _third = answers(third);
        gate.wait_for(|counts| counts.listeners[0].opened == 3);
        assert!(upstream(&gate).line().is_empty());
    }
}

#[test]
fn who_leaves_the_line_is_no_obstacle_to_those_behind() {
    let list = format!("{{ address = \"{}\", max_sessions = 1 }}", echo());
    let gate = Gate::start(1, 100, &listed(&list, "queue = { size = 9, timeout = \"1m\" }\n"));
    let first = open(&gate);
    let second = waits(&gate, 1);
    let third = waits(&gate, 2);
    gate::reset(second);
    gate::until(PATIENCE, "one is left in line", || upstream(&gate).line().len() == 1);
    drop(first);
    answers(third);
}

#[test]
fn a_wait_in_line_ends_in_time() {
    let list = format!("{{ address = \"{}\", max_sessions = 1 }}", echo());
    let gate = Gate::start(1, 100, &listed(&list, "queue = { size = 9, timeout = \"300ms\" }\n"));
    let _first = open(&gate);
    let began = Instant::now();
    let mut second = waits(&gate, 1);
    assert_eq!(second.read(&mut [0; 1]).unwrap_or(0), 0);
    assert!(began.elapsed() >= Duration::from_millis(300));
    gate.wait_for(|counts| counts.listeners[0].refused.contains(&(Reason::QueueTimeout, 1)));
    assert!(upstream(&gate).line().is_empty());
}

#[test]
fn a_session_rate_is_waited_for() {
    let text = over(&[echo()], "session_rate = { rate = \"10/s\", burst = 1 }\n");
    let gate = Gate::start(2, 100, &text);
    let began = Instant::now();
    let clients: Vec<TcpStream> = (0..6).map(|_| gate.connect()).collect();
    clients.into_iter().for_each(|client| drop(answers(client)));
    // The first is free, five more at ten a second: half a second, less the tick that a clock may be off.
    assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
}

#[test]
fn a_drained_endpoint_keeps_its_sessions_and_gets_no_other() {
    let gate = Gate::start(2, 100, &over(&[echo(), echo()], ""));
    let mut held: Vec<TcpStream> = (0..4).map(|_| open(&gate)).collect();
    assert_eq!(sessions(&gate), [2, 2]);
    let upstream = upstream(&gate);
    let first = upstream.endpoints().next().unwrap();
    first.set_standing(Standing::Drain);
    held.extend((0..4).map(|_| open(&gate)));
    assert_eq!(sessions(&gate), [2, 6]);
    for client in &mut held {
        client.write_all(b"y").unwrap();
        client.read_exact(&mut [0; 1]).unwrap();
    }
    first.set_standing(Standing::Ready);
    held.extend((0..4).map(|_| open(&gate)));
    assert_eq!(sessions(&gate), [4, 8]);
}

#[test]
fn a_client_address_has_its_endpoint_by_hash() {
    let endpoints: Vec<SocketAddr> = (0..5).map(|_| echo()).collect();
    let text = over(&endpoints, "balance = \"hash\"\nhash_on = \"client\"\n");
    for workers in [1, 4] {
        let gate = Gate::start(workers, 100, &text);
        let _held: Vec<TcpStream> = (0..6).map(|_| open(&gate)).collect();
        let mut counts = sessions(&gate);
        counts.sort_unstable();
        assert_eq!(counts, [0, 0, 0, 0, 6]);
    }
}

/// Everything goes to these endpoints, in equal shares.
fn over(endpoints: &[SocketAddr], settings: &str) -> String {
    let list: Vec<String> =
        endpoints.iter().map(|endpoint| format!("{{ address = \"{endpoint}\" }}")).collect();
    listed(&list.join(", "), settings)
}

fn listed(endpoints: &str, settings: &str) -> String {
    let text = to_with(closed_port(), "open_timeout = \"1m\"");
    let (head, _) = text.split_once("endpoints").unwrap();
    format!("{head}endpoints = [{endpoints}]\n{settings}")
}

/// A client whose session is open: it has its echo.
fn open(gate: &Gate) -> TcpStream {
    answers(gate.connect())
}

fn answers(mut client: TcpStream) -> TcpStream {
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0; 1]).unwrap();
    client
}

/// A client that is the so-many-th to wait.
fn waits(gate: &Gate, count: u32) -> TcpStream {
    let client = gate.connect();
    gate::until(PATIENCE, "it stands in line", || upstream(gate).line().len() == count);
    client
}

fn upstream(gate: &Gate) -> Arc<Upstream> {
    Arc::clone(gate.handle.snapshot().upstreams().next().unwrap())
}

fn sessions(gate: &Gate) -> Vec<u32> {
    upstream(gate).endpoints().map(|endpoint| endpoint.sessions()).collect()
}
