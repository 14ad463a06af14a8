//! The contract of each cell that KCP has a part in: bytes whole, readers slow, ends in their order.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/kcp.rs"]
mod kcp;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::thread;
use std::time::Duration;

use gate::{Gate, closed_port, echo, reset};
use kcp::{SOON, ask, cell, connect, echo_through, ended, is_empty, open, rest, stream, to_tcp};
use portcullis_core::outcome::Reason;
use portcullis_peers::{KcpEndpoint, KcpOptions, KcpStream, Key, Message, WsClient, serve};

/// Each way; a build for speed moves what the issue asks for.
const BULK: usize = if cfg!(debug_assertions) { 8 << 20 } else { 64 << 20 };
const BYE: &str = "kcp = { close_message = \"bye\" }";

#[test]
fn bulk_passes_both_ways_at_once_in_every_cell_on_either_path() {
    let endpoint = KcpEndpoint::start(&KcpOptions::default(), serve::echo).unwrap();
    for zero_copy in ["zero_copy = true", "zero_copy = false"] {
        for (protocol, address) in [("tcp", echo()), ("kcp", endpoint.address())] {
            let gate = Gate::start(1, 100, &cell("kcp", protocol, address, zero_copy));
            echo_through(&connect(&gate), BULK);
            drop(gate);
        }
        let gate = Gate::start(1, 100, &cell("tcp", "kcp", endpoint.address(), zero_copy));
        let client = gate.connect();
        let sent = stream(BULK);
        let mut back = vec![0; BULK];
        thread::scope(|scope| {
            scope.spawn(|| (&client).write_all(&sent).unwrap());
            (&client).read_exact(&mut back).unwrap();
        });
        assert!(sent == back, "{zero_copy}");
    }
}

#[test]
fn a_websocket_s_messages_reach_a_kcp_endpoint_and_its_close_ends_the_session() {
    let endpoint = KcpEndpoint::start(&KcpOptions::default(), serve::echo).unwrap();
    let ws = cell("ws", "kcp", endpoint.address(), "half_close_timeout = \"1s\"");
    let gate = Gate::start(1, 100, &ws);
    let mut client = WsClient::connect(gate.address(), Key::Header("any")).unwrap();
    let sent = stream(300_000);
    client.send(&Message::Binary(sent.clone())).unwrap();
    let mut back = Vec::new();
    while back.len() < sent.len() {
        match client.read().unwrap() {
            Some(Message::Binary(part)) => back.extend(part),
            other => panic!("{other:?}"),
        }
    }
    assert!(back == sent);
    client.send_raw(&WsClient::frame(0x88, &[3, 0xe8])).unwrap();
    assert!(matches!(client.read().unwrap(), Some(Message::Close(..))));
    drop(client);
    gate.wait_within(SOON, is_empty);
}

#[test]
fn a_slow_endpoint_slows_its_client_and_loses_nothing() {
    const TOTAL: usize = 24 << 20;
    for zero_copy in ["zero_copy = true", "zero_copy = false"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Gate::start(1, 100, &to_tcp(&listener, zero_copy));
        let (client, server) = open(&gate, &listener);
        let sent = stream(TOTAL);
        thread::scope(|scope| {
            scope.spawn(|| (&client).write_all(&sent).unwrap());
            // It stands still as long as the endpoint does.
            let taken = rest(|| gate.handle.counts().listeners[0].up_bytes);
            assert!(
                taken < 16 << 20,
                "{taken} bytes were taken for an endpoint that reads nothing, {zero_copy}"
            );
            let mut got = vec![0; TOTAL];
            (&server).read_exact(&mut got).unwrap();
            assert!(got == sent, "{zero_copy}");
        });
    }
}

#[test]
fn a_slow_client_slows_its_endpoint_and_loses_nothing() {
    const TOTAL: usize = 24 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 100, &to_tcp(&listener, ""));
    let (client, server) = open(&gate, &listener);
    let sent = stream(TOTAL);
    thread::scope(|scope| {
        scope.spawn(|| {
            (&server).write_all(&sent).unwrap();
            server.shutdown(Shutdown::Write).unwrap();
        });
        let taken = rest(|| gate.handle.counts().listeners[0].down_bytes);
        assert!(taken < 2 << 20, "{taken} bytes were taken for a client that reads nothing");
        let mut got = vec![0; TOTAL];
        (&client).read_exact(&mut got).unwrap();
        assert!(got == sent);
    });
    gate.wait_within(SOON, is_empty);
}

#[test]
fn an_end_towards_a_kcp_client_comes_behind_every_byte_with_the_close_message() {
    for (breaks, reason) in [(false, Reason::EndpointEnded), (true, Reason::EndpointReset)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gate = Gate::start(1, 100, &to_tcp(&listener, BYE));
        let (client, mut server) = open(&gate, &listener);
        server.write_all(b"last words").unwrap();
        let mut words = [0; 10];
        (&client).read_exact(&mut words).unwrap();
        assert_eq!(&words, b"last words");
        if breaks {
            reset(server)
        } else {
            drop(server)
        }
        (&client).read_exact(&mut words[..3]).unwrap();
        assert_eq!(&words[..3], b"bye");
        gate.wait_within(SOON, is_empty);
        assert_eq!(ended(&gate), reason);
    }
}

