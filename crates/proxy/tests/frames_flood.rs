//! Clients that send frames as fast as they can: they are answered, in their turn, and nobody else waits for them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/frames.rs"]
mod frames;
#[path = "common/gate.rs"]
mod gate;
#[path = "common/tls.rs"]
mod tls;

use std::io::{BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use frames::{Carrier, World};
use portcullis_core::config::RateLimit;
use portcullis_peers::{DEMO_ANSWER, Endpoint, Frame, FrameClient, TypeWidth, serve_demo};

const WIDTH: TypeWidth = TypeWidth::Two;
const BEATS: usize = 200_000;
/// Heartbeats sent in one write.
const BATCH: usize = 4000;
/// A turn that answered all that one client has sent would take longer on any machine.
const UNHURT: Duration = Duration::from_millis(250);

#[test]
fn two_hundred_thousand_heartbeats_of_one_client_are_answered_and_hurt_nobody() {
    let endpoint = Endpoint::start(serve_demo(WIDTH, &[])).unwrap();
    let world = World::new((Carrier::Tcp, WIDTH), endpoint.address(), |_, _| {});
    let victim = FrameClient::tcp(world.gate.address(), WIDTH).unwrap();
    let began = Instant::now();
    let (answered, slowest) = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&world.gate.connect()));
        let slowest = p99(&victim, || flood.is_finished());
        (flood.join().unwrap(), slowest)
    });
    eprintln!("{BEATS} heartbeats in {:?}; p99 of another session {slowest:?}", began.elapsed());
    assert_eq!(answered, (BEATS, 0));
    assert!(slowest < UNHURT, "{slowest:?}");
}

#[test]
fn heartbeats_beyond_a_limit_are_refused_one_by_one() {
    let endpoint = Endpoint::start(serve_demo(WIDTH, &[])).unwrap();
    let world = World::new((Carrier::Tcp, WIDTH), endpoint.address(), |frames, _| {
        frames.message_rate = Some(RateLimit { rate: "100/s".parse().unwrap(), burst: 100 });
    });
    let victim = FrameClient::tcp(world.gate.address(), WIDTH).unwrap();
    let began = Instant::now();
    let (beats, refused) = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&world.gate.connect()));
        // The other session has a limit of its own.
        assert_eq!(victim.ask(&Frame::new(2000, b"{}")).unwrap().payload, DEMO_ANSWER);
        flood.join().unwrap()
    });
    let most = 101 + began.elapsed().as_millis() as usize / 10;
    assert!((100..=most).contains(&beats), "{beats} of at most {most}");
    assert_eq!(beats + refused, BEATS);
}

#[test]
fn a22_a_client_that_sends_heartbeats_and_never_reads_is_read_no_more() {
    let endpoint = Endpoint::start(serve_demo(WIDTH, &[])).unwrap();
    let world = World::new((Carrier::Tcp, WIDTH), endpoint.address(), |_, _| {});
    let victim = FrameClient::tcp(world.gate.address(), WIDTH).unwrap();
    let mut client = world.gate.connect();
    client.set_nonblocking(true).unwrap();
    let batch = beats(BATCH);
    let (mut sent, mut stuck) = (0_usize, Instant::now());
    // Three seconds without a byte: a machine that is only slow takes some.
    while stuck.elapsed() < Duration::from_secs(3) {
        match client.write(&batch[sent % batch.len()..]) {
            Ok(count) => (sent, stuck) = (sent + count, Instant::now()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::park_timeout(Duration::from_millis(5))
            }
            Err(error) => panic!("{error}"),
        }
        // What two kernels hold for two connections is less.
        assert!(sent < 64 << 20, "{sent} bytes were taken");
    }
    let slowest = p99(&victim, || true);
    assert!(slowest < UNHURT, "{slowest:?}");
    // Once it reads, every whole heartbeat is answered.
    client.set_nonblocking(false).unwrap();
    let whole = sent / 5;
    let mut from = BufReader::new(&client);
    for index in 0..whole {
        let answer = Frame::read(&mut from, WIDTH, false).unwrap().unwrap();
        assert_eq!((answer.version, answer.kind), (1, 1001), "answer {index} of {whole}");
    }
}

/// Sends [`BEATS`] heartbeats and returns how many were answered as such, and how many refused.
fn flood(stream: &TcpStream) -> (usize, usize) {
    thread::scope(|scope| {
        scope.spawn(|| {
            let batch = beats(BATCH);
            (0..BEATS / BATCH).for_each(|_| (&mut &*stream).write_all(&batch).unwrap());
        });
        let (mut answered, mut refused) = (0, 0);
        let mut from = BufReader::new(stream);
        while answered + refused < BEATS {
            match Frame::read(&mut from, WIDTH, false).unwrap().unwrap().kind {
                1001 => answered += 1,
                1000 => refused += 1,
                kind => panic!("type {kind}"),
            }
        }
        (answered, refused)
    })
}

fn beats(count: usize) -> Vec<u8> {
    Frame::new(WIDTH.types().heartbeat, b"").encode(WIDTH).unwrap().repeat(count)
}

/// What the slowest hundredth of at least 200 requests took, asked for until it is `over`.
fn p99(client: &FrameClient<TcpStream>, over: impl Fn() -> bool) -> Duration {
    let mut times = Vec::new();
    while times.len() < 200 || (!over() && times.len() < 100_000) {
        let began = Instant::now();
        assert_eq!(client.ask(&Frame::new(2000, b"{}")).unwrap().payload, DEMO_ANSWER);
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times[times.len() * 99 / 100]
}
