//! Probes against endpoints of every kind, and what becomes of sessions: the real data plane on port 0.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gate::Gate;
use portcullis_core::health::Change;
use portcullis_core::name::UpstreamName;
use portcullis_core::upstream::EndpointState;
use portcullis_peers::{Endpoint, KcpEndpoint, KcpOptions, TlsEndpoint, serve};
use portcullis_proxy::Event;
use tls::Authority;

/// The tests' patience; nothing of the product waits as long.
const PATIENCE: Duration = Duration::from_secs(40);

/// An upstream with these endpoints and settings, behind a listener without a hello.
fn upstream(protocol: &str, endpoints: &[SocketAddr], settings: &str) -> String {
    let endpoints: Vec<_> =
        endpoints.iter().map(|address| format!("{{ address = \"{address}\" }}")).collect();
    format!(
        r#"
[[listener]]
name = "in"
protocol = "tcp"
bind = ["127.0.0.1:0"]
hello = "none"
route = "out"
[route.out]
resolver = "upstream"
upstreams = ["out"]
[upstream.out]
protocol = "{protocol}"
endpoints = [{}]
{settings}
"#,
        endpoints.join(", ")
    )
}

/// Probes that are quick enough for a test, and of that kind.
fn health(kind: &str) -> String {
    format!("health = {{ interval = \"100ms\", timeout = \"5s\", {kind} }}")
}