#[test]
fn a_drain_tells_a_kcp_client_and_ends_its_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(2, 100, &to_tcp(&listener, BYE));
    let (client, mut server) = open(&gate, &listener);
    gate.handle.stop_accepting();
    gate.handle.close_some(2, Reason::Drained);
    let mut bye = [0; 3];
    (&client).read_exact(&mut bye).unwrap();
    assert_eq!(&bye, b"bye");
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    gate.wait_within(SOON, is_empty);
    assert_eq!(ended(&gate), Reason::Drained);
}

#[test]
fn a_kcp_client_that_is_gone_ends_its_endpoint_after_the_idle_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 100, &to_tcp(&listener, "idle_timeout = \"2s\""));
    let (client, mut server) = open(&gate, &listener);
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    gate.wait_within(SOON, is_empty);
    assert_eq!(ended(&gate), Reason::Idle);

    let endpoint = KcpEndpoint::start(&KcpOptions::default(), serve::echo).unwrap();
    let gate = Gate::start(1, 100, &cell("kcp", "kcp", endpoint.address(), "idle_timeout = \"2s\""));
    let client = connect(&gate);
    ask(&client);
    drop(client);
    gate.wait_within(SOON, is_empty);
}

#[test]
fn a_refused_dial_ends_every_cell_and_nothing_stays() {
    for (client, endpoint) in [("kcp", "tcp"), ("kcp", "kcp"), ("tcp", "kcp")] {
        let gate = Gate::start(1, 100, &cell(client, endpoint, closed_port(), ""));
        if client == "kcp" {
            let client = connect(&gate);
            (&client).write_all(b"?").unwrap();
            gate.wait_within(SOON, |counts| counts.listeners[0].accepted == 1 && is_empty(counts));
            client.set_read_timeout(Some(Duration::from_millis(50)));
            assert_eq!(
                (&client).read(&mut [0]).unwrap_err().kind(),
                ErrorKind::WouldBlock,
                "nothing is said"
            );
        } else {
            let mut client = gate.connect();
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
            drop(client);
        }
        gate.wait_within(SOON, is_empty);
        assert_eq!(ended(&gate), Reason::DialRefused, "{client} to {endpoint}");
    }
}

#[test]
fn a_close_while_an_endpoint_is_dialled_frees_both_sides_at_once() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(SOON)).unwrap();
    for shuts_down in [false, true] {
        let gate = Gate::start(1, 100, &cell("kcp", "kcp", silent.local_addr().unwrap(), ""));
        let client = connect(&gate);
        (&client).write_all(b"?").unwrap();
        silent.recv(&mut [0; 2048]).unwrap();
        gate.handle.stop_accepting();
        if shuts_down {
            gate.handle.shut_down();
        } else {
            gate.handle.close_some(1, Reason::Drained);
        }
        // Not only once the dial has run out of time.
        gate.wait_within(SOON, is_empty);
    }
}

#[test]
fn a_half_close_towards_a_kcp_endpoint_leaves_the_other_direction_open() {
    let endpoint = KcpEndpoint::start(&KcpOptions::default(), |mut stream: &KcpStream| {
        let mut all = vec![0; 300_000];
        stream.read_exact(&mut all)?;
        thread::park_timeout(Duration::from_millis(300));
        stream.write_all(&all)
    })
    .unwrap();
    let settings = "half_close_timeout = \"3s\"";
    let gate = Gate::start(1, 100, &cell("tcp", "kcp", endpoint.address(), settings));
    let client = gate.connect();
    (&client).write_all(&stream(300_000)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    (&client).read_to_end(&mut all).unwrap();
    assert!(all == stream(300_000));
    gate.wait_within(SOON, is_empty);
    assert_eq!(ended(&gate), Reason::HalfCloseTimeout);
}

#[test]
fn a_reset_of_a_tcp_client_frees_its_kcp_endpoint_once_that_has_everything() {
    let (got, all) = std::sync::mpsc::sync_channel(1);
    let endpoint = KcpEndpoint::start(&KcpOptions::default(), move |mut stream: &KcpStream| {
        let mut some = vec![0; 200_000];
        stream.read_exact(&mut some)?;
        got.send(some).ok();
        serve::sink(stream)
    })
    .unwrap();
    let gate = Gate::start(1, 100, &cell("tcp", "kcp", endpoint.address(), ""));
    let client = gate.connect();
    (&client).write_all(&stream(200_000)).unwrap();
    gate.wait_for(|counts| counts.listeners[0].up_bytes == 200_000);
    reset(client);
    assert!(all.recv_timeout(SOON).unwrap() == stream(200_000));
    gate.wait_within(SOON, is_empty);
    assert_eq!(ended(&gate), Reason::ClientReset);
}
