//! End-to-end tests against the real binary.

pub mod skip;
