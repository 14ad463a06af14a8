//! Several sockets on one address: who may share it, and how the kernel spreads what comes in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/batch.rs"]
mod batch;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};

use portcullis_sys::datagram::{Datagrams, Inbox};

use self::batch::{bind, take, to};

#[test]
fn nobody_gets_an_address_that_is_taken_and_a_group_does_not_join_another() {
    for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
        let group = Datagrams::bind_group(address.parse().unwrap(), 3).unwrap();
        let taken = group[0].address();
        assert!(group.iter().all(|one| one.address() == taken) && taken.port() > 0, "{group:?}");
        for count in [1, 2] {
            let error = Datagrams::bind_group(taken, count).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{taken}, a group of {count}");
        }
        assert_eq!(UdpSocket::bind(taken).unwrap_err().kind(), io::ErrorKind::AddrInUse, "{taken}");
        drop(group);
        let other = UdpSocket::bind(taken).unwrap();
        let error = Datagrams::bind_group(taken, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{other:?} was there first");
    }
    let none = Datagrams::bind_group("127.0.0.1:0".parse().unwrap(), 0);
    assert_eq!(none.unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_wildcard_and_one_address_of_it_are_not_shared_either() {
    let all = Datagrams::bind_group("0.0.0.0:0".parse().unwrap(), 2).unwrap();
    let one = SocketAddr::new([127, 0, 0, 1].into(), all[0].address().port());
    assert_eq!(Datagrams::bind_group(one, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_group_shares_the_peers_and_each_peer_keeps_its_socket() {
    for address in ["127.0.0.1:0", "[::]:0"] {
        let group = Datagrams::bind_group(address.parse().unwrap(), 2).unwrap();
        let server = SocketAddr::new([127, 0, 0, 1].into(), group[0].address().port());
        let peers: Vec<Datagrams> = (0..200).map(|_| bind("127.0.0.1:0")).collect();
        let first = homes(&group, server, &peers);
        let shares: Vec<usize> =
            (0..2).map(|home| first.values().filter(|other| **other == home).count()).collect();
        // 200 throws of a fair coin are outside of this once in 10¹³.
        assert!(shares.iter().all(|share| (47..=153).contains(share)), "{shares:?}");
        for round in 0..3 {
            assert_eq!(homes(&group, server, &peers), first, "round {round}");
        }
    }
}

/// Lets every peer send one datagram, and returns which of the sockets each came in by.
fn homes(group: &[Datagrams], server: SocketAddr, peers: &[Datagrams]) -> HashMap<SocketAddr, usize> {
    for peer in peers {
        assert_eq!(peer.send(&[to(server, b"x")]).unwrap(), 1);
    }
    // Loopback delivers within the send: what is there now is all there is.
    let mut homes = HashMap::new();
    let mut inbox = Inbox::default();
    for (home, socket) in group.iter().enumerate() {
        while socket.receive(&mut inbox).is_ok() {
            homes.extend(inbox.iter_mut().map(|one| (one.from, home)));
        }
    }
    assert_eq!(homes.len(), peers.len(), "every peer was heard");
    homes
}

#[test]
fn a_reply_from_any_socket_of_a_group_comes_from_the_group_s_address() {
    let group = Datagrams::bind_group("127.0.0.1:0".parse().unwrap(), 2).unwrap();
    let client = bind("127.0.0.1:0");
    for socket in &group {
        socket.send(&[to(client.address(), b"hello")]).unwrap();
    }
    assert!(take(&client, 2).iter().all(|seen| seen.from == group[0].address()));
}
