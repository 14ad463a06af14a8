//! The checksum of a PROXY header: CRC-32C (Castagnoli; RFC 3720 appendix B.4 has vectors).

/// The polynomial, its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Returns the checksum of `parts`, one after the other. A header is short and rare: bit by bit will do.
pub(super) fn crc32c(parts: [&[u8]; 3]) -> u32 {
    let mut crc = u32::MAX;
    for byte in parts.into_iter().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_3720_hold() {
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        let rows: &[(&[u8], u32)] = &[
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&rising, 0x46dd_794e),
            (&falling, 0x113f_db5c),
            (b"123456789", 0xe306_9283),
            (b"", 0),
        ];
        for (bytes, want) in rows {
            assert_eq!(crc32c([bytes, &[], &[]]), *want, "{bytes:?}");
            let (one, rest) = bytes.split_at(bytes.len() / 3);
            assert_eq!(crc32c([one, &[], rest]), *want, "{bytes:?} in parts");
        }
    }
}
