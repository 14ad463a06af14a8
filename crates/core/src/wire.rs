//! Bytes on the wire, one file per format: sans-IO parsers and writers.

pub mod client_hello;
pub mod forwarded;
pub mod frame;
pub mod hello;
pub mod http_upgrade;
pub mod kcp;
pub mod proxy_header;
pub mod ws;
