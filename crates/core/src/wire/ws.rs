//! WebSocket frames (RFC 6455): a decoder that works in place, headers to write, and the gateway's framings.
//!
//! Payload is never copied and messages are never assembled here, except where
//! [`framing`] has to: a frame's bytes are unmasked where they lie and handed on as they arrive.

mod decoder;
mod frame;
pub mod framing;
mod mask;
mod utf8;

pub use decoder::{Decoder, Event, FrameStart, Role};
pub use frame::{Close, Control, FrameHeader, Opcode, Violation, frame, header, is_close_code};
pub use mask::apply_mask;
