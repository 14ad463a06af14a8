//! Frame mode as the shield's clients know it: the demo of old, and the defects that it must not have, each by its id in
//! docs/defects.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_peers::{
    DEMO_ANSWER, DEMO_CUTS, Endpoint, Frame, FrameClient, TypeWidth, serve_demo, serve_frames,
};
use portcullis_tests::scene::Stage;
use portcullis_tests::{Gate, Setup, until, within};
use rustix::process::Signal;

const LIMITED: &[u8] = br#"{"message":"error: request rate limit exceeded"}"#;
const PROBES: &str =
    "health = { kind = \"frame\", interval = \"100ms\", rise = 2, fall = 2 }\nslow_start = \"0s\"";

type Client = FrameClient<TcpStream>;

fn frames(width: TypeWidth) -> String {
    format!("frames = {{ type_bytes = {} }}", if width == TypeWidth::One { 1 } else { 2 })
}

/// A listener `in` in frame mode before endpoints; `upstream` are lines of its upstream.
fn setup(endpoints: &[SocketAddr], frames: &str, upstream: &str) -> Setup {
    Setup::new()
        .listener("in", "tcp", &format!("hello = \"none\"\n{frames}"))
        .with("[route.in]\nresolver = \"upstream\"\nupstreams = [\"in\"]")
        .upstream("in", endpoints, upstream)
}

fn client(gate: &Gate, width: TypeWidth) -> Client {
    FrameClient::tcp(gate.listener("in"), width).unwrap()
}

fn hello(width: TypeWidth) -> Frame {
    Frame::new(width.types().hello, br#"{"message":"hello"}"#)
}

fn passes(client: &Client, width: TypeWidth) -> bool {
    client.ask(&hello(width)).is_ok_and(|answer| answer.payload == DEMO_ANSWER)
}

/// Servers that answer as the demo's do, each with its own payload.
fn numbered(width: TypeWidth, number: u8) -> impl Fn(&TcpStream) -> std::io::Result<()> + Send + Sync {
    let hello = width.types().hello;
    serve_frames(width, DEMO_CUTS, move |frame: &Frame| {
        (frame.kind == hello).then(|| Frame::new(hello, &[number])).into_iter().collect()
    })
}

#[test]
fn the_demo_as_it_was_written_with_types_of_either_width() {
    for width in TypeWidth::ALL {
        let servers: Vec<_> =
            (0..3).map(|number| Endpoint::start(numbered(width, number)).unwrap()).collect();
        let addresses: Vec<_> = servers.iter().map(Endpoint::address).collect();
        let limit = "[limits]\nmessage_rate = { rate = \"5/s\", burst = 10 }";
        let gate = Gate::start(&setup(&addresses, &frames(width), PROBES).with(limit).text());
        // Each new client gets the next server.
        let clients: Vec<_> = (0..9).map(|_| client(&gate, width)).collect();
        let mut answers: Vec<_> =
            clients.iter().map(|client| client.ask(&hello(width)).unwrap().payload[0]).collect();
        answers.sort_unstable();
        assert_eq!(answers, [0, 0, 0, 1, 1, 1, 2, 2, 2]);
        // The bucket of the process holds ten, and is all clients' together.
        let refused = (0..5).filter(|_| {
            let answer = clients[0].ask(&hello(width)).unwrap();
            assert_eq!((answer.version, answer.kind), (1, width.types().hello));
            answer.payload == LIMITED
        });
        assert!(refused.count() >= 3, "ten at once, and not many more");
        // Heartbeats are answered by the gateway, and count like any message.
        until("there is a token again", || {
            let answer = clients[1].ask(&Frame::new(width.types().heartbeat, b"{}")).unwrap();
            answer.kind == width.types().heartbeat_reply && answer.payload.starts_with(br#"{"srvTime":""#)
        });
    }
}

#[test]
fn a_server_that_is_killed_and_restarted_in_the_middle_is_used_again_and_nobody_else_notices() {
    for width in TypeWidth::ALL {
        let mut servers: Vec<_> =
            (0..3).map(|number| Some(Endpoint::start(numbered(width, number)).unwrap())).collect();
        let addresses: Vec<_> = servers.iter().flatten().map(Endpoint::address).collect();
        let gate = Gate::start(&setup(&addresses, &frames(width), PROBES).text());
        let clients: Vec<_> = (0..6).map(|_| client(&gate, width)).collect();
        let served: Vec<_> =
            clients.iter().map(|client| client.ask(&hello(width)).unwrap().payload[0]).collect();
        servers[1] = None;
        for (client, number) in clients.iter().zip(&served) {
            if *number == 1 {
                assert_eq!(client.read().unwrap_or(None), None, "its server is gone");
            } else {
                assert_eq!(client.ask(&hello(width)).unwrap().payload, [*number]);
            }
        }
        for _ in 0..6 {
            assert_ne!(client(&gate, width).ask(&hello(width)).unwrap().payload, [1], "it is gone");
        }
        let restarted = Endpoint::bind(addresses[1], numbered(width, 1)).unwrap();
        until("the server is used again", || client(&gate, width).ask(&hello(width)).unwrap().payload == [1]);
        for (client, number) in clients.iter().zip(&served).filter(|(_, number)| **number != 1) {
            assert_eq!(client.ask(&hello(width)).unwrap().payload, [*number]);
        }
        drop(restarted);
    }
}

#[test]
fn s01_clients_that_come_and_go_while_others_ask_bring_nobody_down() {
    let width = TypeWidth::Two;
    let servers: Vec<_> = (0..2).map(|_| Endpoint::start(serve_demo(width, DEMO_CUTS)).unwrap()).collect();
    let addresses: Vec<_> = servers.iter().map(Endpoint::address).collect();
    let gate = Gate::start(&setup(&addresses, &frames(width), PROBES).text());
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = client(&gate, width);
                while !stop.load(Ordering::Relaxed) {
                    assert!(passes(&client, width));
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(passes(&client(&gate, width), width));
                }
            });
        }
        until("many requests were answered", || asked.load(Ordering::Relaxed) > 2_000);
        stop.store(true, Ordering::Relaxed);
    });
    gate.assert_clean();
}

