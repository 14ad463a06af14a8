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
