//! The wrapped system calls on real loopback sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use portcullis_sys::epoll::{Event, Events, Interest, Poller};
use portcullis_sys::socket::{Listener, Socket, Tuning};
use portcullis_sys::splice::Pipe;
use portcullis_sys::wake::Wake;

const SOON: Option<Duration> = Some(Duration::from_secs(5));

#[test]
fn a_second_listener_on_a_bound_port_is_refused() {
    let first = listener();
    let second = Listener::bind(first.address(), &Tuning::default());
    assert_eq!(second.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn an_ipv6_wildcard_takes_ipv4_and_tells_it_as_ipv4() {
    let listener = Listener::bind("[::]:0".parse().unwrap(), &Tuning::default()).unwrap();
    let _client = TcpStream::connect(("127.0.0.1", listener.address().port())).unwrap();
    let (socket, peer) = accept(&listener);
    assert!(peer.is_ipv4(), "{peer}");
    assert!(socket.local().unwrap().is_ipv4());
}

#[test]
fn a_closed_queue_keeps_who_is_in_it_and_takes_nobody_more() {
    let listener = listener();
    let mut queued = TcpStream::connect(listener.address()).unwrap();
    listener.close_queue().unwrap();
    let late = TcpStream::connect_timeout(&listener.address(), Duration::from_millis(200));
    assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
    let (socket, peer) = accept(&listener);
    assert_eq!(peer, queued.local_addr().unwrap());
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(listener);
    queued.set_read_timeout(SOON).unwrap();
    drop(socket);
    assert_eq!(queued.read(&mut [0]).unwrap(), 0, "it ends as any other does");
}

#[test]
fn an_accepted_socket_inherits_what_its_listener_has() {
    let tuning = Tuning { congestion: Some("reno".into()), ..Tuning::default() };
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), &tuning).unwrap();
    let _client = TcpStream::connect(listener.address()).unwrap();
    let (socket, _) = accept(&listener);
    assert_eq!(rustix::net::sockopt::tcp_congestion(&socket).unwrap(), "reno");
    assert!(rustix::net::sockopt::tcp_nodelay(&socket).unwrap());
    assert_eq!(rustix::net::sockopt::tcp_keepidle(&socket).unwrap(), Duration::from_secs(60));
    assert_eq!(rustix::net::sockopt::tcp_user_timeout(&socket).unwrap(), 30_000);
}

#[test]
fn an_edge_is_told_once_and_an_end_with_it() {
    let (socket, mut client) = pair();
    let poller = Poller::new().unwrap();
    poller.add(&socket, 7, Interest::Edge).unwrap();
    client.write_all(b"x").unwrap();
    let event = wait_until(&poller, |event| event.readable);
    assert_eq!((event.token, event.ended), (7, false));
    let mut events = Events::default();
    poller.wait(&mut events, Some(Duration::from_millis(20))).unwrap();
    assert!(events.as_slice().is_empty(), "told once");
    drop(client);
    assert!(wait_until(&poller, |event| event.ended).readable);
}

#[test]
fn a_refused_connect_is_told_by_its_error() {
    let closed = listener().address();
    let socket = Socket::connect(closed, None, &Tuning::default()).unwrap();
    let poller = Poller::new().unwrap();
    poller.add(&socket, 1, Interest::Edge).unwrap();
    assert!(wait_until(&poller, |event| event.writable).broken);
    assert_eq!(socket.take_error().unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_source_address_is_dialled_from() {
    let listener = listener();
    let from = "127.0.0.9".parse().unwrap();
    let _socket = Socket::connect(listener.address(), Some(from), &Tuning::default()).unwrap();
    let (_accepted, peer) = accept(&listener);
    assert_eq!(peer.ip(), from);
}

#[test]
fn a_reset_is_a_reset_for_the_peer() {
    let (socket, mut client) = pair();
    socket.reset_on_close();
    drop(socket);
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn unacknowledged_bytes_are_counted_until_the_peer_has_them() {
    let (socket, client) = pair();
    let mut sent = 0;
    while let Ok(count) = socket.send(&[1; 65_536]) {
        sent += count;
    }
    let waiting = socket.unacknowledged().unwrap();
    assert!(waiting > 0 && waiting <= sent, "{waiting} of {sent}");
    let mut client = client;
    let mut sink = vec![0; 1 << 20];
    while sent > 0 {
        sent -= client.read(&mut sink).unwrap();
    }
    for _ in 0..1000 {
        if socket.unacknowledged().unwrap() == 0 {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
    panic!("{} bytes stay unacknowledged", socket.unacknowledged().unwrap());
}

#[test]
fn a_pipe_moves_bytes_and_the_end_between_sockets() {
    let (source, mut writer) = pair();
    let (target, mut reader) = pair();
    let mut pipe = Pipe::new().unwrap();
    assert_eq!(pipe.fill(&source).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    writer.write_all(b"through the pipe").unwrap();
    drop(writer);
    while pipe.held() < 16 {
        match pipe.fill(&source) {
            Ok(count) => assert!(count > 0, "the end came before the bytes"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    assert_eq!(pipe.drain(&target).unwrap(), 16);
    let mut got = [0; 16];
    reader.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"through the pipe");
    let poller = Poller::new().unwrap();
    poller.add(&source, 1, Interest::Edge).unwrap();
    wait_until(&poller, |event| event.ended);
    assert_eq!(pipe.fill(&source).unwrap(), 0);
}

#[test]
fn a_bell_rings_until_it_is_hushed() {
    let bell = Wake::new().unwrap();
    let poller = Poller::new().unwrap();
    poller.add(&bell, 3, Interest::Level).unwrap();
    bell.ring();
    bell.ring();
    assert_eq!(wait_until(&poller, |_| true).token, 3);
    assert_eq!(wait_until(&poller, |_| true).token, 3, "level-triggered");
    bell.hush();
    let mut events = Events::default();
    poller.wait(&mut events, Some(Duration::ZERO)).unwrap();
    assert!(events.as_slice().is_empty());
}

fn listener() -> Listener {
    Listener::bind("127.0.0.1:0".parse().unwrap(), &Tuning::default()).unwrap()
}

fn accept(listener: &Listener) -> (Socket, SocketAddr) {
    let poller = Poller::new().unwrap();
    poller.add(listener, 1, Interest::Accept).unwrap();
    wait_until(&poller, |event| event.readable);
    listener.accept().unwrap()
}

fn pair() -> (Socket, TcpStream) {
    let listener = listener();
    let client = TcpStream::connect(listener.address()).unwrap();
    (accept(&listener).0, client)
}

fn wait_until(poller: &Poller, so: impl Fn(&Event) -> bool) -> Event {
    let mut events = Events::default();
    for _ in 0..100 {
        poller.wait(&mut events, SOON).unwrap();
        if let Some(event) = events.as_slice().iter().find(|event| so(event)) {
            return *event;
        }
    }
    panic!("nothing of the kind happened");
}
