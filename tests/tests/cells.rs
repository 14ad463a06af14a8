//! Every client of every endpoint on the real binary: what passes, and how each end reaches the other side.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use portcullis_peers::serve::{Bytes, Connection};
use portcullis_peers::{
    Endpoint, KcpClient, KcpEndpoint, KcpOptions, KcpStream, Key, Message, PATIENCE, TcpClient, TlsClient,
    TlsEndpoint, TlsStream, Trust, WsClient, WsEndpoint, WsStream, WssClient,
};
use portcullis_tests::exam::{self, Mode};
use portcullis_tests::identity::{HOST, Own};
use portcullis_tests::script::cut;
use portcullis_tests::{Gate, Setup, Site};

const CLIENTS: [&str; 5] = ["tcp", "tls", "kcp", "ws", "wss"];
const ENDPOINTS: [&str; 4] = ["tcp", "tls", "kcp", "ws"];
/// Sizes at which buffers, records and frames begin and end, and one that is more than all of them hold.
const SIZES: [u64; 6] = [1, 125, 126, 16_385, 65_536, 300_001];
const BULK: u64 = 4 << 20;
/// What an endpoint says before it ends.
const LAST: &[u8] = b"last words";

/// How a side saw the other's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It was said: FIN, close_notify, or a close frame without a code.
    Said,
    /// A close frame with this code.
    Code(u16),
    /// The connection broke.
    Cut,
}

#[test]
fn every_cell_carries_odd_sizes_and_megabytes_each_way() {
    let world = World::start();
    for (client, endpoint) in cells(|_, _| true) {
        let line = world.open(client, endpoint);
        line.with(|stream| {
            stream.send(b"x").unwrap();
            for mode in Mode::ALL {
                let bulk = if mode == Mode::Echo { SIZES[5] } else { BULK };
                for bytes in SIZES.into_iter().chain([bulk]) {
                    let right = exam::ask(&mut Bytes(stream), mode, bytes, bytes ^ 7);
                    assert!(
                        right.as_ref().is_ok_and(|right| *right),
                        "{client}-{endpoint} {mode:?} {bytes}: {right:?}"
                    );
                }
            }
        });
    }
}

#[test]
fn what_a_client_ends_is_ended_for_the_endpoint_after_every_byte() {
    let world = World::start();
    for (client, endpoint) in cells(has_ends) {
        let line = world.open(client, endpoint);
        line.with(|stream| {
            stream.send(b"w").unwrap();
            stream.send(LAST).unwrap();
            stream.end().unwrap();
        });
        let end = if endpoint == "ws" { End::Code(1000) } else { End::Said };
        assert_eq!(world.told(), (LAST.to_vec(), end), "{client}-{endpoint}");
    }
    world.gate.assert_clean();
}

#[test]
fn what_an_endpoint_ends_is_ended_for_the_client_after_every_byte() {
    let world = World::start();
    for (client, endpoint) in cells(has_ends) {
        let line = world.open(client, endpoint);
        line.with(|stream| stream.send(b"e").unwrap());
        let end = if line.is_ws() { End::Code(1000) } else { End::Said };
        assert_eq!(line.read_to_end(), (LAST.to_vec(), end), "{client}-{endpoint}");
    }
    world.gate.assert_clean();
}

#[test]
fn a_client_that_is_gone_is_no_orderly_end_to_the_endpoint() {
    let world = World::start();
    for (client, endpoint) in cells(has_ends) {
        let line = world.open(client, endpoint);
        line.with(|stream| stream.send(b"w").unwrap());
        // The answer tells that the endpoint waits: a reset takes what is still on its way with it.
        line.with(|stream| Bytes(stream).read_exact(&mut [0]).unwrap());
        line.cut();
        let (_, end) = world.told();
        assert_eq!(end, if endpoint == "ws" { End::Code(1001) } else { End::Cut }, "{client}-{endpoint}");
    }
    world.gate.assert_clean();
}

#[test]
fn an_endpoint_that_is_gone_is_no_orderly_end_to_the_client() {
    let world = World::start();
    for (client, endpoint) in cells(has_ends) {
        let line = world.open(client, endpoint);
        line.with(|stream| stream.send(b"r").unwrap());
        let want = if line.is_ws() { End::Code(1011) } else { End::Cut };
        assert_eq!(line.read_to_end().1, want, "{client}-{endpoint}");
    }
    world.gate.assert_clean();
}

