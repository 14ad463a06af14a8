//! Probes against endpoints of every kind, and what becomes of sessions: the real data plane on port 0.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gate::{Gate, closed_port, members, to_upstream};
use portcullis_core::health::Change;
use portcullis_core::outcome::Reason;
use portcullis_core::upstream::Standing;
use portcullis_peers::{Endpoint, KcpEndpoint, KcpOptions, KcpStream, TlsEndpoint, TlsStream, serve};
use portcullis_proxy::{Event, NameError, Told};
use tls::Authority;

/// The tests' patience; nothing of the product waits as long.
const PATIENCE: Duration = Duration::from_secs(40);

fn until(what: &str, so: impl FnMut() -> bool) {
    gate::until(PATIENCE, what, so);
}

/// Probes that are quick enough for a test, and of that kind.
fn health(kind: &str) -> String {
    format!("health = {{ interval = \"100ms\", timeout = \"5s\", {kind} }}")
}

/// Waits until the only endpoint has had so many good probes and bad ones since the beginning.
fn until_probed(gate: &Gate, good: u64, bad: u64) {
    let endpoint = &members(gate)[0];
    until("probes", || {
        let counted = endpoint.fitness.counted();
        counted.good >= good && counted.bad >= bad
    });
}

/// Probes of one endpoint are good while it is there and only then; and say why they are not.
fn follows(gate: &Gate, stop: impl FnOnce(), start: impl FnOnce(), why: &str) {
    let endpoint = Arc::clone(&members(gate)[0]);
    until_probed(gate, 3, 0);
    assert!(!endpoint.fitness.is_down());
    assert_eq!(endpoint.fitness.counted().bad, 0);
    stop();
    until("it is down", || endpoint.fitness.is_down());
    start();
    until("it is up", || !endpoint.fitness.is_down());
    let told = two_changes(gate);
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

/// The next two changes; what is known is told at the end of the turn.
fn two_changes(gate: &Gate) -> Vec<(Change, Box<str>)> {
    let mut told = Vec::new();
    until("two changes are told", || {
        told.extend(changes(gate));
        told.len() >= 2
    });
    told
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
    let gate = Gate::start(2, 100, &to_upstream("tcp", &[address], &health("kind = \"tcp\"")));
    let mut second = None;
    follows(&gate, || drop(first), || second = Some(again(address, serve::echo)), "refused");
}

#[test]
fn an_http_endpoint_is_up_by_its_status() {
    for (status, is_good) in [("200 OK", true), ("399 Odd", true), ("503 Busy", false), ("404 No", false)] {
        let endpoint = Endpoint::start(http(status)).unwrap();
        let settings = health("kind = \"http\", path = \"/up\"");
        let gate = Gate::start(1, 100, &to_upstream("tcp", &[endpoint.address()], &settings));
        let (good, bad) = if is_good { (3, 0) } else { (0, 3) };
        until_probed(&gate, good, bad);
        let counted = members(&gate)[0].fitness.counted();
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
        let gate = Gate::start(1, 100, &to_upstream("tcp", &[endpoint.address()], &settings));
        let (good, bad) = if is_good { (2, 0) } else { (0, 2) };
        until_probed(&gate, good, bad);
        let counted = members(&gate)[0].fitness.counted();
        assert!(counted.good == 0 || counted.bad == 0, "{settings}: {counted:?}");
    }
    let endpoint = Endpoint::start(deaf).unwrap();
    let settings =
        "health = { kind = \"frame\", expect_reply = true, interval = \"100ms\", timeout = \"200ms\" }";
    let gate = Gate::start(1, 100, &to_upstream("tcp", &[endpoint.address()], settings));
    until_probed(&gate, 0, 3);
    assert_eq!(members(&gate)[0].fitness.counted().good, 0);
}

#[test]
fn a_tls_endpoint_is_up_if_its_certificate_is_accepted() {
    for (hosts, is_good) in [(["127.0.0.1"], true), (["elsewhere.test"], false)] {
        let mut authority = Authority::new();
        authority.sign("own", &hosts);
        let endpoint = Endpoint::start(TlsEndpoint::serve(authority.identity("own"), serve::echo)).unwrap();
        let settings = format!("{}\ntls = {{ ca_file = \"ca.pem\" }}", health("kind = \"tls\""));
        let text = to_upstream("tls", &[endpoint.address()], &settings);
        let gate = Gate::start_with(1, 100, &text, &authority.files);
        let (good, bad) = if is_good { (3, 0) } else { (0, 3) };
        until_probed(&gate, good, bad);
        let counted = members(&gate)[0].fitness.counted();
        assert!(counted.good == 0 || counted.bad == 0, "{hosts:?}: {counted:?}");
    }
}

#[test]
fn a_request_goes_through_tls_where_endpoints_speak_it() {
    let authority = Authority::own();
    let service = |stream: &TlsStream| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut some = [0; 512];
            let count = serve::Bytes(stream).read(&mut some)?;
            if count == 0 {
                return Ok(());
            }
            head.extend_from_slice(&some[..count]);
        }
        assert!(head.starts_with(b"GET /up HTTP/1.1\r\n"));
        serve::Bytes(stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    };
    let endpoint = Endpoint::start(TlsEndpoint::serve(authority.identity("own"), service)).unwrap();
    for protocol in ["tls", "wss"] {
        let settings = health("kind = \"http\", path = \"/up\"");
        let settings = format!("{settings}\ntls = {{ ca_file = \"ca.pem\" }}");
        let text = to_upstream(protocol, &[endpoint.address()], &settings);
        let gate = Gate::start_with(1, 100, &text, &authority.files);
        until_probed(&gate, 3, 0);
        assert_eq!(members(&gate)[0].fitness.counted().bad, 0, "{protocol}");
    }
}

