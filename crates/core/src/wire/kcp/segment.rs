//! The segment: 24 bytes of header, little endian, then payload.
//!
//! ```text
//! conv u32 | cmd u8 | frg u8 | wnd u16 | ts u32 | sn u32 | una u32 | len u32 | payload
//! ```
//!
//! A datagram carries one segment or more. There is no version, no checksum and no end of a stream.

use super::outbox::Outbox;

#[cfg(test)]
mod tests;

/// The header's length, in bytes.
pub const HEADER: usize = 24;

/// The least window around, in segments: kcp-go's default.
pub(super) const WINDOW_LEAST: u16 = 32;

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Command {
    /// Carries payload.
    Push = 81,
    /// Says that the PUSH of this `sn` arrived, and gives its `ts` back.
    Ack = 82,
    /// Asks for the peer's window.
    WindowAsk = 83,
    /// Tells the window, which every other segment does as well.
    WindowTell = 84,
}

impl Command {
    fn from_wire(byte: u8) -> Option<Self> {
        Some(match byte {
            81 => Self::Push,
            82 => Self::Ack,
            83 => Self::WindowAsk,
            84 => Self::WindowTell,
            _ => return None,
        })
    }
}

/// One segment of a datagram, its payload where it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'b> {
    /// The conversation, chosen by whoever dialled; the same both ways.
    pub conv: u32,
    /// What it is for.
    pub command: Command,
    /// How many fragments of a message are still to come; 0 in a stream.
    pub fragment: u8,
    /// How many segments the sender of this has room for.
    pub window: u16,
    /// When it was sent, in milliseconds of the sender's own clock; an ACK gives back what it answers.
    pub ts: u32,
    /// The number of a PUSH, or of what an ACK answers.
    pub sn: u32,
    /// Every PUSH before this number has arrived.
    pub una: u32,
    /// What a PUSH carries.
    pub payload: &'b [u8],
}

impl Segment<'_> {
    /// Adds it to the datagram that `out` has begun.
    pub fn write(&self, out: &mut Outbox) {
        out.push(&self.header(self.payload.len()));
        out.push(self.payload);
    }

    /// Its header, for a payload of `len` bytes that is written by other means.
    pub(super) fn header(&self, len: usize) -> [u8; HEADER] {
        let [c0, c1, c2, c3] = self.conv.to_le_bytes();
        let [w0, w1] = self.window.to_le_bytes();
        let [t0, t1, t2, t3] = self.ts.to_le_bytes();
        let [s0, s1, s2, s3] = self.sn.to_le_bytes();
        let [u0, u1, u2, u3] = self.una.to_le_bytes();
        let [l0, l1, l2, l3] = (len as u32).to_le_bytes();
        #[rustfmt::skip]
        let header = [
            c0, c1, c2, c3, self.command as u8, self.fragment, w0, w1,
            t0, t1, t2, t3, s0, s1, s2, s3, u0, u1, u2, u3, l0, l1, l2, l3,
        ];
        header
    }
}

/// Why the rest of a datagram means nothing. What was before it stays applied, as ikcp.c does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A payload is longer than what is left of the datagram.
    #[error("a segment claims {claimed} bytes of payload where {left} are left")]
    Length {
        /// The length in the header.
        claimed: u32,
        /// The bytes behind the header.
        left: usize,
    },
    /// A command that KCP does not have.
    #[error("command {0} is none of 81 to 84")]
    Command(u8),
    /// A segment of another conversation.
    #[error("a segment of conversation {given:#010x}")]
    Conversation {
        /// The conversation it names.
        given: u32,
    },
}

/// Reads the segments of a datagram. Fewer bytes than a header at its end are passed over.
#[must_use]
pub fn segments(datagram: &[u8]) -> Segments<'_> {
    Segments { rest: datagram }
}

/// The segments of a datagram, in order; an error is the last item. Made by [`segments`].
#[derive(Clone, Debug)]
pub struct Segments<'b> {
    rest: &'b [u8],
}

impl<'b> Segments<'b> {
    fn read(&mut self, head: &[u8; HEADER], rest: &'b [u8]) -> Result<Segment<'b>, Malformed> {
        #[rustfmt::skip]
        let [
            c0, c1, c2, c3, command, fragment, w0, w1,
            t0, t1, t2, t3, s0, s1, s2, s3, u0, u1, u2, u3, l0, l1, l2, l3,
        ] = *head;
        let claimed = u32::from_le_bytes([l0, l1, l2, l3]);
        let Some((payload, rest)) = rest.split_at_checked(claimed as usize) else {
            return Err(Malformed::Length { claimed, left: rest.len() });
        };
        let command = Command::from_wire(command).ok_or(Malformed::Command(command))?;
        self.rest = rest;
        Ok(Segment {
            conv: u32::from_le_bytes([c0, c1, c2, c3]),
            command,
            fragment,
            window: u16::from_le_bytes([w0, w1]),
            ts: u32::from_le_bytes([t0, t1, t2, t3]),
            sn: u32::from_le_bytes([s0, s1, s2, s3]),
            una: u32::from_le_bytes([u0, u1, u2, u3]),
            payload,
        })
    }
}

impl<'b> Iterator for Segments<'b> {
    type Item = Result<Segment<'b>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = std::mem::take(&mut self.rest).split_first_chunk()?;
        Some(self.read(head, rest))
    }
}

/// Is `a` before `b` on the circle of 2³² numbers? Of two that are half the circle apart, neither is known to be.
#[must_use]
pub fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// The answer to a question for the window of a session that there is not: somebody is here, and has room for the
/// first segments of a session that would begin.
#[must_use]
pub fn window_tell(conv: u32) -> [u8; HEADER] {
    let command = Command::WindowTell;
    Segment { conv, command, fragment: 0, window: WINDOW_LEAST, ts: 0, sn: 0, una: 0, payload: &[] }.header(0)
}
