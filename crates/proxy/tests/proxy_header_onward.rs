//! What endpoints are told of their clients: a PROXY header before everything else.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/tls.rs"]
mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use gate::{Gate, accept, to_with};
use portcullis_core::wire::http_upgrade::{UpgradeReader, UpgradeRules, UpgradeStep};
use portcullis_core::wire::proxy_header::{Addresses, HeaderReader, HeaderStep};
use portcullis_peers::{KcpClient, KcpEndpoint, KcpOptions};
use tls::{Authority, Peer, Speech, cell};

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_tcp_endpoint_is_told_before_the_first_byte() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 1000, &telling("tcp", listener.local_addr().unwrap(), ""));
    let mut client = gate.connect();
    let mut endpoint = accept(&listener);
    // It is told though the client has said nothing: the endpoint may be the one that speaks first.
    let (addresses, rest) = introduced(&mut endpoint);
    assert_eq!(addresses, Addresses { source: client.local_addr().unwrap(), destination: gate.address() });
    assert_eq!(rest, b"");
    client.write_all(b"first").unwrap();
    assert_eq!(read(&mut endpoint, 5), b"first");
    endpoint.write_all(b"answer").unwrap();
    assert_eq!(read(&mut client, 6), b"answer");
    drop((client, endpoint));
    assert_eq!(gate.ended().up_bytes, 5, "the header is none of the client's bytes");
}

#[test]
fn an_endpoint_is_told_what_the_proxy_in_front_has_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listed = "proxy_protocol = [\"127.0.0.0/8\"]";
    let gate = Gate::start(1, 1000, &telling("tcp", listener.local_addr().unwrap(), listed));
    let rows = [
        ("PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n", "203.0.113.9:4711", "198.51.100.1:443"),
        ("PROXY TCP6 2001:db8::7 2001:db8::1 9 10\r\n", "[2001:db8::7]:9", "[2001:db8::1]:10"),
    ];
    for (line, source, destination) in rows {
        let mut client = gate.connect();
        client.write_all(line.as_bytes()).unwrap();
        let (addresses, _) = introduced(&mut accept(&listener));
        assert_eq!(
            (&*addresses.source.to_string(), &*addresses.destination.to_string()),
            (source, destination)
        );
    }
    let client = gate.connect();
    (&client).write_all(b"PROXY UNKNOWN\r\n").unwrap();
    let (addresses, _) = introduced(&mut accept(&listener));
    assert_eq!(addresses, Addresses { source: client.local_addr().unwrap(), destination: gate.address() });
}

#[test]
fn every_attempt_tells_its_endpoint_and_success_comes_after() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = gate::by_address().replace("allow =", "proxy_protocol = \"v2\"\nallow =");
    let gate = Gate::start(1, 1000, &text);
    let mut client = gate.connect();
    client.write_all(&[&gate::hello(listener.local_addr().unwrap())[..], b"first"].concat()).unwrap();
    let mut endpoint = accept(&listener);
    let (_, rest) = introduced(&mut endpoint);
    assert_eq!([&rest[..], &read(&mut endpoint, 5 - rest.len())].concat(), b"first");
    assert_eq!(read(&mut client, 6), b"\x02\0\0\0ok");
}

#[test]
fn a_tls_endpoint_is_told_before_the_handshake() {
    let authority = Authority::own();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let told = ("", "proxy_protocol = \"v2\"");
    let text = cell((Speech::Tls, Speech::Tls), listener.local_addr().unwrap(), told);
    let gate = Gate::start_with(1, 1000, &text, &authority.files);
    let (source, authority_told) = thread::scope(|scope| {
        let endpoint = scope.spawn(|| {
            let mut socket = accept(&listener);
            let fixed = read(&mut socket, 16);
            let rest = read(&mut socket, usize::from(u16::from_be_bytes([fixed[14], fixed[15]])));
            let (addresses, surplus) = header([fixed, rest.clone()].concat());
            assert_eq!(surplus, b"");
            let mut endpoint = Peer::serving(Speech::Tls, socket, &authority);
            let mut first = [0; 5];
            endpoint.read_exact(&mut first).unwrap();
            assert_eq!(&first, b"first");
            (addresses.source, rest[12..23].to_vec())
        });
        let mut client = Peer::trusting(gate.connect(), &authority.trust("own.test")).unwrap();
        client.write_all(b"first").unwrap();
        let own = client.socket().local_addr().unwrap();
        let (source, told) = endpoint.join().unwrap();
        assert_eq!(source, own);
        (source, told)
    });
    assert!(source.ip().is_loopback());
    assert_eq!(authority_told, b"\x02\0\x08own.test", "the name it asked us for");
}

