//! Two sides of a conversation over a bad link, on virtual time, from seeds: streams stay exact, nothing stalls, memory
//! and work are bounded. `PORTCULLIS_SEEDS=N` runs N worlds instead of 300; a world that fails prints its seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "tests")]

#[path = "kcp/peer.rs"]
mod peer;
#[path = "kcp/world.rs"]
mod world;

use peer::{Chance, Oracle, Ours};
use portcullis_core::wire::kcp::arq::{Settings, Start};
use world::{Link, World};

#[test]
fn streams_are_exact_over_any_link() {
    #[expect(clippy::disallowed_methods, reason = "how long a test runs is told by who starts it")]
    let seeds = std::env::var("PORTCULLIS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(300);
    for seed in 0..seeds {
        let ran = std::panic::catch_unwind(|| world_of(seed));
        assert!(ran.is_ok(), "seed {seed} fails");
    }
}

/// Every third world has ikcp on the other side.
fn world_of(seed: u64) {
    let mut chance = Chance(seed);
    let link = Link {
        loss: chance.below(301) * chance.below(2),
        double: chance.below(100),
        corrupt: chance.below(20),
        delay: chance.below(100),
        jitter: chance.below(2) * chance.below(60),
    };
    let (here, there) = (settings(&mut chance), settings(&mut chance));
    let foreign = seed % 3 == 2;
    let wraps = !foreign && chance.below(2) == 0;
    let start = Start {
        sn: if wraps { u32::MAX - chance.below(60) as u32 } else { 0 },
        clock: if wraps { u32::MAX - chance.below(300) as u32 } else { chance.next() as u32 },
    };
    if foreign {
        // ikcp has no window below 128, and its timeouts grow without bound.
        let here = Settings { receive_window: here.receive_window.max(128), ..here };
        let there = Settings { nodelay: true, mtu: here.mtu, ..there };
        let ours = Ours::new(&here, start);
        World::new(seed, link, ours, Oracle::new(&there)).run();
    } else {
        let ours = Ours::new(&here, start);
        World::new(seed, link, ours, Ours::new(&there, Start { clock: !start.clock, ..start })).run();
    }
}

fn settings(chance: &mut Chance) -> Settings {
    Settings {
        nodelay: chance.below(2) == 0,
        interval: 10 + chance.below(90) as u16,
        resend: chance.below(4) as u8,
        congestion: chance.below(3) == 0,
        send_window: 1 + chance.below(80) as u16,
        receive_window: chance.one_of(&[1, 2, 5, 32, 128, 256]),
        mtu: 50 + chance.below(1350) as u16,
        stream: chance.below(2) == 0,
        // At 30 % loss each way one answer in two is lost: not a reason to give up a peer in this world.
        dead_link: 100,
    }
}