#[test]
fn s02_turns_go_on_when_an_endpoint_is_gone() {
    let width = TypeWidth::One;
    let mut servers: Vec<_> = (0..3).map(|_| Endpoint::start(serve_demo(width, &[])).unwrap()).collect();
    let addresses: Vec<_> = servers.iter().map(Endpoint::address).collect();
    let gate = Gate::start(&setup(&addresses, &frames(width), PROBES).text());
    let two: Vec<_> = (0..2).map(|_| client(&gate, width)).collect();
    assert!(two.iter().all(|client| passes(client, width)));
    servers.pop();
    until("the third is seen to be down", || {
        gate.metrics().sum("portcullis_endpoint_up", &[&format!("endpoint=\"{}\"", addresses[2])]) < 0.5
    });
    for _ in 0..9 {
        assert!(passes(&client(&gate, width), width));
    }
    // The same by a reload that takes one from the list.
    assert!(gate.reload(&setup(&addresses[..1], &frames(width), PROBES).text()));
    for _ in 0..3 {
        assert!(passes(&client(&gate, width), width));
    }
    drop(two);
    gate.assert_clean();
}

#[test]
fn s03_a_signal_drains_and_the_exit_code_is_0() {
    let width = TypeWidth::Two;
    let server = Endpoint::start(serve_demo(width, DEMO_CUTS)).unwrap();
    let mut gate = Gate::start(&setup(&[server.address()], &frames(width), PROBES).text());
    let client = client(&gate, width);
    assert!(passes(&client, width));
    gate.signal(Signal::TERM);
    until("listening stops", || TcpStream::connect(gate.listener("in")).is_err());
    assert!(passes(&client, width));
    drop(client);
    assert_eq!(gate.wait(Duration::from_secs(20)), Some(0));
}

#[test]
fn s04_an_endpoint_that_failed_is_used_again_also_when_all_have() {
    let width = TypeWidth::Two;
    let servers: Vec<_> = (0..2).map(|_| Endpoint::start(serve_demo(width, &[])).unwrap()).collect();
    let addresses: Vec<_> = servers.iter().map(Endpoint::address).collect();
    let gate = Gate::start(&setup(&addresses, &frames(width), PROBES).text());
    assert!(passes(&client(&gate, width), width));
    drop(servers);
    until("both are down", || gate.metrics().sum("portcullis_endpoint_up", &[]) < 0.5);
    let refused = client(&gate, width);
    assert_eq!(refused.read().unwrap_or(None), None, "nobody is there");
    let _servers: Vec<_> =
        addresses.iter().map(|address| Endpoint::bind(*address, serve_demo(width, &[])).unwrap()).collect();
    until("both are used again", || gate.metrics().sum("portcullis_endpoint_up", &[]) > 1.5);
    for _ in 0..4 {
        assert!(passes(&client(&gate, width), width));
    }
}

#[test]
fn s05_with_one_of_two_endpoints_down_nobody_is_turned_away() {
    let width = TypeWidth::Two;
    let server = Endpoint::start(serve_demo(width, &[])).unwrap();
    let gone = portcullis_tests::scene::refusing();
    // Nobody probes: what is seen of it is the connection that fails.
    let gate = Gate::start(&setup(&[server.address(), gone], &frames(width), "").text());
    for _ in 0..12 {
        assert!(passes(&client(&gate, width), width));
    }
}

#[test]
fn s06_an_answer_in_pieces_is_one_answer() {
    for width in TypeWidth::ALL {
        for cuts in [&[1_usize][..], DEMO_CUTS, &[5, 1000], &[usize::MAX]] {
            let server = Endpoint::start(serve_demo(width, cuts)).unwrap();
            let gate = Gate::start(&setup(&[server.address()], &frames(width), "").text());
            let client = client(&gate, width);
            for _ in 0..20 {
                assert!(passes(&client, width), "{cuts:?}");
            }
        }
    }
}

