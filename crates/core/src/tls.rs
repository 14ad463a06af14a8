//! Certificates, keys and whom to trust: what TLS connections of listeners and to endpoints are made from.
//!
//! Files come in through a closure; nothing here opens one. Connections themselves are the data plane's.

use std::sync::Arc;

use rustls::pki_types::ServerName;

/// What a listener shows its clients, and asks of them.
#[derive(Debug)]
pub struct Server {
    /// For the library.
    pub config: Arc<rustls::ServerConfig>,
}

/// How endpoints are met.
#[derive(Debug)]
pub struct Client {
    /// For the library.
    pub config: Arc<rustls::ClientConfig>,
    /// The name to ask for and to verify; `None` = the host that is dialled.
    pub name: Option<ServerName<'static>>,
}
