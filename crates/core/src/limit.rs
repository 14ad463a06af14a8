//! What a client may use: one file per kind of limit.

pub mod ban;
pub mod bucket;
pub mod concurrency;
pub mod entrance;
pub mod network;
pub mod rates;
pub mod scope;