#[test]
fn a_client_that_is_refused_reads_why_and_an_end_whatever_it_speaks() {
    let world = World::start();
    for client in CLIENTS.into_iter().filter(|client| *client != "kcp") {
        let line = world.say_hello(client, "tcp", "192.0.2.1:7000");
        if line.is_ws() {
            assert_eq!(line.read_to_end(), (b"error".to_vec(), End::Code(1008)), "{client}");
        } else {
            assert_eq!(line.read_to_end(), (b"\x05\0\0\0error".to_vec(), End::Said), "{client}");
        }
    }
    world.gate.assert_clean();
}

/// The cells that `wanted` has.
fn cells(wanted: fn(&str, &str) -> bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = CLIENTS.into_iter().flat_map(|client| ENDPOINTS.map(|endpoint| (client, endpoint)));
    all.filter(move |(client, endpoint)| wanted(client, endpoint))
}

/// KCP has no word for an end: there, silence is all that is ever heard of one.
fn has_ends(client: &str, endpoint: &str) -> bool {
    client != "kcp" && endpoint != "kcp"
}

/// A gateway with a listener for every cell, and an endpoint of each kind.
struct World {
    gate: Gate,
    trust: Trust,
    tcp: Endpoint,
    tls: Endpoint,
    kcp: KcpEndpoint,
    ws: Endpoint,
    told: Receiver<(Vec<u8>, End)>,
}

impl World {
    fn start() -> Self {
        let site = Site::new();
        let own = Own::new(&site);
        let (tell, told) = sync_channel(16);
        let mut setup = Setup::new();
        for (client, endpoint) in cells(|_, _| true) {
            let lines = if matches!(client, "tls" | "wss") { Own::shown() } else { "" };
            let trust = format!("tls = {{ ca_file = \"{{folder}}/own.pem\", server_name = \"{HOST}\" }}");
            let trust = if endpoint == "tls" { &trust } else { "" };
            setup = setup
                .addressed(&format!("{client}-{endpoint}"), client, &["127.0.0.1:*"], lines)
                .with(&format!("endpoint = \"{endpoint}\"\n{trust}"));
        }
        Self {
            tcp: Endpoint::start({
                let tell = tell.clone();
                move |socket: &TcpStream| serve(socket, Some(socket), &tell, || End::Said)
            })
            .unwrap(),
            tls: Endpoint::start({
                let tell = tell.clone();
                TlsEndpoint::serve(own.identity(), move |stream: &TlsStream| {
                    serve(stream, Some(stream.socket()), &tell, || End::Said)
                })
            })
            .unwrap(),
            ws: Endpoint::start({
                let tell = tell.clone();
                move |socket: &TcpStream| {
                    let tell = tell.clone();
                    WsEndpoint::bytes(|stream: &WsStream<'_, TcpStream>| {
                        serve(stream, Some(socket), &tell, || {
                            stream.close_code().map_or(End::Said, End::Code)
                        })
                    })(socket)
                }
            })
            .unwrap(),
            kcp: KcpEndpoint::start(&KcpOptions::default(), move |stream: &KcpStream| {
                serve(stream, None, &tell, || End::Said)
            })
            .unwrap(),
            gate: site.start(&setup.text()),
            trust: own.trust(),
            told,
        }
    }

    fn told(&self) -> (Vec<u8>, End) {
        self.told.recv_timeout(PATIENCE).unwrap()
    }

    /// Opens a session of a cell.
    fn open(&self, client: &str, endpoint: &str) -> Line {
        let to = match endpoint {
            "tcp" => self.tcp.address(),
            "tls" => self.tls.address(),
            "kcp" => self.kcp.address(),
            _ => self.ws.address(),
        };
        let mut line = self.say_hello(client, endpoint, &to.to_string());
        let ok = line.answer();
        assert!(
            matches!(&ok, Ok(Some(ok)) if ok == b"ok"),
            "{client}-{endpoint}: {ok:?}\n{}",
            self.gate.log()
        );
        line
    }

    /// Connects and sends the hello.
    fn say_hello(&self, client: &str, endpoint: &str, key: &str) -> Line {
        let at: SocketAddr = self.gate.listener(&format!("{client}-{endpoint}"));
        match client {
            "tcp" => {
                let mut client = TcpClient::connect(at).unwrap();
                client.send_message(key.as_bytes()).unwrap();
                Line::Tcp(client.into_stream())
            }
            "tls" => {
                let mut client = TlsClient::connect(at, &self.trust).unwrap();
                client.send_message(key.as_bytes()).unwrap();
                Line::Tls(client.into_stream())
            }
            "kcp" => {
                let mut client = KcpClient::connect(at, &KcpOptions::default()).unwrap();
                client.send_message(key.as_bytes()).unwrap();
                Line::Kcp(client.into_stream())
            }
            "ws" => Line::Ws(WsClient::connect(at, Key::Header(key)).unwrap()),
            _ => Line::Wss(WssClient::connect_tls(at, &self.trust, Key::Header(key)).unwrap()),
        }
    }
}

