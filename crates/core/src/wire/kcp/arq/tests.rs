#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

mod fields;
mod hostile;
mod receiving;
mod sending;

const CONV: u32 = 7;
/// What is added to the time of the side under test.
const CLOCK: u32 = 0x0123_4567;

fn arq(settings: &Settings) -> Arq {
    Arq::new(CONV, settings, Start { sn: 0, clock: CLOCK })
}

/// One segment of the peer, as a datagram.
fn segment(command: Command, sn: u32, ts: u32, una: u32) -> Vec<u8> {
    wire(&Segment { conv: CONV, command, fragment: 0, window: 128, ts, sn, una, payload: &[] })
}

fn push(sn: u32, payload: &[u8]) -> Vec<u8> {
    wire(&Segment { payload, ..bare(Command::Push, sn) })
}

fn bare(command: Command, sn: u32) -> Segment<'static> {
    Segment { conv: CONV, command, fragment: 0, window: 128, ts: 0, sn, una: 0, payload: &[] }
}

fn wire(segment: &Segment<'_>) -> Vec<u8> {
    let mut out = Outbox::default();
    out.begin(0);
    segment.write(&mut out);
    out.finish();
    out.bytes().to_vec()
}

/// Everything that is due, datagram by datagram.
fn drain(arq: &mut Arq, now: u64) -> Vec<Vec<u8>> {
    let mut out = Outbox::default();
    while arq.poll_transmit(Tick(now), &mut out, 0, usize::MAX) {
        assert!(out.len() < 10_000, "an endless transmission");
    }
    out.iter().map(<[u8]>::to_vec).collect()
}

/// The segments of everything that is due: command, sn, length.
fn sent(arq: &mut Arq, now: u64) -> Vec<(Command, u32, usize)> {
    let datagrams = drain(arq, now);
    let segments = datagrams.iter().flat_map(|datagram| segment::segments(datagram));
    segments.map(|segment| segment.unwrap()).map(|it| (it.command, it.sn, it.payload.len())).collect()
}

/// The numbers of the PUSHes that are due.
fn pushed(arq: &mut Arq, now: u64) -> Vec<u32> {
    let all = sent(arq, now).into_iter();
    all.filter(|(command, ..)| *command == Command::Push).map(|(_, sn, _)| sn).collect()
}

fn input(arq: &mut Arq, now: u64, datagram: &[u8]) {
    arq.handle_input(Tick(now), datagram, Origin::Wire, None).unwrap();
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
    let settings = Settings::default();
    let (mut a, mut b) = (arq(&settings), arq(&settings));
    let bytes: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(n) / 7) as u8).collect();
    assert_eq!(a.write(&bytes), bytes.len());
    let mut received = Vec::new();
    for now in 1..100 {
        for datagram in drain(&mut a, now) {
            input(&mut b, now, &datagram);
        }
        received.extend(read(&mut b));
        for datagram in drain(&mut b, now) {
            input(&mut a, now, &datagram);
        }
    }
    assert!(received == bytes);
    assert_eq!((a.unacknowledged(), a.poll_timeout(), b.poll_timeout()), (0, Tick::NEVER, Tick::NEVER));
    assert!(a.is_proven() && a.is_answered() && b.is_answered() && !b.is_proven());
    assert_eq!(a.tally().retransmits, 0);
    assert!(a.sender.flight().is_none() && b.receiver.is_bare() && b.acks.is_bare());
    assert!(size_of::<Arq>() <= 350, "{} bytes", size_of::<Arq>());
}
