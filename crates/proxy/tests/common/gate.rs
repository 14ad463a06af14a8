//! A running data plane on port 0, and endpoints for it.

#![allow(dead_code, reason = "each test program uses a part of this")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use portcullis_core::config::Config;
use portcullis_core::resolver::Own;
use portcullis_core::snapshot::Snapshot;
use portcullis_proxy::{Counts, Parts, ProxyHandle, Running, Sockets, start};

/// A running data plane; dropping it ends every session and waits for the workers.
pub(crate) struct Gate {
    pub(crate) handle: ProxyHandle,
    running: Option<Running>,
    address: SocketAddr,
}

impl Gate {
    pub(crate) fn start(workers: usize, sessions: u32, text: &str) -> Self {
        let config = Arc::new(Config::parse(text, "test.toml", &|_| None).unwrap());
        let sockets = Sockets::bind(&config).unwrap();
        let address = sockets.addresses()[0].1;
        let read = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
        let snapshot = Snapshot::build(config, Own::default(), &read, None).unwrap();
        let parts = Parts { snapshot: Arc::new(snapshot), sockets, workers, sessions };
        let (handle, running) = start(parts).unwrap();
        Self { handle, running: Some(running), address }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client
    }

    /// Waits until the counts are so; the last ones are in the failure.
    pub(crate) fn wait_for(&self, so: impl Fn(&Counts) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if so(&self.handle.counts()) {
                return;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
        panic!("{:#?}", self.handle.counts());
    }

    pub(crate) fn wait_until_empty(&self) {
        self.wait_for(|counts| counts.sessions == 0);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.handle.shut_down();
        self.running.take().unwrap().join().unwrap();
    }
}

/// No hello: everything goes to one endpoint.
pub(crate) fn to(endpoint: SocketAddr) -> String {
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
protocol = "tcp"
endpoints = [{{ address = "{endpoint}" }}]
"#
    )
}

/// The client names its endpoint.
pub(crate) fn by_address() -> String {
    r#"
[[listener]]
name = "in"
protocol = "tcp"
bind = ["127.0.0.1:0"]
hello = "length-prefixed"
route = "out"
[route.out]
resolver = "address"
allow = ["127.0.0.0/8:*"]
"#
    .into()
}

/// An endpoint that gives everything back.
pub(crate) fn echo() -> SocketAddr {
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

/// A port on which nobody listens.
pub(crate) fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}
