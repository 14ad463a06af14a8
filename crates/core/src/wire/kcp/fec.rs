//! Forward error correction as kcp-go frames it: some parity datagrams after every few data datagrams.
//!
//! A frame is `seqid u32 | type u16` and then the shard: `size u16 | KCP bytes` in a data frame, the code's
//! output in a parity frame, all little endian. The code is the systematic Reed-Solomon code of klauspost's
//! default matrix (GF(2^8), polynomial 0x11D; `matrix` has why none is ever inverted). Shards of a
//! group are filled up with zeros to its longest; `size` is inside the code, so that a recovered shard knows
//! where it ends. Data leaves at once and is read at once: nothing here ever waits.

mod decoder;
mod detect;
mod encoder;
mod field;
mod matrix;
mod window;

use std::num::NonZeroU8;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use field::mul_acc_scalar;

/// Does `dst ^= coefficient * src` over GF(2^8) with the polynomial 0x11D.
///
/// Only the bytes both have take part: the rest of the longer one is left alone.
pub type MulAcc = fn(coefficient: u8, src: &[u8], dst: &mut [u8]);

/// Bytes in front of the KCP bytes of a data frame: seqid, type, size.
pub const HEADER: usize = 8;
/// Bytes in front of the shard: seqid and type.
const PREFIX: usize = 6;
/// The longest shard of which a copy is held, in bytes: no kcp-go peer takes a datagram above 1500 (`mtuLimit`).
const SHARD_MAX: usize = 1500;

const DATA: u16 = 0xf1;
const PARITY: u16 = 0xf2;
const OUT_OF_BAND: u16 = 0xf3;

/// How many data and parity shards make a group. Never none of either, never more than 256 together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shards {
    data: NonZeroU8,
    parity: NonZeroU8,
}

/// Why there is no code of so many shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShardsError {
    /// Without data or without parity there is nothing to do; off is another thing than a code.
    #[error("forward error correction needs at least one data and one parity shard (0/0 turns it off)")]
    None,
    /// The field has 256 elements, one for each shard.
    #[error("{data} data and {parity} parity shards are more than 256 together")]
    TooMany {
        /// Data shards asked for.
        data: u8,
        /// Parity shards asked for.
        parity: u8,
    },
}

impl Shards {
    /// A group of `data` and `parity` shards: at least one of each, at most 256 together.
    pub fn new(data: u8, parity: u8) -> Result<Self, ShardsError> {
        let (Some(some_data), Some(some_parity)) = (NonZeroU8::new(data), NonZeroU8::new(parity)) else {
            return Err(ShardsError::None);
        };
        if u16::from(data) + u16::from(parity) > 256 {
            return Err(ShardsError::TooMany { data, parity });
        }
        Ok(Self { data: some_data, parity: some_parity })
    }

    /// Data shards of a group.
    #[must_use]
    pub fn data(self) -> u8 {
        self.data.get()
    }

    /// Parity shards of a group.
    #[must_use]
    pub fn parity(self) -> u8 {
        self.parity.get()
    }

    /// Shards of a group, 2 to 256.
    fn group(self) -> u32 {
        u32::from(self.data()) + u32::from(self.parity())
    }

    /// Groups until the seqid begins again at 0.
    fn groups(self) -> u32 {
        u32::MAX / self.group()
    }

    /// The first seqid that is never used (kcp-go's `paws`): the greatest multiple of the group below 2^32.
    fn paws(self) -> u32 {
        self.groups() * self.group()
    }

    /// The number of the group and the place in it; `None` for a seqid that is never used.
    fn place(self, seqid: u32) -> Option<(u32, u8)> {
        let place = u8::try_from(seqid % self.group()).ok()?;
        (seqid < self.paws()).then_some((seqid / self.group(), place))
    }

    /// What the frame with this seqid must be.
    fn kind(self, seqid: u32) -> Kind {
        if seqid % self.group() < u32::from(self.data()) { Kind::Data } else { Kind::Parity }
    }
}

/// The two kinds of shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Parity,
}

/// What a datagram is, the cipher's header taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'b> {
    /// Segments without any framing, from a peer without error correction.
    Plain(&'b [u8]),
    /// Segments of a peer with error correction.
    Data {
        /// The frame's place among all of its sender.
        seqid: u32,
        /// The KCP bytes.
        segments: &'b [u8],
        /// What the code is over: the KCP bytes with the size in front, for [`Decoder::data`].
        shard: &'b [u8],
    },
    /// The code's output, for [`Decoder::parity`].
    Parity {
        /// The frame's place among all of its sender.
        seqid: u32,
        /// As long as the longest data shard of its group.
        shard: &'b [u8],
    },
    /// kcp-go's unreliable side channel (5.6.60 and later): not for the stream, and no sign of a session.
    OutOfBand,
}

/// Tells framed datagrams from bare ones (kcp-go's `packetInput`): one port serves peers of both sorts, because
/// the commands of a segment (81 to 84) stand where a frame has its type.
///
/// `None`: too short for what it claims to be, or a data frame whose size is not exactly that of the datagram.
#[must_use]
pub fn demux(datagram: &[u8]) -> Option<Frame<'_>> {
    let (prefix, shard) = datagram.split_first_chunk::<PREFIX>()?;
    let [a, b, c, d, low, high] = *prefix;
    let seqid = u32::from_le_bytes([a, b, c, d]);
    match u16::from_le_bytes([low, high]) {
        DATA => {
            let (size, segments) = shard.split_first_chunk::<2>()?;
            let exact = usize::from(u16::from_le_bytes(*size)) == shard.len();
            exact.then_some(Frame::Data { seqid, segments, shard })
        }
        PARITY => (shard.len() >= 2).then_some(Frame::Parity { seqid, shard }),
        OUT_OF_BAND => Some(Frame::OutOfBand),
        _ => Some(Frame::Plain(datagram)),
    }
}

/// Writes the six bytes in front of a shard.
fn prefix(seqid: u32, kind: Kind) -> [u8; PREFIX] {
    let [a, b, c, d] = seqid.to_le_bytes();
    let kind = match kind {
        Kind::Data => DATA,
        Kind::Parity => PARITY,
    };
    let [low, high] = kind.to_le_bytes();
    [a, b, c, d, low, high]
}

#[cfg(test)]
mod tests;