#[test]
fn a_kcp_endpoint_is_told_in_the_first_bytes_of_its_stream() {
    for probe in [true, false] {
        let (heard, told) = mpsc::sync_channel(1);
        let endpoint = KcpEndpoint::start(&KcpOptions::default(), move |stream| {
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            while !bytes.ends_with(b"first") {
                let count = (&mut &*stream).read(&mut buffer)?;
                assert!(count > 0, "{bytes:?}");
                bytes.extend_from_slice(&buffer[..count]);
            }
            (&mut &*stream).write_all(b"answer")?;
            heard.send(bytes).ok();
            (&mut &*stream).read(&mut buffer).map(drop)
        })
        .unwrap();
        let settings = format!("kcp = {{ probe = {probe} }}\n");
        let text = telling("kcp", endpoint.address(), "") + &settings;
        let gate = Gate::start(1, 1000, &text);
        let mut client = gate.connect();
        client.write_all(b"first").unwrap();
        let (addresses, rest) = header(told.recv_timeout(PATIENCE).unwrap());
        assert_eq!(
            addresses,
            Addresses { source: client.local_addr().unwrap(), destination: gate.address() }
        );
        assert_eq!(rest, b"first", "probe = {probe}");
        assert_eq!(read(&mut client, 6), b"answer", "probe = {probe}");
    }
}

#[test]
fn the_client_of_a_kcp_listener_is_told_with_the_address_it_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = telling("tcp", listener.local_addr().unwrap(), "").replacen(
        "protocol = \"tcp\"",
        "protocol = \"kcp\"",
        1,
    );
    let gate = Gate::start(1, 1000, &text);
    let client = KcpClient::connect(gate.address(), &KcpOptions::default()).unwrap().into_stream();
    (&client).write_all(b"first").unwrap();
    let mut endpoint = accept(&listener);
    let (addresses, rest) = introduced(&mut endpoint);
    assert_eq!(addresses.destination, gate.address());
    assert_eq!(addresses.source.port(), client.local_addr().port());
    assert!(addresses.source.ip().is_loopback());
    assert_eq!([&rest[..], &read(&mut endpoint, 5 - rest.len())].concat(), b"first");
}

#[test]
fn a_websocket_endpoint_is_told_in_a_binary_message_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 1000, &telling("ws", listener.local_addr().unwrap(), ""));
    let mut client = gate.connect();
    client.write_all(b"first").unwrap();
    let mut endpoint = accept(&listener);
    upgrade(&mut endpoint);
    let (addresses, rest) = header(read_masked(&mut endpoint));
    assert_eq!(addresses, Addresses { source: client.local_addr().unwrap(), destination: gate.address() });
    assert_eq!(rest, b"", "nothing else is in that message");
    assert_eq!(read_masked(&mut endpoint), b"first");
}

/// One listener in front of one endpoint that is told whom it serves.
fn telling(endpoint: &str, address: SocketAddr, settings: &str) -> String {
    to_with(address, settings).replace(
        "[upstream.out]\nprotocol = \"tcp\"",
        &format!("[upstream.out]\nproxy_protocol = \"v2\"\nprotocol = \"{endpoint}\""),
    )
}

/// Reads the header that a connection begins with, and what came with it.
fn introduced(endpoint: &mut TcpStream) -> (Addresses, Vec<u8>) {
    let mut reader = HeaderReader::new();
    let mut buffer = [0; 1024];
    loop {
        let count = endpoint.read(&mut buffer).unwrap();
        assert!(count > 0, "it ended");
        if let HeaderStep::Done { addresses, surplus } = reader.handle_bytes(&buffer[..count]).unwrap() {
            return (addresses.unwrap(), surplus.into());
        }
    }
}

fn header(bytes: Vec<u8>) -> (Addresses, Vec<u8>) {
    match HeaderReader::new().handle_bytes(&bytes).unwrap() {
        HeaderStep::Done { addresses, surplus } => (addresses.unwrap(), surplus.into()),
        HeaderStep::NeedMore { at_most } => panic!("{at_most} bytes are missing from {bytes:?}"),
    }
}

fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Answers an upgrade.
fn upgrade(endpoint: &mut TcpStream) {
    let rules =
        UpgradeRules { header: "server-identify", query: false, origins: &[], paths: &[], max_key: 64 };
    let mut reader = UpgradeReader::new();
    loop {
        match reader.handle_bytes(&read(endpoint, 1), &rules).unwrap() {
            UpgradeStep::NeedMore { .. } => {}
            UpgradeStep::Done { response, .. } => return endpoint.write_all(&response).unwrap(),
        }
    }
}

/// Reads one whole binary message of a client (RFC 6455 section 5.2).
fn read_masked(endpoint: &mut TcpStream) -> Vec<u8> {
    let head = read(endpoint, 2);
    assert_eq!((head[0], head[1] & 0x80), (0x82, 0x80), "one masked binary message");
    let length = match head[1] & 0x7f {
        126 => usize::from(u16::from_be_bytes(read(endpoint, 2).try_into().unwrap())),
        length => usize::from(length),
    };
    let mask = read(endpoint, 4);
    let payload = read(endpoint, length);
    payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()
}
