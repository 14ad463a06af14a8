//! Bytes on the wire, one file per format: sans-IO parsers and writers.

pub mod hello;
pub mod http_upgrade;
pub mod kcp;
pub mod ws;
