//! Hostile KCP: forged addresses, guessed numbers, what comes late, and fields that no honest peer sends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_peers::{Endpoint, serve};
use portcullis_tests::crowd::quantile;
use portcullis_tests::dice::Dice;
use portcullis_tests::forged::{reflected, send, source};
use portcullis_tests::kcp_raw::{ACK, PUSH, RawKcp, Segment, WASK, WINS, framed};
use portcullis_tests::scene::{ERROR, OK, Stage, hello, take};
use portcullis_tests::script::{End, read_to_end};
use portcullis_tests::{Gate, Setup, best_of, until, within};

const MIB: u64 = 1 << 20;

#[test]
fn a17_forged_sources_cost_16_mib_at_most_and_who_is_here_does_not_notice() {
    let echo = Endpoint::start(serve::echo).unwrap();
    let gate = Gate::start(&by_address("hello_timeout = \"2s\"").text());
    let to = gate.listener("in");
    let mut live = RawKcp::open(to, 1, echo.address().to_string());
    let calm: Vec<Duration> = (0..500).map(|_| round_trip(&mut live)).collect();
    let (before, mut grown) = (gate.rss(), 0);
    let mut fire = Vec::new();
    thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut dice = Dice::new(17);
            for _ in 0..20_000 {
                let length = dice.roll() as usize % 1400;
                send(Ipv4Addr::LOCALHOST, to, &dice.bytes(length));
            }
            for number in 0..100_000 {
                send(source(number), to, &beginning(number));
            }
        });
        while !flood.is_finished() {
            fire.push(round_trip(&mut live));
            grown = grown.max(gate.rss().saturating_sub(before));
        }
    });
    let [calm, fire] = [calm, fire].map(|times| [0.5, 0.99].map(|at| quantile(&times, at)));
    eprintln!("p50, p99 of a live session: {calm:?} alone, {fire:?} under fire; {} KiB grown", grown >> 10);
    assert!(grown <= 16 * MIB, "{} KiB", grown >> 10);
    // Its own datagrams share the kernel's queue with the flood: one that is lost there comes 50 ms later.
    assert!(fire[0] < Duration::from_millis(60) && fire[1] < Duration::from_secs(1), "{fire:?}");
    until("who never finished a hello is forgotten", || gate.sessions() == 1);
    assert_eq!(live.ask(b"after"), b"after");
    assert_eq!(echo.accepted(), 1);
}

