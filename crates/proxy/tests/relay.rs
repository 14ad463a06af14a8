//! The real data plane on port 0, between plain sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

use gate::{Gate, echo, to};
use portcullis_core::outcome::Path;

#[test]
fn bytes_flow_both_ways_and_half_close_is_passed_on() {
    let gate = Gate::start(1, 1000, &to(echo()));
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
    let gate = Gate::start(1, 1000, &to(echo()));
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
    assert!(counts.listeners[0].path_bytes[Path::Splice as usize] > total as u64, "{counts:?}");
}

#[test]
fn nobody_is_lost_when_doors_close() {
    let gate = Gate::start(2, 1000, &to(echo()));
    let mut clients: Vec<TcpStream> = (0..200).map(|_| gate.connect()).collect();
    gate.handle.stop_accepting();
    for client in &mut clients {
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
    }
}
