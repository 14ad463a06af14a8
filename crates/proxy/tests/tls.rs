//! Bytes through sealed sides: all of them, whatever their pieces.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gate::{Gate, echo};
use portcullis_peers::{Endpoint, TlsClient, TlsEndpoint, serve};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use serve::Connection;
use tls::{Authority, CELLS, Peer, Speech, cell, session};

/// Bytes each way in bulk.
const BULK: usize = 64 << 20;

#[test]
fn bulk_arrives_whole_both_ways_through_every_sealed_cell() {
    for speech in CELLS {
        let authority = Authority::own();
        let (_held, address) = echoing(speech.1, &authority);
        let gate = Gate::start_with(1, 100, &cell(speech, address, ("", "")), &authority.files);
        match speech.0 {
            Speech::Tcp => across(&gate.connect()),
            Speech::Tls => {
                across(TlsClient::connect(gate.address(), &authority.trust("own.test")).unwrap().stream());
            }
        }
        gate.wait_until_empty();
        let counts = &gate.handle.counts().listeners[0];
        assert_eq!((counts.up_bytes, counts.down_bytes), (BULK as u64, BULK as u64), "{speech:?}");
    }
}

#[test]
fn bytes_one_by_one_arrive_one_by_one() {
    for speech in CELLS {
        let (_gate, mut client, mut endpoint) = session(speech, "");
        for round in 0..200_u32 {
            let byte = [(round % 251) as u8];
            let mut got = [0];
            client.write_all(&byte).unwrap();
            endpoint.read_exact(&mut got).unwrap();
            assert_eq!(got, byte, "{speech:?}");
            endpoint.write_all(&byte).unwrap();
            client.read_exact(&mut got).unwrap();
            assert_eq!(got, byte, "{speech:?}");
        }
    }
}

#[test]
fn a_slow_reader_gets_every_byte_after_its_peer_s_end() {
    const TOTAL: usize = 6 << 20;
    for speech in CELLS {
        let (_gate, mut client, mut endpoint) = session(speech, "half_close_timeout = \"2s\"");
        set_socket_recv_buffer_size(client.socket(), 1 << 16).unwrap();
        client.write_all(b"request").unwrap();
        client.end();
        endpoint.read_exact(&mut [0; 7]).unwrap();
        let sender = thread::spawn(move || {
            endpoint.write_all(&vec![7; TOTAL]).unwrap();
            endpoint.end();
            endpoint
        });
        let mut got = 0;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = client.read(&mut buffer).unwrap_or_else(|error| panic!("{error} after {got} bytes"));
            if count == 0 {
                break;
            }
            got += count;
            if got < 1 << 20 {
                thread::park_timeout(Duration::from_micros(count as u64)); // its pace: 1 MB/s
            }
        }
        assert_eq!(got, TOTAL, "{speech:?}");
        drop(sender.join().unwrap());
    }
}

#[test]
fn two_hundred_handshakes_at_once_do_not_hold_up_a_live_session() {
    let authority = Authority::own();
    let speech = (Speech::Tls, Speech::Tcp);
    let gate = Gate::start_with(1, 1000, &cell(speech, echo(), ("", "")), &authority.files);
    let mut live = Peer::asking(Speech::Tls, gate.connect(), &authority);
    let done = Arc::new(AtomicBool::new(false));
    let echoing = thread::spawn({
        let done = Arc::clone(&done);
        move || {
            let (mut rounds, mut longest) = (0, Duration::ZERO);
            while !done.load(Ordering::Relaxed) {
                let asked = Instant::now();
                live.write_all(b"x").unwrap();
                live.read_exact(&mut [0; 1]).unwrap();
                longest = longest.max(asked.elapsed());
                rounds += 1;
            }
            (rounds, longest)
        }
    });
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                // All connect first, so that they are at it together.
                let sockets: Vec<_> = (0..25).map(|_| gate.connect()).collect();
                for socket in sockets {
                    let mut client = Peer::trusting(socket, &authority.trust("own.test")).unwrap();
                    client.write_all(b"hello").unwrap();
                    client.read_exact(&mut [0; 5]).unwrap();
                }
            });
        }
    });
    done.store(true, Ordering::Relaxed);
    let (rounds, longest) = echoing.join().unwrap();
    assert!(rounds > 20, "{rounds} rounds, the longest of {longest:?}");
    assert_eq!(gate.handle.counts().listeners[0].opened, 201);
}

/// Sends in one thread and reads in another, and compares what comes back.
fn across<C: Connection + Sync>(client: &C) {
    let byte = |index: usize| ((index * 31) >> 3) as u8;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut block = vec![0; 50_021];
            let mut sent = 0;
            while sent < BULK {
                let count = block.len().min(BULK - sent);
                block.iter_mut().enumerate().for_each(|(index, place)| *place = byte(sent + index));
                client.send(&block[..count]).unwrap();
                sent += count;
            }
            client.end().unwrap();
        });
        let mut buffer = vec![0; 1 << 16];
        let mut got = 0;
        loop {
            let count = client.receive(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            let wrong = buffer[..count].iter().enumerate().find(|(index, is)| **is != byte(got + index));
            assert_eq!(wrong, None, "after {got} bytes");
            got += count;
        }
        assert_eq!(got, BULK);
    });
}

/// An endpoint that gives everything back.
fn echoing(speech: Speech, authority: &Authority) -> (Option<Endpoint>, SocketAddr) {
    match speech {
        Speech::Tcp => (None, echo()),
        Speech::Tls => {
            let service = TlsEndpoint::serve(authority.identity("own"), serve::echo);
            let endpoint = Endpoint::start(service).unwrap();
            let address = endpoint.address();
            (Some(endpoint), address)
        }
    }
}
