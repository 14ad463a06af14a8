//! What of a read goes on: runs of bytes from where they lie, small ones put together.

use std::mem;

use portcullis_core::wire::frame::HeaderBytes;

use crate::leg::Unit;

/// Runs of fewer bytes are put together when there are several: a system call for each would cost more than a copy.
const SMALL: usize = 4 * 1024;

/// The bytes of a read that go on, in order.
pub(super) struct Run<'b> {
    bytes: &'b [u8],
    /// Bytes that go before the run and are not in the read.
    lead: Option<HeaderBytes>,
    from: usize,
    to: usize,
    gathered: Vec<u8>,
}

impl<'b> Run<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, lead: None, from: 0, to: 0, gathered: Vec::new() }
    }

    /// Adds a part of the read.
    pub(super) fn extend(&mut self, from: usize, to: usize, sink: &mut impl FnMut(Unit<'_>)) {
        if self.from == self.to {
            (self.from, self.to) = (from, from);
        } else if self.to != from {
            self.cut(sink);
            (self.from, self.to) = (from, from);
        }
        self.to = to;
    }

    /// Adds bytes that are not in the read.
    pub(super) fn lead(&mut self, lead: HeaderBytes, sink: &mut impl FnMut(Unit<'_>)) {
        self.cut(sink);
        self.lead = Some(lead);
    }

    /// Gives what is there, all of it.
    pub(super) fn finish(mut self, sink: &mut impl FnMut(Unit<'_>)) {
        if self.gathered.is_empty() {
            self.give(sink);
        } else {
            self.cut(sink);
            if !self.gathered.is_empty() {
                sink(Unit::of(&self.gathered));
            }
        }
    }

    /// Ends the run: what follows lies elsewhere.
    fn cut(&mut self, sink: &mut impl FnMut(Unit<'_>)) {
        let lead = self.lead.as_deref().unwrap_or_default();
        let bytes = self.bytes.get(self.from..self.to).unwrap_or_default();
        if lead.len() + bytes.len() >= SMALL {
            if !self.gathered.is_empty() {
                sink(Unit::of(&mem::take(&mut self.gathered)));
            }
            return self.give(sink);
        }
        self.gathered.extend_from_slice(lead);
        self.gathered.extend_from_slice(bytes);
        self.lead = None;
        self.from = self.to;
    }

    fn give(&mut self, sink: &mut impl FnMut(Unit<'_>)) {
        let lead = self.lead.take();
        let lead = lead.as_deref().unwrap_or_default();
        let bytes = self.bytes.get(self.from..self.to).unwrap_or_default();
        self.from = self.to;
        if lead.len() + bytes.len() > 0 {
            sink(Unit { lead, ..Unit::of(bytes) });
        }
    }
}
