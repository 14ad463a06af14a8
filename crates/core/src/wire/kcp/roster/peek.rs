//! What a roster reads of segments: no more than it needs to say whose they are.

use crate::wire::kcp::segment::{self, Command, HEADER};

/// What the segments of a stranger say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Says {
    /// A stream begins: there is a PUSH with sn < 32.
    pub(super) opens: bool,
    /// A peer that has received nothing yet asks for the window. One that has received something asks about a
    /// session that is lost: an answer would keep its hopes up.
    pub(super) asks: bool,
}

/// The first window of any peer that does not ask for more: whoever waits for nothing may begin with as many.
const OPENING_SN: u32 = 32;

/// The conv of the first segment, if there is one.
pub(super) fn conv(segments: &[u8]) -> Option<u32> {
    let header: &[u8; HEADER] = segments.first_chunk()?;
    header.first_chunk().copied().map(u32::from_le_bytes)
}

/// What well-formed segments of one conv say; none when they are not that.
pub(super) fn says(segments: &[u8]) -> Option<Says> {
    let conv = conv(segments)?;
    let mut says = Says::default();
    for segment in segment::segments(segments) {
        let segment = segment.ok().filter(|segment| segment.conv == conv)?;
        match segment.command {
            Command::Push => says.opens |= segment.sn < OPENING_SN,
            Command::WindowAsk => says.asks |= segment.una == 0,
            Command::Ack | Command::WindowTell => {}
        }
    }
    Some(says)
}
