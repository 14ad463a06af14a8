//! Which endpoint a session gets: one file per policy.

pub mod round_robin;
