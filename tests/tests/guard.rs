//! Nothing a stranger sends makes the gateway connect where the operator forbids, and no refusal tells more
//! than another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use portcullis_peers::{Key, Message, TcpClient, WsClient};
use portcullis_tests::crowd::quantile;
use portcullis_tests::scene::{Deaf, ERROR, Stage, answer, ask, hello, open, refusing};
use portcullis_tests::script::End;
use portcullis_tests::{Gate, NameServer, Setup, until, within};

const NO_BUDGET: &str = "[limits]\nfailed_dials_per_minute = 1000000";

/// Hosts that must not be reached, in every spelling that some parser somewhere takes.
const HOSTS: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "127.1",
    "127.000.000.001",
    "0127.0.0.1",
    "0x7f.0.0.1",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0",
    "0.0.0.0",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[::1%lo]",
    "::1",
    "[127.0.0.1]",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.0.0.1.",
    "user@127.0.0.1",
    "127.0.0.1 ",
    " 127.0.0.1",
    "127.0.0.1\0",
    "127.0.0.1\n",
    "127.0.0.1#",
    "169.254.169.254",
    "[fe80::1]",
    "255.255.255.255",
    "224.0.0.1",
    "four.game.internal",
    "six.game.internal",
    "mapped.game.internal",
    "any.game.internal",
    "metadata.game.internal",
    "many.game.internal",
    "none.game.internal",
    "FOUR.GAME.INTERNAL",
    "game.internal",
    "four.game.internal.evil.test",
    "fourgame.internal",
    "",
    ".",
    "*",
    "*.game.internal",
    "http://127.0.0.1",
    "unix:/x",
];

#[test]
fn a01_no_spelling_of_an_address_reaches_what_is_not_allowed() {
    let sink = std::net::TcpListener::bind("[::]:0").unwrap();
    sink.set_nonblocking(true).unwrap();
    let port = sink.local_addr().unwrap().port();
    let names = NameServer::start(|name, _| match name.split('.').next().unwrap() {
        "four" => vec![Ipv4Addr::LOCALHOST.into()],
        "six" => vec![Ipv6Addr::LOCALHOST.into()],
        "mapped" => vec![Ipv4Addr::LOCALHOST.to_ipv6_mapped().into()],
        "any" => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        "metadata" => vec![Ipv4Addr::new(169, 254, 169, 254).into()],
        "many" => {
            vec![Ipv4Addr::new(224, 0, 0, 1).into(), Ipv4Addr::BROADCAST.into(), Ipv4Addr::LOCALHOST.into()]
        }
        _ => Vec::new(),
    });
    let good = Stage::new();
    let setup = Setup::new()
        .addressed(
            "in",
            "tcp",
            &[&good.address().to_string(), "*.game.internal:*"],
            "failure_delay = \"10ms\"",
        )
        .with(NO_BUDGET)
        .with(&format!("[dns]\nservers = [\"{}\"]\ntimeout = \"1s\"", names.address()));
    let gate = Gate::start(&setup.text());

    let own = [gate.listener("in"), gate.admin()].map(|address| address.to_string());
    let ports = [
        format!("{port}"),
        format!("+{port}"),
        format!("0{port}"),
        format!(" {port}"),
        format!("{port}/"),
        "0".into(),
        "99999".into(),
        String::new(),
    ];
    let keys = HOSTS.iter().map(|host| format!("{host}:{port}"));
    let keys = keys.chain(ports.iter().map(|port| format!("127.0.0.1:{port}"))).chain(own);
    let mut tried = 0;
    for key in keys {
        assert_eq!(answer(gate.listener("in"), &hello(&key)), (ERROR.to_vec(), End::Fin), "{key:?}");
        assert!(sink.accept().is_err(), "{key:?} reached the sink");
        tried += 1;
    }
    assert!(tried >= 60);
    assert!(good.accept_within(Duration::ZERO).is_none());
    drop((open(gate.listener("in"), good.address().to_string()), good.accept()));
    gate.assert_clean();
}

#[test]
fn a01_without_an_allow_list_a_target_is_no_more_private_than_its_client() {
    let gate =
        Gate::start("[tcpgate]\nport = 0\n[admin]\nbind = \"127.0.0.1:0\"\ntoken_file = \"{folder}/t\"\n");
    let endpoint = Stage::new();
    drop(open(gate.listener("tcpgate"), endpoint.address().to_string()));
    for key in [
        "169.254.169.254:80",
        "0.0.0.0:80",
        "224.0.0.1:80",
        &gate.admin().to_string(),
        &gate.listener("tcpgate").to_string(),
    ] {
        assert_eq!(answer(gate.listener("tcpgate"), &hello(key)).0, ERROR, "{key}");
    }
}

