//! What a client may use: one file per kind of limit.

pub mod bucket;
