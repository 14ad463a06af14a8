//! Datagrams from addresses that did not send them, as far as the gateway can tell.
//!
//! 127.0.0.0/8 is one interface: a socket on any of its addresses stands for a forged source.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::kcp_raw::{ACK, PUSH, Segment, WASK, WINS, framed};
use crate::scene::hello;

/// One of eight million addresses, nearly each in a network of its own; never one below 127.128.0.0.
#[must_use]
pub fn source(number: u32) -> Ipv4Addr {
    let scattered = number.wrapping_mul(0x9e37_79b1) >> 8;
    Ipv4Addr::from_bits(127 << 24 | (scattered & 0x7f_ffff) | 0x80_0000)
}

/// Sends one datagram from an address, by a socket that is gone before anybody could answer it.
pub fn send(from: Ipv4Addr, to: SocketAddr, datagram: &[u8]) {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    // The kernel may be short of room: then it was never sent, as on any road.
    socket.send_to(datagram, to).ok();
}

/// What a forger may send once to have as much as possible sent to its victim, by name.
///
/// `key` is one that opens; behind `open` a session needs no hello.
#[must_use]
pub fn lures(key: &str) -> Vec<(&'static str, Vec<u8>)> {
    let opening = |payload: &[u8]| Segment::push(7, 0, payload).bytes();
    let answered = [hello(key), vec![b'?'; 1000]].concat();
    let split = |payload: &[u8]| -> Vec<u8> {
        (0_u32..).zip(payload.chunks(8)).flat_map(|(sn, piece)| Segment::push(7, sn, piece).bytes()).collect()
    };
    vec![
        ("a hello", opening(&hello(key))),
        ("a hello and a question", opening(&answered)),
        ("a hello in many segments", split(&hello(key))),
        ("the same segment many times", opening(b"x").repeat(50)),
        ("a hello in a frame", framed(0, &opening(&hello(key)))),
        ("a part of a hello", opening(b"\x09\0\0\0")),
        ("an endless hello", opening(&[0xff; 40])),
        ("a byte", opening(b"x")),
        ("nothing", opening(b"")),
        ("many questions", Segment::new(7, WASK, 0).bytes().repeat(50)),
        ("a question", Segment::new(7, WASK, 0).bytes()),
        ("a question in a frame", framed(0, &Segment::new(7, WASK, 0).bytes())),
        ("an answer", Segment::new(7, WINS, 0).bytes()),
        ("an acknowledgement", Segment::new(7, ACK, 0).bytes()),
        ("the middle of a stream", Segment::new(7, PUSH, 5000).bytes()),
        ("parity", [&3_u32.to_le_bytes()[..], &[0xf2, 0], &[9; 200]].concat()),
        ("out of band", [&[0xff; 4][..], &[0xf3, 0, 26, 0, 7, 0, 0, 0], &[9; 20]].concat()),
    ]
}

/// Has every lure sent to each port once, each from an address of its own that never answers, and counts for
/// `time` what comes back. Returns the worst ratio of bytes in to bytes out and what it was had with.
#[must_use]
pub fn reflected(ports: &[SocketAddr], key: &str, time: Duration) -> (f64, String) {
    let mut victims = Vec::new();
    for (port, (name, lure)) in
        ports.iter().flat_map(|port| lures(key).into_iter().map(move |lure| (port, lure)))
    {
        let socket = UdpSocket::bind((source(victims.len() as u32), 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        assert_eq!(socket.send_to(&lure, port).unwrap(), lure.len());
        victims.push((socket, format!("{name} to {port}"), lure.len(), 0));
    }
    let (begin, mut buffer) = (Instant::now(), [0; 2048]);
    while begin.elapsed() < time {
        for (socket, _, _, got) in &mut victims {
            while let Ok(length) = socket.recv(&mut buffer) {
                *got += length;
            }
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let ratios = victims.into_iter().map(|(_, name, sent, got)| (got as f64 / sent as f64, name));
    ratios.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap()
}
