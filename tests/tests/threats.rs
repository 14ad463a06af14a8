//! Threats and faults of docs/defects.md that no other file plays end to end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_peers::{Endpoint, serve};
use portcullis_tests::crowd::quantile;
use portcullis_tests::identity::Own;
use portcullis_tests::scene::{ERROR, OK, answer, ask, hello};
use portcullis_tests::script::{End, read_to_end};
use portcullis_tests::{Gate, Setup, Site, binary, until};
use rustix::process::Signal;

#[test]
fn a05_a_ticket_for_one_use_opens_one_session() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let site = Site::new();
    let ticket = |arguments: &[&str]| {
        let output =
            Command::new(binary()).arg("ticket").args(arguments).current_dir(site.folder()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    ticket(&["keygen", "--out", "ticket.key"]);
    let target = endpoint.address().to_string();
    let once = ticket(&["mint", "--key-file", "ticket.key", "--target", &target, "--once"]);
    let often = ticket(&["mint", "--key-file", "ticket.key", "--target", &target]);
    let setup = Setup::new().listener("in", "tcp", "failure_delay = \"10ms\"").with(
        "[route.in]\nresolver = \"ticket\"\nkey_file = \"{folder}/ticket.key\"\nallow = [\"127.0.0.1:*\"]",
    );
    let gate = site.start(&setup.text());
    assert_eq!(said(gate.listener("in"), &once), OK);
    for _ in 0..20 {
        assert_eq!(answer(gate.listener("in"), &hello(&once)), (ERROR.to_vec(), End::Fin));
        assert_eq!(said(gate.listener("in"), &often), OK);
    }
    assert!(gate.reload(&setup.text()));
    assert_eq!(answer(gate.listener("in"), &hello(&once)), (ERROR.to_vec(), End::Fin));
    assert_eq!(endpoint.accepted(), 21);
}

/// What a key is answered with.
fn said(gate: SocketAddr, key: &str) -> Vec<u8> {
    let mut client = TcpStream::connect(gate).unwrap();
    client.write_all(&hello(key)).unwrap();
    let mut said = vec![0; OK.len()];
    client.read_exact(&mut said).unwrap();
    said
}

#[test]
fn a11_live_sessions_go_on_while_handshakes_come_in_floods() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let site = Site::new();
    let own = Own::new(&site);
    let setup = Setup::new().fixed("sealed", "tls", &[endpoint.address()], Own::shown()).fixed(
        "plain",
        "tcp",
        &[endpoint.address()],
        "",
    );
    let gate = site.start(&setup.text());
    let live = TcpStream::connect(gate.listener("plain")).unwrap();
    let trip = || {
        let began = Instant::now();
        assert_eq!(ask(&live, b"still here?"), b"still here?");
        began.elapsed()
    };
    let (stop, shaken) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut times = Vec::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let trust = own.trust();
                while !stop.load(Ordering::Relaxed) {
                    if portcullis_peers::TlsClient::connect(gate.listener("sealed"), &trust).is_ok() {
                        shaken.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        while shaken.load(Ordering::Relaxed) < 300 {
            times.push(trip());
        }
        stop.store(true, Ordering::Relaxed);
    });
    times.sort_unstable();
    let (middle, worst) = (quantile(&times, 0.5), quantile(&times, 0.99));
    eprintln!(
        "{} trips beside {} handshakes: p50 {middle:?}, p99 {worst:?}",
        times.len(),
        shaken.into_inner()
    );
    // Far from any figure of ours: a session that waited for the flood would be seen all the same.
    assert!(worst < Duration::from_secs(1), "p99 {worst:?}");
}

#[test]
fn a16_compression_is_not_agreed_to_and_a_compressed_frame_is_a_violation() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let gate = Gate::start(&Setup::new().fixed("in", "ws", &[endpoint.address()], "").text());
    let mut client = TcpStream::connect(gate.listener("in")).unwrap();
    client
        .write_all(
            b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
        )
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101") && !head.contains("sec-websocket-extensions"), "{head}");
    // A kilobyte of zeros, deflated, with the bit that says so (RFC 7692 section 6).
    client.write_all(&[0xc2, 0x85, 0, 0, 0, 0, 0x62, 0x60, 0x18, 0x05, 0x00]).unwrap();
    let (bytes, _) = read_to_end(&client).unwrap();
    assert_eq!(bytes[..4], [0x88, bytes[1], 0x03, 0xea], "closed with 1002");
}

#[test]
fn b04_when_the_gateway_is_killed_sessions_end_at_once_and_its_successor_serves() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let setup = Setup::new().fixed("in", "tcp", &[endpoint.address()], "");
    let mut gate = Gate::start(&setup.text());
    let address = gate.listener("in");
    let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
    for client in &clients {
        assert_eq!(ask(client, b"here"), b"here");
    }
    let killed = Instant::now();
    gate.signal(Signal::KILL);
    gate.wait(Duration::from_secs(20));
    for client in &clients {
        read_to_end(client).ok(); // an end or a reset: the kernel's word
    }
    let ended = killed.elapsed();
    until("its endpoint is left too", || endpoint.serving() == 0);
    let successor =
        Gate::start(&setup.text().replace("bind = [\"127.0.0.1:0\"]", &format!("bind = [\"{address}\"]")));
    let client = TcpStream::connect(address).unwrap();
    assert_eq!(ask(&client, b"and again"), b"and again");
    eprintln!(
        "200 sessions ended {ended:?} after the kill, its successor served after {:?}",
        killed.elapsed()
    );
    drop(client);
    successor.assert_clean();
}
