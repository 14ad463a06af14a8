//! Faults of the network itself, each in a namespace of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use portcullis_peers::{Endpoint, serve};
use portcullis_tests::network::{add_address, black_hole, own};
use portcullis_tests::scene::{ERROR, answer, ask, hello, open};
use portcullis_tests::{Gate, NameServer, Setup};

#[test]
fn a02_a_name_that_changes_its_answer_is_dialled_only_where_it_was_checked() {
    own("a02_a_name_that_changes_its_answer_is_dialled_only_where_it_was_checked", || {
        add_address("10.9.0.1/32");
        let good = Endpoint::bind("10.9.0.1:7000".parse().unwrap(), serve::echo).unwrap();
        let sink = TcpListener::bind("127.0.0.1:7000").unwrap();
        sink.set_nonblocking(true).unwrap();
        // Good at every even look-up, hostile at every odd one.
        let names = NameServer::start(|_, before| {
            vec![if before % 2 == 0 { Ipv4Addr::new(10, 9, 0, 1) } else { Ipv4Addr::LOCALHOST }.into()]
        });
        let setup = Setup::new()
            .addressed("in", "tcp", &["*.game.internal:7000"], "failure_delay = \"10ms\"")
            .with("[limits]\nfailed_dials_per_minute = 100000")
            .with(&format!("[dns]\nservers = [\"{}\"]", names.address()));
        let gate = Gate::start(&setup.text());
        let (mut opened, mut refused) = (0, 0);
        for round in 0..40 {
            // Names of their own, so that no cache stands between.
            let (bytes, _) = {
                let mut client = TcpStream::connect(gate.listener("in")).unwrap();
                client.write_all(&hello(format!("flip{round}.game.internal:7000"))).unwrap();
                client.shutdown(std::net::Shutdown::Write).unwrap();
                portcullis_tests::script::read_to_end(&client).unwrap()
            };
            match &bytes[..] {
                b"\x02\0\0\0ok" => opened += 1,
                ERROR => refused += 1,
                other => panic!("{other:?}"),
            }
            assert!(sink.accept().is_err(), "round {round} reached the sink");
        }
        assert!(opened > 5 && refused > 5, "{opened} opened, {refused} refused, {} look-ups", names.asked());
        assert_eq!(good.accepted(), opened);
    });
}

#[test]
fn b02_a_black_hole_takes_no_longer_than_the_timeouts_and_the_next_endpoint_serves() {
    own("b02_a_black_hole_takes_no_longer_than_the_timeouts_and_the_next_endpoint_serves", || {
        let hole = TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = Endpoint::start(serve::echo).unwrap();
        black_hole(hole.local_addr().unwrap().port());
        let lines = "connect_timeout = \"300ms\"\nattempts = 2";
        let setup = Setup::new()
            .listener("both", "tcp", "hello = \"none\"")
            .with("[route.both]\nresolver = \"upstream\"\nupstreams = [\"both\"]")
            .upstream("both", &[hole.local_addr().unwrap(), alive.address()], lines)
            .listener("one", "tcp", "")
            .with(&format!("[route.one]\nresolver = \"address\"\nallow = [\"127.0.0.1:*\"]\n{lines}"));
        let gate = Gate::start(&setup.text());
        for round in 0..6 {
            let began = Instant::now();
            let client = TcpStream::connect(gate.listener("both")).unwrap();
            assert_eq!(ask(&client, b"alive?"), b"alive?", "round {round}");
            assert!(began.elapsed() < Duration::from_millis(2500), "round {round}: {:?}", began.elapsed());
        }
        let began = Instant::now();
        assert_eq!(answer(gate.listener("one"), &hello(hole.local_addr().unwrap().to_string())).0, ERROR);
        assert!(
            (0.6..5.0).contains(&began.elapsed().as_secs_f64()),
            "two attempts took {:?}",
            began.elapsed()
        );
        gate.assert_clean();
    });
}

