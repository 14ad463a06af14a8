//! How much arrives over a link that loses datagrams, beside ikcp that is flushed after every batch, on virtual time.
//!
//! Two threads on one machine, batches of 64, windows of 1024 segments; what a datagram costs
//! is a constant, so that the figures come out the same everywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "tests")]

#[path = "kcp/peer.rs"]
mod peer;

use std::collections::VecDeque;

use peer::{Chance, Oracle, Ours, Peer};
use portcullis_core::wire::kcp::arq::{Settings, Start};

/// Nanoseconds of a thread for each datagram, either way: 520 MB/s of full ones.
const COST: u64 = 2500;
const BATCH: usize = 64;
/// The kernel's way, in nanoseconds.
const DELAY: u64 = 20_000;

struct Side {
    peer: Box<dyn Peer>,
    inbox: VecDeque<(u64, Vec<u8>)>,
    clock: u64,
    sent: u64,
}

impl Side {
    fn new(peer: Box<dyn Peer>) -> Self {
        Self { peer, inbox: VecDeque::new(), clock: 0, sent: 0 }
    }

    /// When it has something to do.
    fn due(&self) -> u64 {
        let arrival = self.inbox.front().map_or(u64::MAX, |(at, _)| *at);
        let timer = self.peer.timeout(self.clock / 1_000_000).saturating_mul(1_000_000);
        arrival.min(timer).max(self.clock)
    }
}

/// Bytes a second of one transfer over a link that loses `loss` of a thousand datagrams each way; and datagrams sent
/// for each that was needed.
fn goodput(make: &dyn Fn() -> Box<dyn Peer>, loss: u64, delay: u64) -> (f64, f64) {
    const END: u64 = 90_000_000;
    let mut chance = Chance(42);
    let mut sides = [Side::new(make()), Side::new(make())];
    let chunk = vec![7u8; 65536];
    let (mut received, mut counted) = (0u64, 0u64);
    while sides[0].peer.write(&chunk) > 0 {}
    let mut turn = 0;
    loop {
        let side = &mut sides[turn];
        let mut taken = 0;
        while taken < BATCH && side.inbox.front().is_some_and(|(at, _)| *at <= side.clock) {
            let (_, datagram) = side.inbox.pop_front().unwrap();
            side.peer.input(side.clock / 1_000_000, &datagram);
            taken += 1;
        }
        side.clock += taken as u64 * COST;
        if turn == 0 {
            while side.peer.write(&chunk) > 0 {}
        } else {
            let read = side.peer.read(usize::MAX).len() as u64;
            received += read;
            if side.clock > END / 3 {
                counted += read;
            }
        }
        let out = side.peer.flush(side.clock / 1_000_000);
        let mut clock = side.clock;
        for datagram in out {
            clock += COST;
            sides[turn].sent += u64::from(datagram.len() > 1000);
            if !chance.per_mille(loss) {
                sides[1 - turn].inbox.push_back((clock + delay, datagram));
            }
        }
        sides[turn].clock = clock + 200;
        turn = usize::from(sides[1].due() < sides[0].due());
        sides[turn].clock = sides[turn].due();
        if sides[turn].clock > END {
            break;
        }
    }
    (counted as f64 / (END as f64 * 2.0 / 3.0 / 1e9), sides[0].sent as f64 / (received as f64 / 1302.0))
}

#[test]
fn goodput_at_loss_is_no_less_than_that_of_ikcp() {
    let settings =
        Settings { interval: 10, send_window: 1024, receive_window: 1024, mtu: 1326, ..Settings::default() };
    let ours = || -> Box<dyn Peer> { Box::new(Ours::new(&settings, Start::default())) };
    let theirs = || -> Box<dyn Peer> { Box::new(Oracle::new(&settings)) };
    for (delay, loss) in [(DELAY, 50), (DELAY, 200), (1_000_000, 50), (1_000_000, 200)] {
        let (ours, spent) = goodput(&ours, loss, delay);
        let (theirs, theirs_spent) = goodput(&theirs, loss, delay);
        let told = format!(
            "{loss} of 1000 lost, {delay} ns: {ours:.0} B/s for {spent:.2} datagrams each, ikcp {theirs:.0} for {theirs_spent:.2}"
        );
        println!("{told}");
        // Of what chance does to either of them, one part in twenty is allowed for.
        assert!(ours >= theirs * 0.95 && spent <= theirs_spent * 1.05, "{told}");
    }
}
