//! The ws listener against clients that bend RFC 6455.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use portcullis_peers::{Key, Message, Upgrade, WsClient};
use portcullis_tests::scene::{Stage, take};
use portcullis_tests::script::read_to_end;
use portcullis_tests::{Gate, Setup, until};

fn gate(endpoint: SocketAddr, ws: &str) -> Gate {
    let lines = format!("ws = {{ {ws} }}\nidle_timeout = \"20s\"");
    Gate::start(&Setup::new().fixed("in", "ws", &[endpoint], &lines).text())
}

#[test]
fn a12_each_violation_closes_with_its_code_and_nothing_of_it_reaches_the_endpoint() {
    let endpoint = Stage::new();
    let gate = gate(endpoint.address(), "max_message = \"64KiB\", framing_up = \"length-prefixed\"");
    let frame = WsClient::frame;
    // Of a message in one frame nothing needs to be assembled; of one in fragments everything.
    let oversize = [&[0x02, 0xff][..], &(1_u64 << 20).to_be_bytes(), &[1, 2, 3, 4]].concat();
    let rows: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", b"\x82\x01x".to_vec(), 1002),
        ("RSV1", frame(0xC2, b"x"), 1002),
        ("RSV3", frame(0x92, b"x"), 1002),
        ("reserved opcode 3", frame(0x83, b"x"), 1002),
        ("reserved opcode 11", frame(0x8B, b"x"), 1002),
        ("fragmented ping", frame(0x09, b"x"), 1002),
        ("ping of 126 bytes", frame(0x89, &[0; 126]), 1002),
        ("continuation of nothing", frame(0x80, b"x"), 1002),
        ("text inside a message", [frame(0x02, b"a"), frame(0x81, b"b")].concat(), 1002),
        ("length in a longer form", b"\x82\xfe\x00\x01\0\0\0\0x".to_vec(), 1002),
        ("64 bit length with its top bit", [&[0x82, 0xff, 0x80][..], &[0; 7], &[0; 4]].concat(), 1002),
        ("close of one byte", frame(0x88, b"x"), 1002),
        ("close code 1005", frame(0x88, &1005_u16.to_be_bytes()), 1002),
        ("close code 999", frame(0x88, &999_u16.to_be_bytes()), 1002),
        ("text that is not UTF-8", frame(0x81, b"\xff\xfe"), 1007),
        ("a close reason that is not UTF-8", frame(0x88, b"\x03\xe8\xff"), 1007),
        ("a fragment beyond the maximum", oversize, 1009),
    ];
    for (what, wire, code) in rows {
        let mut client = WsClient::connect(gate.listener("in"), Key::Absent).unwrap();
        let server = endpoint.accept();
        client.send_raw(&wire).unwrap();
        assert_eq!(client.read().unwrap(), Some(Message::Close(Some(code))), "{what}");
        // Of a message that turned out bad, what came before may have been passed on; never the bad part.
        let (seen, _) = read_to_end(&server).unwrap();
        assert!(seen.is_empty() || what.contains("inside a message"), "{what}: {seen:?}");
    }
    drop(endpoint);
    gate.assert_clean();
}

#[test]
fn a13_endless_fragments_end_at_the_bound_and_cost_nothing_else() {
    let endpoint = Stage::new();
    let gate = gate(endpoint.address(), "max_message = \"1MiB\", framing_up = \"length-prefixed\"");
    for (what, size, count) in [("1,024 fragments are too many", 1, 1100), ("a MiB is too much", 4096, 300)] {
        let mut client = WsClient::connect(gate.listener("in"), Key::Absent).unwrap();
        let _server = endpoint.accept();
        client.send_raw(&WsClient::frame(0x02, b"x")).unwrap();
        for _ in 0..count {
            if client.send_raw(&WsClient::frame(0x00, &vec![0; size])).is_err() {
                break;
            }
        }
        assert_eq!(client.read().unwrap(), Some(Message::Close(Some(1009))), "{what}");
    }
    gate.assert_clean();
}

