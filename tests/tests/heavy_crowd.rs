//! Thousands of sessions at a time: what they cost at rest, and what a flood of hellos may not do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portcullis_peers::{Endpoint, Key, WsClient, serve};
use portcullis_tests::crowd::{Holder, connect_all, quantile, raise_file_limit};
use portcullis_tests::scene::{ask, open};
use portcullis_tests::{Gate, Setup, until, within};

const CROWD: usize = 5000;

/// Each of these tests needs most of the files that a process may open, so they take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    raise_file_limit();
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn an_idle_tcp_session_costs_at_most_600_bytes() {
    let _turn = turn();
    let holder = Holder::start();
    let gate = Gate::start(&quiet(Setup::new().fixed("in", "tcp", &[holder.address()], "")));
    let cost = cost_of_a_crowd(&gate, &holder, || TcpStream::connect(gate.listener("in")).unwrap());
    eprintln!("{cost:.0} bytes for an idle tcp session");
    assert!(cost <= 0.6 * 1024.0, "{cost:.0} bytes");
}

#[test]
fn an_idle_ws_session_costs_at_most_1024_bytes() {
    let _turn = turn();
    let holder = Holder::start();
    let gate =
        Gate::start(&Setup::new().fixed("in", "ws", &[holder.address()], "idle_timeout = \"1h\"").text());
    let cost =
        cost_of_a_crowd(&gate, &holder, || WsClient::connect(gate.listener("in"), Key::Absent).unwrap());
    eprintln!("{cost:.0} bytes for an idle ws session");
    assert!(cost <= 1024.0, "{cost:.0} bytes");
}

/// The level that gateways run at: at `debug` the log's queue would be weighed with the sessions.
fn quiet(setup: Setup) -> String {
    setup.text().replace("\"debug\"", "\"info\"")
}

/// Opens the crowd; returns how many bytes the gateway grew for each, and that nothing is left of it after.
fn cost_of_a_crowd<T>(gate: &Gate, holder: &Holder, connect: impl Fn() -> T) -> f64 {
    // A first few, so that what is made once is made.
    let first: Vec<T> = (0..50).map(|_| connect()).collect();
    until("the first are held", || holder.count() == first.len());
    drop((first, holder.take()));
    gate.wait_for_sessions(0);
    let before = gate.rss();
    let crowd: Vec<T> = (0..CROWD).map(|_| connect()).collect();
    until("all are held", || holder.count() == CROWD);
    gate.wait_for_sessions(CROWD);
    let grown = gate.rss().saturating_sub(before);
    let cpu = gate.cpu();
    within(Duration::from_secs(1), || None::<()>);
    let burnt = gate.cpu() - cpu;
    assert!(burnt <= Duration::from_millis(50), "{burnt:?} of CPU in a second of rest");
    drop((crowd, holder.take()));
    until("all have ended", || gate.sessions() == 0);
    gate.assert_clean();
    grown as f64 / CROWD as f64
}

#[test]
fn l19_more_sessions_than_any_hidden_pool_are_served() {
    let _turn = turn();
    let echo = Holder::start();
    let gate = Gate::start(&Setup::new().addressed("in", "tcp", &["127.0.0.1:*"], "").text());
    let key = echo.address().to_string();
    let crowd: Vec<TcpStream> = (0..6000).map(|_| open(gate.listener("in"), &key)).collect();
    gate.wait_for_sessions(6000);
    drop((crowd, echo.take()));
    until("all have ended", || gate.sessions() == 0);
    gate.assert_clean();
}

#[test]
fn a08_five_thousand_stalled_hellos_cost_little_and_delay_nobody() {
    let _turn = turn();
    let echo = Endpoint::start(serve::echo).unwrap();
    let deadline = Duration::from_secs(3);
    let setup = Setup::new().addressed("in", "tcp", &["127.0.0.1:*"], "hello_timeout = \"3s\"");
    let gate = Gate::start(&setup.text());
    let key = echo.address().to_string();
    drop(open(gate.listener("in"), &key));
    gate.wait_for_sessions(0);
    let before = gate.rss();
    let stalled = connect_all(gate.listener("in"), CROWD).unwrap();
    let last = Instant::now();
    let mut times = Vec::new();
    let mut grown = 0;
    while last.elapsed() < deadline {
        for mut client in stalled.iter().skip(times.len() % 7).step_by(7) {
            client.write_all(b"\x01").ok();
        }
        let began = Instant::now();
        let client = open(gate.listener("in"), &key);
        assert_eq!(ask(&client, b"honest"), b"honest");
        times.push(began.elapsed());
        grown = grown.max(gate.rss().saturating_sub(before));
    }
    eprintln!("{grown} bytes, p99 {:?} of {} honest sessions", quantile(&times, 0.99), times.len());
    assert!(grown <= 16 << 20, "{grown} bytes");
    assert!(quantile(&times, 0.5) < Duration::from_millis(50), "{:?}", quantile(&times, 0.5));
    // The deadline of the last one, and time to be clean.
    let clean = within((deadline + Duration::from_secs(8)).saturating_sub(last.elapsed()), || {
        (gate.sessions() == 0).then_some(())
    });
    assert!(clean.is_some(), "{} hellos outlive their deadline", gate.sessions());
    gate.assert_clean();
}
