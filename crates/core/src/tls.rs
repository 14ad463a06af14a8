//! Certificates, keys and whom to trust: what TLS connections of listeners and to endpoints are made from.
//!
//! Files come in through a closure; nothing here opens one. Connections themselves are the data plane's. The
//! library draws its own random numbers and asks the clock for itself: nothing of it is of a session's schedule.

mod choose;
mod client;
mod der;
mod error;
mod pem;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};

use crate::config::TlsVersion;

pub use client::Client;
pub use der::subject;
pub use error::TlsError;
pub use server::Server;

/// Reads a file whole.
pub type Read<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// What is spoken inside, where it is HTTP (RFC 7301): a WebSocket begins as HTTP/1.1.
const HTTP: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

static FROM_12: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static FROM_13: &[&SupportedProtocolVersion] = &[&TLS13];

fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match oldest {
        TlsVersion::V12 => FROM_12,
        TlsVersion::V13 => FROM_13,
    }
}