#[test]
fn a13_a_huge_raw_message_is_streamed_in_flat_memory() {
    let endpoint = Stage::new();
    let gate = gate(endpoint.address(), "max_message = \"64KiB\"");
    let mut client = WsClient::connect(gate.listener("in"), Key::Absent).unwrap();
    let server = endpoint.accept();
    let before = gate.rss();
    let length = 64_u64 << 20;
    let writer = std::thread::spawn(move || {
        client.send_raw(&[&[0x82, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()).unwrap();
        for _ in 0..length >> 16 {
            client.send_raw(&[0x77; 1 << 16]).unwrap();
        }
        client
    });
    for _ in 0..length >> 16 {
        assert!(take(&server, 1 << 16) == [0x77; 1 << 16]);
    }
    drop(writer.join().unwrap());
    let grown = gate.rss().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes for a message of {length}");
}

#[test]
fn a14_an_upgrade_in_single_bytes_is_parsed_once_and_a_long_one_is_refused() {
    let endpoint = Stage::new();
    let gate = gate(endpoint.address(), "");
    let cpu = gate.cpu();
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Pad: {}\r\n\r\n",
        "a".repeat(7900)
    );
    assert!((7900..8192).contains(&head.len()));
    let mut client = TcpStream::connect(gate.listener("in")).unwrap();
    client.set_nodelay(true).unwrap();
    for byte in head.bytes() {
        client.write_all(&[byte]).unwrap();
    }
    assert_eq!(take(&client, 12), b"HTTP/1.1 101");
    // 8,000 wake-ups are paid for; 8,000 parses of 8 KiB would be 64 MB of parsing.
    let burnt = gate.cpu() - cpu;
    assert!(burnt < Duration::from_millis(500), "{burnt:?}");

    let long = head.replace("X-Pad", &format!("X-More: {}\r\nX-Pad", "b".repeat(400)));
    let many = head.replace("X-Pad", &"X: y\r\n".repeat(70)).replace(&"a".repeat(7900), "");
    for (what, head) in [("8 KiB and more", long), ("more than 64 fields", many)] {
        let mut client = TcpStream::connect(gate.listener("in")).unwrap();
        client.write_all(head.as_bytes()).ok();
        let (said, _) = read_to_end(&client).unwrap();
        assert!(said.starts_with(b"HTTP/1.1 400 "), "{what}: {}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn a14_what_is_no_upgrade_gets_400_or_426() {
    let endpoint = Stage::new();
    let gate = gate(endpoint.address(), "");
    for (head, status) in [
        ("POST / HTTP/1.1\r\nHost: x\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "426"),
        ("GET / HTTP/1.0\r\n\r\n", "400"),
        ("\x16\x03\x01\x02\0\x01\0\x01\x7c\x03\x03\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            "426",
        ),
        (
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: short\r\n\r\n",
            "400",
        ),
    ] {
        let mut client = TcpStream::connect(gate.listener("in")).unwrap();
        client.write_all(head.as_bytes()).ok();
        let (said, _) = read_to_end(&client).unwrap();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}: {said:?}");
    }
    assert!(endpoint.accept_within(Duration::ZERO).is_none());
    gate.assert_clean();
}

#[test]
fn a15_only_listed_origins_open_a_websocket() {
    let endpoint = Stage::new();
    let gate = gate(endpoint.address(), "origins = [\"https://play.example\"]");
    for (origins, admitted) in [
        (&[("Origin", "https://play.example")][..], true),
        (&[("Origin", "HTTPS://PLAY.EXAMPLE")], true),
        (&[("Origin", "https://play.example:443")], true),
        (&[("Origin", "http://play.example")], false),
        (&[("Origin", "https://play.example:444")], false),
        (&[("Origin", "https://play.example.evil.test")], false),
        (&[("Origin", "https://evilplay.example")], false),
        (&[("Origin", "https://sub.play.example")], false),
        (&[("Origin", "https://play.example@evil.test")], false),
        (&[("Origin", "null")], false),
        (&[("Origin", "")], false),
        (&[], false),
        (&[("Origin", "https://play.example"), ("Origin", "https://evil.test")], false),
    ] {
        let upgrade = Upgrade { headers: origins, ..Key::Absent.into() };
        let outcome = WsClient::connect(gate.listener("in"), upgrade);
        assert_eq!(outcome.is_ok(), admitted, "{origins:?}: {outcome:?}");
    }
}

#[test]
fn pings_keep_a_silent_client_and_its_silence_ends_it() {
    let endpoint = Stage::new();
    let lines = "idle_timeout = \"1500ms\"\nws = { ping_interval = \"100ms\" }";
    let gate = Gate::start(&Setup::new().fixed("in", "ws", &[endpoint.address()], lines).text());
    let mut client = WsClient::connect(gate.listener("in"), Key::Absent).unwrap();
    let server = endpoint.accept();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2500) {
        // Reading a ping answers it.
        assert!(matches!(client.read().unwrap(), Some(Message::Ping(_))));
    }
    // From here on nobody answers.
    let (seen, _) = read_to_end(&server).unwrap();
    assert!(seen.is_empty());
    until("the end is counted", || gate.metrics().sum("portcullis_closed_total", &["reason=\"idle\""]) > 0.5);
    gate.assert_clean();
}
