//! Salsa20/20 (D. J. Bernstein, "Salsa20 specification", 2005) as kcp-go lays it over a datagram.

use super::{KeyError, xor};

/// The part of a datagram that stays in clear and is the nonce.
const NONCE: usize = 8;
const BLOCK: usize = 64;
/// Blocks that are made side by side, so that the compiler finds its vectors.
const LANES: usize = 8;
const SPAN: usize = LANES * BLOCK;
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// One word of each of the blocks that are made side by side.
type Words = [u32; LANES];

/// Salsa20 with its key.
pub(super) struct Salsa20 {
    /// The state, with zeros where nonce and counter go.
    state: [u32; 16],
}

impl Salsa20 {
    /// Prepares a key of 32 bytes.
    pub(super) fn new(key: &[u8]) -> Result<Self, KeyError> {
        let (words, []) = key.as_chunks::<4>() else { return Err(KeyError::Refused) };
        let [k0, k1, k2, k3, k4, k5, k6, k7] = words else { return Err(KeyError::Refused) };
        let [c0, c1, c2, c3] = CONSTANTS;
        let [k0, k1, k2, k3, k4, k5, k6, k7] =
            [k0, k1, k2, k3, k4, k5, k6, k7].map(|word| u32::from_le_bytes(*word));
        Ok(Self { state: [c0, k0, k1, k2, k3, c1, 0, 0, 0, 0, c2, k4, k5, k6, k7, c3] })
    }

    /// Hides or uncovers what is behind the first 8 bytes, with these as the nonce.
    pub(super) fn apply(&self, datagram: &mut [u8]) {
        let Some((nonce, rest)) = datagram.split_first_chunk_mut::<NONCE>() else { return };
        let [low, high] = halves(u64::from_le_bytes(*nonce));
        let mut state = self.state;
        state[6] = low;
        state[7] = high;
        for (span, count) in rest.chunks_mut(SPAN).zip(0u64..) {
            xor(span, &keystream(&state, count * LANES as u64));
        }
    }
}

/// The key stream of `LANES` blocks from block `counter` on.
fn keystream(state: &[u32; 16], counter: u64) -> [u8; SPAN] {
    let mut start = state.map(|word| [word; LANES]);
    let counters: [u64; LANES] = std::array::from_fn(|lane| counter + lane as u64);
    start[8] = counters.map(|counter| halves(counter)[0]);
    start[9] = counters.map(|counter| halves(counter)[1]);
    let mut x = start;
    for _ in 0..10 {
        // A column round, then a row round.
        for [a, b, c, d] in [[0, 4, 8, 12], [5, 9, 13, 1], [10, 14, 2, 6], [15, 3, 7, 11]] {
            quarter(&mut x, a, b, c, d);
        }
        for [a, b, c, d] in [[0, 1, 2, 3], [5, 6, 7, 4], [10, 11, 8, 9], [15, 12, 13, 14]] {
            quarter(&mut x, a, b, c, d);
        }
    }
    let mut stream = [0; SPAN];
    let (blocks, _) = stream.as_chunks_mut::<BLOCK>();
    for (word, (mixed, start)) in x.iter().zip(&start).enumerate() {
        for (lane, block) in blocks.iter_mut().enumerate() {
            let sum = mixed[lane].wrapping_add(start[lane]);
            block[4 * word..4 * word + 4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    stream
}

fn quarter(x: &mut [Words; 16], a: usize, b: usize, c: usize, d: usize) {
    mix(x, b, [a, d], 7);
    mix(x, c, [b, a], 9);
    mix(x, d, [c, b], 13);
    mix(x, a, [d, c], 18);
}

#[inline(always)]
fn mix(x: &mut [Words; 16], into: usize, from: [usize; 2], turn: u32) {
    let (left, right) = (x[from[0]], x[from[1]]);
    for (word, (left, right)) in x[into].iter_mut().zip(left.iter().zip(&right)) {
        *word ^= left.wrapping_add(*right).rotate_left(turn);
    }
}

/// The low and the high half.
fn halves(word: u64) -> [u32; 2] {
    let (low, high) = (word as u32, (word >> 32) as u32);
    [low, high]
}
