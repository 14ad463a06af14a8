//! The segment: 24 bytes of header, then payload.
