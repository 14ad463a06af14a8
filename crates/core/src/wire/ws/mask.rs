//! Masking (RFC 6455 section 5.3): XOR with four bytes repeated, in place.

/// Masks or unmasks `bytes`, the first of which meets `mask[0]`; returns the mask as the next byte meets it.
#[must_use = "the next part of the same frame goes on with the turned mask"]
pub fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) -> [u8; 4] {
    let [a, b, c, d] = mask;
    let wide = [a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d];
    // Whole blocks of fixed size become vector instructions whatever the alignment.
    let (blocks, rest) = bytes.as_chunks_mut::<16>();
    for block in blocks {
        for (byte, key) in block.iter_mut().zip(wide) {
            *byte ^= key;
        }
    }
    for (byte, key) in rest.iter_mut().zip(wide) {
        *byte ^= key;
    }
    let mut turned = mask;
    turned.rotate_left(rest.len() % 4);
    turned
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn any_offset_and_any_length_give_what_the_rule_gives() {
        let mask = [0x11, 0x22, 0x44, 0x88];
        let plain: Vec<u8> = (0..=255).collect();
        for start in 0..20 {
            for len in 0..80 {
                let part = &plain[start..start + len];
                let want: Vec<u8> = part.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
                for cut in 0..=len {
                    let mut got = part.to_vec();
                    let (head, tail) = got.split_at_mut(cut);
                    let turned = apply_mask(head, mask);
                    let end = apply_mask(tail, turned);
                    assert_eq!(got, want, "start {start} length {len} cut {cut}");
                    assert_eq!(end, std::array::from_fn(|i| mask[(i + len) % 4]), "length {len} cut {cut}");
                }
            }
        }
    }
}
