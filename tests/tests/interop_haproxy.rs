//! Side by side with HAProxy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use portcullis_peers::Haproxy;
use portcullis_tests::crowd::quantile;
use portcullis_tests::scene::Stage;
use portcullis_tests::{Gate, Setup, skip, within};

/// Single runs scatter by a tenth; medians of five within that are a tie.
const TIE: f64 = 1.1;

#[test]
fn a22_a_dead_reader_costs_no_more_bytes_than_through_haproxy_when_bytes_are_copied() {
    compare("a22_a_dead_reader_when_bytes_are_copied", "false");
}

#[test]
fn a22_a_dead_reader_costs_no_more_bytes_than_through_haproxy_when_bytes_are_spliced() {
    compare("a22_a_dead_reader_when_bytes_are_spliced", "true");
}

fn compare(test: &str, zero_copy: &str) {
    if !skip::have(test, &["haproxy"]) {
        return;
    }
    let endpoint = Stage::new();
    let haproxy = Haproxy::start(&[endpoint.address()]).unwrap().expect("it is installed");
    // HAProxy was asked whether it listens, and asked the endpoint in turn.
    while endpoint.accept_within(Duration::from_millis(500)).is_some() {}
    let setup = Setup::new().fixed("in", "tcp", &[endpoint.address()], &format!("zero_copy = {zero_copy}"));
    let gate = Gate::start(&setup.text());
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        theirs.push(dead_reader(haproxy.address(0), &endpoint));
        ours.push(dead_reader(gate.listener("in"), &endpoint));
    }
    let (theirs_middle, ours_middle) = (quantile(&theirs, 0.5), quantile(&ours, 0.5));
    eprintln!("a dead reader: {ours_middle} bytes, HAProxy {theirs_middle}");
    assert!(ours_middle as f64 <= theirs_middle as f64 * TIE, "{ours:?}, HAProxy {theirs:?}");
    gate.assert_clean();
}

/// How much an endpoint can send to a client that does not read.
fn dead_reader(to: SocketAddr, endpoint: &Stage) -> usize {
    let client = TcpStream::connect(to).unwrap();
    let mut server = endpoint.accept();
    server.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while let Some(wrote) = within(Duration::from_millis(500), || server.write(&[0; 1 << 16]).ok()) {
        sent += wrote;
        assert!(sent < 256 << 20, "no end to it");
    }
    drop(client);
    sent
}
