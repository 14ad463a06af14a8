//! Parity as the data goes by: each data shard is folded into every parity shard when it leaves.

use super::matrix::Basis;
use super::{Kind, MulAcc, PREFIX, Shards, prefix};
use crate::wheel::Tick;
use crate::wire::kcp::outbox::Outbox;

/// A group whose last data came this long after the one before, in milliseconds, gets no parity: it would come
/// after the retransmission (kcp-go's `maxFECEncodeLatency`).
const STALE: u64 = 500;

/// Frames data datagrams and makes the parity of every full group.
///
/// Holds `parity` shards of the longest datagram's length and `data * parity` coefficients from a group's first
/// datagram until [`Encoder::rest`]; nothing else is allocated. Data shards are not copied: the code is linear, and
/// zeros at the end of a shorter shard add nothing.
#[derive(Debug)]
pub struct Encoder {
    shards: Shards,
    mul_acc: MulAcc,
    /// The seqid of the next frame, always below `paws`.
    next: u32,
    /// Data shards of the current group so far.
    count: u8,
    /// When the last data frame was made.
    last: Option<Tick>,
    /// May the current group have parity?
    whole: bool,
    work: Option<Box<Work>>,
}

#[derive(Debug)]
struct Work {
    /// For data shard 0 its coefficient in each parity shard, then for data shard 1, …
    coefficients: Vec<u8>,
    /// The parity shards so far, each as long as the longest data shard so far.
    sums: Vec<Vec<u8>>,
}

impl Encoder {
    /// An encoder whose first group begins at `first_seqid`, or at the group border before it (kcp-go begins at 0).
    #[must_use]
    pub fn new(shards: Shards, mul_acc: MulAcc, first_seqid: u32) -> Self {
        let within = first_seqid % shards.paws();
        let next = within - within % shards.group();
        Self { shards, mul_acc, next, count: 0, last: None, whole: true, work: None }
    }

    /// The shards of a group.
    #[must_use]
    pub fn shards(&self) -> Shards {
        self.shards
    }

    /// Goes over to other shards: their first group begins behind every frame so far.
    pub fn change(&mut self, shards: Shards) {
        let behind = u64::from(self.next) + u64::from(shards.group() - 1);
        let first = u32::try_from(behind).unwrap_or(0);
        *self = Self::new(shards, self.mul_acc, first);
    }

    /// Writes the frame's header over the first [`HEADER`](super::HEADER) bytes of `datagram`, which has the KCP
    /// bytes behind them, and folds them into the group's parity. [`Encoder::parity`] is asked next.
    ///
    /// A datagram without room for the header, or above 65541 bytes, is left alone: it is no frame.
    pub fn data(&mut self, now: Tick, datagram: &mut [u8]) {
        let Some((head, shard)) = datagram.split_first_chunk_mut::<PREFIX>() else { return };
        let Ok(size) = u16::try_from(shard.len()) else { return };
        let Some(room) = shard.first_chunk_mut::<2>() else { return };
        if self.count == self.shards.data() {
            self.end_group();
        }
        *room = size.to_le_bytes();
        *head = prefix(self.next, Kind::Data);
        if self.count == 0 {
            self.whole = true;
        }
        if self.whole {
            self.fold(shard);
        }
        self.next = self.advanced(1);
        self.count += 1;
        if self.count == self.shards.data() {
            let gap = self.last.map_or(0, |last| now.0.saturating_sub(last.0));
            self.whole &= gap < STALE;
        }
        self.last = Some(now);
    }

    /// Adds the parity datagrams of a group that the last data made full to `out`, each behind `headroom` zero
    /// bytes, and returns how many.
    ///
    /// None while the group is not full; when its last two data frames were 500 ms or more apart; after a rest
    /// within it; when none is `wanted`. Their seqids pass unused then, and receivers know that.
    pub fn parity(&mut self, out: &mut Outbox, headroom: usize, wanted: bool) -> usize {
        if self.count != self.shards.data() {
            return 0;
        }
        let mut made = 0;
        if wanted && self.whole {
            let sums = self.work.as_ref().map_or(&[][..], |work| &work.sums);
            let mut seqid = self.next;
            for sum in sums {
                out.begin(headroom);
                out.push(&prefix(seqid, Kind::Parity));
                out.push(sum);
                out.finish();
                // A group never crosses the wrap, so this cannot pass `paws` within it.
                seqid = seqid.saturating_add(1);
                made += 1;
            }
        }
        self.end_group();
        made
    }

    /// Gives all memory back. A group that has begun gets no parity, its data goes on as before.
    pub fn rest(&mut self) {
        self.work = None;
        self.whole &= self.count == 0;
    }

    /// Bytes held on the heap.
    #[must_use]
    pub fn held(&self) -> usize {
        self.work.as_ref().map_or(0, |work| {
            let sums: usize = work.sums.iter().map(|sum| sum.capacity() + size_of::<Vec<u8>>()).sum();
            size_of::<Work>() + work.coefficients.capacity() + sums
        })
    }

    fn fold(&mut self, shard: &[u8]) {
        let work = self.work.get_or_insert_with(|| Box::new(Work::new(self.shards)));
        let parity = usize::from(self.shards.parity());
        let column = work.coefficients.chunks_exact(parity).nth(usize::from(self.count)).unwrap_or_default();
        for (sum, &coefficient) in work.sums.iter_mut().zip(column) {
            if sum.len() < shard.len() {
                sum.resize(shard.len(), 0);
            }
            (self.mul_acc)(coefficient, shard, sum);
        }
    }

    fn end_group(&mut self) {
        self.next = self.advanced(u32::from(self.shards.parity()));
        self.count = 0;
        for sum in self.work.iter_mut().flat_map(|work| &mut work.sums) {
            sum.clear();
        }
    }

    /// The seqid `by` frames on; at `paws` it begins again at 0.
    fn advanced(&self, by: u32) -> u32 {
        // Below `paws` both, and `paws` leaves less than a group to 2^32: only a whole group can reach it.
        (u64::from(self.next) + u64::from(by))
            .checked_rem(u64::from(self.shards.paws()))
            .map_or(0, |next| next as u32)
    }
}

impl Work {
    fn new(shards: Shards) -> Self {
        let (data, parity) = (usize::from(shards.data()), usize::from(shards.parity()));
        let basis = Basis::new((0..shards.data()).collect());
        let mut coefficients = vec![0; data * parity];
        for row in 0..shards.parity() {
            // At most 255: data and parity are 256 together at most.
            let place = shards.data().saturating_add(row);
            let column = coefficients.iter_mut().skip(usize::from(row)).step_by(parity);
            for (to, coefficient) in column.zip(basis.row(place)) {
                *to = coefficient;
            }
        }
        Self { coefficients, sums: vec![Vec::new(); parity] }
    }
}

#[cfg(test)]
mod tests;
