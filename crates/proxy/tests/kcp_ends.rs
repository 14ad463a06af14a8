//! How sessions with KCP on a side end: who is told what, how soon everything is free, and that nothing is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/kcp.rs"]
mod kcp;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use gate::{Gate, accept};
use kcp::{SOON, ask, cell, connect, ended, is_empty, open, stream, to_tcp};
use portcullis_core::outcome::Reason;
use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::arq::{Settings, Start};
use portcullis_core::wire::kcp::conversation::{Conversation, Plan};
use portcullis_core::wire::kcp::crypt::{Crypt, NonceSource};
use portcullis_core::wire::kcp::fec;
use portcullis_core::wire::kcp::outbox::Outbox;
use portcullis_core::wire::kcp::roster::Dropped;
use portcullis_peers::{KcpClient, KcpEndpoint, KcpOptions, KcpStream, serve};

#[test]
fn what_an_endpoint_had_said_before_it_was_gone_reaches_a_slow_client() {
    const TOTAL: usize = 600_000;
    let (said, hear) = mpsc::sync_channel(1);
    // More than the client's window, the gateway's and what it keeps beside it: the rest waits to be read.
    let endpoint = KcpEndpoint::start(&KcpOptions::default(), move |mut stream: &KcpStream| {
        stream.read_exact(&mut [0])?;
        stream.write_all(&self::stream(TOTAL))?;
        stream.flush()?;
        said.send(()).ok();
        serve::sink(stream)
    })
    .unwrap();
    let gate = Gate::start(1, 100, &cell("kcp", "kcp", endpoint.address(), ""));
    let client = connect(&gate);
    (&client).write_all(b"?").unwrap();
    hear.recv_timeout(Duration::from_secs(20)).unwrap();
    drop(endpoint);
    (&client).write_all(b"!").unwrap(); // it is told that nobody is there
    thread::park_timeout(Duration::from_millis(200));
    let mut got = vec![0; TOTAL];
    (&client).read_exact(&mut got).unwrap();
    assert!(got == stream(TOTAL));
    gate.wait_within(SOON, is_empty);
}

#[test]
fn an_endpoint_s_end_frees_a_session_whose_client_is_gone_though_its_window_is_full() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 100, &to_tcp(&listener, "kcp = { window = 32 }"));
    let (client, mut server) = open(&gate, &listener);
    drop(client);
    server.write_all(&[7; 90_000]).unwrap();
    drop(server);
    gate.wait_within(SOON, is_empty);
    assert_eq!(ended(&gate), Reason::EndpointEnded);
}

#[test]
fn an_endpoint_s_end_frees_a_session_within_five_seconds_however_far_its_client_was() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 100, &to_tcp(&listener, ""));
    let far = Far::start(gate.address(), Duration::from_millis(400));
    let client = KcpClient::connect(far.address, &KcpOptions::default()).unwrap().into_stream();
    (&client).write_all(b"?").unwrap();
    let mut server = accept(&listener);
    server.write_all(b"!").unwrap();
    (&client).read_exact(&mut [0]).unwrap();
    thread::park_timeout(Duration::from_millis(600)); // its answer is on the way
    drop(client);
    server.write_all(&[7; 3000]).unwrap();
    drop(server);
    gate.wait_within(SOON, is_empty);
}

#[test]
fn a_key_that_was_replaced_opens_no_session_and_ends_none() {
    let keyed = |key: &str| format!("kcp = {{ crypt = \"aes-128\", key = \"{key}\" }}");
    let options = |key: &str| {
        use portcullis_core::wire::kcp::crypt::{Cipher, Crypt, Key};
        let crypt = Crypt::new(Cipher::Aes128, &Key::from_passphrase(key)).unwrap();
        KcpOptions { crypt: crypt.into(), ..KcpOptions::default() }
    };
    let endpoint = gate::echo();
    for workers in [1, 2] {
        let mut gate = Gate::reloadable(workers, 100, &cell("kcp", "tcp", endpoint, &keyed("before")));
        let old = KcpClient::connect(gate.address(), &options("before")).unwrap().into_stream();
        ask(&old);
        gate.reload(&cell("kcp", "tcp", endpoint, &keyed("after")));
        ask(&old);
        let new = KcpClient::connect(gate.address(), &options("after")).unwrap().into_stream();
        ask(&new);
        // Until every worker has opened one: then the reload has arrived everywhere.
        let (loads, mut others) = (gate.handle.loads(), Vec::new());
        while gate.handle.loads().iter().zip(&loads).any(|(now, before)| now <= before) {
            assert!(others.len() < 64, "{:?} {loads:?}", gate.handle.loads());
            others.push(KcpClient::connect(gate.address(), &options("after")).unwrap().into_stream());
            ask(&others[others.len() - 1]);
        }
        let opened = || gate.handle.counts().listeners.iter().map(|one| one.accepted).sum::<u64>();
        let before = opened();
        // Some of them come to each worker.
        for _ in 0..16 {
            let late = KcpClient::connect(gate.address(), &options("before")).unwrap().into_stream();
            (&late).write_all(b"here?").unwrap();
            late.set_read_timeout(Some(Duration::from_millis(20)));
            assert_eq!((&late).read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        }
        ask(&old);
        ask(&new);
        assert_eq!(opened(), before, "{workers} workers");
    }
}

#[test]
fn a_port_that_was_taken_away_comes_back_while_sessions_live_there() {
    let endpoint = gate::echo();
    for workers in [1, 2] {
        let with = cell("kcp", "tcp", endpoint, "");
        let mut gate = Gate::reloadable(workers, 100, &with);
        let old = connect(&gate);
        ask(&old);
        gate.reload(&gate::to(endpoint)); // a port of TCP only
        gate.reload(&gate::to(endpoint));
        ask(&old);
        gate.reload(&with);
        assert_eq!(gate.listens(), [gate.address()]);
        // Some come to each worker, also to one that had closed it.
        for _ in 0..8 {
            ask(&connect(&gate));
        }
        ask(&old);
    }
}

#[test]
fn a_reload_changes_how_fast_a_network_opens_sessions() {
    let endpoint = gate::echo();
    let rate = |burst: u32| format!("kcp = {{ open_rate = {{ rate = \"1/s\", burst = {burst} }} }}");
    let mut gate = Gate::reloadable(1, 100, &cell("kcp", "tcp", endpoint, &rate(100)));
    ask(&connect(&gate));
    gate.reload(&cell("kcp", "tcp", endpoint, &rate(2)));
    let refused = |counts: &portcullis_proxy::Counts| {
        let dropped = counts.listeners.iter().flat_map(|one| &one.kcp.dropped);
        dropped.filter(|(why, _)| *why == Dropped::Network).map(|(_, count)| count).sum::<u64>() > 0
    };
    // As many as it takes until the reload has arrived, and three more.
    let mut clients = Vec::new();
    gate.wait_within(SOON, |counts| {
        let client = connect(&gate);
        (&client).write_all(b"?").unwrap();
        clients.push(client);
        refused(counts)
    });
}

#[test]
fn a_session_that_is_proven_after_it_has_grown_replaces_the_one_before_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 100, &to_tcp(&listener, ""));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(gate.address()).unwrap();
    let mut servers = Vec::new();
    for conv in [1, 2] {
        let mut client = Raw::new(&socket, conv);
        // Nobody answers until it has sent what no forger would spend.
        client.say(&[7; 20_000]);
        client.say(&[7]);
        let mut server = accept(&listener);
        server.read_exact(&mut [0; 20_001]).unwrap();
        server.write_all(b"!").unwrap();
        client.hear(1);
        servers.push(server);
    }
    servers[0].set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(servers[0].read(&mut [0]).unwrap(), 0);
    assert_eq!(ended(&gate), Reason::Replaced);
}

