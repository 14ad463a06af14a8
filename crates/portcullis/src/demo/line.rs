//! One client's way through the gateway, whatever it speaks.

use std::io::{self, Error};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use portcullis_peers::serve::{Bytes, Connection};
use portcullis_peers::{
    KcpClient, KcpOptions, KcpStream, Key, Message, TcpClient, TlsClient, TlsStream, Trust, WsClient,
    WssClient,
};

use super::cell::ClientKind;

/// What the gateway answers when the endpoint is open.
const OK: &[u8] = b"ok";

/// An open session.
#[derive(Debug)]
pub(super) enum Line {
    Tcp(TcpStream),
    Tls(TlsStream),
    Kcp(KcpStream),
    Ws(WsClient),
    Wss(WssClient),
}

impl Line {
    /// Connects to `gate`, says `key`, and waits until the endpoint is open.
    ///
    /// # Errors
    /// Whatever connecting fails with, and the gateway's answer when it is not that.
    pub(super) fn open(kind: ClientKind, gate: SocketAddr, trust: &Trust, key: &str) -> io::Result<Self> {
        let (line, answer) = match kind {
            ClientKind::Tcp => {
                let (client, answer) = TcpClient::open(gate, key)?;
                (Self::Tcp(client.into_stream()), answer)
            }
            ClientKind::Tls => {
                let (client, answer) = TlsClient::open(gate, trust, key)?;
                (Self::Tls(client.into_stream()), answer)
            }
            ClientKind::Kcp => {
                let (client, answer) = KcpClient::open(gate, key, &KcpOptions::default())?;
                (Self::Kcp(client.into_stream()), answer)
            }
            ClientKind::Ws => {
                let (client, answer) = WsClient::open(gate, Key::Header(key))?;
                (Self::Ws(client), bytes_of(answer))
            }
            ClientKind::Wss => {
                let (client, answer) = WssClient::open_tls(gate, trust, Key::Header(key))?;
                (Self::Wss(client), bytes_of(answer))
            }
        };
        match answer {
            Some(answer) if answer == OK => Ok(line),
            Some(answer) => {
                Err(Error::other(format!("the gateway says {:?}", String::from_utf8_lossy(&answer))))
            }
            None => Err(Error::other("the gateway closed the connection without an answer")),
        }
    }

    /// Does something with the stream of bytes, no read of which waits longer than `patience`.
    ///
    /// # Errors
    /// What `work` fails with.
    pub(super) fn with<T>(
        &self,
        patience: Duration,
        work: impl FnOnce(&dyn Connection) -> io::Result<T>,
    ) -> io::Result<T> {
        let at = |stream: &dyn Connection| {
            stream.wait_at_most(Some(patience))?;
            work(stream)
        };
        match self {
            Self::Tcp(stream) => at(stream),
            Self::Tls(stream) => at(stream),
            Self::Kcp(stream) => at(stream),
            Self::Ws(client) => at(&client.bytes()),
            Self::Wss(client) => at(&client.bytes()),
        }
    }

    /// Ends the own direction as the protocol does, and waits for the other side's end.
    ///
    /// # Errors
    /// Whatever the connection fails with, and bytes that nobody asked for.
    pub(super) fn end(&self, patience: Duration) -> io::Result<()> {
        self.with(patience, |stream| {
            stream.end()?;
            let mut more = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(Bytes(stream), 1), &mut more)?;
            if more.is_empty() { Ok(()) } else { Err(Error::other("bytes came that nobody asked for")) }
        })
    }
}

fn bytes_of(answer: Option<Message>) -> Option<Vec<u8>> {
    match answer? {
        Message::Binary(bytes) => Some(bytes),
        Message::Text(text) => Some(text.into_bytes()),
        Message::Close(_) | Message::Ping(_) | Message::Pong(_) => None,
    }
}
