//! How sessions with a WebSocket endpoint end: who is told what, with which code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/kcp.rs"]
mod kcp;
#[path = "common/ws.rs"]
mod ws;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;

use gate::{Gate, reset};
use kcp::{cell, connect, ended};
use portcullis_core::outcome::Reason;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use ws::{BINARY, By, CLOSE, TEXT, agree, frame, read_message, rest_of, session, words};

/// Every code that may be on the wire, and a close without one.
const CODES: [Option<u16>; 17] = [
    None,
    Some(1000),
    Some(1001),
    Some(1002),
    Some(1003),
    Some(1007),
    Some(1008),
    Some(1009),
    Some(1010),
    Some(1011),
    Some(1012),
    Some(1013),
    Some(1014),
    Some(3000),
    Some(3999),
    Some(4000),
    Some(4999),
];

#[test]
fn a_close_passes_with_its_code_and_reason_either_way() {
    for code in CODES {
        let said = words(code, code.map_or("", |_| "until tomorrow – bye"));
        for by in [By::Client, By::Server] {
            let (gate, client, endpoint) = session("ws", "");
            let (mut says, hears) =
                if by == By::Client { (&client, &endpoint) } else { (&endpoint, &client) };
            says.write_all(&frame(by, TEXT, b"last words")).unwrap();
            says.write_all(&frame(by, CLOSE, &said)).unwrap();
            assert_eq!(read_message(hears).unwrap(), (TEXT, b"last words".to_vec()), "{code:?} by {by:?}");
            assert_eq!(read_message(hears).unwrap(), (CLOSE, said.clone()), "{code:?} by {by:?}");
            // The answer is the code alone (RFC 6455 section 5.5.1), and it does not wait for the other side.
            assert_eq!(read_message(says).unwrap(), (CLOSE, words(code, "")), "{code:?} by {by:?}");
            let answer = if by == By::Client { By::Server } else { By::Client };
            let mut hears = hears;
            hears.write_all(&frame(answer, CLOSE, &words(code, ""))).unwrap();
            endpoint.shutdown(Shutdown::Write).unwrap();
            assert_eq!(rest_of(&client), Ok(vec![]), "{code:?} by {by:?}");
            let want = if by == By::Client { Reason::ClientEnded } else { Reason::EndpointEnded };
            assert_eq!(ended(&gate), want, "{code:?} by {by:?}");
        }
    }
}

#[test]
fn codes_that_must_not_be_on_the_wire_are_passed_to_nobody() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        let said = words(Some(code), "");
        let (gate, mut client, endpoint) = session("ws", "");
        client.write_all(&frame(By::Client, CLOSE, &said)).unwrap();
        assert_eq!(read_message(&client).unwrap(), (CLOSE, words(Some(1002), "")), "{code}");
        assert_eq!(read_message(&endpoint).unwrap(), (CLOSE, words(Some(1001), "")), "{code}");
        drop((client, endpoint));
        assert_eq!(ended(&gate), Reason::Protocol, "{code}");
        let (gate, client, mut endpoint) = session("ws", "");
        endpoint.write_all(&frame(By::Server, CLOSE, &said)).unwrap();
        assert_eq!(read_message(&endpoint).unwrap(), (CLOSE, words(Some(1002), "")), "{code}");
        assert_eq!(read_message(&client).unwrap(), (CLOSE, words(Some(1011), "")), "{code}");
        drop((client, endpoint));
        assert_eq!(ended(&gate), Reason::EndpointProtocol, "{code}");
    }
}

