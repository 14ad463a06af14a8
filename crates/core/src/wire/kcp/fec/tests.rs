#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::wheel::Tick;
use crate::wire::kcp::outbox::Outbox;

#[test]
fn a_group_has_both_kinds_and_at_most_256_shards() {
    for (data, parity, want) in [
        (0, 0, Some(ShardsError::None)),
        (0, 3, Some(ShardsError::None)),
        (10, 0, Some(ShardsError::None)),
        (255, 2, Some(ShardsError::TooMany { data: 255, parity: 2 })),
        (255, 1, None),
        (1, 255, None),
        (128, 128, None),
    ] {
        assert_eq!(Shards::new(data, parity).err(), want, "{data}/{parity}");
    }
}

#[test]
fn seqids_end_at_the_last_whole_group_below_2_32() {
    let of = |data, parity| Shards::new(data, parity).unwrap();
    assert_eq!(of(10, 3).paws(), 4_294_967_287);
    assert_eq!(of(1, 1).paws(), 4_294_967_294);
    assert_eq!(of(3, 1).paws(), 4_294_967_292);
    assert_eq!(of(10, 3).place(4_294_967_286), Some((330_382_098, 12)));
    assert_eq!(of(10, 3).place(4_294_967_287), None);
    assert_eq!(of(128, 128).place(u32::MAX), None);
}

#[test]
fn a_datagram_says_itself_what_it_is() {
    let rows: [(&[u8], Option<Frame<'_>>); 11] = [
        (b"", None),
        (b"\0\0\0\0\xf1", None),
        (b"\x07\0\0\0\xf1\0", None),
        (b"\x07\0\0\0\xf1\0\x02", None),
        (b"\x07\0\0\0\xf1\0\x02\0", Some(Frame::Data { seqid: 7, segments: b"", shard: b"\x02\0" })),
        (b"\x07\x01\0\0\xf1\0\x03\0k", Some(Frame::Data { seqid: 263, segments: b"k", shard: b"\x03\0k" })),
        (b"\x07\x01\0\0\xf1\0\x04\0k", None),
        (b"\x07\x01\0\0\xf1\0\x02\0k", None),
        (b"\x0a\0\0\0\xf2\0xyz", Some(Frame::Parity { seqid: 10, shard: b"xyz" })),
        (b"\xff\xff\xff\xff\xf3\0\x06\0conv", Some(Frame::OutOfBand)),
        (b"conv\x51\0rest", Some(Frame::Plain(b"conv\x51\0rest"))),
    ];
    for (datagram, want) in rows {
        assert_eq!(demux(datagram), want, "{datagram:02x?}");
    }
}

#[test]
fn no_command_of_a_segment_is_taken_for_a_frame() {
    for command in 81..=84 {
        for fragment in 0..=255 {
            let datagram = [1, 2, 3, 4, command, fragment, 0, 0];
            assert_eq!(demux(&datagram), Some(Frame::Plain(&datagram)));
        }
    }
}

/// A recording of kcp-go's own frames (public commit 78a2a39), in the clear.
struct Recording {
    shards: Shards,
    frames: Vec<Vec<u8>>,
}

fn recordings() -> [Recording; 3] {
    [
        Recording::read(10, 3, include_bytes!("../../../../tests/kcp/kcp-go-fec-10-3-up.bin")),
        Recording::read(10, 3, include_bytes!("../../../../tests/kcp/kcp-go-fec-10-3-down.bin")),
        Recording::read(3, 1, include_bytes!("../../../../tests/kcp/kcp-go-fec-3-1-down.bin")),
    ]
}

impl Recording {
    /// Frames behind one another, each behind its length.
    fn read(data: u8, parity: u8, mut bytes: &[u8]) -> Self {
        let mut frames = Vec::new();
        while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
            let (frame, rest) = rest.split_at(usize::from(u16::from_le_bytes(*len)));
            frames.push(frame.to_vec());
            bytes = rest;
        }
        Self { shards: Shards::new(data, parity).unwrap(), frames }
    }
}

