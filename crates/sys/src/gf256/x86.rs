//! x86-64: an 8 by 8 bit matrix for every byte (GFNI) where there is that, else a shuffle as table (AVX2, SSSE3).
//!
//! No 512 bits: shards do not begin at cache lines, so each access would cross one; measured, that is a fifth slower.

use std::arch::x86_64::*;

use super::{HALVES, Kernel, product, scalar};

/// Multiplication by each coefficient as the bit matrix of `gf2p8affineqb`. (`gf2p8mulb` is for the polynomial
/// 0x11B and of no use here.) 2 KiB.
static MATRICES: [u64; 256] = {
    let mut matrices = [0; 256];
    let mut coefficient = 0;
    while coefficient < 256 {
        matrices[coefficient] = matrix(coefficient as u8);
        coefficient += 1;
    }
    matrices
};

/// Bit `j` of the row for bit `i` says whether bit `i` of `coefficient * 2^j` is set; the row for bit 0 is the
/// highest byte (Intel SDM, GF2P8AFFINEQB).
const fn matrix(coefficient: u8) -> u64 {
    let mut matrix = 0;
    let mut column = 0;
    while column < 8 {
        let image = product(coefficient, 1 << column);
        let mut row = 0;
        while row < 8 {
            if image >> row & 1 == 1 {
                matrix |= 1 << ((7 - row) * 8 + column);
            }
            row += 1;
        }
        column += 1;
    }
    matrix
}

/// What this machine has, fastest first.
pub(super) fn kernels() -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = Vec::new();
    if is_x86_feature_detected!("gfni") && is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has just been asked for every feature the kernel is compiled with.
        kernels.push(("gfni", |coefficient, src, dst| unsafe { gfni(coefficient, src, dst) }));
    }
    if is_x86_feature_detected!("avx2") {
        // SAFETY: as above.
        kernels.push(("avx2", |coefficient, src, dst| unsafe { avx2(coefficient, src, dst) }));
    }
    if is_x86_feature_detected!("ssse3") {
        // SAFETY: as above.
        kernels.push(("ssse3", |coefficient, src, dst| unsafe { ssse3(coefficient, src, dst) }));
    }
    kernels
}

#[target_feature(enable = "gfni,avx2")]
fn gfni(coefficient: u8, src: &[u8], dst: &mut [u8]) {
    let matrix = _mm256_set1_epi64x(MATRICES[usize::from(coefficient)].cast_signed());
    let both = src.len().min(dst.len());
    let (src, src_rest) = src[..both].as_chunks::<32>();
    let (dst, dst_rest) = dst[..both].as_chunks_mut::<32>();
    for (from, to) in src.iter().zip(dst) {
        // SAFETY: both are 32 bytes long, and neither access asks for alignment.
        unsafe {
            let made = _mm256_gf2p8affine_epi64_epi8::<0>(_mm256_loadu_si256(from.as_ptr().cast()), matrix);
            let sum = _mm256_xor_si256(made, _mm256_loadu_si256(to.as_ptr().cast()));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), sum);
        }
    }
    scalar::mul_acc(coefficient, src_rest, dst_rest);
}

#[target_feature(enable = "avx2")]
fn avx2(coefficient: u8, src: &[u8], dst: &mut [u8]) {
    let halves = &HALVES[usize::from(coefficient)];
    // SAFETY: both tables are 16 bytes long, and neither access asks for alignment.
    let (low, high) = unsafe {
        (_mm_loadu_si128(halves.low.as_ptr().cast()), _mm_loadu_si128(halves.high.as_ptr().cast()))
    };
    let (low, high) = (_mm256_broadcastsi128_si256(low), _mm256_broadcastsi128_si256(high));
    let nibble = _mm256_set1_epi8(15);
    let both = src.len().min(dst.len());
    let (src, src_rest) = src[..both].as_chunks::<32>();
    let (dst, dst_rest) = dst[..both].as_chunks_mut::<32>();
    for (from, to) in src.iter().zip(dst) {
        // SAFETY: both are 32 bytes long, and neither access asks for alignment.
        unsafe {
            let bytes = _mm256_loadu_si256(from.as_ptr().cast());
            let of_low = _mm256_shuffle_epi8(low, _mm256_and_si256(bytes, nibble));
            let of_high = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi64::<4>(bytes), nibble));
            let made = _mm256_xor_si256(of_low, of_high);
            let sum = _mm256_xor_si256(made, _mm256_loadu_si256(to.as_ptr().cast()));
            _mm256_storeu_si256(to.as_mut_ptr().cast(), sum);
        }
    }
    scalar::mul_acc(coefficient, src_rest, dst_rest);
}

#[target_feature(enable = "ssse3")]
fn ssse3(coefficient: u8, src: &[u8], dst: &mut [u8]) {
    let halves = &HALVES[usize::from(coefficient)];
    // SAFETY: both tables are 16 bytes long, and neither access asks for alignment.
    let (low, high) = unsafe {
        (_mm_loadu_si128(halves.low.as_ptr().cast()), _mm_loadu_si128(halves.high.as_ptr().cast()))
    };
    let nibble = _mm_set1_epi8(15);
    let both = src.len().min(dst.len());
    let (src, src_rest) = src[..both].as_chunks::<16>();
    let (dst, dst_rest) = dst[..both].as_chunks_mut::<16>();
    for (from, to) in src.iter().zip(dst) {
        // SAFETY: both are 16 bytes long, and neither access asks for alignment.
        unsafe {
            let bytes = _mm_loadu_si128(from.as_ptr().cast());
            let of_low = _mm_shuffle_epi8(low, _mm_and_si128(bytes, nibble));
            let of_high = _mm_shuffle_epi8(high, _mm_and_si128(_mm_srli_epi64::<4>(bytes), nibble));
            let sum = _mm_xor_si128(_mm_xor_si128(of_low, of_high), _mm_loadu_si128(to.as_ptr().cast()));
            _mm_storeu_si128(to.as_mut_ptr().cast(), sum);
        }
    }
    scalar::mul_acc(coefficient, src_rest, dst_rest);
}