fn endpoints(gate: &Gate) -> Vec<Arc<EndpointState>> {
    let snapshot = gate.handle.snapshot();
    snapshot.upstream(&UpstreamName::from("out")).unwrap().endpoints().cloned().collect()
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

/// Waits until the only endpoint has had so many good probes and bad ones since the beginning.
fn until_probed(gate: &Gate, good: u64, bad: u64) {
    let endpoint = &endpoints(gate)[0];
    until("probes", || {
        let counted = endpoint.fitness.counted();
        counted.good >= good && counted.bad >= bad
    });
}

/// Probes of one endpoint are good while it is there and only then; and say why they are not.
fn follows(gate: &Gate, stop: impl FnOnce(), start: impl FnOnce(), why: &str) {
    let endpoint = Arc::clone(&endpoints(gate)[0]);
    until_probed(gate, 3, 0);
    assert!(!endpoint.fitness.is_down());
    assert_eq!(endpoint.fitness.counted().bad, 0);
    stop();
    until("it is down", || endpoint.fitness.is_down());
    start();
    until("it is up", || !endpoint.fitness.is_down());
    let told = changes(gate);
    let words: Vec<_> = told.iter().map(|(change, _)| *change).collect();
    assert_eq!(words, [Change::Down, Change::Up]);
    assert!(told[0].1.contains(why), "{}", told[0].1);
}

fn changes(gate: &Gate) -> Vec<(Change, Box<str>)> {
    let change = |event| match event {
        Event::Endpoint { change, why, .. } => Some((change, why)),
        _ => None,
    };
    gate.events().into_iter().filter_map(change).collect()
}

/// Starts an endpoint where another one was.
fn again(
    address: SocketAddr,
    service: impl Fn(&TcpStream) -> std::io::Result<()> + Send + Sync + 'static + Clone,
) -> Endpoint {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Endpoint::bind(address, service.clone()) {
            Ok(endpoint) => return endpoint,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// A service of an HTTP server that always gives this status.
fn http(status: &'static str) -> impl Fn(&TcpStream) -> std::io::Result<()> + Send + Sync + 'static + Clone {
    move |mut stream: &TcpStream| {
        let mut head = Vec::new();
        let mut byte = [0; 1];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
            head.push(byte[0]);
        }
        let good = head.starts_with(b"GET /up HTTP/1.1\r\nHost: ");
        let status = if good { status } else { "400 Bad Request" };
        // In two pieces, as servers do.
        stream.write_all(b"HTTP/1.1 ")?;
        stream.write_all(format!("{status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes())
    }
}

/// A service that answers heartbeats of the one-byte kind.
fn beats(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut frame = [0; 6];
    while stream.read_exact(&mut frame).is_ok() {
        assert_eq!(&frame, b"\x01\x01\x00\x02{}");
        stream.write_all(b"\x01\x02\x00\x02{}")?;
    }
    Ok(())
}

/// A service that hears all and says nothing.
fn deaf(mut stream: &TcpStream) -> std::io::Result<()> {
    std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
}

#[test]
fn s04_a_tcp_endpoint_that_is_stopped_is_found_down_and_one_that_is_started_again_is_found_up() {
    let first = Endpoint::start(serve::echo).unwrap();
    let address = first.address();
    let gate = Gate::start(2, 100, &upstream("tcp", &[address], &health("kind = \"tcp\"")));
    let mut second = None;
    follows(&gate, || drop(first), || second = Some(again(address, serve::echo)), "refused");
}

#[test]
fn an_http_endpoint_is_up_by_its_status() {
    for (status, is_good) in [("200 OK", true), ("399 Odd", true), ("503 Busy", false), ("404 No", false)] {
        let endpoint = Endpoint::start(http(status)).unwrap();
        let settings = health("kind = \"http\", path = \"/up\"");
        let gate = Gate::start(1, 100, &upstream("tcp", &[endpoint.address()], &settings));
        let (good, bad) = if is_good { (3, 0) } else { (0, 3) };
        until_probed(&gate, good, bad);
        let counted = endpoints(&gate)[0].fitness.counted();
        assert!(counted.good == 0 || counted.bad == 0, "{status}: {counted:?}");
        if !is_good {
            until("it is told", || changes(&gate).iter().any(|(_, why)| why.contains(&status[..3])));
        }
    }
}

#[test]
fn a_heartbeat_is_answered_or_at_least_not_followed_by_an_end() {
    let rows: [(&str, bool, fn(&TcpStream) -> std::io::Result<()>); 4] = [
        ("expect_reply = true", true, beats),
        ("expect_reply = false", true, beats),
        ("expect_reply = false", true, deaf),
        ("expect_reply = false", false, |_| Ok(())),
    ];
    for (settings, is_good, service) in rows {
        let endpoint = Endpoint::start(service).unwrap();
        let settings = health(&format!("kind = \"frame\", {settings}"));
        let gate = Gate::start(1, 100, &upstream("tcp", &[endpoint.address()], &settings));
        let (good, bad) = if is_good { (2, 0) } else { (0, 2) };
        until_probed(&gate, good, bad);
        let counted = endpoints(&gate)[0].fitness.counted();
        assert!(counted.good == 0 || counted.bad == 0, "{settings}: {counted:?}");
    }
    let endpoint = Endpoint::start(deaf).unwrap();
    let settings =
        "health = { kind = \"frame\", expect_reply = true, interval = \"100ms\", timeout = \"200ms\" }";
    let gate = Gate::start(1, 100, &upstream("tcp", &[endpoint.address()], settings));
    until_probed(&gate, 0, 3);
    assert_eq!(endpoints(&gate)[0].fitness.counted().good, 0);
}

#[test]
fn a_tls_endpoint_is_up_if_its_certificate_is_accepted() {
    for (hosts, is_good) in [(["127.0.0.1"], true), (["elsewhere.test"], false)] {
        let mut authority = Authority::new();
        authority.sign("own", &hosts);
        let endpoint = Endpoint::start(TlsEndpoint::serve(authority.identity("own"), serve::echo)).unwrap();
        let settings = format!("{}\ntls = {{ ca_file = \"ca.pem\" }}", health("kind = \"tls\""));
        let text = upstream("tls", &[endpoint.address()], &settings);
        let gate = Gate::start_with(1, 100, &text, &authority.files);
        let (good, bad) = if is_good { (3, 0) } else { (0, 3) };
        until_probed(&gate, good, bad);
        let counted = endpoints(&gate)[0].fitness.counted();
        assert!(counted.good == 0 || counted.bad == 0, "{hosts:?}: {counted:?}");
    }
}

#[test]
fn a_kcp_endpoint_sees_one_conversation_for_all_probes() {
    let endpoint = KcpEndpoint::start(&KcpOptions::default(), serve::echo).unwrap();
    let gate = Gate::start(1, 100, &upstream("kcp", &[endpoint.address()], &health("kind = \"kcp\"")));
    until_probed(&gate, 10, 0);
    assert_eq!(endpoints(&gate)[0].fitness.counted().bad, 0);
}

#[test]
fn a_kcp_probe_speaks_from_one_port_and_follows_its_endpoint() {
    // A bare socket that answers each question for the window in the form of the question.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let settings =
        "health = { kind = \"kcp\", interval = \"100ms\", timeout = \"300ms\" }\nkcp = { crypt = \"null\" }";
    let gate = Gate::start(1, 100, &upstream("kcp", &[socket.local_addr().unwrap()], settings));
    let endpoint = Arc::clone(&endpoints(&gate)[0]);
    let mut seen = Vec::new();
    let mut serve = |answers: bool, socket: &UdpSocket| {
        let mut buffer = [0; 2048];
        let (count, peer) = socket.recv_from(&mut buffer).unwrap();
        let mut conv = [0; 4];
        conv.copy_from_slice(&buffer[..4]);
        seen.push((peer, conv));
        if answers {
            buffer[4] = 84; // a window told
            socket.send_to(&buffer[..count], peer).unwrap();
        }
    };
    until("it is probed", || {
        serve(true, &socket);
        endpoint.fitness.counted().good >= 3
    });
    until("it is down", || {
        serve(false, &socket);
        endpoint.fitness.is_down()
    });
    until("it is up", || {
        serve(true, &socket);
        !endpoint.fitness.is_down()
    });
    let first = seen[0];
    assert!(seen.iter().all(|other| *other == first), "one socket and one conversation");
}
