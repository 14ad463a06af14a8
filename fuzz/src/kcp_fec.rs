//! A decoder bears any frames within its memory, and gives back what an encoder's lost frames had in them.

use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::fec::{Decoder, Encoder, Frame, HEADER, Shards, demux, mul_acc_scalar};
use portcullis_core::wire::kcp::outbox::Outbox;

/// The longest shard a decoder holds.
const SHARD_MAX: usize = 1500;

/// `data`: data shards, parity shards, a byte of choices, then what either way makes of the rest.
pub fn run(data: &[u8]) {
    let Some(([data, parity, choice], rest)) = data.split_first_chunk::<3>() else { return };
    let shards = Shards::new(*data, *parity).ok();
    if choice & 1 == 0 {
        bears(shards, rest);
    } else if let Some(shards) = shards {
        mends(shards, choice & 2 != 0, rest);
    }
}

/// Frames of six bytes each: seqid or the step from the one before, kind, length.
fn bears(hint: Option<Shards>, frames: &[u8]) {
    let mut decoder = Decoder::new(mul_acc_scalar, hint);
    let mut near = 0u32;
    for frame in frames.chunks_exact(6) {
        let &[a, b, c, d, kind, length] = frame else { return };
        near = match kind & 6 {
            0 => u32::from_le_bytes([a, b, c, d]),
            2 => u32::MAX - u32::from(a),
            _ => near.wrapping_add(u32::from(a & 15)),
        };
        let len = usize::from(length) * 8;
        let mut datagram = near.to_le_bytes().to_vec();
        datagram.extend([0xf1 + (kind & 1), 0]);
        datagram.extend(u16::try_from(len + 2).unwrap_or(0).to_le_bytes());
        datagram.resize(HEADER + len, c);
        let mut sound = 0;
        let mut hear = |segments: &[u8]| {
            assert!(!segments.is_empty() && segments.len() <= SHARD_MAX - 2);
            sound += 1;
        };
        let before = decoder.recovered();
        match demux(&datagram) {
            Some(Frame::Data { seqid, segments, shard }) => {
                assert_eq!((seqid, segments.len(), shard.len()), (near, len, len + 2));
                decoder.data(seqid, shard, &mut hear);
            }
            Some(Frame::Parity { seqid, shard }) => decoder.parity(seqid, shard, &mut hear),
            other => panic!("{other:?}"),
        }
        assert_eq!(decoder.recovered() - before, sound);
        let data = decoder.shards().map_or(0, |shards| usize::from(shards.data()));
        assert!(decoder.held() <= 4 * data * (SHARD_MAX + 32) + 8 * 1024, "{} bytes", decoder.held());
    }
    decoder.rest();
    assert_eq!(decoder.held(), 0);
}

/// A payload for each byte, as long as it says; those with the highest bit set are lost once the
/// decoder is certain, up to the parity of a group.
fn mends(shards: Shards, wrapping: bool, payloads: &[u8]) {
    let mut encoder = Encoder::new(shards, mul_acc_scalar, if wrapping { u32::MAX } else { 0 });
    let mut decoder = Decoder::new(mul_acc_scalar, Some(shards));
    let mut out = Outbox::default();
    let (mut lost, mut mended) = (Vec::new(), Vec::new());
    for (index, &byte) in payloads.iter().take(1024).enumerate() {
        let mut datagram = vec![index as u8 ^ byte; HEADER + 1 + usize::from(byte & 127)];
        encoder.data(Tick(0), &mut datagram);
        let loses =
            byte & 128 != 0 && decoder.certain().is_some() && lost.len() < usize::from(shards.parity());
        match demux(&datagram) {
            Some(Frame::Data { segments, .. }) if loses => lost.push(segments.to_vec()),
            Some(Frame::Data { seqid, shard, .. }) => {
                decoder.data(seqid, shard, |it| mended.push(it.to_vec()))
            }
            other => panic!("{other:?}"),
        }
        out.clear();
        if encoder.parity(&mut out, 0, true) == 0 {
            continue;
        }
        for datagram in out.iter() {
            let Some(Frame::Parity { seqid, shard }) = demux(datagram) else { panic!("{datagram:?}") };
            decoder.parity(seqid, shard, |it| mended.push(it.to_vec()));
        }
        assert_eq!(mended, lost);
        lost.clear();
        mended.clear();
    }
}