/// A client whose socket others use too.
struct Raw<'s> {
    socket: &'s UdpSocket,
    talk: Conversation,
    began: Instant,
    nonces: NonceSource,
}

impl<'s> Raw<'s> {
    fn new(socket: &'s UdpSocket, conv: u32) -> Self {
        socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        let talk = Conversation::new(Plan {
            conv,
            settings: &Settings::default(),
            start: Start::default(),
            code: None,
            framed: false,
            seqid: 0,
            mul_acc: fec::mul_acc_scalar,
            dialled: true,
        });
        Self { socket, talk, began: Instant::now(), nonces: NonceSource::new(&[7; 32], 0) }
    }

    fn say(&mut self, bytes: &[u8]) {
        assert_eq!(self.talk.write(bytes), bytes.len());
        self.until(|talk, _| talk.unacknowledged() == 0);
    }

    fn hear(&mut self, count: usize) {
        self.until(|talk, _| talk.readable().len() >= count);
        self.talk.consume(count);
        // What it heard is acknowledged a little later: by what is sent at the end of that time.
        let enough = Tick(self.now().0 + 100);
        self.until(|_, sent| sent > enough);
    }

    fn now(&self) -> Tick {
        Tick(self.began.elapsed().as_millis() as u64)
    }

    /// Sends and hears until it is so; told with the moment of the last sending.
    fn until(&mut self, so: impl Fn(&Conversation, Tick) -> bool) {
        let deadline = Instant::now() + SOON;
        loop {
            assert!(Instant::now() < deadline, "{:?}", self.talk.tally());
            let now = self.now();
            let mut out = Outbox::default();
            self.talk.transmit(now, &Crypt::null(), &mut self.nonces, &mut out);
            for datagram in out.iter() {
                self.socket.send(datagram).unwrap();
            }
            if so(&self.talk, now) {
                return;
            }
            let mut buffer = [0; 2048];
            if let Ok(length) = self.socket.recv(&mut buffer) {
                self.talk.handle_datagram(now, &buffer[..length], None);
            }
        }
    }
}

/// Holds what one client says for a while; what it hears comes at once.
struct Far {
    address: SocketAddr,
}

impl Far {
    fn start(gate: SocketAddr, delay: Duration) -> Self {
        let outer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let inner = UdpSocket::bind("127.0.0.1:0").unwrap();
        inner.connect(gate).unwrap();
        let address = outer.local_addr().unwrap();
        let (learn, client) = mpsc::sync_channel(1024);
        let (queue, due) = mpsc::sync_channel::<(Instant, Vec<u8>)>(1024);
        let (hears, says) = (outer.try_clone().unwrap(), inner.try_clone().unwrap());
        for socket in [&outer, &inner] {
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        }
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = hears.recv_from(&mut buffer) {
                learn.try_send(from).ok();
                queue.send((Instant::now() + delay, buffer[..length].to_vec())).ok();
            }
        });
        thread::spawn(move || {
            for (at, datagram) in due {
                while Instant::now() < at {
                    thread::park_timeout(at.saturating_duration_since(Instant::now()));
                }
                says.send(&datagram).ok();
            }
        });
        thread::spawn(move || {
            let to = client.recv().unwrap();
            let mut buffer = [0; 2048];
            while let Ok(length) = inner.recv(&mut buffer) {
                outer.send_to(&buffer[..length], to).ok();
            }
        });
        Self { address }
    }
}