#[test]
fn a_probe_that_speaks_introduces_itself_where_endpoints_want_to_know_whom_they_serve() {
    let service = |mut stream: &TcpStream| {
        let mut header = [0; 16];
        stream.read_exact(&mut header)?;
        // Nobody is relayed: version 2, LOCAL, no addresses.
        assert_eq!(&header, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
        http("200 OK")(stream)
    };
    let endpoint = Endpoint::start(service).unwrap();
    let settings = format!("proxy_protocol = \"v2\"\n{}", health("kind = \"http\", path = \"/up\""));
    let gate = Gate::start(1, 100, &to_upstream("tcp", &[endpoint.address()], &settings));
    until_probed(&gate, 3, 0);
    assert_eq!(members(&gate)[0].fitness.counted().bad, 0);
}

#[test]
fn heartbeats_go_over_one_conversation_of_kcp() {
    let accepted = Arc::new(AtomicU32::new(0));
    let service = {
        let accepted = Arc::clone(&accepted);
        move |stream: &KcpStream| {
            accepted.fetch_add(1, Ordering::Relaxed);
            let mut frame = [0; 6];
            while (&mut &*stream).read_exact(&mut frame).is_ok() {
                assert_eq!(&frame, b"\x01\x01\x00\x02{}");
                (&mut &*stream).write_all(b"\x01\x02\x00\x02{}")?;
            }
            Ok(())
        }
    };
    let endpoint = KcpEndpoint::start(&KcpOptions::default(), service).unwrap();
    for (settings, good) in [("expect_reply = true", 5), ("expect_reply = false", 2)] {
        let before = accepted.load(Ordering::Relaxed);
        let settings = health(&format!("kind = \"frame\", {settings}"));
        let gate = Gate::start(1, 100, &to_upstream("kcp", &[endpoint.address()], &settings));
        until_probed(&gate, good, 0);
        assert_eq!(members(&gate)[0].fitness.counted().bad, 0, "{settings}");
        assert_eq!(accepted.load(Ordering::Relaxed), before + 1, "{settings}");
    }
}

#[test]
fn a_kcp_endpoint_sees_one_conversation_for_all_probes() {
    let endpoint = KcpEndpoint::start(&KcpOptions::default(), serve::echo).unwrap();
    let gate = Gate::start(1, 100, &to_upstream("kcp", &[endpoint.address()], &health("kind = \"kcp\"")));
    until_probed(&gate, 10, 0);
    assert_eq!(members(&gate)[0].fitness.counted().bad, 0);
}

#[test]
fn a_kcp_probe_speaks_from_one_port_and_follows_its_endpoint() {
    // A bare socket that answers each question for the window in the form of the question.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let settings =
        "health = { kind = \"kcp\", interval = \"100ms\", timeout = \"300ms\" }\nkcp = { crypt = \"null\" }";
    let gate = Gate::start(1, 100, &to_upstream("kcp", &[socket.local_addr().unwrap()], settings));
    let endpoint = Arc::clone(&members(&gate)[0]);
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

#[test]
fn a_slow_probe_does_not_delay_the_others() {
    let slow = Endpoint::start(deaf).unwrap();
    let quick: Vec<_> = (0..20).map(|_| Endpoint::start(http("200 OK")).unwrap()).collect();
    let mut addresses: Vec<_> = quick.iter().map(Endpoint::address).collect();
    addresses.insert(0, slow.address());
    let settings = "health = { kind = \"http\", path = \"/up\", interval = \"100ms\", timeout = \"60s\" }";
    let gate = Gate::start(1, 100, &to_upstream("tcp", &addresses, settings));
    let endpoints = members(&gate);
    until("all others are probed", || endpoints[1..].iter().all(|one| one.fitness.counted().good >= 5));
    let counted = endpoints[0].fitness.counted();
    assert_eq!((counted.good, counted.bad), (0, 0), "the slow one is still being waited for");
    assert_eq!(slow.serving(), 1, "and is not asked twice at a time");
}

#[test]
fn an_agent_is_heard_and_one_that_cannot_be_reached_changes_nothing() {
    let words = Arc::new(Mutex::new("up 50% maxconn:3\n"));
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let agent = Endpoint::start({
        let words = Arc::clone(&words);
        move |mut stream: &TcpStream| {
            let words = *words.lock().unwrap();
            stream.write_all(words.as_bytes())
        }
    });
    let agent = agent.unwrap();
    let settings = format!(
        "health = {{ interval = \"100ms\", timeout = \"5s\", agent = {{ port = {}, interval = \"100ms\" }} }}",
        agent.address().port()
    );
    let gate = Gate::start(1, 100, &to_upstream("tcp", &[endpoint.address()], &settings));
    let state = Arc::clone(&members(&gate)[0]);
    let share = || state.fitness.share(gate.handle.now(), Duration::ZERO);
    until("half a share", || share() == 128);
    assert_eq!(state.fitness.agent_max_sessions(), Some(3));
    *words.lock().unwrap() = "stopped#for lunch\n";
    until("it is stopped", || !state.fitness.is_up(gate.handle.now()));
    *words.lock().unwrap() = "up drain";
    until("it drains", || state.fitness.is_up(gate.handle.now()) && state.fitness.rests());
    let told = two_changes(&gate);
    assert_eq!(
        told.iter().map(|(change, _)| *change).collect::<Vec<_>>(),
        [Change::Stopped, Change::Resumed]
    );
    assert_eq!(&*told[0].1, "for lunch");
    *words.lock().unwrap() = "ready 100%\r\n";
    until("it is ready", || !state.fitness.rests());
    let asked = agent.accepted();
    drop(agent);
    let good = state.fitness.counted().good;
    until("it is still probed", || state.fitness.counted().good >= good + 5);
    assert!(asked > 3 && state.fitness.is_fit(gate.handle.now()), "an agent that is away is no failure");
    assert_eq!(state.fitness.counted().bad, 0);
}

#[test]
fn nobody_is_probed_who_is_worked_on() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let gate = Gate::start(1, 100, &to_upstream("tcp", &[endpoint.address()], &health("kind = \"tcp\"")));
    let state = Arc::clone(&members(&gate)[0]);
    until_probed(&gate, 2, 0);
    state.set_standing(Standing::Maint);
    drop(endpoint);
    // The probe under way when the word came may be the last.
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        thread::park_timeout(Duration::from_millis(20));
    }
    let counted = state.fitness.counted();
    assert!(counted.bad <= 1 && !state.fitness.is_down(), "{counted:?}");
    state.set_standing(Standing::Drain);
    until("it is probed again", || state.fitness.is_down());
}

