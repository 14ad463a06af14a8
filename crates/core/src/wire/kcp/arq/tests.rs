#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn pair(settings: &Settings) -> [Arq; 2] {
    [0x0123_4567, 0x89ab_cdef].map(|clock| Arq::new(7, settings, Start { sn: 0, clock }))
}

/// Everything that is due, datagram by datagram.
fn drain(arq: &mut Arq, now: Tick) -> Vec<Vec<u8>> {
    let mut out = Outbox::default();
    while arq.poll_transmit(now, &mut out, 0, usize::MAX) {
        assert!(out.len() < 10_000, "an endless transmission");
    }
    out.iter().map(<[u8]>::to_vec).collect()
}

fn deliver(arq: &mut Arq, now: Tick, datagrams: &[Vec<u8>]) {
    for datagram in datagrams {
        arq.handle_input(now, datagram, Origin::Wire, None).unwrap();
    }
}

fn read(arq: &mut Arq) -> Vec<u8> {
    let mut read = Vec::new();
    while !arq.readable().is_empty() {
        let len = arq.readable().len();
        read.extend_from_slice(arq.readable());
        arq.consume(len);
    }
    read
}

#[test]
fn bytes_arrive_and_both_sides_come_to_rest_without_memory() {
    let [mut a, mut b] = pair(&Settings::default());
    let sent: Vec<u8> = (0..100_000).map(|n: u32| (n.wrapping_mul(n) / 7) as u8).collect();
    assert_eq!(a.write(&sent), sent.len());
    let mut received = Vec::new();
    for now in 1..100 {
        let now = Tick(now);
        let there = drain(&mut a, now);
        deliver(&mut b, now, &there);
        received.extend(read(&mut b));
        let back = drain(&mut b, now);
        deliver(&mut a, now, &back);
    }
    assert!(received == sent);
    assert_eq!((a.unacknowledged(), a.poll_timeout(), b.poll_timeout()), (0, Tick::NEVER, Tick::NEVER));
    assert!(a.is_proven() && a.is_answered() && b.is_answered() && !b.is_proven());
    assert_eq!(a.tally().retransmits, 0);
    assert!(size_of::<Arq>() <= 350, "{} bytes", size_of::<Arq>());
}