#[test]
fn what_kcp_go_sent_is_made_again_byte_for_byte() {
    for Recording { shards, frames } in recordings() {
        let mut encoder = Encoder::new(shards, mul_acc_scalar, 0);
        let mut out = Outbox::default();
        let mut made = Vec::new();
        for frame in &frames {
            let Some(Frame::Data { segments, .. }) = demux(frame) else { continue };
            let mut again = [&[0; HEADER][..], segments].concat();
            encoder.data(Tick(1), &mut again);
            made.push(again);
            out.clear();
            encoder.parity(&mut out, 0, true);
            made.extend(out.iter().map(<[u8]>::to_vec));
        }
        assert_eq!(made, frames);
    }
}

#[test]
fn what_kcp_go_sent_is_recovered_whichever_frames_are_lost() {
    for Recording { shards, frames } in recordings() {
        let (all, parity) = (shards.group() as usize, usize::from(shards.parity()));
        for lost in (0..1u32 << all).filter(|lost| lost.count_ones() as usize <= parity) {
            let lost = |index: usize| lost >> (index % all) & 1 == 1;
            let missing = frames.iter().enumerate().filter(|&(index, _)| lost(index));
            let missing: Vec<Vec<u8>> = missing.filter_map(|(_, frame)| segments(frame)).collect();
            let mut decoder = knowing(shards);
            let came = frames.iter().enumerate().filter(|&(index, _)| !lost(index)).map(|(_, frame)| frame);
            assert_eq!(heard(&mut decoder, came), missing);
            assert_eq!(decoder.recovered(), missing.len() as u64);
        }
    }
}

/// A decoder that has heard enough of these shards.
pub(super) fn knowing(shards: Shards) -> Decoder {
    let mut decoder = Decoder::new(mul_acc_scalar, Some(shards));
    decoder.believe(shards);
    decoder
}

/// The KCP bytes of a data frame.
pub(super) fn segments(frame: &[u8]) -> Option<Vec<u8>> {
    match demux(frame) {
        Some(Frame::Data { segments, .. }) => Some(segments.to_vec()),
        _ => None,
    }
}

/// Gives frames to a decoder and returns what it recovers.
pub(super) fn heard<'f>(
    decoder: &mut Decoder,
    frames: impl IntoIterator<Item = &'f Vec<u8>>,
) -> Vec<Vec<u8>> {
    let mut recovered = Vec::new();
    for frame in frames {
        match demux(frame) {
            Some(Frame::Data { seqid, shard, .. }) => {
                decoder.data(seqid, shard, |it| recovered.push(it.to_vec()))
            }
            Some(Frame::Parity { seqid, shard }) => {
                decoder.parity(seqid, shard, |it| recovered.push(it.to_vec()))
            }
            Some(Frame::Plain(_) | Frame::OutOfBand) | None => panic!("a frame of a shard"),
        }
    }
    recovered
}

/// All frames of some groups, of payloads that differ in bytes and lengths (1 to `longest`).
pub(super) fn groups(shards: Shards, first_seqid: u32, groups: usize, longest: u64) -> Vec<Vec<u8>> {
    let mut chance = Chance(u64::from(first_seqid) + 1);
    let mut encoder = Encoder::new(shards, mul_acc_scalar, first_seqid);
    let mut out = Outbox::default();
    let mut frames = Vec::new();
    for _ in 0..groups * usize::from(shards.data()) {
        let len = 1 + chance.below(longest);
        let mut frame = vec![0; HEADER];
        frame.extend((0..len).map(|_| chance.below(256) as u8));
        encoder.data(Tick(1), &mut frame);
        frames.push(frame);
        out.clear();
        encoder.parity(&mut out, 0, true);
        frames.extend(out.iter().map(<[u8]>::to_vec));
    }
    frames
}

/// Seeded chance (splitmix64).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
