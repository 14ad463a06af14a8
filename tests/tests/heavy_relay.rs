//! A thousand sessions of random sizes and cuts: every byte arrives, once, in order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use aws_lc_rs::digest;
use portcullis_tests::scene::{Stage, open};
use portcullis_tests::script::pattern;
use portcullis_tests::{Gate, Setup};

const SESSIONS: usize = 1000;
/// Bytes over all sessions and both directions.
const TOTAL: u64 = 8 << 30;
/// Each lane has an endpoint of its own, so that its sessions find their other half.
const LANES: usize = 4;

#[test]
fn b21_a_thousand_sessions_of_random_sizes_and_cuts_arrive_whole() {
    let setup = Setup::new().addressed("copy", "tcp", &["127.0.0.1:*"], "zero_copy = false").addressed(
        "splice",
        "tcp",
        &["127.0.0.1:*"],
        "zero_copy = true",
    );
    let gate = Gate::start(&setup.text());
    let (next, moved) = (AtomicUsize::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let endpoint = Stage::new();
                loop {
                    let session = next.fetch_add(1, Ordering::AcqRel);
                    if session >= SESSIONS {
                        return;
                    }
                    let way = if session.is_multiple_of(2) { "copy" } else { "splice" };
                    let client = open(gate.listener(way), endpoint.address().to_string());
                    let plan = Plan::of(session);
                    moved.fetch_add(plan.run(&client, &endpoint.accept()), Ordering::AcqRel);
                }
            });
        }
    });
    let moved = moved.into_inner();
    assert!(moved >= TOTAL, "{moved} bytes");
    gate.assert_clean();
    let metrics = gate.metrics();
    assert!(
        (metrics.sum("portcullis_bytes_total", &[]) - moved as f64).abs() < 1.0,
        "bytes are counted exactly"
    );
    assert!(metrics.sum("portcullis_path_bytes_total", &["path=\"splice\""]) > 0.0);
    eprintln!("{SESSIONS} sessions, {:.2} GiB, all digests equal", moved as f64 / f64::from(1 << 30));
}

/// What one session does: how much goes which way, and the seed of its cuts.
struct Plan {
    up: u64,
    down: u64,
    seed: u64,
}

impl Plan {
    /// Sizes from nothing to 64 MiB, such that a thousand of them are [`TOTAL`] or a little more.
    fn of(session: usize) -> Self {
        let mut random = Random(session as u64 + 1);
        // Each block of ten has one large, two of middle size and seven small sessions; the middle ones top up.
        let mean = TOTAL / SESSIONS as u64;
        let (up, down) = match session % 10 {
            0 => (mean * 4 + random.below(mean), mean * 3),
            1 | 2 => (mean, mean + random.below(mean)),
            _ => (random.below(200_000), random.below(200_000)),
        };
        Self { up, down, seed: random.next() }
    }

    /// Runs both directions at once; returns the bytes moved.
    fn run(&self, client: &TcpStream, server: &TcpStream) -> u64 {
        thread::scope(|scope| {
            let up = scope.spawn(|| send(client, self.up, self.seed));
            let down = scope.spawn(|| send(server, self.down, self.seed ^ 0xFF));
            let seen_up = scope.spawn(|| receive(server, self.seed ^ 0xF0));
            let seen_down = receive(client, self.seed ^ 0x0F);
            assert_eq!(up.join().unwrap(), seen_up.join().unwrap(), "up");
            assert_eq!(down.join().unwrap(), seen_down, "down");
        });
        self.up + self.down
    }
}

/// Writes so many bytes in random cuts and ends the direction; returns count and digest.
fn send(mut to: &TcpStream, length: u64, seed: u64) -> (u64, Vec<u8>) {
    let (mut random, mut hash, mut sent) = (Random(seed | 1), digest::Context::new(&digest::SHA256), 0);
    while sent < length {
        let cut = random.cut().min(length - sent);
        let piece = pattern(seed as usize % 1000, sent, cut as usize);
        hash.update(piece);
        to.write_all(piece).unwrap();
        sent += cut;
    }
    to.shutdown(Shutdown::Write).unwrap();
    (sent, hash.finish().as_ref().to_vec())
}

/// Reads to the end in random cuts; returns count and digest.
fn receive(mut from: &TcpStream, seed: u64) -> (u64, Vec<u8>) {
    let (mut random, mut hash, mut seen) = (Random(seed | 1), digest::Context::new(&digest::SHA256), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let room = random.cut() as usize;
        let read = from.read(&mut buffer[..room]).unwrap();
        if read == 0 {
            return (seen, hash.finish().as_ref().to_vec());
        }
        hash.update(&buffer[..read]);
        seen += read as u64;
    }
}

/// xorshift64: the same sessions in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// From one byte to a MiB, the small ones as frequent as the large.
    fn cut(&mut self) -> u64 {
        let bits = 6 + self.below(15);
        1 + self.below(1 << bits)
    }
}
