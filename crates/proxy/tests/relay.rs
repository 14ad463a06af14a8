//! The real data plane on port 0, between plain sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use portcullis_core::config::Config;
use portcullis_core::resolver::Own;
use portcullis_core::snapshot::Snapshot;
use portcullis_proxy::{Parts, ProxyHandle, Running, Sockets, start};

#[test]
fn bytes_flow_both_ways_and_half_close_is_passed_on() {
    let gate = Gate::start(1, &to(echo()));
    let mut client = gate.connect();
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"hello");
    gate.wait_until_empty();
}

#[test]
fn bulk_is_promoted_to_splice_and_arrives_whole() {
    let gate = Gate::start(1, &to(echo()));
    let mut client = gate.connect();
    let mut writer = client.try_clone().unwrap();
    let total = 64 << 20;
    let sender = thread::spawn(move || {
        let block: Vec<u8> = (0..1 << 16).map(|index: u32| ((index * 31) >> 3) as u8).collect();
        for _ in 0..total / block.len() {
            writer.write_all(&block).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::with_capacity(total);
    client.read_to_end(&mut got).unwrap();
    sender.join().unwrap();
    assert_eq!(got.len(), total);
    assert!(got.iter().enumerate().all(|(index, byte)| *byte == (((index as u32 & 0xffff) * 31) >> 3) as u8));
    gate.wait_until_empty();
    let counts = gate.handle.counts();
    assert!(counts.listeners[0].spliced_bytes > total as u64, "{counts:?}");
}

#[test]
fn nobody_is_lost_when_doors_close() {
    let gate = Gate::start(2, &to(echo()));
    let mut clients: Vec<TcpStream> = (0..200).map(|_| gate.connect()).collect();
    gate.handle.stop_accepting();
    for client in &mut clients {
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
    }
}

/// A running data plane.
struct Gate {
    handle: ProxyHandle,
    running: Option<Running>,
    address: SocketAddr,
}

impl Gate {
    fn start(workers: usize, text: &str) -> Self {
        let config = Arc::new(Config::parse(text, "test.toml", &|_| None).unwrap());
        let sockets = Sockets::bind(&config).unwrap();
        let address = sockets.addresses()[0].1;
        let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let snapshot = Snapshot::build(config, Own::default(), &read, None).unwrap();
        let parts = Parts { snapshot: Arc::new(snapshot), sockets, workers, sessions: 1000 };
        let (handle, running) = start(parts).unwrap();
        Self { handle, running: Some(running), address }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client
    }

    fn wait_until_empty(&self) {
        for _ in 0..2000 {
            if self.handle.sessions() == 0 {
                return;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        panic!("{} sessions are left", self.handle.sessions());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.handle.shut_down();
        self.running.take().unwrap().join().unwrap();
    }
}

fn to(endpoint: SocketAddr) -> String {
    format!(
        r#"
[[listener]]
name = "in"
protocol = "tcp"
bind = ["127.0.0.1:0"]
hello = "none"
route = "out"
[route.out]
resolver = "upstream"
upstreams = ["out"]
[upstream.out]
endpoints = [{{ address = "{endpoint}" }}]
"#
    )
}

fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(count) = stream.read(&mut buffer) {
                    if count == 0 || stream.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}
