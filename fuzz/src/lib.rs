//! What the fuzz targets do with their input: the properties that hold for any bytes.
//!
//! Each body is one file and one row of [`TARGETS`]. The committed corpus is `corpus/<target>/`.
//! This file is also a module of `crates/core/tests/corpus.rs`, which replays that corpus without a fuzzer.

pub mod client_hello;
pub mod config;
pub mod forwarded;
pub mod frames;
pub mod hello;
pub mod http_upgrade;
pub mod jwt;
pub mod kcp_crypt;
pub mod kcp_fec;
pub mod kcp_input;
pub mod kcp_roster;
pub mod key;
pub mod proxy_header;
pub mod ticket;
pub mod ws_frames;

/// A target's name and its body, which panics when a property does not hold.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("client_hello", client_hello::run),
    ("config", config::run),
    ("forwarded", forwarded::run),
    ("frames", frames::run),
    ("hello", hello::run),
    ("http_upgrade", http_upgrade::run),
    ("jwt", jwt::run),
    ("kcp_crypt", kcp_crypt::run),
    ("kcp_fec", kcp_fec::run),
    ("kcp_input", kcp_input::run),
    ("kcp_roster", kcp_roster::run),
    ("key", key::run),
    ("proxy_header", proxy_header::run),
    ("ticket", ticket::run),
    ("ws_frames", ws_frames::run),
];

/// Takes one byte off the front as a size of parts to cut the rest into, 1 to 256 bytes.
fn cut(data: &[u8]) -> Option<(usize, &[u8])> {
    let (size, rest) = data.split_first()?;
    Some((usize::from(*size) + 1, rest))
}
