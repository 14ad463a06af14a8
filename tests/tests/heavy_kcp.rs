//! Hostile KCP that takes its time, or a great many datagrams.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use portcullis_peers::{Endpoint, serve};
use portcullis_tests::crowd::raise_file_limit;
use portcullis_tests::forged::{reflected, send, source};
use portcullis_tests::kcp_raw::{RawKcp, Segment, framed};
use portcullis_tests::scene::{OK, ask, hello};
use portcullis_tests::{Gate, Setup, until, within};

#[test]
fn a17_a_million_forged_sources_cost_16_mib_at_most() {
    let echo = Endpoint::start(serve::echo).unwrap();
    let gate = Gate::start(&by_address("hello_timeout = \"2s\"").text());
    let to = gate.listener("in");
    let mut live = RawKcp::open(to, 1, echo.address().to_string());
    let (before, mut grown, mut asked) = (gate.rss(), 0, 0);
    thread::scope(|scope| {
        let flood = scope.spawn(|| {
            for number in 0..1_000_000 {
                let begun = Segment::push(number, number % 32, b"\x0e\0\0\0local").bytes();
                let datagram = if number % 2 == 0 { framed(number, &begun) } else { begun };
                send(source(number), to, &datagram);
            }
        });
        while !flood.is_finished() {
            assert_eq!(live.ask(b"quick"), b"quick");
            grown = grown.max(gate.rss().saturating_sub(before));
            asked += 1;
        }
    });
    eprintln!("{} KiB grown, {asked} questions answered meanwhile", grown >> 10);
    assert!(grown <= 16 << 20, "{} KiB", grown >> 10);
    until("who never finished a hello is forgotten", || gate.sessions() == 1);
    assert_eq!(live.ask(b"after"), b"after");
}

#[test]
fn a18_three_times_the_bytes_of_a_forged_datagram_come_back_at_most_within_a_minute() {
    let (echo, source) = (Endpoint::start(serve::echo).unwrap(), Endpoint::start(serve::source).unwrap());
    let setup = by_address("").fixed("open", "kcp", &[echo.address()], "");
    let gate = Gate::start(&setup.fixed("talks", "kcp", &[source.address()], "").text());
    let ports = ["in", "open", "talks"].map(|name| gate.listener(name));
    let (worst, lure) = reflected(&ports, &echo.address().to_string(), Duration::from_secs(60));
    eprintln!("{worst:.2} times the bytes of {lure}");
    assert!((0.5..=3.0).contains(&worst), "{worst:.2} times the bytes of {lure}");
}

#[test]
fn l19_six_thousand_kcp_sessions_that_vanished_keep_nobody_out() {
    raise_file_limit();
    let echo = Endpoint::start(serve::echo).unwrap();
    let setup = by_address("idle_timeout = \"20s\"").fixed("tcp", "tcp", &[echo.address()], "");
    let gate = Gate::start(&setup.text());
    let (kcp, key) = (gate.listener("in"), echo.address().to_string());
    for number in 0..6000 {
        let mut client = RawKcp::from(source(number).into(), kcp, number);
        client.say(&hello(&key));
        assert_eq!(client.hear(6), OK, "session {number}");
        if number % 1000 == 999 {
            assert_eq!(RawKcp::open(kcp, number, &key).ask(b"kcp"), b"kcp");
            let tcp = TcpStream::connect(gate.listener("tcp")).unwrap();
            assert_eq!(ask(&tcp, b"tcp"), b"tcp");
        }
    }
    let ended = within(Duration::from_secs(60), || (gate.sessions() == 0).then_some(()));
    assert!(ended.is_some(), "{} sessions are still there", gate.sessions());
    gate.assert_clean();
}

/// A KCP listener `in` whose keys are addresses of loopback.
fn by_address(lines: &str) -> Setup {
    Setup::new().addressed("in", "kcp", &["127.0.0.1:*"], lines)
}
