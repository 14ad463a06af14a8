#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use rcgen::{CertificateParams, KeyPair};

use super::*;
use crate::{Endpoint, Key, Message, WsClient, WsEndpoint, WsStream, WssClient, serve};

/// A certificate for 127.0.0.1 that signs itself, and whoever trusts it.
fn pair() -> (Identity, Trust) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = certificate.pem().into_bytes();
    let identity = Identity::new(&pem, key.serialize_pem().as_bytes()).unwrap();
    (identity, Trust::new(&pem, "127.0.0.1").unwrap())
}

#[test]
fn bytes_go_both_ways_at_once_and_each_end_is_told() {
    let (identity, trust) = pair();
    let endpoint = Endpoint::start(TlsEndpoint::serve(identity, serve::echo)).unwrap();
    let client = TlsClient::connect(endpoint.address(), &trust).unwrap();
    let sent: Vec<u8> = (0..3_000_001_u32).map(|number| (number % 251) as u8).collect();
    let mut back = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            client.stream().send(&sent).unwrap();
            client.stream().end().unwrap();
        });
        Bytes(client.stream()).read_to_end(&mut back).unwrap();
    });
    assert!(back == sent, "{} of {} bytes", back.len(), sent.len());
}

#[test]
fn an_end_that_was_not_said_is_an_error() {
    let (identity, trust) = pair();
    let cut = |stream: &TlsStream| {
        stream.send(b"cut")?;
        stream.socket().shutdown(Shutdown::Both)
    };
    let endpoint = Endpoint::start(TlsEndpoint::serve(identity, cut)).unwrap();
    let client = TlsClient::connect(endpoint.address(), &trust).unwrap();
    let mut seen = Vec::new();
    let error = Bytes(client.stream()).read_to_end(&mut seen).unwrap_err();
    assert_eq!((seen.as_slice(), error.kind()), (&b"cut"[..], io::ErrorKind::UnexpectedEof));
}

#[test]
fn a_stranger_s_certificate_and_another_name_are_refused() {
    let (identity, _) = pair();
    let (_, stranger) = pair();
    let endpoint = Endpoint::start(TlsEndpoint::serve(identity, serve::echo)).unwrap();
    let error = TlsClient::connect(endpoint.address(), &stranger).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");

    let (identity, mut trust) = pair();
    trust.name = "127.0.0.2".try_into().unwrap();
    let endpoint = Endpoint::start(TlsEndpoint::serve(identity, serve::echo)).unwrap();
    let error = TlsClient::connect(endpoint.address(), &trust).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
}

#[test]
fn a_websocket_goes_over_tls_as_messages_and_as_bytes() {
    let (identity, trust) = pair();
    let endpoint = Endpoint::start(TlsEndpoint::serve(identity.clone(), WsEndpoint::echo)).unwrap();
    let mut client = WssClient::connect_tls(endpoint.address(), &trust, Key::Header("x")).unwrap();
    let message = Message::Text("over tls".into());
    client.send(&message).unwrap();
    assert_eq!(client.read().unwrap(), Some(message));

    let service =
        TlsEndpoint::serve(identity, WsEndpoint::bytes(|stream: &WsStream<'_, _>| serve::echo(stream)));
    let endpoint = Endpoint::start(service).unwrap();
    let client = WssClient::connect_tls(endpoint.address(), &trust, Key::Absent).unwrap();
    across(&client);
}

#[test]
fn a_websocket_carries_bytes_and_its_close_is_their_end() {
    let endpoint =
        Endpoint::start(WsEndpoint::bytes(|stream: &WsStream<'_, _>| serve::echo(stream))).unwrap();
    across(&WsClient::connect(endpoint.address(), Key::Absent).unwrap());
}

fn across<C: Connection>(client: &WsClient<C>) {
    let stream = client.bytes();
    let sent: Vec<u8> = (0..300_001_u32).map(|number| (number % 241) as u8).collect();
    Bytes(&stream).write_all(&sent).unwrap();
    let mut back = vec![0; sent.len()];
    Bytes(&stream).read_exact(&mut back).unwrap();
    stream.end().unwrap();
    assert!(back == sent);
    assert_eq!(Bytes(&stream).read(&mut back).unwrap(), 0);
}