#[test]
fn a03_refused_filtered_forbidden_and_unknown_look_alike_in_bytes_and_in_time() {
    let names = NameServer::start(|_, _| Vec::<IpAddr>::new());
    let setup = Setup::new()
        .addressed("in", "tcp", &["127.0.0.1:*", "*.game.internal:*"], "")
        .addressed("web", "ws", &["127.0.0.1:*"], "")
        .with(NO_BUDGET)
        .with(&format!("[dns]\nservers = [\"{}\"]", names.address()));
    let gate = Gate::start(&setup.text());
    let refused = refusing().to_string();
    let causes = [&refused[..], "127.0.0.2:7000", "nobody.game.internal:7000", "not a key at all"];
    let tries = 40;
    let times: Vec<Vec<Duration>> = std::thread::scope(|scope| {
        let lanes = causes.map(|cause| {
            let to = gate.listener("in");
            scope.spawn(move || {
                let again = |seed| {
                    // Out of step with the other lanes, or they would always be served in the same order.
                    within(Duration::from_micros(RandomState::new().hash_one(seed) % 20_000), || None::<()>);
                    failure_after(to, cause)
                };
                (0..tries).map(again).collect()
            })
        });
        lanes.into_iter().map(|lane| lane.join().unwrap()).collect()
    });
    // One fixed moment for all: the earliest possible answer is that moment, and no cause is later than another
    // by more than what scheduling scatters.
    let early = times.iter().map(|times| *times.iter().min().unwrap()).min().unwrap();
    assert!(early >= Duration::from_millis(249), "an answer after {early:?}");
    for one in &times {
        for other in &times {
            let distance = kolmogorov_smirnov(one, other);
            // 2.5 √(2/n): the point that equal causes pass once in 130,000 runs of the two-sample test.
            assert!(distance < 2.5 * (2.0 / f64::from(tries)).sqrt(), "{distance}: {one:?} {other:?}");
        }
    }
    for cause in &causes {
        let mut client = WsClient::connect(gate.listener("web"), Key::Query(cause)).unwrap();
        assert_eq!(client.read().unwrap(), Some(Message::Binary(b"error".into())), "{cause}");
        assert_eq!(client.read().unwrap(), Some(Message::Close(Some(1008))), "{cause}");
    }
    gate.assert_clean();
}

/// Says a key that leads nowhere; returns how long its refusal took.
fn failure_after(to: SocketAddr, key: &str) -> Duration {
    let mut client = TcpClient::connect(to).unwrap();
    let said = Instant::now();
    client.send(&hello(key)).unwrap();
    assert_eq!(client.read_message().unwrap().as_deref(), Some(&b"error"[..]), "{key}");
    let took = said.elapsed();
    assert_eq!(client.read_message().unwrap(), None, "{key}");
    took
}

/// The largest distance between two empirical distributions, looked at in steps of 100 µs.
fn kolmogorov_smirnov(one: &[Duration], other: &[Duration]) -> f64 {
    let below = |times: &[Duration], at: Duration| {
        times.iter().filter(|time| **time <= at).count() as f64 / times.len() as f64
    };
    let slowest = *one.iter().chain(other).max().unwrap();
    let steps = slowest.as_micros() as u64 / 100 + 1;
    let at = |step| Duration::from_micros(step * 100);
    (0..=steps).map(|step| (below(one, at(step)) - below(other, at(step))).abs()).fold(0.0, f64::max)
}

#[test]
fn a03_failed_dials_have_a_budget_for_each_client_address() {
    let setup = Setup::new()
        .addressed("in", "tcp", &["127.0.0.1:*"], "failure_delay = \"10ms\"")
        .with("[limits]\nfailed_dials_per_minute = 5");
    let gate = Gate::start(&setup.text());
    let endpoint = Stage::new();
    for _ in 0..8 {
        assert_eq!(answer(gate.listener("in"), &hello(refusing().to_string())).0, ERROR);
    }
    assert_eq!(answer(gate.listener("in"), &hello(endpoint.address().to_string())).0, ERROR);
    assert!(endpoint.accept_within(Duration::ZERO).is_none());
    until("it is counted", || {
        gate.metrics().sum("portcullis_opens_total", &["result=\"dial-budget\""]) >= 1.0
    });
}

