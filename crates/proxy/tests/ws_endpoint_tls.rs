//! Endpoints of wss: the upgrade inside TLS, and messages behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/kcp.rs"]
mod kcp;
#[path = "common/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::thread;

use gate::Gate;
use kcp::{cell, ended, stream};
use portcullis_core::outcome::Reason;
use portcullis_peers::serve::{Bytes, Connection};
use portcullis_peers::{Endpoint, Key, Message, TlsClient, TlsEndpoint, WsClient, WsEndpoint};
use tls::{Authority, SHOWS_OWN, TRUSTS_CA};

#[test]
fn messages_pass_to_an_endpoint_of_wss_whole_and_in_their_kind() {
    let authority = Authority::own();
    let echo = Endpoint::start(TlsEndpoint::serve(authority.identity("own"), WsEndpoint::echo)).unwrap();
    for client in ["ws", "wss"] {
        let gate = Gate::start_with(1, 100, &text(client, &echo), &authority.files);
        if client == "ws" {
            say_all(WsClient::connect(gate.address(), Key::Header("any")).unwrap());
        } else {
            let trust = authority.trust("own.test");
            say_all(WsClient::connect_tls(gate.address(), &trust, Key::Header("any")).unwrap());
        }
        assert_eq!(ended(&gate), Reason::ClientEnded, "{client}");
    }
}

#[test]
fn a_stream_passes_to_an_endpoint_of_wss_and_back() {
    let authority = Authority::own();
    let echo = Endpoint::start(TlsEndpoint::serve(authority.identity("own"), WsEndpoint::echo)).unwrap();
    let sent = stream(4 << 20);
    for client in ["tcp", "tls"] {
        let gate = Gate::start_with(1, 100, &text(client, &echo), &authority.files);
        let mut back = vec![0; sent.len()];
        if client == "tcp" {
            let stream = gate.connect();
            there_and_back(&stream, &sent, &mut back);
        } else {
            let stream =
                TlsClient::connect(gate.address(), &authority.trust("own.test")).unwrap().into_stream();
            there_and_back(&stream, &sent, &mut back);
        }
        assert!(back == sent, "{client}");
    }
}

#[test]
fn an_endpoint_of_wss_that_is_another_is_a_failed_dial() {
    let authority = Authority::own();
    let stranger = Authority::own();
    let echo = Endpoint::start(TlsEndpoint::serve(stranger.identity("own"), WsEndpoint::echo)).unwrap();
    let gate = Gate::start_with(1, 100, &text("tcp", &echo), &authority.files);
    assert_eq!(gate.connect().read(&mut [0]).unwrap(), 0);
    assert_eq!(ended(&gate), Reason::DialUntrusted);
}

fn text(client: &str, endpoint: &Endpoint) -> String {
    let hello = if client == "wss" { "hello = \"header\"\nsuccess_message = \"\"" } else { "" };
    let settings = if matches!(client, "tls" | "wss") { SHOWS_OWN } else { "" };
    let text = cell(client, "wss", endpoint.address(), settings);
    let text = if hello.is_empty() { text } else { text.replace("hello = \"none\"", hello) };
    text.replace("protocol = \"wss\"\nendpoints", &format!("protocol = \"wss\"\n{TRUSTS_CA}\nendpoints"))
}

fn say_all<C: Connection>(mut client: WsClient<C>) {
    let rows = [
        Message::Text("grüß".into()),
        Message::Binary(vec![]),
        Message::Binary(stream(1 << 20)),
        Message::Text(String::new()),
    ];
    for row in &rows {
        client.send(row).unwrap();
        assert!(client.read().unwrap().as_ref() == Some(row));
    }
    client.send(&Message::Close(Some(4001))).unwrap();
    assert_eq!(client.read().unwrap(), Some(Message::Close(Some(4001))));
}

fn there_and_back<C: Connection + Sync>(stream: &C, sent: &[u8], back: &mut [u8]) {
    thread::scope(|scope| {
        scope.spawn(|| Bytes(stream).write_all(sent).unwrap());
        Bytes(stream).read_exact(back).unwrap();
    });
}
