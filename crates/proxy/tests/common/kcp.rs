//! Configurations of the cells that KCP has a part in, and streams of bytes through them.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;

use portcullis_peers::KcpStream;

/// A listener of one protocol in front of one endpoint of another, without a hello where there can be none.
pub(crate) fn cell(client: &str, endpoint: &str, address: SocketAddr, settings: &str) -> String {
    let hello = if client == "ws" { "header" } else { "none" };
    format!(
        r#"
[[listener]]
name = "in"
protocol = "{client}"
bind = ["127.0.0.1:0"]
hello = "{hello}"
success_message = ""
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
    .replace("success_message = \"\"\n", if hello == "none" { "" } else { "success_message = \"\"\n" })
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
