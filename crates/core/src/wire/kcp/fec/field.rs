//! Arithmetic in GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11D), where 2 generates all but zero.

/// The order of the group: logarithms are taken modulo this.
const ORDER: u16 = 255;

const EXP: [u8; 255] = TABLES.0;
const LOG: [u8; 256] = TABLES.1;

const TABLES: ([u8; 255], [u8; 256]) = {
    let mut exp = [0u8; 255];
    let mut log = [0u8; 256];
    let mut value = 1u16;
    let mut power = 0u8;
    while power < 255 {
        exp[power as usize] = value as u8;
        log[value as usize] = power;
        value <<= 1;
        if value & 0x100 != 0 {
            value ^= 0x11d;
        }
        power += 1;
    }
    (exp, log)
};

/// A non-zero element as a power of 2, so that products are sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Log(u8);

impl Log {
    /// One, the product of nothing.
    pub(super) const ONE: Log = Log(0);

    /// The logarithm of an element; zero has none.
    pub(super) fn of(element: u8) -> Option<Self> {
        (element != 0).then_some(Log(LOG[usize::from(element)]))
    }

    /// The product of both.
    pub(super) fn times(self, other: Self) -> Self {
        Log(((u16::from(self.0) + u16::from(other.0)) % ORDER) as u8)
    }

    /// The quotient of both.
    pub(super) fn over(self, other: Self) -> Self {
        Log(((u16::from(self.0) + ORDER - u16::from(other.0)) % ORDER) as u8)
    }

    /// The element.
    pub(super) fn element(self) -> u8 {
        EXP[usize::from(self.0) % EXP.len()]
    }
}

/// The product of two elements.
fn product(a: u8, b: u8) -> u8 {
    match (Log::of(a), Log::of(b)) {
        (Some(a), Some(b)) => a.times(b).element(),
        _ => 0,
    }
}

/// Does `dst ^= coefficient * src` without any help of the machine: the measure of all faster ones.
///
/// Only the bytes both have take part: the rest of the longer one is left alone.
pub fn mul_acc_scalar(coefficient: u8, src: &[u8], dst: &mut [u8]) {
    // Multiplication is linear: the product of a byte is the sum of the products of its two halves.
    let low: [u8; 16] = std::array::from_fn(|half| product(coefficient, half as u8));
    let high: [u8; 16] = std::array::from_fn(|half| product(coefficient, (half as u8) << 4));
    for (to, from) in dst.iter_mut().zip(src) {
        *to ^= low[usize::from(from & 15)] ^ high[usize::from(from >> 4)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiplication_is_that_of_polynomials_for_all_pairs() {
        for a in 0..=255u8 {
            let src: Vec<u8> = (0..=255).collect();
            let mut dst = vec![0u8; 256];
            mul_acc_scalar(a, &src, &mut dst);
            for b in 0..=255u8 {
                assert_eq!(product(a, b), by_hand(a, b), "{a} * {b}");
                assert_eq!(dst[usize::from(b)], by_hand(a, b), "{a} * {b}");
            }
        }
    }

    #[test]
    fn a_quotient_times_the_divisor_is_the_dividend() {
        for a in 1..=255u8 {
            for b in 1..=255u8 {
                let (Some(dividend), Some(divisor)) = (Log::of(a), Log::of(b)) else { continue };
                assert_eq!(product(dividend.over(divisor).element(), b), a);
            }
        }
        assert_eq!(Log::of(0), None);
    }

    #[test]
    fn only_the_bytes_both_have_take_part() {
        let mut dst = [1, 2, 3];
        mul_acc_scalar(1, &[1, 2], &mut dst);
        assert_eq!(dst, [0, 0, 3]);
        mul_acc_scalar(1, &[0, 0, 3, 9], &mut dst);
        assert_eq!(dst, [0, 0, 0]);
    }

    fn by_hand(a: u8, b: u8) -> u8 {
        let mut sum = 0u16;
        for bit in 0..8 {
            if b >> bit & 1 == 1 {
                sum ^= u16::from(a) << bit;
            }
        }
        for bit in (8..16).rev() {
            if sum >> bit & 1 == 1 {
                sum ^= 0x11d << (bit - 8);
            }
        }
        sum as u8
    }
}
