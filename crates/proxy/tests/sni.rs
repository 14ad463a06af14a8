//! Routing by the name in a TLS handshake that goes on to the endpoint untouched.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use gate::{Gate, accept, stays_silent};
use portcullis_core::outcome::Reason;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

#[test]
fn the_name_leads_to_its_endpoint_and_every_byte_goes_there() {
    let (lobby, arena) = (listen(), listen());
    let gate = gate(&[("lobby.example", &lobby), ("arena.example", &arena)], "");
    for (name, listener) in [("lobby.example", &lobby), ("Arena.Example", &arena)] {
        let wire = [&client_hello(name)[..], b"more"].concat();
        for cut in [wire.len(), 1, 4, 5, 6, 60, wire.len() - 5] {
            let mut client = gate.connect();
            client.set_nodelay(true).unwrap();
            client.write_all(&wire[..cut]).unwrap();
            if cut < wire.len() - 4 {
                stays_silent(&client, Duration::from_millis(5));
            }
            client.write_all(&wire[cut..]).unwrap();
            let mut endpoint = accept(listener);
            assert!(read(&mut endpoint, wire.len()) == wire, "{name} cut at {cut}");
            endpoint.write_all(b"answer").unwrap();
            assert_eq!(read(&mut client, 6), b"answer", "only the endpoint's bytes");
            drop((client, endpoint));
            assert_eq!(gate.ended().up_bytes, wire.len() as u64, "{name} cut at {cut}");
        }
    }
}

#[test]
fn a_name_is_told_to_the_endpoint_and_the_header_in_front_comes_first() {
    let lobby = listen();
    let gate = gate(&[("lobby.example", &lobby)], "proxy_protocol = [\"127.0.0.0/8\"]");
    let hello = client_hello("lobby.example");
    let mut client = gate.connect();
    client.write_all(&[b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n", &hello[..]].concat()).unwrap();
    let mut endpoint = accept(&lobby);
    let fixed = read(&mut endpoint, 16);
    let told = read(&mut endpoint, usize::from(u16::from_be_bytes([fixed[14], fixed[15]])));
    assert_eq!(told[..4], [203, 0, 113, 9]);
    assert_eq!(told[12..28], *b"\x02\0\x0dlobby.example");
    assert!(read(&mut endpoint, hello.len()) == hello);
}

#[test]
fn without_a_name_that_leads_somewhere_nothing_is_said() {
    let lobby = listen();
    let gate = gate(&[("lobby.example", &lobby)], "hello_timeout = \"2s\"");
    let too_long = [&b"\x16\x03\x01\x40\0\x01\0\x40\0"[..], &[0; 100]].concat();
    let rows: &[(&[u8], Reason)] = &[
        (&client_hello("other.example"), Reason::KeyUnknown),
        (&client_hello("127.0.0.1"), Reason::HelloMalformed), // an address is no name: none is asked for
        (b"GET / HTTP/1.1\r\nHost: lobby.example\r\n\r\n", Reason::HelloMalformed),
        (&too_long, Reason::HelloMalformed),
        (&client_hello("lobby.example")[..40], Reason::HelloTimeout),
    ];
    for (sent, want) in rows {
        let mut client = gate.connect();
        client.write_all(sent).unwrap();
        let mut said = Vec::new();
        // What it sent may be unread when it is closed.
        client.read_to_end(&mut said).ok();
        assert_eq!((gate.ended().reason, &said[..]), (*want, &b""[..]), "{}", String::from_utf8_lossy(sent));
    }
    lobby.set_nonblocking(true).unwrap();
    assert!(lobby.accept().is_err(), "nobody was dialled");
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn gate(names: &[(&str, &TcpListener)], settings: &str) -> Gate {
    let names: Vec<String> = names
        .iter()
        .map(|(name, listener)| format!("\"{name}\" = \"{}\"", listener.local_addr().unwrap()))
        .collect();
    let onward = if settings.contains("proxy_protocol") { "v2" } else { "off" };
    Gate::start(
        1,
        1000,
        &format!(
            r#"
[[listener]]
name = "in"
protocol = "tcp"
bind = ["127.0.0.1:0"]
hello = "sni"
route = "out"
{settings}
[route.out]
resolver = "name"
names = {{ {} }}
proxy_protocol = "{onward}"
"#,
            names.join(", ")
        ),
    )
}

/// What the library says first.
fn client_hello(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut wire = Vec::new();
    ClientConnection::new(Arc::new(config), name).unwrap().write_tls(&mut wire).unwrap();
    wire
}

fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}
