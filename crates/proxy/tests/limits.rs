//! What clients may use: lists, bans, counts and rates, at the real data plane on port 0.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::num::NonZeroU32;
use std::time::Duration;

use gate::{Files, Gate, by_address, echo, hello, to, to_with};
use portcullis_core::config::{Config, RateLimit};
use portcullis_core::outcome::Reason;
use portcullis_core::overload::Step;
use portcullis_core::unit;
use portcullis_proxy::Told;

#[test]
fn a21_each_limit_refuses_at_the_door_with_its_own_reason() {
    let rows: [(fn(&mut Config), usize, Reason); 9] = [
        (|config| config.listeners[0].deny = nets(&["127.0.0.0/8"]), 0, Reason::Denied),
        (|config| config.listeners[0].allow = nets(&["10.0.0.0/8"]), 0, Reason::Denied),
        (|config| config.listeners[0].limits.per_ip.sessions = Some(2), 2, Reason::IpSessions),
        (|config| config.limits.quotas.per_ip.sessions = Some(2), 2, Reason::IpSessions),
        (|config| config.listeners[0].limits.per_ip.session_rate = Some(an_hour(2)), 2, Reason::IpRate),
        (|config| config.listeners[0].limits.whole.sessions = Some(2), 2, Reason::ListenerSessions),
        (|config| config.listeners[0].limits.whole.session_rate = Some(an_hour(2)), 2, Reason::ListenerRate),
        (|config| config.limits.quotas.whole.session_rate = Some(an_hour(2)), 2, Reason::ProcessRate),
        (|config| config.limits.quotas.whole.sessions = Some(2), 2, Reason::Overload),
    ];
    for (set, free, reason) in rows {
        let gate = start(&to(echo()), set);
        let served: Vec<TcpStream> = (0..free).map(|_| ask(&gate)).collect();
        for _ in 0..3 {
            assert_eq!(ends(&gate), 0, "{reason}: closed at once, without a word");
        }
        gate.wait_for(|counts| {
            counts.listeners[0].refused == [(reason, 3)] && counts.sessions as usize == free
        });
        let (mut refused, is_it) =
            (0, |told: &Told| matches!(told, Told::Refused(one) if one.reason == reason));
        gate.wait_for(|_| {
            refused += gate.handle.endings().take().iter().filter(|told| is_it(told)).count();
            refused > 0
        });
        assert_eq!(refused, 1, "one line for a network and a minute");
        drop(served);
    }
}

#[test]
fn a_session_that_ends_gives_back_what_it_counted_for() {
    let gate = start(&to(echo()), |config| {
        config.listeners[0].limits.per_ip.sessions = Some(1);
        config.listeners[0].limits.whole.sessions = Some(1);
    });
    for _ in 0..5 {
        drop(ask(&gate));
        gate.wait_until_empty();
    }
    assert_eq!(gate.handle.counts().listeners[0].opened, 5);
}

#[test]
fn a_ban_ends_live_sessions_and_keeps_newcomers_out_until_it_is_lifted() {
    let gate = start(&to(echo()), |_| {});
    let mut live = ask(&gate);
    let other = "10.0.0.0/8".parse().unwrap();
    gate.handle.ban(other, None, "another").unwrap();
    live.write_all(b"x").unwrap();
    live.read_exact(&mut [0; 1]).unwrap();
    let network = "127.0.0.1/32".parse().unwrap();
    gate.handle.ban(network, Some(Duration::from_secs(3600)), "abuse").unwrap();
    assert_eq!(live.read(&mut [0; 16]).unwrap_or(0), 0);
    gate.wait_for(|counts| counts.listeners[0].closed == [(Reason::Banned, 1)]);
    assert_eq!(ends(&gate), 0);
    gate.wait_for(|counts| counts.listeners[0].refused == [(Reason::Banned, 1)]);
    let listed: Vec<_> =
        gate.handle.bans().into_iter().map(|(ban, left)| (ban.why, left.is_some())).collect();
    assert_eq!(listed, [("another".into(), false), ("abuse".into(), true)]);
    assert!(gate.handle.lift_ban(network));
    drop(ask(&gate));
}

#[test]
fn a21_behind_a_proxy_the_limits_are_those_of_the_real_client() {
    let text = to_with(echo(), "proxy_protocol = [\"127.0.0.0/8\"]");
    let gate = start(&text, |config| {
        config.listeners[0].limits.per_ip.sessions = Some(1);
        config.listeners[0].deny = nets(&["127.0.0.0/8", "203.0.113.0/24"]);
    });
    let from = |client: &str| {
        let mut stream = gate.connect();
        stream.write_all(format!("PROXY TCP4 {client} 10.0.0.1 1000 80\r\nx").as_bytes()).unwrap();
        stream
    };
    let served = |mut stream: TcpStream| {
        stream.read_exact(&mut [0; 1]).unwrap();
        stream
    };
    let one = served(from("192.0.2.1"));
    let other = served(from("192.0.2.2"));
    assert_eq!(from("192.0.2.1").read(&mut [0; 16]).unwrap_or(0), 0);
    gate.wait_for(|counts| counts.listeners[0].refused == [(Reason::IpSessions, 1)]);
    assert_eq!(from("203.0.113.9").read(&mut [0; 16]).unwrap_or(0), 0);
    gate.wait_for(|counts| counts.listeners[0].refused == [(Reason::Denied, 1), (Reason::IpSessions, 1)]);
    gate.handle.ban("192.0.2.2/32".parse().unwrap(), None, "").unwrap();
    gate.wait_for(|counts| counts.listeners[0].closed == [(Reason::Banned, 1)] && counts.sessions == 1);
    drop((one, other));
}

