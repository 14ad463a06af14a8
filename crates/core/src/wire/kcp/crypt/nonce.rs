//! Nonces: never the same twice.

use super::NONCE;

/// Bits of a lane's count; the lane stands above them.
const COUNT_BITS: u32 = 48;

/// A row of nonces for [`super::Crypt::seal`], of which no two share their first 8 bytes.
///
/// Random ones of 8 bytes would meet after some 2^32 datagrams, which is an hour of a busy gateway; a count
/// cannot. It is run through a permutation that the seed chooses, so that it does not show how much was sent.
/// That is mixing and not encryption: a nonce has to be unique, not secret. Two processes meet no sooner than
/// random nonces would, as each has a seed of its own.
#[derive(Clone)]
pub struct NonceSource {
    permutation: Mixer,
    filler: Mixer,
    lane: u64,
    count: u64,
}

impl NonceSource {
    /// Begins a row. `seed` is 32 random bytes, drawn once for a process; all who send take the same and each
    /// a `lane` of its own, then none of them meet. A lane has 2^48 nonces: nine years of a million a second.
    #[must_use]
    pub fn new(seed: &[u8; 32], lane: u16) -> Self {
        let mut words = seed.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let mut next = || words.next().unwrap_or_default();
        let permutation = Mixer { add: next(), multiply: next() | 1 };
        let filler = Mixer { add: next(), multiply: next() | 1 };
        Self { permutation, filler, lane: u64::from(lane) << COUNT_BITS, count: 0 }
    }

    /// The next one.
    pub fn draw(&mut self) -> [u8; NONCE] {
        let place = self.lane | self.count;
        self.count = (self.count + 1) & ((1 << COUNT_BITS) - 1);
        let unique = u128::from(self.permutation.mix(place));
        let filler = u128::from(self.filler.mix(place));
        (filler << 64 | unique).to_le_bytes()
    }
}

impl std::fmt::Debug for NonceSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NonceSource").field("lane", &(self.lane >> COUNT_BITS)).finish_non_exhaustive()
    }
}

/// A permutation of 64 bits: a Feistel network of four rounds, whatever its round function does.
#[derive(Clone)]
struct Mixer {
    add: u64,
    multiply: u64,
}

impl Mixer {
    fn mix(&self, word: u64) -> u64 {
        let (mut left, mut right) = ((word >> 32) as u32, word as u32);
        for round in 0..4 {
            (left, right) = (right, left ^ self.round(right, round));
        }
        u64::from(left) << 32 | u64::from(right)
    }

    fn round(&self, half: u32, round: u32) -> u32 {
        let product =
            u128::from(self.add.rotate_left(16 * round) ^ u64::from(half)) * u128::from(self.multiply);
        let folded = (product >> 64) as u64 ^ product as u64;
        (folded >> 32) as u32 ^ folded as u32
    }
}