#[test]
fn b02_an_endpoint_that_becomes_a_black_hole_is_noticed_by_unacknowledged_bytes() {
    own("b02_an_endpoint_that_becomes_a_black_hole_is_noticed_by_unacknowledged_bytes", || {
        let endpoint = Endpoint::start(serve::echo).unwrap();
        let gate = Gate::start(&Setup::new().addressed("in", "tcp", &["127.0.0.1:*"], "").text());
        let mut client = open(gate.listener("in"), endpoint.address().to_string());
        assert_eq!(ask(&client, b"before"), b"before");
        black_hole(endpoint.address().port());
        client.write_all(b"into the hole").unwrap();
        let began = Instant::now();
        client.set_read_timeout(Some(Duration::from_secs(50))).unwrap();
        // 30 s of the user timeout and what the kernel's retransmission timer rounds up.
        assert!(!client.read(&mut [0; 16]).is_ok_and(|read| read > 0));
        let took = began.elapsed().as_secs();
        assert!((25..45).contains(&took), "{took} s");
        eprintln!("a black hole was noticed after {took} s");
        drop(client);
        gate.assert_clean();
    });
}

#[test]
fn b20_clients_that_vanish_without_a_word_are_freed_with_their_endpoints() {
    own("b20_clients_that_vanish_without_a_word_are_freed_with_their_endpoints", || {
        let endpoint = Endpoint::start(serve::echo).unwrap();
        let setup = Setup::new().addressed("in", "tcp", &["127.0.0.1:*"], "idle_timeout = \"4s\"");
        let gate = Gate::start(&setup.text());
        let clients: Vec<TcpStream> =
            (0..100).map(|_| open(gate.listener("in"), endpoint.address().to_string())).collect();
        gate.wait_for_sessions(100);
        black_hole(gate.listener("in").port());
        gate.wait_for_sessions(0);
        portcullis_tests::until("the endpoint's sides are freed", || endpoint.serving() == 0);
        gate.assert_clean();
        drop(clients);
    });
}

#[test]
fn b23_when_no_port_is_left_to_dial_from_it_is_told_and_others_are_served() {
    own("b23_when_no_port_is_left_to_dial_from_it_is_told_and_others_are_served", || {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40031").unwrap();
        let busy = Endpoint::bind("127.0.0.1:7000".parse().unwrap(), serve::echo).unwrap();
        let other = Endpoint::bind("127.0.0.1:7001".parse().unwrap(), serve::echo).unwrap();
        let setup = Setup::new()
            .addressed("in", "tcp", &["127.0.0.1:7000-7001"], "failure_delay = \"10ms\"")
            .with("[limits]\nfailed_dials_per_minute = 100000")
            .with("[dns]\nservers = [\"127.0.0.1:9\"]");
        let text = setup.text().replace("127.0.0.1:0", "127.0.0.1:6000").replacen(
            "127.0.0.1:6000",
            "127.0.0.1:6001",
            1,
        );
        let gate = Gate::start(&text);
        // Clients come from addresses of their own, so that the ports are used up by the gateway.
        let client = |number: u8| {
            let from = std::net::SocketAddr::from(([127, 0, 1, number], 0));
            let socket =
                rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None);
            let socket = socket.unwrap();
            rustix::net::bind(&socket, &from).unwrap();
            rustix::net::connect(&socket, &gate.listener("in")).unwrap();
            TcpStream::from(socket)
        };
        let mut sessions = Vec::new();
        let refused = (0..40_u8).find(|&number| {
            let mut session = client(number);
            session.write_all(&hello("127.0.0.1:7000")).unwrap();
            let mut said = [0; 6];
            session.read_exact(&mut said).unwrap();
            sessions.push(session);
            said != *b"\x02\0\0\0ok"
        });
        let refused = refused.expect("ports are used up");
        assert!(refused >= 8, "after {refused} sessions");
        let reason =
            |label: &str| gate.metrics().sum("portcullis_opens_total", &[&format!("result=\"{label}\"")]);
        portcullis_tests::until("it is told", || reason("dial-unreachable") + reason("overload") > 0.5);
        // The same port serves another endpoint: only the pair is used up.
        let mut session = client(200);
        session.write_all(&hello("127.0.0.1:7001")).unwrap();
        let mut said = [0; 6];
        session.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"\x02\0\0\0ok");
        // And those that were there go on; when one leaves, there is a port again.
        let first = sessions.remove(0);
        drop(first);
        portcullis_tests::until("there is a port again", || {
            let mut session = client(201);
            session.write_all(&hello("127.0.0.1:7000")).unwrap();
            let mut said = [0; 6];
            session.read_exact(&mut said).is_ok() && &said == b"\x02\0\0\0ok"
        });
        assert!(busy.accepted() >= 8 && other.accepted() == 1);
    });
}
