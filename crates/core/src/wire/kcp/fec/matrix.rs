//! The coefficients by which shards make other shards.
//!
//! klauspost's default matrix (Backblaze's construction) is the Vandermonde matrix `V[r][c] = r^c` times the
//! inverse of its top square. To multiply by that inverse is to find the polynomial that has the data as its
//! values at 0, 1, 2, …; to multiply by `V` is to evaluate it again. So shard `r` is the value at `r`, whether
//! data or parity, and any `data` shards give any other by Lagrange's interpolation: nothing is inverted, for
//! encoding or for decoding. (Reed and Solomon, "Polynomial codes over certain finite fields", 1960.)

use super::field::Log;

/// Lagrange's weights for the places whose shards are known.
#[derive(Debug)]
pub(super) struct Basis {
    places: Vec<u8>,
    /// For each place the product of its differences from all others.
    weights: Vec<Log>,
}

impl Basis {
    /// Prepares for the shards at `places`, which differ from each other. Time: the square of their number.
    pub(super) fn new(places: Vec<u8>) -> Self {
        let weights = places.iter().map(|&place| differences(&places, place)).collect();
        Self { places, weights }
    }

    /// What each known shard is multiplied with so that the sum is the shard at `place`, in the order of places.
    ///
    /// `place` is none of the known ones.
    pub(super) fn row(&self, place: u8) -> impl Iterator<Item = u8> {
        let all = differences(&self.places, place);
        self.places.iter().zip(&self.weights).map(move |(&known, &weight)| {
            // In this field the difference of two elements is their exclusive or.
            Log::of(place ^ known).map_or(1, |own| all.over(own).over(weight).element())
        })
    }
}

/// The product of the differences of `place` from all `places` but itself.
fn differences(places: &[u8], place: u8) -> Log {
    places.iter().filter_map(|&other| Log::of(place ^ other)).fold(Log::ONE, Log::times)
}
