//! WebSocket clients and raw endpoints: the real data plane on port 0.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gate::{Gate, accept, to_with};
use rustix::net::sockopt::set_socket_recv_buffer_size;

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const NORMAL: [u8; 2] = 1000u16.to_be_bytes();

#[test]
fn a_pushing_endpoint_does_not_keep_a_websocket_that_has_closed() {
    let (gate, mut client, mut endpoint) = ws_session("half_close_timeout = \"500ms\"");
    let pusher = thread::spawn(move || {
        while endpoint.write_all(b"x").is_ok() {
            thread::park_timeout(Duration::from_millis(20)); // the pace of it
        }
    });
    client.write_all(&frame(CLOSE, &NORMAL)).unwrap();
    while read_frame(&mut client).0 != CLOSE {}
    gate.wait_until_empty();
    pusher.join().unwrap();
}

#[test]
fn an_answer_survives_a_websocket_client_that_is_still_uploading() {
    // Often one that the kernel holds whole before the client reads, and one that it does not.
    for answer in [1 << 20; 8].into_iter().chain([3 << 20]) {
        let (_gate, mut client, mut endpoint) = ws_session("");
        // So most of what is not read yet is in the gateway's own buffer, where a reset destroys it.
        set_socket_recv_buffer_size(&client, 1 << 16).unwrap();
        let (ended, end) = mpsc::sync_channel(1);
        let answering = thread::spawn(move || {
            endpoint.read_exact(&mut [0; 1]).unwrap();
            endpoint.write_all(&vec![7; answer]).unwrap();
            endpoint.shutdown(Shutdown::Write).unwrap();
            ended.send(()).unwrap();
            endpoint // and it reads nothing more
        });
        client.write_all(&frame(BINARY, b"x")).unwrap();
        end.recv_timeout(Duration::from_millis(300)).ok();
        let mut sender = client.try_clone().unwrap();
        let uploading = thread::spawn(move || {
            // In one write, so that more waits than the gateway reads at once.
            let _refused = sender.write_all(&frame(BINARY, &[9; 1 << 14]).repeat(64));
        });
        end.recv_timeout(Duration::from_millis(300)).ok();
        let mut got = 0;
        let close = loop {
            match read_frame(&mut client) {
                (BINARY, payload) => got += payload.len(),
                other => break other,
            }
        };
        assert_eq!((got, close), (answer, (CLOSE, NORMAL.to_vec())));
        drop(client);
        answering.join().unwrap();
        uploading.join().unwrap();
    }
}

#[test]
fn tiny_messages_do_not_hold_up_a_worker() {
    let (_gate, mut client, mut endpoint) = ws_session("");
    let messages: Vec<u8> = (0..9000u32).map(|index| (index % 251) as u8).collect();
    let frames: Vec<u8> = messages.iter().flat_map(|byte| frame(BINARY, &[*byte])).collect();
    let total = messages.len();
    let reader = thread::spawn(move || {
        let (mut got, mut reads) = (Vec::new(), 0);
        let mut buffer = vec![0; 1 << 16];
        while got.len() < total {
            let count = endpoint.read(&mut buffer).unwrap();
            assert!(count > 0, "ended after {} bytes", got.len());
            got.extend_from_slice(&buffer[..count]);
            reads += 1;
        }
        (got, reads)
    });
    client.write_all(&frames).unwrap();
    let (got, reads) = reader.join().unwrap();
    assert_eq!(got, messages);
    assert!(reads <= 64, "{reads} reads for {total} messages of one write");
}

#[test]
fn nothing_follows_the_answer_to_a_close() {
    for turn in 0..20 {
        // The endpoint is listened to, and its bytes are dropped, until the timeout.
        let (_gate, mut client, mut endpoint) = ws_session("half_close_timeout = \"100ms\"");
        let pusher = thread::spawn(move || while endpoint.write_all(&[7; 4096]).is_ok() {});
        read_frame(&mut client);
        client.write_all(&frame(CLOSE, &NORMAL)).unwrap();
        while read_frame(&mut client).0 != CLOSE {}
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{} bytes behind the close, turn {turn}", rest.len());
        drop(client);
        pusher.join().unwrap();
    }
}

/// One open session of a ws client whose messages are the endpoint's bytes.
fn ws_session(settings: &str) -> (Gate, TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = to_with(listener.local_addr().unwrap(), settings);
    let gate = Gate::start(1, 1000, &text.replacen("protocol = \"tcp\"", "protocol = \"ws\"", 1));
    let mut client = gate.connect();
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    client.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    let endpoint = accept(&listener);
    gate.wait_for(|counts| counts.listeners[0].opened == 1);
    (gate, client, endpoint)
}

/// One whole message of a client: final, masked with zeros (RFC 6455 section 5.2).
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut frame = vec![0x80 | opcode];
    match length {
        0..126 => frame.push(0x80 | length as u8),
        126.. => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// The opcode and the payload of the server's next frame.
fn read_frame(client: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    client.read_exact(&mut head).unwrap();
    let length = match head[1] {
        126 => {
            let mut length = [0; 2];
            client.read_exact(&mut length).unwrap();
            u64::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            client.read_exact(&mut length).unwrap();
            u64::from_be_bytes(length)
        }
        length => u64::from(length),
    };
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    client.read_exact(&mut payload).unwrap();
    (head[0] & 15, payload)
}
