//! The KCP client and endpoint, on the gateway's own machine: kcp-go, the C core and kcptun are what that is held
//! against; these are for speaking to a gateway without having Go.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::wire::kcp::arq::{Settings, Start};
use portcullis_core::wire::kcp::crypt::Crypt;
use portcullis_core::wire::kcp::fec::Shards;

use self::hub::{Hub, Running};
use crate::PATIENCE;
use crate::message::{read_message, write_message};

mod endpoint;
mod hub;
mod session;
mod stream;
#[cfg(test)]
mod tests;

pub use endpoint::KcpEndpoint;
pub use stream::KcpStream;

/// How a client or an endpoint speaks. The default is `null`, without frames: kcp-go's `DialWithOptions(addr, nil,
/// 0, 0)`, and C ikcp.
#[derive(Clone, Debug)]
pub struct KcpOptions {
    /// The cipher with its key.
    pub crypt: Arc<Crypt>,
    /// The code of the frames that are sent; `None` sends bare segments. An endpoint answers with frames only who
    /// speaks with frames.
    pub code: Option<Shards>,
    /// How it sends and receives. `mtu` is that of the whole datagram: headers are taken off when it begins.
    pub settings: Settings,
    /// The conversation's number; `None`: by chance. An endpoint takes the client's.
    pub conv: Option<u32>,
    /// The first segment's number, both ways: the tests of wrap-around set it, on both sides.
    pub sn: u32,
    /// The first frame's number.
    pub seqid: u32,
    /// After this long without a sign of the peer, which is asked for one four times, a stream has ended.
    pub idle_timeout: Duration,
}

impl Default for KcpOptions {
    fn default() -> Self {
        // 64 segments are what the kernel holds for a socket (208 KiB of buffers that count double) with some to
        // spare; std has no call for more.
        let settings = Settings { send_window: 64, receive_window: 64, ..Settings::default() };
        Self {
            crypt: Arc::new(Crypt::null()),
            code: None,
            settings,
            conv: None,
            sn: 0,
            seqid: 0,
            idle_timeout: Duration::from_secs(60),
        }
    }
}

impl KcpOptions {
    /// How document 000's clients and servers speak: no cipher, 3 parity frames after 10, and kcp-go's defaults.
    #[must_use]
    pub fn seed() -> Self {
        let settings = Settings {
            nodelay: false,
            interval: 100,
            resend: 0,
            congestion: true,
            send_window: 32,
            receive_window: 32,
            mtu: 1400,
            stream: false,
            dead_link: 20,
        };
        Self { code: Shards::new(10, 3).ok(), settings, ..Self::default() }
    }

    /// Where a session's numbers begin; the clock is nobody else's business.
    fn start(&self) -> Start {
        Start { sn: self.sn, clock: chance() as u32 }
    }
}

/// A client of a `kcp` listener: one conversation on a socket of its own.
#[derive(Debug)]
pub struct KcpClient {
    stream: KcpStream,
}

impl KcpClient {
    /// Prepares a conversation and says nothing: KCP has no handshake, so the peer knows of it with the first bytes.
    ///
    /// # Errors
    /// Whatever binding a socket fails with.
    pub fn connect(gate: SocketAddr, options: &KcpOptions) -> io::Result<Self> {
        let any: SocketAddr = if gate.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
        let hub = Arc::new(Hub::new(UdpSocket::bind(any)?, options)?);
        let conv = options.conv.unwrap_or_else(|| chance() as u32);
        let stream = hub.dial(gate, conv);
        let running = Running::start(&hub, None)?;
        stream.set_read_timeout(Some(PATIENCE));
        stream.set_write_timeout(Some(PATIENCE));
        Ok(Self { stream: stream.with_hub(running) })
    }

    /// Sends `key` as the hello, and returns with the gateway's answer.
    ///
    /// The answer is `None` when the gateway fell silent for [`KcpOptions::idle_timeout`].
    ///
    /// # Errors
    /// Whatever connecting, writing or reading fails with.
    pub fn open(gate: SocketAddr, key: &str, options: &KcpOptions) -> io::Result<(Self, Option<Vec<u8>>)> {
        let mut client = Self::connect(gate, options)?;
        client.send_message(key.as_bytes())?;
        let answer = client.read_message()?;
        Ok((client, answer))
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// Whatever writing fails with.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&self.stream).write_all(bytes)
    }

    /// Sends one length-prefixed message.
    ///
    /// # Errors
    /// Whatever writing fails with.
    pub fn send_message(&mut self, payload: &[u8]) -> io::Result<()> {
        write_message(&mut &self.stream, payload)
    }

    /// Reads one length-prefixed message; `None` at the end of the stream.
    ///
    /// # Errors
    /// See [`read_message`].
    pub fn read_message(&mut self) -> io::Result<Option<Vec<u8>>> {
        read_message(&mut &self.stream)
    }

    /// The stream, for everything else.
    #[must_use]
    pub fn stream(&self) -> &KcpStream {
        &self.stream
    }

    /// Gives the stream away; when it is dropped, the conversation is.
    #[must_use]
    pub fn into_stream(self) -> KcpStream {
        self.stream
    }
}

/// A number that nobody guesses; std's only source of chance is what seeds its maps.
fn chance() -> u64 {
    RandomState::new().hash_one(0)
}
