//! aarch64: a table of 16 bytes in one register.

use std::arch::aarch64::*;

use super::{HALVES, Kernel, scalar};

/// What this machine has: NEON, as every aarch64 Linux has it.
pub(super) fn kernels() -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = Vec::new();
    if std::arch::is_aarch64_feature_detected!("neon") {
        // SAFETY: the processor has just been asked for the feature the kernel is compiled with.
        kernels.push(("neon", |coefficient, src, dst| unsafe { neon(coefficient, src, dst) }));
    }
    kernels
}

#[target_feature(enable = "neon")]
fn neon(coefficient: u8, src: &[u8], dst: &mut [u8]) {
    let halves = &HALVES[usize::from(coefficient)];
    // SAFETY: both tables are 16 bytes long.
    let (low, high) = unsafe { (vld1q_u8(halves.low.as_ptr()), vld1q_u8(halves.high.as_ptr())) };
    let both = src.len().min(dst.len());
    let (src, src_rest) = src[..both].as_chunks::<16>();
    let (dst, dst_rest) = dst[..both].as_chunks_mut::<16>();
    for (from, to) in src.iter().zip(dst) {
        // SAFETY: both are 16 bytes long, and neither access asks for alignment.
        unsafe {
            let bytes = vld1q_u8(from.as_ptr());
            let of_low = vqtbl1q_u8(low, vandq_u8(bytes, vdupq_n_u8(15)));
            let of_high = vqtbl1q_u8(high, vshrq_n_u8::<4>(bytes));
            vst1q_u8(to.as_mut_ptr(), veorq_u8(veorq_u8(of_low, of_high), vld1q_u8(to.as_ptr())));
        }
    }
    scalar::mul_acc(coefficient, src_rest, dst_rest);
}
