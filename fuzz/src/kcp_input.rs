//! A conversation goes on, or ends, whatever the peer sends: no more memory than set, no endless transmission.

use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::arq::{Arq, Origin, Settings, Start};
use portcullis_core::wire::kcp::outbox::Outbox;
use portcullis_core::wire::kcp::segment::segments;

/// The conversation of the corpus.
const CONV: u32 = 7;
/// No datagram is longer.
const DATAGRAM_MAX: usize = 2048;

/// `data`: a byte of settings, then moves, each with a byte that says which:
/// 0 a datagram (its length as u16 little endian, then its bytes), 1 a write, 2 a read, 3 a wait, each with a byte.
pub fn run(data: &[u8]) {
    let Some((choice, mut data)) = data.split_first() else { return };
    let bit = |number: u8| choice >> number & 1 == 1;
    let settings = Settings {
        nodelay: bit(0),
        congestion: bit(1),
        stream: bit(2),
        resend: choice >> 3 & 3,
        send_window: 16,
        receive_window: if bit(5) { 16 } else { 1 },
        mtu: 200,
        ..Settings::default()
    };
    let start = if bit(6) { Start { sn: u32::MAX - 3, clock: u32::MAX - 5 } } else { Start::default() };
    let mut arq = Arq::new(CONV, &settings, start);
    let mut now = Tick(1);
    while let Some(rest) = step(&mut arq, &mut now, data) {
        data = rest;
        transmit(&mut arq, now, &settings);
        let mss = settings.mss();
        assert!(arq.unacknowledged() <= usize::from(settings.send_window) * mss);
        assert!(arq.held() <= usize::from(settings.receive_window) * (mss + 1500) + DATAGRAM_MAX);
    }
}

/// Makes the next move; `None` at the end.
fn step<'d>(arq: &mut Arq, now: &mut Tick, data: &'d [u8]) -> Option<&'d [u8]> {
    let (kind, rest) = data.split_first()?;
    if kind & 3 == 0 {
        let (len, rest) = rest.split_first_chunk()?;
        let len = usize::from(u16::from_le_bytes(*len)) % DATAGRAM_MAX;
        let (datagram, rest) = rest.split_at(len.min(rest.len()));
        let origin = if kind & 4 == 0 { Origin::Wire } else { Origin::Recovered };
        let mut run = Vec::new();
        let read = arq.handle_input(*now, datagram, origin, (kind & 8 == 0).then_some(&mut run));
        assert!(
            read.is_ok() || segments(datagram).any(|one| one.is_err() || one.is_ok_and(|it| it.conv != CONV))
        );
        let lent: usize = run.iter().map(|part| part.len()).sum();
        assert!(lent <= datagram.len());
        return Some(rest);
    }
    let (count, rest) = rest.split_first()?;
    let count = usize::from(*count) * 8;
    match kind & 3 {
        1 => assert!(arq.write(&vec![1; count]) <= count),
        2 => arq.consume(count),
        _ => *now = Tick(now.0 + count as u64),
    }
    Some(rest)
}

fn transmit(arq: &mut Arq, now: Tick, settings: &Settings) {
    let mut out = Outbox::default();
    while arq.poll_transmit(now, &mut out, 0, usize::MAX) {
        assert!(out.len() < 200, "an endless transmission");
    }
    assert!(arq.poll_timeout() > now, "due at once after all was sent");
    for datagram in out.iter() {
        assert!(datagram.len() <= usize::from(settings.mtu));
        for segment in segments(datagram) {
            let segment = segment.expect("what is sent can be read");
            let push = segment.command as u8 == 81;
            assert!(segment.conv == CONV && segment.fragment == 0 && push != segment.payload.is_empty());
        }
    }
}