#[test]
fn a_forwarded_client_is_refused_like_any_bad_key() {
    let text = by_address().replace("protocol = \"tcp\"", "protocol = \"ws\"").replace(
        "hello = \"length-prefixed\"",
        "hello = \"header\"\nfailure_delay = \"1ms\"\nws = { trusted_proxies = [\"127.0.0.0/8\"] }",
    );
    let gate = start(&text, |config| config.listeners[0].deny = nets(&["192.0.2.0/24"]));
    let mut client = gate.connect();
    let key = echo();
    let upgrade = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: 192.0.2.7\r\nserver-identify: {key}\r\n\r\n"
    );
    client.write_all(upgrade.as_bytes()).unwrap();
    let mut answer = vec![0; 1024];
    let mut seen = Vec::new();
    while !seen.windows(5).any(|bytes| bytes == b"error") {
        let count = client.read(&mut answer).unwrap();
        assert!(count > 0, "{:?}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&answer[..count]);
    }
    assert!(seen.starts_with(b"HTTP/1.1 101"));
    gate.wait_for(|counts| counts.listeners[0].refused == [(Reason::Denied, 1)]);
}

#[test]
fn a21_datagrams_of_a_banned_network_make_no_session() {
    let text = to(echo()).replace("protocol = \"tcp\"\nbind", "protocol = \"kcp\"\nbind");
    let gate = start(&text, |config| config.listeners[0].deny = nets(&["127.0.0.0/8"]));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // conv 7, PUSH, frg 0, wnd 32, ts 0, sn 0, una 0, len 1.
    let push = [&[7, 0, 0, 0, 81, 0, 32, 0][..], &[0; 12], &[1, 0, 0, 0, b'x']].concat();
    for _ in 0..3 {
        socket.send_to(&push, gate.address()).unwrap();
    }
    gate.wait_for(|counts| counts.listeners[0].refused == [(Reason::Denied, 3)]);
    assert_eq!((gate.handle.sessions(), gate.handle.counts().listeners[0].accepted), (0, 0));
}

#[test]
fn b15_under_pressure_newcomers_are_refused_step_by_step_and_let_in_again() {
    let gate = start(&to(echo()), |_| {});
    let mut live = ask(&gate);
    gate.handle.relieve(Step::Closed);
    assert_eq!(ends(&gate), 0);
    gate.wait_for(|counts| counts.listeners[0].refused == [(Reason::Overload, 1)]);
    live.write_all(b"y").unwrap();
    live.read_exact(&mut [0; 1]).unwrap();
    gate.handle.relieve(Step::Share);
    drop(ask(&gate));
    gate.handle.relieve(Step::Calm);
    drop(ask(&gate));
}

#[test]
fn b16_the_sessions_that_hold_most_end_first_and_the_others_stay() {
    let flood = gate::flood();
    let gate = start(&by_address(), |_| {});
    let greet = |endpoint| {
        let mut client = gate.connect();
        client.write_all(&hello(endpoint)).unwrap();
        client.read_exact(&mut [0; 6]).unwrap();
        client
    };
    let mut polite = greet(echo());
    // It never reads: what it is sent stays in the kernel, more and more of it.
    let _greedy = greet(flood);
    gate.wait_for(|counts| counts.listeners[0].down_bytes > 1 << 20);
    let told = || gate.handle.counts().listeners[0].closed.clone();
    gate.wait_for(|_| {
        gate.handle.relieve(Step::Shed);
        told() == [(Reason::Shed, 1)]
    });
    polite.write_all(b"z").unwrap();
    polite.read_exact(&mut [0; 1]).unwrap();
    assert_eq!(gate.handle.sessions(), 1);
}

/// A gate with one worker and more settings than those of its text.
fn start(text: &str, set: impl Fn(&mut Config)) -> Gate {
    Gate::start_changed(1, 100, (text, &Files::new()), set)
}

/// A session whose endpoint has answered.
fn ask(gate: &Gate) -> TcpStream {
    let mut client = gate.connect();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0; 1]).unwrap();
    client
}

/// Connects and reads to the end: how many bytes there were.
fn ends(gate: &Gate) -> usize {
    gate.connect().read(&mut [0; 16]).unwrap_or(0)
}

fn nets(networks: &[&str]) -> Vec<ipnet::IpNet> {
    networks.iter().map(|network| network.parse().unwrap()).collect()
}

fn an_hour(tokens: u32) -> RateLimit {
    let rate = unit::Rate { count: NonZeroU32::new(1).unwrap(), per: Duration::from_secs(3600) };
    RateLimit { rate, burst: tokens }
}
