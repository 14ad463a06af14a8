//! Endpoints that behave in one particular way, and clients' views of the gateway's answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::time::Duration;

use portcullis_peers::TcpClient;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

use crate::script::{End, read_to_end};
use crate::within;

/// What a tcp client reads when its endpoint is open.
pub const OK: &[u8] = b"\x02\0\0\0ok";
/// What a tcp client reads when it is refused, whatever for.
pub const ERROR: &[u8] = b"\x05\0\0\0error";

/// An endpoint that the test plays itself: it takes one connection when it is told to.
#[derive(Debug)]
pub struct Stage {
    listener: TcpListener,
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// Listens on a free port of loopback.
    #[must_use]
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Takes the next connection.
    #[must_use]
    pub fn accept(&self) -> TcpStream {
        self.accept_within(Duration::from_secs(20)).expect("nobody connected")
    }

    /// Takes the next connection, if one comes.
    #[must_use]
    pub fn accept_within(&self, time: Duration) -> Option<TcpStream> {
        let (stream, _) = within(time, || self.listener.accept().ok())?;
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Some(stream)
    }
}

/// A listener whose queue is full: whoever connects now waits in vain. What fills the queue goes with it.
#[derive(Debug)]
pub struct Deaf {
    listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl Default for Deaf {
    fn default() -> Self {
        Self::new()
    }
}

impl Deaf {
    /// Fills the queue of a fresh listener.
    #[must_use]
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(500)) {
            queued.push(stream);
            assert!(queued.len() < 100, "a queue of length 0 takes everything");
        }
        Self { listener, _queued: queued }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

/// An address that refuses connections and datagrams, as long as this process lives: it is kept from others, who
/// would be given it next.
#[must_use]
pub fn refusing() -> SocketAddr {
    static HELD: Mutex<Vec<(OwnedFd, UdpSocket)>> = Mutex::new(Vec::new());
    let (address, held) = (0..100).find_map(|_| hold_a_port().ok()).expect("a port of both is free");
    HELD.lock().unwrap().push(held);
    address
}

/// A TCP socket that does not listen, and a UDP socket that hears only one who never speaks, on one port.
fn hold_a_port() -> std::io::Result<(SocketAddr, (OwnedFd, UdpSocket))> {
    let stream = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&stream, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let address = SocketAddr::try_from(getsockname(&stream)?)?;
    let datagrams = UdpSocket::bind(address)?;
    datagrams.connect((Ipv4Addr::LOCALHOST, 1))?;
    Ok((address, (stream, datagrams)))
}

/// The hello of a key.
#[must_use]
pub fn hello(key: impl AsRef<[u8]>) -> Vec<u8> {
    let key = key.as_ref();
    [&(key.len() as u32).to_le_bytes()[..], key].concat()
}

/// Connects and sends; what comes back until the end, and the end.
#[must_use]
pub fn answer(gate: SocketAddr, bytes: &[u8]) -> (Vec<u8>, End) {
    let mut client = TcpClient::connect(gate).unwrap();
    // The gateway may have refused before everything was written.
    client.send(bytes).ok();
    read_to_end(client.stream()).expect("an end within the peers' patience")
}

/// Connects, says the key, and expects success.
#[must_use]
pub fn open(gate: SocketAddr, key: impl AsRef<[u8]>) -> TcpStream {
    let mut client = TcpClient::connect(gate).unwrap();
    client.send(&hello(key)).unwrap();
    assert_eq!(client.read_message().unwrap().as_deref(), Some(&b"ok"[..]));
    client.into_stream()
}

/// Sends and reads as many bytes back.
#[must_use]
pub fn ask(mut stream: &TcpStream, question: &[u8]) -> Vec<u8> {
    stream.write_all(question).unwrap();
    take(stream, question.len())
}

/// Reads exactly so many bytes.
#[must_use]
pub fn take(mut stream: &TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}
