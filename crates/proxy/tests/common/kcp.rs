//! Configurations of the cells that KCP has a part in, and streams of bytes through them.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_core::outcome::Reason;
use portcullis_peers::{KcpClient, KcpOptions, KcpStream};
use portcullis_proxy::{Counts, Told};

use crate::gate::{Gate, accept};

/// Everything of an ended session is free within 5 s; a machine with other work is given more, and less than the
/// minute after which silence would free it.
pub(crate) const SOON: Duration = Duration::from_secs(25);

/// A listener of one protocol in front of one endpoint of another, without a hello where there can be none.
pub(crate) fn cell(client: &str, endpoint: &str, address: SocketAddr, settings: &str) -> String {
    let hello =
        if client == "ws" { "hello = \"header\"\nsuccess_message = \"\"" } else { "hello = \"none\"" };
    format!(
        r#"
[[listener]]
name = "in"
protocol = "{client}"
bind = ["127.0.0.1:0"]
{hello}
route = "out"
{settings}
[route.out]
resolver = "upstream"
upstreams = ["out"]
[upstream.out]
protocol = "{endpoint}"
endpoints = [{{ address = "{address}" }}]
"#
    )
}

/// Byte `place` of every stream: no two blocks of it are alike.
pub(crate) fn byte(place: usize) -> u8 {
    (place * 31 + place / 251 + (place >> 16) * 7) as u8
}

/// The first bytes of every stream.
pub(crate) fn stream(length: usize) -> Vec<u8> {
    (0..length).map(byte).collect()
}

/// Writes and reads at once; what comes back is what was sent.
pub(crate) fn echo_through(client: &KcpStream, length: usize) {
    let sent = stream(length);
    let mut back = vec![0; length];
    thread::scope(|scope| {
        scope.spawn(|| (&mut &*client).write_all(&sent).unwrap());
        (&mut &*client).read_exact(&mut back).unwrap();
    });
    assert!(sent == back, "{length} bytes are not what was sent");
}

/// Asks an echo for one word.
pub(crate) fn ask(mut client: &KcpStream) {
    client.write_all(b"here?").unwrap();
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"here?");
}

/// A client on a listener of KCP.
pub(crate) fn connect(gate: &Gate) -> KcpStream {
    KcpClient::connect(gate.address(), &KcpOptions::default()).unwrap().into_stream()
}

pub(crate) fn to_tcp(listener: &TcpListener, settings: &str) -> String {
    cell("kcp", "tcp", listener.local_addr().unwrap(), settings)
}

/// One open session whose client has heard its endpoint.
pub(crate) fn open(gate: &Gate, listener: &TcpListener) -> (KcpStream, TcpStream) {
    let client = connect(gate);
    (&client).write_all(b"?").unwrap();
    let mut server = accept(listener);
    server.read_exact(&mut [0]).unwrap();
    server.write_all(b"!").unwrap();
    (&client).read_exact(&mut [0]).unwrap();
    (&client).write_all(b"?").unwrap();
    server.read_exact(&mut [0]).unwrap();
    (client, server)
}

/// Nobody is there, by every gauge.
pub(crate) fn is_empty(counts: &Counts) -> bool {
    counts.sessions == 0 && counts.listeners.iter().all(|one| one.sessions == 0 && one.kcp.embryos == 0)
}

/// Why the first session ended that ended since the last time. It is told in the turn's end, after it is free.
pub(crate) fn ended(gate: &Gate) -> Reason {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        for told in gate.handle.endings().take() {
            if let Told::Ended(ended) = told {
                return ended.reason;
            }
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    panic!("no end was told");
}

/// The count once it has not changed for half a second.
pub(crate) fn rest(count: impl Fn() -> u64) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(60);
    let (mut last, mut since) = (0, Instant::now());
    while last == 0 || since.elapsed() < Duration::from_millis(500) {
        let now = count();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        assert!(Instant::now() < deadline, "it never rests: {now}");
        thread::park_timeout(Duration::from_millis(5));
    }
    last
}
