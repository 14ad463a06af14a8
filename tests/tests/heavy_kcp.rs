//! Hostile KCP that takes its time, or a great many datagrams.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{ErrorKind, Read};
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use portcullis_peers::{Endpoint, serve};
use portcullis_tests::crowd::raise_file_limit;
use portcullis_tests::forged::{reflected, send, source};
use portcullis_tests::kcp_raw::{RawKcp, Segment, WASK, WINS, framed};
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

#[test]
fn an_endpoint_whose_machine_is_gone_is_noticed_and_its_client_is_told() {
    let endpoint = UdpSocket::bind("127.0.0.1:0").unwrap();
    endpoint.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let address = endpoint.local_addr().unwrap();
    let setup = Setup::new().listener("in", "tcp", "hello = \"none\"").with(&format!(
        "[route.in]\nresolver = \"upstream\"\nupstreams = [\"in\"]\n\
         [upstream.in]\nprotocol = \"kcp\"\nendpoints = [{{ address = \"{address}\" }}]"
    ));
    let gate = Gate::start(&setup.text());
    let mut client = TcpStream::connect(gate.listener("in")).unwrap();
    let mut asked = [0; 1500];
    let (count, gateway) = endpoint.recv_from(&mut asked).unwrap();
    let conv = u32::from_le_bytes(asked[..4].try_into().unwrap());
    assert_eq!((count, asked[4]), (24, WASK));
    endpoint.send_to(&Segment::new(conv, WINS, 0).bytes(), gateway).unwrap();
    // That was all: no datagram is answered any more, and none is refused.
    client.set_read_timeout(Some(Duration::from_secs(150))).unwrap();
    assert_eq!(client.read(&mut asked).unwrap_err().kind(), ErrorKind::ConnectionReset);
    let questions = std::iter::from_fn(|| {
        endpoint.set_nonblocking(true).unwrap();
        endpoint.recv(&mut asked).ok().map(|_| asked[4])
    });
    assert_eq!(questions.filter(|command| *command == WASK).count(), 5);
    until("it is freed", || gate.sessions() == 0);
    gate.assert_clean();
}
