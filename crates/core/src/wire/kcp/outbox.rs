//! Datagrams on their way out: one arena for many, so that nothing is allocated for each.

use std::ops::Range;

/// Datagrams behind one another in one buffer, oldest first. Equal ones in a row can leave in one system call.
///
/// One datagram at a time is written: [`Outbox::begin`], any number of [`Outbox::push`], [`Outbox::finish`].
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Outbox {
    /// Begins a datagram with `headroom` zero bytes in front, for headers that are written later.
    pub fn begin(&mut self, headroom: usize) {
        self.abandon();
        self.bytes.resize(self.bytes.len() + headroom, 0);
    }

    /// Adds bytes to the datagram that was begun.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// How long the datagram that was begun is so far, headroom included.
    #[must_use]
    pub fn open_len(&self) -> usize {
        self.bytes.len() - self.end()
    }

    /// Ends the datagram that was begun; one without a byte is none.
    pub fn finish(&mut self) {
        if self.open_len() > 0 {
            self.ends.push(self.bytes.len());
        }
    }

    /// Forgets the datagram that was begun and not finished.
    pub fn abandon(&mut self) {
        let end = self.end();
        self.bytes.truncate(end);
    }

    /// How many finished datagrams there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The place of a finished datagram in [`Outbox::bytes`]; empty when there is none of that number.
    #[must_use]
    pub fn range(&self, index: usize) -> Range<usize> {
        let begin = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        begin..self.ends.get(index).copied().unwrap_or(begin)
    }

    /// A finished datagram.
    #[must_use]
    pub fn datagram(&self, index: usize) -> &[u8] {
        &self.bytes[self.range(index)]
    }

    /// A finished datagram, to write its headers.
    pub fn datagram_mut(&mut self, index: usize) -> &mut [u8] {
        let range = self.range(index);
        &mut self.bytes[range]
    }

    /// All finished datagrams, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.datagram(index))
    }

    /// All bytes, finished datagrams behind one another.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets everything and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_lie_behind_one_another_with_room_for_headers() {
        let mut out = Outbox::default();
        out.begin(2);
        out.push(b"abc");
        assert_eq!(out.open_len(), 5);
        out.finish();
        out.begin(0);
        out.push(b"given up");
        out.begin(1);
        out.push(b"d");
        out.finish();
        out.begin(0);
        out.finish();
        out.datagram_mut(0)[0] = 7;
        assert_eq!(out.iter().collect::<Vec<_>>(), [b"\x07\0abc".as_slice(), b"\0d"]);
        assert_eq!((out.len(), out.bytes()), (2, b"\x07\0abc\0d".as_slice()));
        assert_eq!(out.range(9), 0..0);
        out.clear();
        assert!(out.is_empty() && out.bytes().is_empty());
    }
}
