//! A conversation that began just below the end of every number it counts by: sn, una, ts and the frames' seqid
//! pass 2^32 (and paws) within the first moments, and the stream does not notice.
//!
//! `PORTCULLIS_WRAP_MIB` says how much is moved; 1 GiB is for a release build.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::collections::VecDeque;

use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::arq::{Settings, Start};
use portcullis_core::wire::kcp::conversation::{Conversation, Plan};
use portcullis_core::wire::kcp::crypt::{Crypt, NonceSource};
use portcullis_core::wire::kcp::fec::{Shards, mul_acc_scalar};
use portcullis_core::wire::kcp::outbox::Outbox;

/// The last seqid of a 10/3 code: the largest multiple of 13 below 2^32.
const PAWS: u32 = u32::MAX / 13 * 13;

fn side(dialled: bool) -> Conversation {
    Conversation::new(Plan {
        conv: 0xffff_ffff,
        settings: &Settings {
            nodelay: true,
            interval: 10,
            resend: 2,
            congestion: false,
            send_window: 1024,
            receive_window: 1024,
            mtu: 1342,
            stream: true,
            dead_link: 20,
        },
        start: Start { sn: u32::MAX - 300, clock: u32::MAX - 1040 },
        code: Some(Shards::new(10, 3).unwrap()),
        framed: true,
        seqid: PAWS - 130,
        mul_acc: mul_acc_scalar,
        dialled,
    })
}

/// A link of a millisecond each way that loses every twentieth datagram and swaps every seventh with the next.
#[derive(Default)]
struct Link {
    under_way: VecDeque<(u64, Vec<u8>)>,
    count: u64,
}

impl Link {
    fn take(&mut self, now: u64, datagrams: &Outbox) {
        for datagram in datagrams.iter() {
            self.count += 1;
            if self.count.is_multiple_of(20) {
                continue;
            }
            let late = u64::from(self.count.is_multiple_of(7));
            self.under_way.push_back((now + 1 + late, datagram.to_vec()));
        }
    }

    fn deliver(&mut self, now: u64, to: &mut Conversation) {
        let (due, later): (VecDeque<_>, _) = self.under_way.drain(..).partition(|(at, _)| *at <= now);
        self.under_way = later;
        due.iter().for_each(|(_, datagram)| to.handle_datagram(Tick(now), datagram, None));
    }
}

/// The byte at `place` of the stream.
fn content(place: u64) -> u8 {
    (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

#[test]
fn numbers_that_pass_their_end_change_nothing_of_the_stream() {
    let mebibytes: u64 = std::env::var("PORTCULLIS_WRAP_MIB").map_or(4, |text| text.parse().unwrap());
    let length = mebibytes << 20;
    let (mut from, mut to) = (side(true), side(false));
    let (mut up, mut down, mut out) = (Link::default(), Link::default(), Outbox::default());
    let (crypt, mut nonces) = (Crypt::null(), NonceSource::new(&[3; 32], 0));
    let (mut written, mut read, mut now, mut progress_at) = (0, 0, 1000, 1000);
    let mut chunk = Vec::new();
    while read < length {
        while from.has_room() && written < length {
            chunk.clear();
            chunk.extend((written..length.min(written + 60_000)).map(content));
            written += from.write(&chunk) as u64;
        }
        out.clear();
        from.transmit(Tick(now), &crypt, &mut nonces, &mut out);
        up.take(now, &out);
        out.clear();
        to.transmit(Tick(now), &crypt, &mut nonces, &mut out);
        down.take(now, &out);
        now += 1;
        up.deliver(now, &mut to);
        down.deliver(now, &mut from);
        while !to.readable().is_empty() {
            let bytes = to.readable();
            let count = bytes.len();
            assert!(bytes.iter().zip(read..).all(|(byte, place)| *byte == content(place)), "behind {read}");
            to.consume(count);
            read += count as u64;
            progress_at = now;
        }
        assert!(now - progress_at < 5000, "no progress for 5 s behind {read} bytes");
    }
    assert!(to.recovered() > 0, "parity was of use");
    println!("{mebibytes} MiB in {} s of virtual time; {:?}", now / 1000, from.tally());
}