#[test]
fn an_endpoint_s_close_is_an_end_behind_every_byte_for_a_client_of_tcp() {
    const BULK: usize = 3 << 20;
    for code in [None, Some(1000), Some(1011), Some(4000)] {
        let (gate, client, mut endpoint) = session("tcp", "");
        // So most of it is still in the gateway when the close comes.
        set_socket_recv_buffer_size(&client, 1 << 16).unwrap();
        let sender = thread::spawn(move || {
            for _ in 0..BULK >> 15 {
                endpoint.write_all(&frame(By::Server, BINARY, &[7; 1 << 15])).unwrap();
            }
            endpoint.write_all(&frame(By::Server, CLOSE, &words(code, ""))).unwrap();
            assert_eq!(read_message(&endpoint).unwrap(), (CLOSE, words(code, "")));
            reset(endpoint); // what it does behind its goodbye is its own business
        });
        let got = rest_of(&client);
        assert_eq!(got.as_ref().map(Vec::len), Ok(BULK), "{code:?}");
        sender.join().unwrap();
        drop(client);
        assert_eq!(ended(&gate), Reason::EndpointEnded, "{code:?}");
    }
}

#[test]
fn an_endpoint_that_is_gone_without_a_close_is_a_break() {
    for resets in [true, false] {
        let (gate, client, mut endpoint) = session("tcp", "");
        endpoint.write_all(&frame(By::Server, BINARY, b"before")).unwrap();
        (&client).read_exact(&mut [0; 6]).unwrap();
        if resets {
            reset(endpoint)
        } else {
            drop(endpoint)
        }
        assert_eq!(rest_of(&client), Err(ErrorKind::ConnectionReset), "resets {resets}");
        assert_eq!(ended(&gate), Reason::EndpointReset, "resets {resets}");

        let (gate, client, endpoint) = session("ws", "");
        if resets {
            reset(endpoint)
        } else {
            drop(endpoint)
        }
        assert_eq!(read_message(&client).unwrap(), (CLOSE, words(Some(1011), "")), "resets {resets}");
        drop(client);
        assert_eq!(ended(&gate), Reason::EndpointReset, "resets {resets}");
    }
}

#[test]
fn a_client_of_tcp_that_ends_is_a_close_behind_its_bytes_and_still_hears_the_rest() {
    let (gate, mut client, mut endpoint) = session("tcp", "");
    client.write_all(b"request").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_message(&endpoint).unwrap(), (BINARY, b"request".to_vec()));
    assert_eq!(read_message(&endpoint).unwrap(), (CLOSE, words(Some(1000), "")));
    endpoint.write_all(&frame(By::Server, TEXT, b"the whole ")).unwrap();
    endpoint.write_all(&frame(By::Server, BINARY, b"answer")).unwrap();
    endpoint.write_all(&frame(By::Server, CLOSE, &words(Some(1000), ""))).unwrap();
    assert_eq!(rest_of(&client), Ok(b"the whole answer".to_vec()));
    drop(endpoint);
    assert_eq!(ended(&gate), Reason::ClientEnded);
}

#[test]
fn an_endpoint_that_never_answers_a_close_is_waited_for_as_for_any_other_half() {
    for protocol in ["tcp", "ws"] {
        let (gate, mut client, endpoint) = session(protocol, "half_close_timeout = \"300ms\"");
        if protocol == "ws" {
            client.write_all(&frame(By::Client, CLOSE, &words(Some(1000), ""))).unwrap();
        } else {
            client.shutdown(Shutdown::Write).unwrap();
        }
        assert_eq!(read_message(&endpoint).unwrap(), (CLOSE, words(Some(1000), "")), "{protocol}");
        assert_eq!(ended(&gate), Reason::HalfCloseTimeout, "{protocol}");
        drop(endpoint);
    }
}

#[test]
fn a_client_that_is_gone_without_a_goodbye_has_gone_away() {
    for (client, resets, reason) in [
        ("tcp", true, Reason::ClientReset),
        ("ws", true, Reason::ClientReset),
        ("ws", false, Reason::ClientEnded),
    ] {
        let row = format!("{client}, resets {resets}");
        let (gate, client, mut endpoint) = session(client, "");
        if resets {
            reset(client);
        } else {
            drop(client);
        }
        assert_eq!(read_message(&endpoint).unwrap(), (CLOSE, words(Some(1001), "")), "{row}");
        endpoint.write_all(&frame(By::Server, CLOSE, &words(Some(1001), ""))).ok();
        drop(endpoint);
        assert_eq!(ended(&gate), reason, "{row}");
    }
}

