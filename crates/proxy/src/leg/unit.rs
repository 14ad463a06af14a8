//! A piece of payload on its way from one leg to the other.

use portcullis_core::wire::ws::Opcode;

/// A piece of payload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit<'b> {
    /// Bytes that go before it and are none of the source's, such as a length.
    pub(crate) lead: &'b [u8],
    /// The source's bytes, or several small pieces of them with what goes before each.
    pub(crate) bytes: &'b [u8],
    /// How many bytes of it are the source's.
    pub(crate) payload: usize,
    /// What part of a message it is, where both legs have messages.
    pub(crate) border: Option<Border>,
}

/// What part of a message a unit is. It is the first where the last one before it ended a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Border {
    /// Of the message: text or binary.
    pub(crate) kind: Opcode,
    /// Does the message end with it?
    pub(crate) last: bool,
}

impl<'b> Unit<'b> {
    /// Bytes of a stream.
    pub(crate) fn of(bytes: &'b [u8]) -> Self {
        Self { lead: &[], bytes, payload: bytes.len(), border: None }
    }

    /// Its bytes and those before them.
    pub(crate) fn len(&self) -> usize {
        self.lead.len() + self.bytes.len()
    }
}
