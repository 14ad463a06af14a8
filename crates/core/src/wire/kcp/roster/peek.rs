//! What a roster reads of segments: no more than it needs to say whose they are.

/// What the segments of a stranger say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Says {
    /// A stream begins: there is a PUSH with sn < 32.
    pub(super) opens: bool,
    /// A peer that has received nothing yet asks for the window. One that has received something asks about a
    /// session that is lost: an answer would keep its hopes up.
    pub(super) asks: bool,
}

/// conv u32, command u8, fragment u8, window u16, ts u32, sn u32, una u32, length u32.
const HEADER: usize = 24;
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
    let mut rest = segments;
    while let Some((header, after)) = rest.split_first_chunk::<HEADER>() {
        let word = |at: usize| header.get(at..)?.first_chunk().copied().map(u32::from_le_bytes);
        (word(0)? == conv).then_some(())?;
        match header[4] {
            81 => says.opens |= word(12)? < OPENING_SN,
            82 | 84 => {}
            83 => says.asks |= word(16)? == 0,
            _ => return None,
        }
        rest = after.get(usize::try_from(word(20)?).ok()?..)?;
    }
    Some(says)
}
