#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{ErrorKind, Write};
use std::iter;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_core::config::Config;
use portcullis_core::resolver::Own;
use portcullis_core::snapshot::Snapshot;
use portcullis_sys::epoll::Event;
use portcullis_sys::socket::{Listener, Tuning};

use super::*;
use crate::handle::Shared;
use crate::io::BUFFER;

#[test]
fn a_bulk_flow_without_a_pipe_keeps_to_its_turn() {
    let mut io = io();
    let _pipes: Vec<_> = iter::from_fn(|| io.pipes.take()).collect();
    let (mut peer, mut from) = pair();
    peer.set_nonblocking(true).unwrap();
    let mut queued = 0;
    let stop = loop {
        match peer.write(&[7; 1 << 16]) {
            Ok(count) => queued += count,
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(stop, ErrorKind::WouldBlock);
    peer.shutdown(Shutdown::Write).unwrap();
    // With an end behind them, short reads are not taken for the last.
    from.note(&Event {
        token: 0,
        readable: true,
        writable: false,
        ended: true,
        broken: false,
        failed: false,
        urgent: false,
    });
    let (_other, mut to) = pair();
    to.shut(&mut io.lent); // it takes everything and keeps nothing
    let mut flow = Flow::default();
    let pumped = flow.pump(&mut from, &mut to, true, &mut io);
    let budget = 2 * (READS * BUFFER) as u64;
    assert!(flow.bytes <= budget, "{} of {queued} bytes in one turn: {pumped:?}", flow.bytes);
}

/// A peer and the leg it is connected to.
fn pair() -> (TcpStream, Leg) {
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), &Tuning::default()).unwrap();
    let peer = TcpStream::connect(listener.address()).unwrap();
    // The kernel may queue it a little after it has told the peer.
    let deadline = Instant::now() + Duration::from_secs(20);
    let socket = loop {
        match listener.accept() {
            Ok((socket, _)) => break socket,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    (peer, Leg::tcp(socket))
}

fn io() -> Io {
    let text = r#"
[[listener]]
name = "in"
protocol = "tcp"
bind = ["127.0.0.1:0"]
route = "out"
[route.out]
allow = ["127.0.0.0/8:*"]
"#;
    let config = Arc::new(Config::parse(text, "test.toml", &|_| None).unwrap());
    let read = |_: &std::path::Path| Err(ErrorKind::NotFound.into());
    let snapshot = Snapshot::build(config, Own::default(), &read, None).unwrap();
    let shared = Shared::new(Arc::new(snapshot), 1, 10).unwrap();
    Io::new(0, Arc::new(shared)).unwrap()
}
