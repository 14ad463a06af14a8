//! Multiplication in GF(2^8) with the polynomial 0x11D, as fast as this machine does it.
//!
//! Every kernel does `dst ^= coefficient * src` for the bytes both slices have. They are told apart by speed
//! only: the tests hold each one this machine has to the scalar one.

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

/// Does `dst ^= coefficient * src`; the rest of the longer slice is left alone.
pub type MulAcc = fn(coefficient: u8, src: &[u8], dst: &mut [u8]);

/// A kernel's name and the kernel.
pub type Kernel = (&'static str, MulAcc);

/// The fastest kernel of this machine. The first call asks the processor.
#[must_use]
pub fn mul_acc() -> MulAcc {
    static BEST: OnceLock<MulAcc> = OnceLock::new();
    *BEST.get_or_init(|| kernels().first().map_or(scalar::mul_acc, |&(_, kernel)| kernel))
}

/// All kernels this machine can run, fastest first, the scalar one last.
#[must_use]
pub fn kernels() -> Vec<Kernel> {
    #[cfg(target_arch = "x86_64")]
    let mut kernels = x86::kernels();
    #[cfg(target_arch = "aarch64")]
    let mut kernels = neon::kernels();
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let mut kernels: Vec<Kernel> = Vec::new();
    kernels.push(("scalar", scalar::mul_acc));
    kernels
}

/// The product of two elements, bit by bit: for tables only.
const fn product(a: u8, b: u8) -> u8 {
    let mut sum = 0;
    let mut shifted = a;
    let mut bit = 0;
    while bit < 8 {
        if b >> bit & 1 == 1 {
            sum ^= shifted;
        }
        let carry = shifted >> 7;
        shifted = (shifted << 1) ^ (carry * 0x1d);
        bit += 1;
    }
    sum
}

/// A coefficient's products with the 16 low halves of a byte and with its 16 high halves: multiplication is
/// linear, so the product of a byte is the sum of those of its halves.
#[repr(align(32))]
struct Halves {
    low: [u8; 16],
    high: [u8; 16],
}

/// Indexed by coefficient, 8 KiB.
static HALVES: [Halves; 256] = {
    let mut tables = [const { Halves { low: [0; 16], high: [0; 16] } }; 256];
    let mut coefficient = 0;
    while coefficient < 256 {
        let mut half = 0;
        while half < 16 {
            tables[coefficient].low[half] = product(coefficient as u8, half as u8);
            tables[coefficient].high[half] = product(coefficient as u8, (half as u8) << 4);
            half += 1;
        }
        coefficient += 1;
    }
    tables
};

#[cfg(test)]
mod tests;
