//! What the tests of datagrams share.
#![allow(dead_code, reason = "not every test program uses everything")]

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_sys::datagram::{Datagrams, Inbox, Local, Outgoing};
use portcullis_sys::epoll::{Events, Interest, Poller};

/// How long what is on its way may take.
pub(crate) const WAIT: Option<Duration> = Some(Duration::from_secs(5));

/// A datagram as a test compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) from: SocketAddr,
    pub(crate) to: Option<Local>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) truncated: bool,
}

/// A group of one.
pub(crate) fn bind(address: &str) -> Datagrams {
    Datagrams::bind_group(address.parse().unwrap(), 1).unwrap().remove(0)
}

/// A datagram to `to`.
pub(crate) fn to(to: SocketAddr, bytes: &[u8]) -> Outgoing<'_> {
    Outgoing { to: Some(to), from: None, bytes, segment: None }
}

/// Bytes that tell where they belong.
pub(crate) fn patterned(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 + at / 251 + size) as u8).collect()
}

/// Waits until something is there, or an error.
pub(crate) fn ready(socket: &Datagrams) {
    let poller = Poller::new().unwrap();
    poller.add(socket, 0, Interest::Level).unwrap();
    let mut events = Events::default();
    poller.wait(&mut events, WAIT).unwrap();
    assert!(!events.as_slice().is_empty(), "nothing came");
}

/// Receives until `count` datagrams are there.
pub(crate) fn take(socket: &Datagrams, count: usize) -> Vec<Seen> {
    take_with(socket, count, &mut Inbox::default())
}

/// As [`take`], into this inbox.
pub(crate) fn take_with(socket: &Datagrams, count: usize, inbox: &mut Inbox) -> Vec<Seen> {
    let mut seen = Vec::new();
    while seen.len() < count {
        ready(socket);
        assert!(socket.receive(inbox).unwrap() > 0);
        seen.extend(inbox.iter_mut().map(|one| Seen {
            from: one.from,
            to: one.to,
            bytes: one.bytes.to_vec(),
            truncated: one.truncated,
        }));
    }
    seen
}
