#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::wire::kcp::fec::{Frame, HEADER, demux, mul_acc_scalar};

#[test]
fn ten_and_three_have_the_rows_of_klausposts_matrix() {
    let work = Work::new(Shards::new(10, 3).unwrap());
    let row = |row: usize| work.coefficients.iter().copied().skip(row).step_by(3).collect::<Vec<u8>>();
    assert_eq!(row(0), [0x81, 0x96, 0xaf, 0xb8, 0xd2, 0xc4, 0xfe, 0xe8, 0x03, 0x02]);
    assert_eq!(row(1), [0x96, 0x81, 0xb8, 0xaf, 0xc4, 0xd2, 0xe8, 0xfe, 0x02, 0x03]);
    assert_eq!(row(2), [0xbf, 0xd6, 0x62, 0x0a, 0x06, 0x6f, 0xdf, 0xb7, 0x05, 0x04]);
}

#[test]
fn parity_of_long_shards_is_that_of_klauspost_and_of_reed_solomon_erasure() {
    let basis = Basis::new((0..10).collect());
    let mut parity = Vec::new();
    for place in 10..13 {
        let mut sum = vec![0u8; 1344];
        for (index, coefficient) in basis.row(place).enumerate() {
            let shard: Vec<u8> =
                (0..1344).map(|at: usize| (index * 131 + at * 7 + at * at / 3) as u8).collect();
            mul_acc_scalar(coefficient, &shard, &mut sum);
        }
        parity.extend(sum);
    }
    assert_eq!(fnv(&parity), 0xcd41_6c20_f76a_1c4b);
}

/// FNV-1a, 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn frames_carry_seqid_type_and_size_and_parity_follows_a_full_group() {
    let mut encoder = Encoder::new(Shards::new(2, 1).unwrap(), mul_acc_scalar, 0);
    let mut out = Outbox::default();
    let mut one = [&[0; HEADER][..], b"one"].concat();
    encoder.data(Tick(1), &mut one);
    assert_eq!(one, b"\0\0\0\0\xf1\0\x05\0one");
    assert_eq!(encoder.parity(&mut out, 4, true), 0);
    let mut three = [&[0; HEADER][..], b"three"].concat();
    encoder.data(Tick(2), &mut three);
    assert_eq!(three, b"\x01\0\0\0\xf1\0\x07\0three");
    assert_eq!(encoder.parity(&mut out, 4, true), 1);
    let parity = out.datagram(0);
    assert_eq!((parity.len(), &parity[..10]), (4 + three.len(), &b"\0\0\0\0\x02\0\0\0\xf2\0"[..]));
    assert!(matches!(demux(&parity[4..]), Some(Frame::Parity { seqid: 2, shard }) if shard.len() == 7));
    let mut next = vec![0; HEADER];
    encoder.data(Tick(3), &mut next);
    assert_eq!(next, b"\x03\0\0\0\xf1\0\x02\0");
}

#[test]
fn every_matrix_is_that_of_reed_solomon_erasure() {
    // FNV-1a over the parity rows that crate `reed-solomon-erasure` 6 (galois_8) makes of unit vectors.
    let rows = [
        (1, 1, 0xaf63_bc4c_8601_b62c),
        (3, 1, 0xd0a6_fc18_672a_1282),
        (2, 1, 0x0835_ec07_b4ee_4fb0),
        (1, 2, 0x082f_2307_b4e8_8e77),
        (5, 2, 0xe3d4_96a8_53b8_7225),
        (10, 3, 0xda12_d4cc_5a74_11aa),
        (20, 5, 0xf965_48ff_af4f_9e18),
        (4, 4, 0xb31a_25a9_5c8c_8c41),
        (30, 10, 0x6b76_0e30_213d_907f),
        (70, 30, 0x2f40_3b3d_03d5_276f),
        (128, 128, 0x91e5_7bef_8dfd_a125),
        (255, 1, 0x3edf_fac1_001e_e2c6),
        (1, 255, 0x3edf_fac1_001e_e2c6),
    ];
    for (data, parity, want) in rows {
        assert_eq!(fnv(&matrix(data, parity)), want, "{data}/{parity}");
    }
    let many: Vec<u8> =
        (1..=24).flat_map(|data| (1..=8).flat_map(move |parity| matrix(data, parity))).collect();
    assert_eq!(fnv(&many), 0xdb5a_7a3d_54c3_74b1);
}

/// The parity rows as the encoder uses them, behind one another.
fn matrix(data: u8, parity: u8) -> Vec<u8> {
    let work = Work::new(Shards::new(data, parity).unwrap());
    let parity = usize::from(parity);
    (0..parity).flat_map(|row| work.coefficients.iter().copied().skip(row).step_by(parity)).collect()
}

#[test]
fn seqids_wrap_at_the_last_whole_group() {
    let shards = Shards::new(10, 3).unwrap();
    let mut encoder = Encoder::new(shards, mul_acc_scalar, shards.paws() - 1);
    let seqids: Vec<u32> = send(&mut encoder, &[0; 20]).iter().map(|frame| seqid(frame)).collect();
    let want: Vec<u32> = (shards.paws() - 13..shards.paws()).chain(0..13).collect();
    assert_eq!(seqids, want);
    assert_eq!(seqid(&send(&mut Encoder::new(shards, mul_acc_scalar, u32::MAX), &[0])[0]), 0);
}