#[test]
fn names_are_asked_of_the_control_plane_and_its_silence_is_no_failure() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let text =
        to_upstream("tcp", &[endpoint.address()], "health = { interval = \"100ms\", timeout = \"150ms\" }");
    let text = text.replace(&endpoint.address().to_string(), "name.test:80");
    let gate = Gate::start(1, 100, &text);
    let state = Arc::clone(&members(&gate)[0]);
    let question = || {
        let mut asked = Vec::new();
        until("a question", || {
            asked.extend(gate.handle.questions().take());
            !asked.is_empty()
        });
        asked.remove(0)
    };
    // Not answered at all, then answered too late and without success.
    question();
    let late = question();
    question();
    gate.handle.answer(late.asked, Ok(vec![closed_port()]));
    gate.handle.answer(question().asked, Err(NameError::Timeout));
    gate.handle.answer(question().asked, Err(NameError::Busy));
    question();
    assert_eq!(state.fitness.counted().bad, 0);
    until("a good probe", || {
        gate.handle.answer(question().asked, Ok(vec![endpoint.address()]));
        state.fitness.counted().good > 0
    });
    until("it goes on with the address of before", || {
        gate.handle.answer(question().asked, Err(NameError::Timeout));
        state.fitness.counted().good > 3
    });
    until("a name that is gone is a failure", || {
        gate.handle.answer(question().asked, Err(NameError::NotFound));
        state.fitness.is_down()
    });
}

