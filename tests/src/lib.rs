//! The world of the end-to-end tests: the real binary, real sockets, real signals.
//!
//! A story is five lines: start an endpoint, start the gateway, connect, ask, compare. What a story needs
//! besides stands here: the gateway as a process ([`Gate`]), its config ([`Setup`]), scripts that both a
//! direct connection and a relayed one must play alike ([`script`]), loads of sessions ([`crowd`]) and
//! networks of one's own ([`network`]). Everything here panics when the world is not as it must be: that is
//! how a test fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "the harness of tests: a panic is how a test fails"
)]

mod authority;
pub mod browser;
pub mod crowd;
pub mod dice;
mod dns;
pub mod exam;
pub mod foreign;
pub mod forged;
mod gate;
pub mod identity;
pub mod ikcp;
pub mod kcp_go;
pub mod kcp_raw;
pub mod kcptun;
mod metrics;
pub mod network;
pub mod scene;
pub mod script;
pub mod seed;
mod setup;
pub mod shim;
pub mod skip;
mod table;
mod token;
mod wait;

pub use authority::{Authority, Issued};
pub use dns::NameServer;
pub use gate::{Gate, Site, binary};
pub use metrics::Metrics;
pub use setup::Setup;
pub use table::Table;
pub use token::{b64, ed25519, ends_at, hs256, jwt};
pub use wait::{best_of, until, within};