#[test]
fn s07_answers_of_any_length_are_followed_by_the_next() {
    let width = TypeWidth::Two;
    let kind = width.types().hello;
    // The payload asks for as many bytes.
    let server = Endpoint::start(serve_frames::<TcpStream, _>(width, &[], move |frame: &Frame| {
        let length = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
        vec![Frame::new(kind, &vec![7; usize::from(length)])]
    }))
    .unwrap();
    let gate = Gate::start(&setup(&[server.address()], &frames(width), "").text());
    let client = client(&gate, width);
    for length in [0_u16, 1, 2048, 4090, 4091, 4092, 4096, 8187, 8192, 16_384, 65_530, 65_535] {
        let answer = client.ask(&Frame::new(kind, &length.to_be_bytes())).unwrap();
        assert_eq!(answer.payload.len(), usize::from(length));
    }
}

#[test]
fn s08_a_heartbeat_blocks_nothing_behind_it() {
    for width in TypeWidth::ALL {
        let server = Endpoint::start(serve_demo(width, DEMO_CUTS)).unwrap();
        let gate = Gate::start(&setup(&[server.address()], &frames(width), "").text());
        let client = client(&gate, width);
        let types = width.types();
        client
            .send_all(&[Frame::new(types.heartbeat, b""), hello(width), Frame::new(types.heartbeat, b"{}")])
            .unwrap();
        let mut kinds: Vec<_> = (0..3).map(|_| client.read().unwrap().unwrap().kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, [types.heartbeat_reply, types.heartbeat_reply, types.hello]);
    }
}

#[test]
fn s09_an_endpoint_s_end_is_told_to_a_client_that_asks_nothing() {
    let stage = Stage::new();
    let gate = Gate::start(&setup(&[stage.address()], &frames(TypeWidth::Two), "").text());
    let client = client(&gate, TypeWidth::Two);
    drop(stage.accept());
    assert_eq!(client.read().unwrap(), None);
}

#[test]
fn s10_what_an_endpoint_says_unasked_arrives_at_once() {
    for width in TypeWidth::ALL {
        let stage = Stage::new();
        let gate = Gate::start(&setup(&[stage.address()], &frames(width), "").text());
        let client = client(&gate, width);
        let mut server = stage.accept();
        let pushed = Frame::new(77, b"unasked");
        for byte in pushed.encode(width).unwrap() {
            server.write_all(&[byte]).unwrap();
        }
        assert_eq!(client.read().unwrap(), Some(pushed));
    }
}

#[test]
fn s11_a_bucket_that_is_asked_often_fills_all_the_same() {
    let width = TypeWidth::Two;
    let server = Endpoint::start(serve_demo(width, DEMO_CUTS)).unwrap();
    let limit = "[limits]\nmessage_rate = { rate = \"5/s\", burst = 10 }";
    let gate = Gate::start(&setup(&[server.address()], &frames(width), "").with(limit).text());
    let client = client(&gate, width);
    let (began, mut passed) = (Instant::now(), 0_u32);
    for turn in 0..50_u32 {
        let at = began + Duration::from_millis(150) * turn;
        within(at.saturating_duration_since(Instant::now()), || None::<()>);
        passed += u32::from(passes(&client, width));
    }
    // Ten at once, and five for each second that it took: 47 when every turn was on time, more when they were late.
    let earned = 10.0 + 5.0 * began.elapsed().as_secs_f64();
    assert!((46..=50).contains(&passed) && f64::from(passed) <= earned + 1.0, "{passed} passed");
    eprintln!("{passed} of 50 requests passed, one each 150 ms at 5/s and a burst of 10");
}

#[test]
fn s12_requests_that_are_sent_at_once_are_answered_one_by_one_in_their_order() {
    let width = TypeWidth::Two;
    let kind = width.types().hello;
    let server =
        Endpoint::start(serve_frames::<TcpStream, _>(width, DEMO_CUTS, |frame: &Frame| vec![frame.clone()]));
    let server = server.unwrap();
    let gate = Gate::start(&setup(&[server.address()], &frames(width), "").text());
    let client = client(&gate, width);
    let asked: Vec<_> = (0..200_u16).map(|number| Frame::new(kind, &number.to_be_bytes())).collect();
    client.send_all(&asked).unwrap();
    for frame in &asked {
        assert_eq!(client.read().unwrap().as_ref(), Some(frame));
    }
}

#[test]
fn s13_half_a_header_is_not_kept() {
    let server = Endpoint::start(serve_demo(TypeWidth::Two, &[])).unwrap();
    let lines = format!("{}\nidle_timeout = \"300ms\"", frames(TypeWidth::Two));
    let gate = Gate::start(&setup(&[server.address()], &lines, "").text());
    let mut client = TcpStream::connect(gate.listener("in")).unwrap();
    client.write_all(&[1, 0x07]).unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    until("its end is counted", || gate.metrics().sum("portcullis_closed_total", &["reason=\"idle\""]) > 0.5);
    gate.assert_clean();
}