#[test]
fn sessions_of_an_endpoint_that_is_down_are_closed_at_a_pace_where_that_is_wanted() {
    let endpoint = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = endpoint.local_addr().unwrap();
    for (settings, closes) in [("on_down = \"close\"", true), ("on_down = \"keep\"", false)] {
        let settings = format!("{settings}\n{}", health("kind = \"http\", fall = 1, path = \"/up\""));
        let listener = endpoint.try_clone().unwrap();
        let gate = Gate::start(2, 1000, &to_upstream("tcp", &[address], &settings));
        // It takes everybody in, and answers no probe: that it is down shows only there.
        let mut inside = Vec::new();
        let clients: Vec<_> = (0..120).map(|_| gate.connect()).collect();
        gate.wait_for(|counts| {
            inside.extend(drain(&listener));
            counts.listeners[0].opened == 120
        });
        let mut times = Vec::new();
        let begun = Instant::now();
        until("all that is to happen", || {
            inside.extend(drain(&listener));
            for told in gate.handle.endings().take() {
                if let Told::Ended(ended) = told {
                    assert_eq!(ended.reason, Reason::EndpointDown);
                    times.push(begun.elapsed());
                }
            }
            if closes { times.len() == 120 } else { begun.elapsed() > Duration::from_secs(8) }
        });
        if closes {
            let spread = times[119].saturating_sub(times[0]);
            assert!(spread > Duration::from_secs(3), "{spread:?}");
        } else {
            assert_eq!((times.len(), gate.handle.sessions()), (0, 120));
        }
        assert!(members(&gate)[0].fitness.is_down());
        drop(clients);
    }
}

/// Everybody who has come to a listener.
fn drain(listener: &TcpListener) -> Vec<TcpStream> {
    listener.set_nonblocking(true).unwrap();
    let mut streams = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        streams.push(stream);
    }
    streams
}
