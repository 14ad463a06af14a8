//! Datagrams on a network that is more than loopback, in a namespace of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::{SocketAddr, SocketAddrV6};
use std::process::Command;
use std::time::Duration;

use portcullis_sys::datagram::{Datagrams, Inbox, Local, Outgoing};
use portcullis_sys::epoll::{Event, Events, Interest, Poller};
use portcullis_tests::network::own;
use rustix::net::sockopt::set_socket_send_buffer_size;

#[test]
fn a_full_send_buffer_gives_a_short_count_and_is_told_when_there_is_room() {
    own("a_full_send_buffer_gives_a_short_count_and_is_told_when_there_is_room", || {
        cable();
        ip("address add 10.7.0.1/24 dev near");
        let socket = bind("10.7.0.1:0");
        set_socket_send_buffer_size(&socket, 8 << 10).unwrap();
        let poller = Poller::new().unwrap();
        poller.add(&socket, 5, Interest::Arrivals).unwrap();
        // Nobody answers who 10.7.0.9 is: what is sent to it waits in the kernel, on the socket's account.
        let bytes = [7; 1_300];
        let to = Some("10.7.0.9:9".parse().unwrap());
        let batch = [Outgoing { to, from: None, bytes: &bytes, segment: None }; 100];
        let sent = socket.send(&batch).unwrap();
        assert!((1..50).contains(&sent), "{sent} of {}", batch.len());
        assert_eq!(socket.send(&batch[sent..]).unwrap(), 0);
        assert_eq!(socket.lost(), 0);

        let room = |event: &Event| event.token == 5 && event.writable;
        poller.change(&socket, 5, Interest::Room).unwrap();
        assert!(!told(&poller, Duration::ZERO).iter().any(room), "room while nothing has left");
        ip("neighbour replace 10.7.0.9 lladdr 02:00:00:00:00:09 dev near");
        assert!(told(&poller, Duration::from_secs(5)).iter().any(room));
        poller.change(&socket, 5, Interest::Arrivals).unwrap();
        assert!(told(&poller, Duration::ZERO).is_empty(), "told of room that nobody waits for");
        assert!(socket.send(&batch[sent..]).unwrap() > 0);
    });
}

#[test]
fn a_link_local_peer_is_answered_on_the_link_it_came_by() {
    own("a_link_local_peer_is_answered_on_the_link_it_came_by", || {
        cable();
        ip("address add fe80::1/64 dev near nodad");
        ip("address add fe80::2/64 dev far nodad");
        let (near, far) = (index("near"), index("far"));
        let server = bind("[::]:0");
        let client = Datagrams::bind_group(link_local(2, 0, far), 1).unwrap().remove(0);
        let asked = link_local(1, server.address().port(), far);
        let question = Outgoing { to: Some(asked), from: None, bytes: b"hello?", segment: None };
        assert_eq!((client.send(&[question]).unwrap(), client.lost()), (1, 0));

        let mut inbox = Inbox::default();
        take(&server, &mut inbox);
        let seen = inbox.iter_mut().next().unwrap();
        assert_eq!(seen.from, link_local(2, client.address().port(), near));
        assert_eq!(seen.to, Some(Local { address: asked.ip(), interface: near }));
        let reply = Outgoing { to: Some(seen.from), from: seen.to, bytes: b"hello!", segment: None };
        assert_eq!((server.send(&[reply]).unwrap(), server.lost()), (1, 0));
        take(&client, &mut inbox);
        let seen = inbox.iter_mut().next().unwrap();
        assert_eq!((seen.from, &seen.bytes[..]), (asked, b"hello!".as_slice()));
    });
}

/// A pair of interfaces joined by a cable.
fn cable() {
    ip("link add near type veth peer name far");
    ip("link set near up");
    ip("link set far up");
}

fn ip(words: &str) {
    let status = Command::new("ip").args(words.split(' ')).status().unwrap();
    assert!(status.success(), "ip {words}");
}

fn index(interface: &str) -> u32 {
    let out = Command::new("ip").args(["-o", "link", "show", interface]).output().unwrap();
    let line = String::from_utf8(out.stdout).unwrap();
    line.split(':').next().unwrap().parse().unwrap()
}

fn link_local(host: u16, port: u16, interface: u32) -> SocketAddr {
    SocketAddrV6::new([0xfe80, 0, 0, 0, 0, 0, 0, host].into(), port, 0, interface).into()
}

fn bind(address: &str) -> Datagrams {
    Datagrams::bind_group(address.parse().unwrap(), 1).unwrap().remove(0)
}

fn told(poller: &Poller, time: Duration) -> Vec<Event> {
    let mut events = Events::default();
    poller.wait(&mut events, Some(time)).unwrap();
    events.as_slice().to_vec()
}

/// Waits for what comes in and receives it.
fn take(socket: &Datagrams, inbox: &mut Inbox) {
    let poller = Poller::new().unwrap();
    poller.add(socket, 0, Interest::Arrivals).unwrap();
    assert!(!told(&poller, Duration::from_secs(5)).is_empty(), "nothing came");
    assert_eq!(socket.receive(inbox).unwrap(), 1);
}