/// What every endpoint does: the first byte says what is asked of it.
fn serve<C: Connection>(
    stream: &C,
    socket: Option<&TcpStream>,
    tell: &SyncSender<(Vec<u8>, End)>,
    said: impl Fn() -> End,
) -> io::Result<()> {
    let mut command = [0];
    Bytes(stream).read_exact(&mut command)?;
    match command[0] {
        b'x' => exam::serve(&Shared(stream)),
        b'e' => stream.send(LAST),
        b'w' => {
            stream.send(b".")?;
            let mut seen = Vec::new();
            let end = Bytes(stream).read_to_end(&mut seen);
            tell.send((seen, if end.is_ok() { said() } else { End::Cut })).ok();
            end.map(drop)
        }
        _ => {
            // Closed so, a socket says that nothing more is to be had of it; the error keeps any words back.
            rustix::net::sockopt::set_socket_linger(socket.unwrap(), Some(Duration::ZERO))?;
            Err(io::ErrorKind::ConnectionAborted.into())
        }
    }
}

/// A connection that is read and written through a shared reference.
struct Shared<'c, C>(&'c C);

impl<C: Connection> Read for &Shared<'_, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(buffer)
    }
}

impl<C: Connection> Write for &Shared<'_, C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client's session.
enum Line {
    Tcp(TcpStream),
    Tls(TlsStream),
    Kcp(KcpStream),
    Ws(WsClient),
    Wss(WssClient),
}

impl Line {
    fn is_ws(&self) -> bool {
        matches!(self, Self::Ws(_) | Self::Wss(_))
    }

    /// The gateway's answer to the hello.
    fn answer(&mut self) -> io::Result<Option<Vec<u8>>> {
        let of_ws = |message| match message {
            Some(Message::Binary(answer)) => Ok(Some(answer)),
            other => Err(io::Error::other(format!("{other:?}"))),
        };
        match self {
            Self::Tcp(stream) => portcullis_peers::read_message(&mut Bytes(stream)),
            Self::Tls(stream) => portcullis_peers::read_message(&mut Bytes(stream)),
            Self::Kcp(stream) => portcullis_peers::read_message(&mut Bytes(stream)),
            Self::Ws(client) => client.read().and_then(of_ws),
            Self::Wss(client) => client.read().and_then(of_ws),
        }
    }

    /// Lends the session as a stream of bytes.
    fn with<T>(&self, work: impl FnOnce(&dyn Connection) -> T) -> T {
        match self {
            Self::Tcp(stream) => work(stream),
            Self::Tls(stream) => work(stream),
            Self::Kcp(stream) => work(stream),
            Self::Ws(client) => work(&client.bytes()),
            Self::Wss(client) => work(&client.bytes()),
        }
    }

    /// What comes until the end, and how that was seen.
    fn read_to_end(mut self) -> (Vec<u8>, End) {
        match &mut self {
            Self::Ws(client) => messages(|| client.read()),
            Self::Wss(client) => messages(|| client.read()),
            Self::Tcp(_) | Self::Tls(_) | Self::Kcp(_) => self.with(|stream| {
                let mut seen = Vec::new();
                let end = Bytes(stream).read_to_end(&mut seen);
                let slow = end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
                assert!(!slow, "no end came behind {seen:?}");
                (seen, if end.is_ok() { End::Said } else { End::Cut })
            }),
        }
    }

    /// Breaks the connection off.
    fn cut(self) {
        let socket = match &self {
            Self::Tcp(stream) => stream.try_clone(),
            Self::Tls(stream) => stream.socket().try_clone(),
            Self::Ws(client) => client.stream().try_clone(),
            Self::Wss(client) => client.stream().socket().try_clone(),
            Self::Kcp(_) => panic!("there is nothing to cut"),
        };
        let socket = socket.unwrap();
        drop(self);
        cut(socket);
    }
}

fn messages(mut read: impl FnMut() -> io::Result<Option<Message>>) -> (Vec<u8>, End) {
    let mut seen = Vec::new();
    loop {
        match read() {
            Ok(Some(Message::Binary(payload))) => seen.extend(payload),
            Ok(Some(Message::Close(code))) => return (seen, code.map_or(End::Said, End::Code)),
            Ok(Some(Message::Ping(_) | Message::Pong(_))) => {}
            Ok(Some(Message::Text(text))) => panic!("{text}"),
            Ok(None) => return (seen, End::Cut),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("no end came behind {seen:?}"),
            Err(_) => return (seen, End::Cut),
        }
    }
}