#[test]
fn a_drain_tells_both_sides_that_the_gateway_goes_away() {
    for client in ["tcp", "ws"] {
        let (gate, stream, mut endpoint) = session(client, "");
        gate.handle.close_some(1, Reason::Drained);
        assert_eq!(read_message(&endpoint).unwrap(), (CLOSE, words(Some(1001), "")), "{client}");
        endpoint.write_all(&frame(By::Server, CLOSE, &words(Some(1001), ""))).unwrap();
        if client == "ws" {
            assert_eq!(read_message(&stream).unwrap(), (CLOSE, words(Some(1001), "")), "{client}");
        } else {
            assert_eq!(rest_of(&stream), Ok(vec![]), "{client}");
        }
        drop((stream, endpoint));
        assert_eq!(ended(&gate), Reason::Drained, "{client}");
    }
}

#[test]
fn a_kcp_client_gets_every_message_before_its_session_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 100, &cell("kcp", "ws", listener.local_addr().unwrap(), ""));
    let client = connect(&gate);
    (&client).write_all(b"ask").unwrap();
    let mut endpoint = agree(&listener);
    assert_eq!(read_message(&endpoint).unwrap(), (BINARY, b"ask".to_vec()));
    let answer = kcp::stream(100_000);
    endpoint.write_all(&frame(By::Server, BINARY, &answer)).unwrap();
    endpoint.write_all(&frame(By::Server, CLOSE, &words(Some(1000), ""))).unwrap();
    let mut got = vec![0; answer.len()];
    (&client).read_exact(&mut got).unwrap();
    assert!(got == answer);
    assert_eq!(read_message(&endpoint).unwrap().0, CLOSE);
    drop(endpoint);
    gate.wait_within(kcp::SOON, |counts| counts.listeners[0].closed == [(Reason::EndpointEnded, 1)]);
}

#[test]
fn what_an_endpoint_sends_against_the_protocol_is_told_to_both_sides() {
    let rows: [(&str, Vec<u8>, u16); 6] = [
        ("masked", frame(By::Client, BINARY, b"x"), 1002),
        ("a reserved bit", vec![0xc2, 0], 1002),
        ("a reserved opcode", vec![0x83, 0], 1002),
        ("a continuation of nothing", vec![0x80, 0], 1002),
        ("a long ping", [&[0x89, 126, 0, 126][..], &[0; 126]].concat(), 1002),
        ("text that is none", frame(By::Server, TEXT, b"\xff"), 1007),
    ];
    for (what, wire, code) in rows {
        for client in ["tcp", "ws"] {
            let (gate, stream, mut endpoint) = session(client, "");
            endpoint.write_all(&wire).unwrap();
            assert_eq!(
                read_message(&endpoint).unwrap(),
                (CLOSE, words(Some(code), "")),
                "{what} to {client}"
            );
            if client == "ws" {
                assert_eq!(read_message(&stream).unwrap(), (CLOSE, words(Some(1011), "")), "{what}");
            } else {
                assert_eq!(rest_of(&stream), Err(ErrorKind::ConnectionReset), "{what}");
            }
            drop((stream, endpoint));
            assert_eq!(ended(&gate), Reason::EndpointProtocol, "{what} to {client}");
        }
    }
}

#[test]
fn what_a_client_sends_against_the_protocol_is_the_end_for_its_endpoint() {
    for (wire, code) in [(frame(By::Server, BINARY, b"x"), 1002), (frame(By::Client, TEXT, b"\xff"), 1007)] {
        let (gate, mut client, endpoint) = session("ws", "");
        client.write_all(&wire).unwrap();
        assert_eq!(read_message(&client).unwrap(), (CLOSE, words(Some(code), "")));
        let mut heard = read_message(&endpoint).unwrap();
        if heard.0 != CLOSE {
            heard = read_message(&endpoint).unwrap();
        }
        assert_eq!(heard, (CLOSE, words(Some(1001), "")));
        drop((client, endpoint));
        assert_eq!(ended(&gate), Reason::Protocol);
        assert!(gate.handle.counts().bugs == 0);
    }
}
