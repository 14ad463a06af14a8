//! How far a send has come, and what the kernel's refusals mean for the rest.

use std::io;

use super::{Outgoing, Piece};

/// A way through `all`: pieces in front of the mark are done with.
pub(super) struct Course<'o, 'b> {
    all: &'o [Outgoing<'b>],
    connected: bool,
    /// Do trains go as one?
    pub(super) gso: bool,
    /// How many pieces were skipped.
    pub(super) lost: u64,
    index: usize,
    /// Bytes of `all[index]` that are done with: more than 0 only for a train that is cut.
    offset: usize,
    /// The train at the mark is cut because the kernel has refused it whole.
    cut: bool,
}

/// What to do about a refusal.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The same again.
    Again,
    /// There is no room now.
    Full,
    /// Cut the train at the mark; `for_good`: and every train from here on.
    Cut { for_good: bool },
    /// Skip the piece at the mark.
    Lost,
    /// Tell it.
    Tell,
}

impl<'o, 'b> Course<'o, 'b> {
    pub(super) fn new(all: &'o [Outgoing<'b>], connected: bool, gso: bool) -> Self {
        Self { all, connected, gso, lost: 0, index: 0, offset: 0, cut: false }
    }

    /// Calls `kernel` until all is done with or it has no room; it returns how many of the next pieces it took.
    ///
    /// Ends: every call takes a piece, skips one, cuts a train that was whole, or is the last; only an
    /// interrupted call is repeated.
    pub(super) fn run(&mut self, mut kernel: impl FnMut(&Self) -> io::Result<usize>) -> io::Result<usize> {
        while self.index < self.all.len() {
            match kernel(self) {
                Ok(0) => break,
                Ok(count) => self.advance(count),
                Err(error) => match self.verdict(&error) {
                    Verdict::Again => {}
                    Verdict::Full => break,
                    Verdict::Cut { for_good } => {
                        self.cut = true;
                        self.gso &= !for_good;
                    }
                    Verdict::Lost => self.skip(),
                    Verdict::Tell => return Err(error),
                },
            }
        }
        if self.offset > 0 {
            // Going on in the middle of a train is not worth a state of its own; sending it again from its
            // start might never end.
            self.lost += 1;
            self.next_outgoing();
        }
        Ok(self.index)
    }

    /// The pieces behind the mark, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece<'b>> {
        let (mut index, mut offset, mut cut) = (self.index, self.offset, self.cut || !self.gso);
        std::iter::from_fn(move || {
            let outgoing = self.all.get(index)?;
            let piece = piece(outgoing, offset, cut);
            offset += piece.bytes.len();
            if offset >= outgoing.bytes.len() {
                (index, offset, cut) = (index + 1, 0, !self.gso);
            }
            Some(piece)
        })
    }

    fn advance(&mut self, count: usize) {
        for _ in 0..count {
            let Some(outgoing) = self.all.get(self.index) else { return };
            self.offset += piece(outgoing, self.offset, self.cut || !self.gso).bytes.len();
            if self.offset >= outgoing.bytes.len() {
                self.next_outgoing();
            }
        }
    }

    /// A train refused as a whole whose first datagram is refused too is lost whole: its path or its
    /// source is at fault, not its length.
    fn skip(&mut self) {
        self.lost += 1;
        if self.cut && self.offset == 0 { self.next_outgoing() } else { self.advance(1) }
    }

    fn next_outgoing(&mut self) {
        (self.index, self.offset, self.cut) = (self.index + 1, 0, false);
    }

    fn verdict(&self, error: &io::Error) -> Verdict {
        let train = self.pieces().next().is_some_and(|piece| piece.segment.is_some());
        match error.raw_os_error() {
            Some(libc::EINTR) => Verdict::Again,
            Some(libc::EAGAIN) => Verdict::Full,
            // The device cannot finish what GSO leaves to it.
            Some(libc::EIO) if train => Verdict::Cut { for_good: true },
            // Too long for this path or this kernel.
            Some(libc::EINVAL | libc::EMSGSIZE) if train => Verdict::Cut { for_good: false },
            Some(libc::ENOBUFS | libc::ENOMEM | libc::EPERM | libc::EMSGSIZE | libc::EINVAL) => Verdict::Lost,
            _ if self.connected => Verdict::Tell,
            _ => Verdict::Lost,
        }
    }
}

/// What goes to the kernel as one when `offset` bytes of `outgoing` are done with.
fn piece<'b>(outgoing: &Outgoing<'b>, offset: usize, cut: bool) -> Piece<'b> {
    let Outgoing { to, from, bytes, segment } = *outgoing;
    let rest = bytes.get(offset..).unwrap_or_default();
    // A train of one is a datagram.
    let segment = segment.filter(|size| *size > 0 && usize::from(*size) < rest.len());
    match segment {
        Some(size) if cut => {
            let bytes = rest.get(..usize::from(size)).unwrap_or(rest);
            Piece { to, from, bytes, segment: None }
        }
        _ => Piece { to, from, bytes: rest, segment },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
mod tests;