#[test]
fn a17_a_hundred_thousand_forged_datagrams_have_little_kept_of_them_or_for_them() {
    let talks = Endpoint::start(serve::source).unwrap();
    let begun = |sn: u32| if sn == 0 { b"\x40\0\0\0loc".to_vec() } else { vec![7; 1300] };
    // A hello that never ends, the second segment missing, the window filled; and one byte to who talks much.
    let early = |conv, sn| Segment::push(conv, if sn == 0 { 0 } else { sn + 1 }, &begun(sn)).bytes();
    let in_frames = |conv, sn| framed(sn, &early(conv, sn));
    let one_byte = |conv, _| Segment::push(conv, 0, b"x").bytes();
    type Make<'m> = &'m dyn Fn(u32, u32) -> Vec<u8>;
    let rows: [(&str, u32, u32, Make<'_>); 4] = [
        ("in", 400, 250, &early),
        ("in", 2000, 50, &in_frames),
        ("in", 10_000, 10, &in_frames),
        ("talks", 2000, 1, &one_byte),
    ];
    for (listener, sources, each, make) in rows {
        let gate = Gate::start(&by_address("").fixed("talks", "kcp", &[talks.address()], "").text());
        let before = gate.rss();
        for conv in 0..sources {
            let forger = RawKcp::from(source(conv).into(), gate.listener(listener), conv);
            (0..each).for_each(|sn| drop(forger.socket().send(&make(conv, sn))));
        }
        within(Duration::from_millis(500), || None::<()>);
        let grown = gate.rss().saturating_sub(before);
        eprintln!("{} KiB for {sources} forged sources, {} sessions", grown >> 10, gate.sessions());
        assert!(grown <= 16 * MIB, "{listener}, {sources} sources: {} KiB", grown >> 10);
        let cpu = gate.cpu();
        within(Duration::from_secs(1), || None::<()>);
        let used = gate.cpu() - cpu;
        assert!(
            used < Duration::from_millis(300),
            "{listener}, {sources} sources: {used:?} a second for nothing"
        );
    }
}

/// One of the things that a flood of a forger begins with: no hello is whole.
fn beginning(number: u32) -> Vec<u8> {
    let begun = Segment::push(number, number % 32, b"\x0e\0\0\0local").bytes();
    match number % 4 {
        0 => framed(number, &begun),
        1 => Segment::new(number, ACK, number).bytes(),
        _ => begun,
    }
}

fn round_trip(live: &mut RawKcp) -> Duration {
    let asked = Instant::now();
    assert_eq!(live.ask(b"quick"), b"quick");
    asked.elapsed()
}

#[test]
fn a18_three_times_the_bytes_of_a_forged_datagram_come_back_at_most() {
    let (echo, source) = (Endpoint::start(serve::echo).unwrap(), Endpoint::start(serve::source).unwrap());
    let setup = by_address("").fixed("open", "kcp", &[echo.address()], "");
    let gate = Gate::start(&setup.fixed("talks", "kcp", &[source.address()], "").text());
    let ports = ["in", "open", "talks"].map(|name| gate.listener(name));
    let (worst, lure) = reflected(&ports, &echo.address().to_string(), Duration::from_secs(3));
    eprintln!("{worst:.2} times the bytes of {lure}");
    assert!((0.5..=3.0).contains(&worst), "{worst:.2} times the bytes of {lure}");
}

#[test]
fn a19_a_hundred_thousand_guesses_from_elsewhere_reach_nobody() {
    let endpoint = Stage::new();
    let gate = Gate::start(&by_address("").text());
    let to = gate.listener("in");
    let (mut live, server) = open(&gate, &endpoint, 0x1234_5678);
    let mut guesser = RawKcp::from(source(1).into(), to, 0);
    let mut dice = Dice::new(19);
    for turn in 0..100_000 {
        let (sn, una) = live.numbers();
        let mut guess = Segment::push(dice.roll() as u32, dice.roll() as u32 % 64, b"injected");
        guess.command = [PUSH, PUSH, ACK, WINS][dice.roll() as usize % 4];
        if turn % 2 == 0 {
            // The conv and the numbers are known: only the address is not its own.
            guess = Segment { sn, una, ..Segment::push(live.conv(), 0, b"injected") };
        }
        guesser.send(&guess.bytes());
        if turn % 10_000 == 0 {
            up(&mut live, &server, b"mine");
        }
    }
    down(&mut live, &server, b"yours");
    assert!(endpoint.accept_within(Duration::from_millis(300)).is_none(), "a guess became a session");
    up(&mut live, &server, b"last");
}

#[test]
fn a19_a_forged_opening_does_not_end_the_session_of_the_address_it_names() {
    let endpoint = Stage::new();
    let gate = Gate::start(&by_address("hello_timeout = \"1s\"\nidle_timeout = \"2s\"").text());
    let (mut live, server) = open(&gate, &endpoint, 7);
    let key = endpoint.address().to_string();
    for conv in 100..200 {
        // As if from its own address: what comes back for other convs it does not answer.
        for opening in [Segment::push(conv, 0, b"\x05\0"), Segment::push(conv + 1000, 0, &hello(&key))] {
            live.send(&opening.bytes());
            live.send(&framed(conv, &opening.bytes()));
        }
        let out_of_band = [&[0xff; 4][..], &[0xf3, 0, 10, 0], &conv.to_le_bytes(), b"oob!"].concat();
        live.send(&out_of_band);
        up(&mut live, &server, b"ping");
    }
    down(&mut live, &server, b"still you");
    until("the others have ended", || {
        up(&mut live, &server, b"ping");
        gate.sessions() == 1
    });
}

#[test]
fn a19_who_comes_again_from_its_port_and_hears_us_replaces_its_old_session() {
    let endpoint = Stage::new();
    let gate = Gate::start(&by_address("").text());
    let (old, server) = open(&gate, &endpoint, 7);
    let mut new = RawKcp::on(old.socket().try_clone().unwrap(), 8);
    new.say(&hello(endpoint.address().to_string()));
    let fresh = endpoint.accept();
    assert_eq!(new.hear(6), OK);
    down(&mut new, &fresh, b"more");
    // The old one ends as one that was let go, and nothing was put into it.
    assert!(read_to_end(&server).unwrap().0.is_empty());
    gate.wait_for_sessions(1);
    until("it is counted", || closed(&gate, "replaced") > 0.5);
    up(&mut new, &fresh, b"still");
}

#[test]
fn a20_fields_that_no_honest_peer_sends_neither_stall_a_session_nor_feed_on_memory() {
    let endpoint = Stage::new();
    let gate = Gate::start(&by_address("").text());
    let (mut live, server) = open(&gate, &endpoint, 7);
    let before = gate.rss();
    for (name, count, trick) in tricks() {
        let begin = live.traffic();
        for number in 0..count {
            let datagram = trick(&live, number);
            live.send(&datagram);
            if number % 64 == 0 {
                live.hear_for(Duration::from_millis(1));
            }
        }
        live.hear_for(Duration::from_millis(100));
        let [sent, got] = [0, 1].map(|way| live.traffic()[way] - begin[way]);
        assert!(got <= sent + 1024, "{name}: {got} bytes for {sent}");
        up(&mut live, &server, b"up");
        down(&mut live, &server, b"down");
        eprintln!("{name}: {got} bytes for {sent}");
    }
    let grown = gate.rss().saturating_sub(before);
    assert!(grown <= 4 * MIB, "{} KiB", grown >> 10);
    assert!(gate.log().lines().all(|line| !line.contains("reason=bug")));
}

type Trick = fn(&RawKcp, u32) -> Vec<u8>;

/// What is sent on a live session, how often.
fn tricks() -> Vec<(&'static str, u32, Trick)> {
    fn now(live: &RawKcp, command: u8, number: u32) -> Segment {
        live.segment(command, number, b"")
    }
    vec![
        ("no window", 20, |live, _| Segment { window: 0, ..now(live, ACK, 0) }.bytes()),
        ("the largest window", 20, |live, _| Segment { window: u16::MAX, ..now(live, WINS, 0) }.bytes()),
        ("acknowledges what was never sent", 1000, |live, n| now(live, ACK, live.numbers().1 + n).bytes()),
        ("has received what was never sent", 1000, |live, n| {
            Segment { una: live.numbers().1 + 1 + n, ..now(live, ACK, 0) }.bytes()
        }),
        ("has received almost everything there is", 100, |live, n| {
            Segment { una: u32::MAX - n, ..now(live, WINS, 0) }.bytes()
        }),
        ("pushes far beyond the window", 1000, |live, n| {
            live.segment(PUSH, live.numbers().0 + 100_000 + n, &[b'x'; 1000]).bytes()
        }),
        ("pushes far below the window", 1000, |live, n| {
            live.segment(PUSH, live.numbers().0.wrapping_sub(1 << 31).wrapping_add(n), &[b'x'; 100]).bytes()
        }),
        ("pushes the same again and again", 10_000, |live, _| live.segment(PUSH, 0, b"again").bytes()),
        ("a clock that runs wild", 1000, |live, n| {
            Segment { ts: n.wrapping_mul(0x9e37_79b1), ..now(live, ACK, n % 4) }.bytes()
        }),
        ("asks for the window without end", 10_000, |live, _| now(live, WASK, 0).bytes()),
        ("claims a payload longer than the datagram", 100, |live, n| {
            let mut bytes = live.segment(PUSH, live.numbers().0, b"payload").bytes();
            bytes[20..24].copy_from_slice(&(8 + n * 40_000_000).to_le_bytes());
            bytes
        }),
        ("every command there may be", 256, |live, n| now(live, n as u8, 0).bytes()),
        ("another conv behind its own", 100, |live, n| {
            [now(live, WINS, 0).bytes(), Segment::push(1000 + n, live.numbers().0, b"x").bytes()].concat()
        }),
        ("parity of nothing", 1000, |_, n| {
            [&n.to_le_bytes()[..], &[0xf2, 0], &n.to_le_bytes(), &[7; 500]].concat()
        }),
        ("fragments that never end", 1000, |live, n| {
            Segment { fragment: 255, ..live.segment(PUSH, live.numbers().0 + 200 + n % 8, &[b'f'; 1000]) }
                .bytes()
        }),
    ]
}

#[test]
fn l12_clients_that_vanish_are_noticed_and_everything_of_theirs_is_freed() {
    let endpoint = Stage::new();
    let gate = Gate::start(&by_address("idle_timeout = \"1s\"").text());
    // All vanish together: one who is given the port of another would replace its session.
    let (clients, gone): (Vec<RawKcp>, Vec<TcpStream>) =
        (0..100).map(|conv| open(&gate, &endpoint, conv)).unzip();
    drop(clients);
    let since = Instant::now();
    for server in &gone {
        assert_eq!(read_to_end(server).unwrap(), (Vec::new(), End::Fin));
    }
    assert!(since.elapsed() < Duration::from_secs(25), "{:?}", since.elapsed());
    until("all are freed", || gate.sessions() == 0);
    until("they are counted", || closed(&gate, "idle") > 99.5);
    gate.assert_clean();
}

#[test]
fn l12_a_session_whose_endpoint_ended_is_freed_within_five_seconds_whether_its_client_listens_or_not() {
    let endpoint = Stage::new();
    let gate = Gate::start(&by_address("").text());
    for listens in [true, false] {
        let five = Duration::from_secs(5);
        let took = best_of(five, || {
            let (mut live, mut server) = open(&gate, &endpoint, 7 + u32::from(listens));
            server.write_all(&[b'.'; 3000]).unwrap();
            drop(server);
            let ended = Instant::now();
            if listens {
                assert_eq!(live.hear(3000), [b'.'; 3000]);
            }
            until("it is freed", || {
                if listens {
                    live.hear_for(Duration::from_millis(5));
                }
                gate.sessions() == 0
            });
            ended.elapsed()
        });
        assert!(took < five, "{took:?}, listens: {listens}");
        gate.assert_clean();
    }
}

#[test]
fn l12_what_comes_late_for_an_ended_session_raises_nothing() {
    let endpoint = Stage::new();
    let gate = Gate::start(&by_address("").text());
    let (mut live, server) = open(&gate, &endpoint, 7);
    drop(server);
    until("it has ended", || {
        live.hear_for(Duration::from_millis(5));
        gate.sessions() == 0
    });
    let begin = live.traffic()[1];
    let opening = Segment::push(7, 0, &hello(endpoint.address().to_string()));
    let late = [
        opening.bytes(),
        framed(0, &opening.bytes()),
        live.segment(PUSH, live.numbers().0, b"late").bytes(),
        Segment::push(7, 5000, b"late").bytes(),
        live.segment(ACK, 0, b"").bytes(),
        live.segment(WASK, 0, b"").bytes(),
        live.segment(WINS, 0, b"").bytes(),
    ];
    for datagram in late {
        live.send(&datagram);
    }
    assert!(endpoint.accept_within(Duration::from_millis(300)).is_none(), "it was raised");
    assert!(live.hear_for(Duration::from_millis(100)).is_empty());
    assert_eq!(live.traffic()[1], begin, "the dead do not answer");
    assert_eq!(gate.sessions(), 0);
    // Who comes again under another number is welcome.
    let mut new = RawKcp::on(live.socket().try_clone().unwrap(), 8);
    new.say(&hello(endpoint.address().to_string()));
    let fresh = endpoint.accept();
    assert_eq!(new.hear(6), OK);
    up(&mut new, &fresh, b"new");
}

#[test]
fn l13_a_gateway_does_not_dial_itself_by_kcp() {
    let setup = by_address("").text().replace(ROUTE, &format!("{ROUTE}\nendpoint = \"kcp\""));
    let gate = Gate::start(&setup);
    let to = gate.listener("in");
    for key in
        [to.to_string(), format!("localhost:{}", to.port()), format!("[::ffff:127.0.0.1]:{}", to.port())]
    {
        let mut client = RawKcp::new(to, 7);
        client.say(&hello(&key));
        assert_eq!(client.hear(ERROR.len()), ERROR, "{key}");
        assert!(gate.sessions() <= 1, "{key}: a hop of its own");
    }
    until("all have ended", || gate.sessions() == 0);
    assert!(gate.metrics().sum("portcullis_opens_total", &[]) < 3.5);
}

#[test]
fn l14_datagrams_that_begin_nothing_make_no_session() {
    let echo = Endpoint::start(serve::echo).unwrap();
    let gate = Gate::start(&by_address("hello_timeout = \"1s\"").text());
    let to = gate.listener("in");
    let mut dice = Dice::new(14);
    for length in 0..1400 {
        send(source(length), to, &dice.bytes(length as usize));
    }
    let none = [
        Segment::new(7, ACK, 0).bytes(),
        Segment::new(7, WASK, 0).bytes(),
        Segment::new(7, WINS, 0).bytes(),
        Segment::push(7, 32, b"late").bytes(),
        Segment::push(7, u32::MAX, b"early").bytes(),
        [&0_u32.to_le_bytes()[..], &[0xf2, 0], &[1; 100]].concat(),
    ];
    for (number, datagram) in (2000..).zip(&none) {
        send(source(number), to, datagram);
    }
    assert!(within(Duration::from_millis(300), || (gate.sessions() > 0).then_some(())).is_none());
    let before = gate.rss();
    for number in 3000..9000 {
        send(source(number), to, &Segment::push(number, 0, b"\x09\0\0\0spoofed").bytes());
    }
    until("the hellos that were begun have run out of time", || {
        let ended = gate.metrics().sum("portcullis_opens_total", &[]);
        ended > 0.0 && gate.sessions() == 0
    });
    let grown = gate.rss().saturating_sub(before);
    assert!(grown <= 16 * MIB, "{} KiB", grown >> 10);
    assert_eq!(RawKcp::open(to, 1, echo.address().to_string()).ask(b"here"), b"here");
    assert_eq!(echo.accepted(), 1);
}

const ROUTE: &str = "[route.in]";

/// A KCP listener `in` whose keys are addresses of loopback.
fn by_address(lines: &str) -> Setup {
    Setup::new().addressed("in", "kcp", &["127.0.0.1:*", "localhost:*"], lines)
}

/// A session between a client and the connection that the endpoint has of it.
fn open(gate: &Gate, endpoint: &Stage, conv: u32) -> (RawKcp, TcpStream) {
    let live = RawKcp::open(gate.listener("in"), conv, endpoint.address().to_string());
    (live, endpoint.accept())
}

/// How many sessions ended for a reason.
fn closed(gate: &Gate, reason: &str) -> f64 {
    gate.metrics().sum("portcullis_closed_total", &[&format!("reason=\"{reason}\"")])
}

fn up(live: &mut RawKcp, server: &TcpStream, bytes: &[u8]) {
    live.say(bytes);
    live.settle();
    assert_eq!(take(server, bytes.len()), bytes);
}

fn down(live: &mut RawKcp, mut server: &TcpStream, bytes: &[u8]) {
    server.write_all(bytes).unwrap();
    assert_eq!(live.hear(bytes.len()), bytes);
}
