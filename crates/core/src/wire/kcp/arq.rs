//! The machine that turns segments into a stream and back.
