//! A client and an endpoint per protocol, on blocking sockets: what stands on either side of a gateway.
//!
//! The examples, the end-to-end tests and the bench all speak through this room, so each protocol's other
//! side is written once. It owns no gateway logic. Every read is bounded: a peer that claims a long message
//! gets an error, not an allocation. A client's reads and writes end after [`PATIENCE`] with
//! [`std::io::ErrorKind::WouldBlock`], so that a test that waits in vain fails instead of hanging.

mod endpoint;
mod frame;
mod gateway;
mod handshake;
mod haproxy;
mod kcp;
mod message;
mod tcp;
mod tls;
mod ws;

use std::time::Duration;

pub use endpoint::{Endpoint, serve};
pub use frame::{DEMO_ANSWER, DEMO_CUTS, Frame, FrameClient, TypeWidth, Types, serve_demo, serve_frames};
pub use gateway::Gateway;
pub use haproxy::Haproxy;
pub use kcp::{KcpClient, KcpEndpoint, KcpOptions, KcpStream};
pub use message::{MESSAGE_MAX, read_message, write_message};
pub use tcp::TcpClient;
pub use tls::{Identity, TlsClient, TlsEndpoint, TlsStream, Trust};
pub use ws::{Key, Message, Upgrade, WsClient, WsEndpoint, WsStream, WssClient};

/// How long a client's single read or write may take before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);
