//! Two table look-ups a byte, on any machine.

use super::HALVES;

/// Does `dst ^= coefficient * src`.
pub(super) fn mul_acc(coefficient: u8, src: &[u8], dst: &mut [u8]) {
    let halves = &HALVES[usize::from(coefficient)];
    for (to, from) in dst.iter_mut().zip(src) {
        *to ^= halves.low[usize::from(from & 15)] ^ halves.high[usize::from(from >> 4)];
    }
}
