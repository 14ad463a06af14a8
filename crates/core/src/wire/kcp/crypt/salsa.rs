//! Salsa20/20 (D. J. Bernstein, "Salsa20 specification", 2005) as kcp-go lays it over a datagram.

use super::{KeyError, xor};

/// The part of a datagram that stays in clear and is the nonce.
const NONCE: usize = 8;
const BLOCK: usize = 64;
/// Blocks that are made side by side in vectors. Up to `NARROW` bytes it is cheaper to make one at a time.
const LANES: usize = 16;
const NARROW: usize = 5 * BLOCK;
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Salsa20 with its key.
pub(super) struct Salsa20 {
    /// The state, with zeros where nonce and counter go.
    state: [u32; 16],
}

impl Salsa20 {
    /// Prepares a key of 32 bytes.
    pub(super) fn new(key: &[u8]) -> Result<Self, KeyError> {
        let (words, []) = key.as_chunks::<4>() else { return Err(KeyError::Refused) };
        let words: &[[u8; 4]; 8] = words.try_into().map_err(|_| KeyError::Refused)?;
        let [k0, k1, k2, k3, k4, k5, k6, k7] = words.map(u32::from_le_bytes);
        let [c0, c1, c2, c3] = CONSTANTS;
        Ok(Self { state: [c0, k0, k1, k2, k3, c1, 0, 0, 0, 0, c2, k4, k5, k6, k7, c3] })
    }

    /// Hides or uncovers what is behind the first 8 bytes, with these as the nonce.
    pub(super) fn apply(&self, datagram: &mut [u8]) {
        let Some((nonce, mut rest)) = datagram.split_first_chunk_mut::<NONCE>() else { return };
        let mut state = self.state;
        [state[6], state[7]] = halves(u64::from_le_bytes(*nonce));
        let mut counter = 0;
        while !rest.is_empty() {
            let lanes = if rest.len() > NARROW { LANES } else { 1 };
            let (span, behind) = rest.split_at_mut(rest.len().min(lanes * BLOCK));
            if lanes == 1 {
                xor(span, keystream::<1>(&state, counter).as_flattened());
            } else {
                xor(span, keystream::<LANES>(&state, counter).as_flattened());
            }
            counter += lanes as u64;
            rest = behind;
        }
    }
}

/// The key stream of `N` blocks from block `counter` on.
fn keystream<const N: usize>(state: &[u32; 16], counter: u64) -> [[u8; BLOCK]; N] {
    let counters: [[u32; 2]; N] = std::array::from_fn(|lane| halves(counter + lane as u64));
    let mut start = state.map(|word| [word; N]);
    start[8] = counters.map(|[low, _]| low);
    start[9] = counters.map(|[_, high]| high);
    let mut mixed = start;
    for _ in 0..10 {
        double_round(&mut mixed);
    }
    let mut stream = [[0; BLOCK]; N];
    for (place, (mixed, start)) in mixed.iter().zip(&start).enumerate() {
        for (block, (mixed, start)) in stream.iter_mut().zip(mixed.iter().zip(start)) {
            block[4 * place..4 * place + 4].copy_from_slice(&mixed.wrapping_add(*start).to_le_bytes());
        }
    }
    stream
}

/// A column round and a row round, in each block by itself: a loop that the compiler turns into vectors, if the
/// places in it are constants.
fn double_round<const N: usize>(x: &mut [[u32; N]; 16]) {
    for lane in 0..N {
        let mut words = x.each_ref().map(|word| word[lane]);
        quarter::<0, 4, 8, 12>(&mut words);
        quarter::<5, 9, 13, 1>(&mut words);
        quarter::<10, 14, 2, 6>(&mut words);
        quarter::<15, 3, 7, 11>(&mut words);
        quarter::<0, 1, 2, 3>(&mut words);
        quarter::<5, 6, 7, 4>(&mut words);
        quarter::<10, 11, 8, 9>(&mut words);
        quarter::<15, 12, 13, 14>(&mut words);
        for (word, mixed) in x.iter_mut().zip(words) {
            word[lane] = mixed;
        }
    }
}

#[inline(always)]
fn quarter<const A: usize, const B: usize, const C: usize, const D: usize>(x: &mut [u32; 16]) {
    x[B] ^= x[A].wrapping_add(x[D]).rotate_left(7);
    x[C] ^= x[B].wrapping_add(x[A]).rotate_left(9);
    x[D] ^= x[C].wrapping_add(x[B]).rotate_left(13);
    x[A] ^= x[D].wrapping_add(x[C]).rotate_left(18);
}

/// The low and the high half.
fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}
