//! How sessions end: half-closes, resets and what was queued before them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use gate::{Gate, accept, by_address, echo, reset, session, stays_silent, to};
use portcullis_core::outcome::Reason;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{SendFlags, send};

#[test]
fn an_end_after_a_long_silence_leaves_the_other_direction_its_full_timeout() {
    let (_gate, mut client, mut endpoint) = session("half_close_timeout = \"3s\"");
    stays_silent(&client, Duration::from_millis(3200));
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(endpoint.read(&mut [0; 1]).unwrap(), 0);
    stays_silent(&client, Duration::from_millis(200));
    endpoint.write_all(b"the whole answer").unwrap();
    drop(endpoint);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"the whole answer");
}

#[test]
fn a_slow_reader_after_a_half_close_gets_every_byte() {
    const TOTAL: usize = 6 << 20;
    let read_slowly = |zero_copy: bool| {
        let settings = format!("half_close_timeout = \"1s\"\nzero_copy = {zero_copy}");
        let (_gate, mut client, mut endpoint) = session(&settings);
        // So the gateway's own buffer is what fills; it tells of room when a third of it is free.
        set_socket_recv_buffer_size(&client, 1 << 16).unwrap();
        client.write_all(b"request").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        endpoint.read_exact(&mut [0; 7]).unwrap();
        let sender = thread::spawn(move || endpoint.write_all(&vec![7; TOTAL]));
        let mut got = 0;
        let mut buffer = vec![0; 1 << 16];
        while got < TOTAL {
            let count = client.read(&mut buffer).unwrap_or_else(|error| panic!("{error} after {got} bytes"));
            assert!(count > 0, "ended after {got} bytes, zero_copy {zero_copy}");
            got += count;
            if got < 1 << 19 {
                // The pace: 160 kB/s, so that the timeout passes between two signs of room.
                thread::park_timeout(Duration::from_micros(count as u64 * 400_000 / (1 << 16)));
            }
        }
        assert_eq!(client.read(&mut buffer).unwrap(), 0);
        sender.join().unwrap().unwrap();
    };
    thread::scope(|scope| {
        scope.spawn(|| read_slowly(false));
        read_slowly(true);
    });
}

#[test]
fn a_reset_after_its_own_end_is_passed_on() {
    for client_resets in [true, false] {
        let (_gate, client, endpoint) = session("");
        let (breaks, mut other) = if client_resets { (client, endpoint) } else { (endpoint, client) };
        breaks.shutdown(Shutdown::Write).unwrap();
        assert_eq!(other.read(&mut [0; 1]).unwrap(), 0);
        reset(breaks);
        // Behind an end no read tells a reset: the socket's error does.
        let deadline = Instant::now() + Duration::from_secs(20);
        while other.take_error().unwrap().is_none() {
            assert!(Instant::now() < deadline, "client_resets {client_resets}");
            thread::park_timeout(Duration::from_millis(1));
        }
    }
}

#[test]
fn a_reset_is_passed_on_within_a_second_though_the_other_side_does_not_read() {
    for zero_copy in [true, false] {
        let (gate, mut client, mut endpoint) = session(&format!("zero_copy = {zero_copy}"));
        client.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        while client.write(&[7; 1 << 16]).is_ok() {}
        reset(client);
        // Not only once it is idle, or half closed for too long.
        gate.wait_until_empty();
        let mut queued = Vec::new();
        let end = endpoint.read_to_end(&mut queued);
        assert!(!queued.is_empty() && queued.iter().all(|byte| *byte == 7));
        assert_eq!(end.map_err(|error| error.kind()), Err(ErrorKind::ConnectionReset));
    }
}

#[test]
fn a_paced_close_passes_over_sessions_that_are_ending() {
    let gate = Gate::start(1, 100, &to(echo()));
    // They never answer an end with theirs.
    let _clients: Vec<TcpStream> = (0..20).map(|_| gate.connect()).collect();
    gate.wait_for(|counts| counts.listeners[0].opened == 20);
    for _ in 0..4 {
        gate.handle.close_some(5, Reason::Drained);
    }
    gate.wait_until_empty();
}

#[test]
fn bytes_behind_urgent_data_are_not_stalled() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 100, &to(listener.local_addr().unwrap()));
    let mut client = gate.connect();
    client.write_all(b"abc").unwrap();
    assert_eq!(send(&client, b"X", SendFlags::OOB), Ok(1));
    client.write_all(b"def").unwrap();
    let mut endpoint = accept(&listener);
    let mut got = Vec::new();
    while !got.ends_with(b"def") {
        let mut some = [0; 16];
        let count = endpoint.read(&mut some).unwrap_or_else(|error| panic!("{error} after {got:?}"));
        got.extend_from_slice(&some[..count]);
        assert!(count > 0, "ended after {got:?}");
    }
    got.retain(|byte| *byte != b'X');
    assert_eq!(got, b"abcdef");
}

#[test]
fn a_refused_client_that_dribbles_is_read_no_further_than_one_that_pours() {
    let gate = Gate::start(1, 100, &by_address().replace("[route", "failure_delay = \"1ms\"\n[route"));
    // A gateway that has to wait for its turn takes pieces together: it may do so in four rounds of five.
    let least = (0..5).map(|_| dribbled(&gate)).min().unwrap();
    assert!(least < 192 * 1024, "{least} bytes were taken from a client that was refused");
}

/// How much can be written in small pieces after a refusal.
fn dribbled(gate: &Gate) -> usize {
    let mut client = gate.connect();
    client.write_all(&[0; 4]).unwrap();
    client.read_exact(&mut [0; 9]).unwrap();
    // Each piece is a read of its own: 64 KiB of them are dropped, then the connection is closed.
    let mut written = 0;
    while client.write(&[7; 1024]).is_ok_and(|count| count > 0) {
        written += 1024;
        thread::park_timeout(Duration::from_millis(2));
    }
    written
}
