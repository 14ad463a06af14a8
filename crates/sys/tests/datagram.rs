//! Batches of datagrams on real loopback sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_sys::datagram::{Datagrams, Inbox, Local, Outgoing};
use portcullis_sys::epoll::{Events, Interest, Poller};

const SOON: Option<Duration> = Some(Duration::from_secs(5));

/// A datagram as a test compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    from: SocketAddr,
    to: Option<Local>,
    bytes: Vec<u8>,
    truncated: bool,
}

#[test]
fn a_batch_of_mixed_sizes_arrives_with_both_addresses_in_both_families() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = bind(address);
        let client = bind(address);
        let sizes = [1, 0, 24, 1_350, 9_000, 65_000, 7];
        let bytes: Vec<Vec<u8>> = sizes.iter().map(|size| patterned(*size)).collect();
        let batch: Vec<Outgoing<'_>> = bytes.iter().map(|bytes| to(server.address(), bytes)).collect();
        assert_eq!(client.send(&batch).unwrap(), sizes.len());
        let local = Local { address: server.address().ip(), interface: 0 };
        for (seen, bytes) in take(&server, sizes.len()).iter().zip(bytes) {
            let wanted = Seen { from: client.address(), to: Some(local), bytes, truncated: false };
            assert_eq!(*seen, wanted, "{address}");
        }
    }
}

fn bind(address: &str) -> Datagrams {
    Datagrams::bind_group(address.parse().unwrap(), 1).unwrap().remove(0)
}

fn to(to: SocketAddr, bytes: &[u8]) -> Outgoing<'_> {
    Outgoing { to: Some(to), from: None, bytes, segment: None }
}

fn patterned(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at * 31 + size) as u8).collect()
}

/// Receives until `count` datagrams are there.
fn take(socket: &Datagrams, count: usize) -> Vec<Seen> {
    take_with(socket, count, &mut Inbox::default())
}

fn take_with(socket: &Datagrams, count: usize, inbox: &mut Inbox) -> Vec<Seen> {
    let poller = Poller::new().unwrap();
    poller.add(socket, 0, Interest::Level).unwrap();
    let mut seen = Vec::new();
    while seen.len() < count {
        let mut events = Events::default();
        poller.wait(&mut events, SOON).unwrap();
        assert!(!events.as_slice().is_empty(), "{} of {count} came", seen.len());
        socket.receive(inbox).unwrap();
        seen.extend(inbox.iter_mut().map(|one| Seen {
            from: one.from,
            to: one.to,
            bytes: one.bytes.to_vec(),
            truncated: one.truncated,
        }));
    }
    seen
}