#[test]
fn a08_a_slow_hello_ends_at_its_deadline_whatever_it_sends_and_others_do_not_wait() {
    let setup = Setup::new().addressed("in", "tcp", &["127.0.0.1:*"], "hello_timeout = \"500ms\"").addressed(
        "web",
        "ws",
        &["127.0.0.1:*"],
        "hello_timeout = \"500ms\"",
    );
    let gate = Gate::start(&setup.text());
    let endpoint = portcullis_peers::Endpoint::start(portcullis_peers::serve::echo).unwrap();
    let slow: Vec<_> = (0..200)
        .map(|index| TcpClient::connect(gate.listener(if index % 2 == 0 { "in" } else { "web" })).unwrap())
        .collect();
    let opened = Instant::now();
    let mut honest = Vec::new();
    // Beginnings of what is never whole.
    let mut drips = [&b"\x00\x10\x00\x00"[..], b"GET / HTTP/1.1\r\nX: "]
        .map(|head| head.iter().chain(iter::repeat(&b'a')));
    let timed_out = || gate.metrics().sum("portcullis_opens_total", &["result=\"hello-timeout\""]) as usize;
    while timed_out() < slow.len() {
        // Progress does not extend the deadline: as long as there is anybody left, a byte comes every few ms.
        assert!(opened.elapsed() < Duration::from_secs(20), "{} of {} have ended", timed_out(), slow.len());
        let bytes = drips.each_mut().map(|drip| *drip.next().unwrap());
        for (index, client) in slow.iter().enumerate() {
            client.stream().write_all(&[bytes[index % 2]]).ok();
        }
        let asked = Instant::now();
        let client = open(gate.listener("in"), endpoint.address().to_string());
        assert_eq!(ask(&client, b"x"), b"x");
        honest.push(asked.elapsed());
    }
    for client in &slow {
        portcullis_tests::script::read_to_end(client.stream()).unwrap();
    }
    drop(slow);
    assert!(quantile(&honest, 0.5) < Duration::from_millis(50), "{honest:?}");
    gate.assert_clean();
}

#[test]
fn a09_every_edge_of_a_length_is_refused_or_waited_for_but_never_reserved() {
    let setup = Setup::new().addressed(
        "in",
        "tcp",
        &["127.0.0.1:*"],
        "failure_delay = \"10ms\"\nhello_timeout = \"60s\"",
    );
    let gate = Gate::start(&setup.with(NO_BUDGET).text());
    assert_eq!(answer(gate.listener("in"), &hello("")), (ERROR.to_vec(), End::Fin), "an empty key");
    let before = gate.rss();
    for length in
        [4097, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff_u32]
    {
        assert_eq!(
            answer(gate.listener("in"), &length.to_le_bytes()),
            (ERROR.to_vec(), End::Fin),
            "{length}"
        );
    }
    // The largest key there may be is waited for, and costs what has arrived of it.
    let waiting: Vec<TcpClient> = (0..200)
        .map(|_| {
            let mut client = TcpClient::connect(gate.listener("in")).unwrap();
            client.send(&4096_u32.to_le_bytes()).unwrap();
            client
        })
        .collect();
    until("all hellos are in progress", || gate.metrics().sum("portcullis_hellos_in_progress", &[]) >= 200.0);
    let grown = gate.rss().saturating_sub(before);
    assert!(grown < 1 << 20, "200 claims of 4 KiB cost {grown} bytes");
    drop(waiting);
    assert_eq!(answer(gate.listener("in"), &hello([b'a'; 4096])), (ERROR.to_vec(), End::Fin));
    gate.assert_clean();
}

#[test]
fn a03_a_dial_that_takes_its_time_ends_with_the_same_bytes() {
    let deaf = Deaf::new();
    let setup = Setup::new()
        .listener("in", "tcp", "open_timeout = \"400ms\"")
        .with("[route.in]\nresolver = \"address\"\nallow = [\"127.0.0.1:*\"]\nconnect_timeout = \"60s\"");
    let gate = Gate::start(&setup.text());
    let began = Instant::now();
    assert_eq!(answer(gate.listener("in"), &hello(deaf.address().to_string())), (ERROR.to_vec(), End::Fin));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}
