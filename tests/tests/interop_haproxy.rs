//! Side by side with HAProxy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use portcullis_peers::Haproxy;
use portcullis_tests::crowd::quantile;
use portcullis_tests::scene::Stage;
use portcullis_tests::{Gate, Setup, skip, within};

#[test]
fn a22_a_reader_that_never_reads_costs_no_more_bytes_than_through_haproxy() {
    if !skip::have("a22_a_reader_that_never_reads", &["haproxy"]) {
        return;
    }
    let endpoint = Stage::new();
    let haproxy = Haproxy::start(&[endpoint.address()]).unwrap().expect("it is installed");
    // HAProxy was asked whether it listens, and asked the endpoint in turn.
    while endpoint.accept_within(Duration::from_millis(200)).is_some() {}
    let setup = Setup::new().fixed("copy", "tcp", &[endpoint.address()], "zero_copy = false").fixed(
        "splice",
        "tcp",
        &[endpoint.address()],
        "zero_copy = true",
    );
    let gate = Gate::start(&setup.text());
    let rows = [
        ("haproxy", haproxy.address(0)),
        ("copy", gate.listener("copy")),
        ("splice", gate.listener("splice")),
    ];
    let mut taken = vec![Vec::new(); rows.len()];
    for _ in 0..5 {
        for ((_, to), taken) in rows.iter().zip(&mut taken) {
            taken.push(dead_reader(*to, &endpoint));
        }
    }
    let middle: Vec<usize> = taken.iter().map(|taken| quantile(taken, 0.5)).collect();
    for ((name, _), bytes) in rows.iter().zip(&middle) {
        eprintln!("{name}: {bytes} bytes for a dead reader");
        assert!(*bytes <= middle[0], "{name} takes {bytes}, HAProxy {}: {taken:?}", middle[0]);
    }
    gate.assert_clean();
}

/// How much an endpoint can send to a client that does not read.
fn dead_reader(to: SocketAddr, endpoint: &Stage) -> usize {
    let client = TcpStream::connect(to).unwrap();
    let mut server = endpoint.accept();
    server.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while let Some(wrote) = within(Duration::from_millis(300), || server.write(&[0; 1 << 16]).ok()) {
        sent += wrote;
        assert!(sent < 256 << 20, "no end to it");
    }
    drop(client);
    sent
}