#[test]
fn a_group_whose_end_was_slow_has_no_parity_and_its_seqids_pass() {
    // The waits before each data frame of a group of three, and whether the group gets its parity.
    for (waits, parity) in [
        ([0, 0, 0], true),
        ([0, 0, 499], true),
        ([0, 0, 500], false),
        ([0, 9000, 499], true),
        ([0, 0, 60_000], false),
    ] {
        let mut encoder = Encoder::new(Shards::new(3, 2).unwrap(), mul_acc_scalar, 0);
        let seqids: Vec<u32> = send(&mut encoder, &waits).iter().map(|frame| seqid(frame)).collect();
        assert_eq!(seqids, if parity { vec![0, 1, 2, 3, 4] } else { vec![0, 1, 2] }, "{waits:?}");
        let next = send(&mut encoder, &[0, 0, 0]);
        assert_eq!(next.iter().map(|frame| seqid(frame)).collect::<Vec<_>>(), [5, 6, 7, 8, 9], "{waits:?}");
    }
}

#[test]
fn a_group_that_is_not_asked_for_its_parity_passes_without() {
    let shards = Shards::new(2, 1).unwrap();
    let frames = |asked: bool| {
        let mut encoder = Encoder::new(shards, mul_acc_scalar, 0);
        let mut out = Outbox::default();
        for _ in 0..2 {
            encoder.data(Tick(0), &mut [1; HEADER + 5]);
        }
        if asked {
            assert_eq!(encoder.parity(&mut out, 0, false), 0);
        }
        assert!(out.is_empty());
        send(&mut encoder, &[0, 0])
    };
    assert_eq!(frames(true), frames(false));
    assert_eq!(frames(true).iter().map(|frame| seqid(frame)).collect::<Vec<_>>(), [3, 4, 5]);
    let mut alone = Encoder::new(shards, mul_acc_scalar, 3);
    assert_eq!(frames(true), send(&mut alone, &[0, 0]), "nothing is left of the group before");
}

#[test]
fn a_rest_gives_everything_back_and_spoils_the_begun_group_only() {
    let mut encoder = Encoder::new(Shards::new(2, 1).unwrap(), mul_acc_scalar, 0);
    assert_eq!(encoder.held(), 0);
    send(&mut encoder, &[0, 0]);
    assert!(encoder.held() > 0);
    encoder.rest();
    assert_eq!(encoder.held(), 0);
    assert_eq!(send(&mut encoder, &[0, 0]).len(), 3, "a rest between groups costs no parity");
    send(&mut encoder, &[0]);
    encoder.rest();
    assert_eq!(send(&mut encoder, &[0]).len(), 1, "a rest within a group costs its parity");
    assert_eq!(encoder.held(), 0);
    let mut fresh = Encoder::new(Shards::new(2, 1).unwrap(), mul_acc_scalar, 9);
    assert_eq!(send(&mut encoder, &[0, 0]), send(&mut fresh, &[0, 0]));
}

#[test]
fn other_shards_begin_a_group_of_their_own_behind_all_frames_so_far() {
    let (three, five) = (Shards::new(10, 3).unwrap(), Shards::new(5, 2).unwrap());
    for (sent, first) in [(0, 0), (1, 7), (7, 7), (8, 14), (10, 14), (11, 14), (12, 21)] {
        let mut encoder = Encoder::new(three, mul_acc_scalar, 0);
        send(&mut encoder, &vec![3; sent]);
        encoder.change(five);
        let mut fresh = Encoder::new(five, mul_acc_scalar, first);
        assert_eq!(send(&mut encoder, &[1; 12]), send(&mut fresh, &[1; 12]), "after {sent}");
    }
    let mut last = Encoder::new(three, mul_acc_scalar, three.paws() - 1);
    last.change(Shards::new(200, 56).unwrap());
    assert_eq!(seqid(&send(&mut last, &[0])[0]), 0, "there is no whole group up to the wrap");
}

#[test]
fn nothing_is_allocated_after_the_first_group() {
    let mut encoder = Encoder::new(Shards::new(10, 3).unwrap(), mul_acc_scalar, 0);
    send(&mut encoder, &[0; 10]);
    let held = encoder.held();
    assert!(held < 3 * 64 + 200, "{held} bytes for 3 shards of up to 12 bytes");
    send(&mut encoder, &[1; 1000]);
    assert_eq!(encoder.held(), held);
}

#[test]
fn a_datagram_without_room_for_a_header_is_left_alone() {
    let mut encoder = Encoder::new(Shards::new(2, 1).unwrap(), mul_acc_scalar, 0);
    for len in [0, 1, 5, 6, 7, 6 + 65_536, 70_000] {
        let mut datagram = vec![9; len];
        encoder.data(Tick(0), &mut datagram);
        assert!(datagram.iter().all(|&byte| byte == 9), "{len}");
    }
    assert_eq!(seqid(&send(&mut encoder, &[0])[0]), 0);
}

/// Sends a small datagram after each wait, and returns all frames with the parity between them.
fn send(encoder: &mut Encoder, waits: &[u64]) -> Vec<Vec<u8>> {
    let mut now = encoder.last.map_or(1, |last| last.0);
    let mut out = Outbox::default();
    let mut frames = Vec::new();
    for (index, wait) in waits.iter().enumerate() {
        now += wait;
        let mut frame = vec![index as u8; HEADER + 1 + index % 4];
        encoder.data(Tick(now), &mut frame);
        frames.push(frame);
        out.clear();
        encoder.parity(&mut out, 0, true);
        frames.extend(out.iter().map(<[u8]>::to_vec));
    }
    frames
}

fn seqid(frame: &[u8]) -> u32 {
    u32::from_le_bytes(*frame.first_chunk::<4>().unwrap())
}
