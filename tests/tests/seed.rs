//! The config of the first gateway of this kind, unchanged but for its ports and log paths, and what its
//! clients and endpoints see on the wire, byte for byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;

use portcullis_peers::{Endpoint, Key, Message, Upgrade, WsClient, serve};
use portcullis_tests::scene::{OK, Stage, answer, ask, hello, open, take};
use portcullis_tests::script::{End, read_to_end};
use portcullis_tests::seed::{converted, file, with_zero_copy};
use portcullis_tests::{Gate, Site, ed25519, ends_at, hs256, jwt};

#[test]
fn a_tcp_client_is_piped_to_the_endpoint_it_names_and_nothing_is_changed() {
    for config in [file(), with_zero_copy(), converted(&file()), converted(&with_zero_copy())] {
        let gate = Gate::start(&config);
        let endpoint = Stage::new();
        let key = endpoint.address().to_string();
        let mut client = std::net::TcpStream::connect(gate.listener("tcpgate")).unwrap();
        // The first message shares a segment with the hello.
        client.write_all(&[&hello(&key)[..], b"\x05\0\0\0first"].concat()).unwrap();
        let mut server = endpoint.accept();
        assert_eq!(take(&client, OK.len()), OK);
        assert_eq!(take(&server, 9), b"\x05\0\0\0first");
        server.write_all(serve::HELLO_WORLD).unwrap();
        assert_eq!(take(&client, 12), serve::HELLO_WORLD);

        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&server).unwrap(), (Vec::new(), End::Fin));
        server.write_all(b"last words").unwrap();
        drop(server);
        assert_eq!(read_to_end(&client).unwrap(), (b"last words".to_vec(), End::Fin));
        drop(client);
        gate.assert_clean();
    }
}

#[test]
fn megabytes_pass_a_tcp_session_both_ways_at_once() {
    for config in [file(), with_zero_copy()] {
        let gate = Gate::start(&config);
        let endpoint = Endpoint::start(serve::echo).unwrap();
        let client = open(gate.listener("tcpgate"), endpoint.address().to_string());
        let sent: Vec<u8> = (0..8_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let back = thread::scope(|scope| {
            scope.spawn(|| {
                (&client).write_all(&sent).unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            });
            let mut back = Vec::new();
            (&client).read_to_end(&mut back).unwrap();
            back
        });
        assert!(back == sent, "{} bytes came back of {}", back.len(), sent.len());
    }
}

#[test]
fn a_hello_is_taken_byte_by_byte() {
    let gate = Gate::start(&file());
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let mut client = std::net::TcpStream::connect(gate.listener("tcpgate")).unwrap();
    client.set_nodelay(true).unwrap();
    for byte in hello(endpoint.address().to_string()) {
        client.write_all(&[byte]).unwrap();
    }
    assert_eq!(take(&client, OK.len()), OK);
    assert_eq!(ask(&client, b"echo"), b"echo");
}

#[test]
fn a_ws_client_is_joined_to_a_tcp_endpoint_message_by_message() {
    for config in [file(), file().replace("[common]", "zero_copy = true\n\n[common]"), converted(&file())] {
        let gate = Gate::start(&config);
        let endpoint = Stage::new();
        let key = endpoint.address().to_string();
        let pipelined = WsClient::frame(0x82, b"early");
        let upgrade = Upgrade { pipelined: &pipelined, ..Key::Header(&key).into() };
        let mut client = WsClient::connect(gate.listener("wsgate"), upgrade).unwrap();
        assert_eq!(client.sub_protocol(), None);
        // The success message is one binary frame, without a length of its own.
        assert_eq!(take(client.stream(), 4), b"\x82\x02ok");

        let mut server = endpoint.accept();
        client.send(&Message::Binary(b"bytes".into())).unwrap();
        client.send(&Message::Text("文本".into())).unwrap();
        client.send(&Message::Binary(Vec::new())).unwrap();
        let want = b"\x05\0\0\0early\x05\0\0\0bytes\x06\0\0\0\xe6\x96\x87\xe6\x9c\xac\0\0\0\0";
        assert_eq!(take(&server, want.len()), want);

        // What comes down is a stream: its bytes, whole and in order, in frames of any size.
        let sent = [&b"\x03\0\0\0abc"[..], &vec![0x42; 5000]].concat();
        server.write_all(&sent).unwrap();
        let mut seen = Vec::new();
        while seen.len() < sent.len() {
            match client.read().unwrap() {
                Some(Message::Binary(bytes)) => seen.extend(bytes),
                other => panic!("{other:?} instead of a binary message"),
            }
        }
        assert_eq!(seen, sent);
    }
}

#[test]
fn a_key_in_the_query_or_in_a_sub_protocol_is_as_good_as_the_header() {
    let gate = Gate::start(&file());
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let key = endpoint.address().to_string();
    for (key, selected) in [(Key::Query(&key), None), (Key::SubProtocol(&key), Some("server-identify"))] {
        let (client, first) = WsClient::open(gate.listener("wsgate"), key).unwrap();
        assert_eq!(first, Some(Message::Binary(b"ok".into())), "{key:?}");
        assert_eq!(client.sub_protocol(), selected);
    }
}

#[test]
fn a_jwt_of_either_kind_opens_a_session_and_a_forged_one_does_not() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let port = endpoint.address().port();
    let secret = b"a secret of thirty-two bytes, and more";
    let (pem, pair) = ed25519();
    let claims = format!(r#"{{"host":"127.0.0.1","port":{port},"exp":{}}}"#, ends_at(60));
    let hs = |key: &[u8]| jwt(r#"{"alg":"HS256","typ":"JWT"}"#, &claims, hs256(key));
    let eddsa = jwt(r#"{"alg":"EdDSA","typ":"JWT"}"#, &claims, |text| pair.sign(text).as_ref().to_vec());
    for (key_file, good, forged) in [
        (&secret[..], hs(secret), hs(b"another secret of thirty-two bytes")),
        (pem.as_bytes(), eddsa, hs(pem.as_bytes())),
    ] {
        let site = Site::new();
        site.write("jwt.key", key_file);
        let config = file().replace("\"ipHost\"", "\"jwt\"\njwt_key_file = \"{folder}/jwt.key\"");
        let gate = site.start(&config);
        let client = open(gate.listener("tcpgate"), &good);
        assert_eq!(ask(&client, b"through"), b"through");
        let (_client, first) = WsClient::open(gate.listener("wsgate"), Key::Header(&good)).unwrap();
        assert_eq!(first, Some(Message::Binary(b"ok".into())));
        let (bytes, _) = answer(gate.listener("tcpgate"), &hello(&forged));
        assert_eq!(bytes, portcullis_tests::scene::ERROR);
    }
}
