//! The same datagrams for our machine and for ikcp's: the same stream comes out, the same numbers are told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(missing_docs, unreachable_pub, dead_code, reason = "tests")]

#[path = "kcp/peer.rs"]
mod peer;

use std::collections::{BTreeMap, BTreeSet};

use peer::{CONV, Chance, Datagrams, Oracle, Ours, Peer};
use portcullis_core::wire::kcp::arq::{Settings, Start};
use portcullis_core::wire::kcp::outbox::Outbox;
use portcullis_core::wire::kcp::segment::{Command, Segment, segments};

const SEEDS: u64 = 200;

#[test]
fn a_receiver_says_what_ikcp_says() {
    let mut steps = 0;
    for seed in 0..SEEDS {
        let mut chance = Chance(seed);
        let settings = Settings { send_window: 60, receive_window: 128, mtu: 200, ..Settings::default() };
        let mut sender = Ours::new(&settings, Start::default());
        let mut wire = sent(&mut sender, &mut chance);
        shake(&mut wire, &mut chance);
        let (mut ours, mut theirs) = (Ours::new(&settings, Start::default()), Oracle::new(&settings));
        let (mut now, mut unas) = (1000, BTreeSet::new());
        for (number, datagram) in wire.iter().enumerate() {
            ours.input(now, datagram);
            theirs.input(now, datagram);
            let at = format!("seed {seed}, datagram {number}");
            assert_eq!(ours.read(usize::MAX), theirs.read(usize::MAX), "{at}");
            // Longer than either may wait with an acknowledgement.
            now += 100;
            let (said, theirs_said) = (told(&ours.flush(now)), told(&theirs.flush(now)));
            assert_eq!(said, theirs_said, "{at}");
            unas.extend(said.map(|(una, ..)| una));
        }
        steps += unas.len();
    }
    assert!(steps > 10 * SEEDS as usize, "{steps} steps show little");
}

#[test]
fn a_sender_sends_what_ikcp_sends() {
    for seed in 0..SEEDS {
        let mut chance = Chance(seed);
        let settings = Settings {
            nodelay: false,
            resend: 0,
            send_window: 2 + chance.below(40) as u16,
            receive_window: 128,
            mtu: 100 + chance.below(1000) as u16,
            ..Settings::default()
        };
        let (mut ours, mut theirs) = (Ours::new(&settings, Start::default()), Oracle::new(&settings));
        let mut receiver = Ours::new(&settings, Start::default());
        let hello = window_tell();
        ours.input(1, &hello);
        theirs.input(1, &hello);
        for now in 2..60 {
            let size = chance.below(4000) as usize;
            let bytes: Vec<u8> = (0..size).map(|_| chance.next() as u8).collect();
            let room = settings.mss() * usize::from(settings.send_window) - ours.arq.unacknowledged();
            if size <= room.min(theirs.room()) {
                assert_eq!((ours.write(&bytes), theirs.write(&bytes)), (size, size), "seed {seed}");
            }
            let wire = ours.flush(now);
            assert_eq!(pushes(&wire), pushes(&theirs.flush(now)), "seed {seed} at {now}");
            wire.iter().for_each(|datagram| receiver.input(now, datagram));
            receiver.read(usize::MAX);
            // An acknowledgement that is lost is made good by the next.
            for answer in receiver.flush(now).iter().filter(|_| !chance.per_mille(200)) {
                ours.input(now, answer);
                theirs.input(now, answer);
            }
            assert_eq!(ours.is_done(), theirs.is_done(), "seed {seed} at {now}");
        }
    }
}

/// What a sender has to say at once, written in pieces.
fn sent(sender: &mut Ours, chance: &mut Chance) -> Datagrams {
    let mut wire = Vec::new();
    sender.input(1, &window_tell());
    for now in 1..40 {
        let bytes: Vec<u8> = (0..chance.below(300)).map(|_| chance.next() as u8).collect();
        sender.write(&bytes);
        wire.extend(sender.flush(now));
    }
    wire
}

/// Loses some, repeats some, and lets some overtake others.
fn shake(wire: &mut Datagrams, chance: &mut Chance) {
    let mut shaken = BTreeMap::new();
    for (place, datagram) in wire.drain(..).enumerate() {
        let copies = if chance.per_mille(20) { 0 } else { 1 + chance.below(5) / 4 };
        for _ in 0..copies {
            let at = (place as u64 * 10 + chance.below(40), chance.next());
            shaken.insert(at, datagram.clone());
        }
    }
    wire.extend(shaken.into_values());
}

/// What a receiver tells: una, window, and the numbers from una on that it acknowledges.
fn told(wire: &Datagrams) -> Option<(u32, u16, BTreeSet<u32>)> {
    let all: Vec<Segment<'_>> =
        wire.iter().flat_map(|datagram| segments(datagram)).map(Result::unwrap).collect();
    let last = all.last()?;
    let acks = all.iter().filter(|it| it.command == Command::Ack && it.sn >= last.una);
    Some((last.una, last.window, acks.map(|it| it.sn).collect()))
}

/// Number and payload of every PUSH.
fn pushes(wire: &Datagrams) -> Vec<(u32, Vec<u8>)> {
    let all = wire.iter().flat_map(|datagram| segments(datagram)).map(Result::unwrap);
    all.filter(|it| it.command == Command::Push).map(|it| (it.sn, it.payload.to_vec())).collect()
}

fn window_tell() -> Vec<u8> {
    let mut out = Outbox::default();
    out.begin(0);
    let command = Command::WindowTell;
    Segment { conv: CONV, command, fragment: 0, window: 128, ts: 0, sn: 0, una: 0, payload: &[] }
        .write(&mut out);
    out.finish();
    out.bytes().to_vec()
}
