//! Handshakes: whom the gateway shows itself as, whom it lets in, whom it trusts, and how long it waits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/tls.rs"]
mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gate::{Gate, echo};
use portcullis_core::outcome::{Ended, Reason};
use portcullis_peers::{Endpoint, Identity, TlsEndpoint, serve};
use portcullis_proxy::Told;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConnection, HandshakeKind, ProtocolVersion};
use tls::{Authority, Peer, SHOWS_OWN, Speech, cell};

const SEALED: (Speech, Speech) = (Speech::Tls, Speech::Tcp);

#[test]
fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let mut authority = Authority::own();
    authority.sign("exact", &["a.test", "deep.b.test"]);
    authority.sign("wild", &["*.b.test"]);
    let certs = "certs = [{ cert = \"own.pem\", key = \"own.key\" }, \
        { cert = \"wild.pem\", key = \"wild.key\" }, { cert = \"exact.pem\", key = \"exact.key\" }]";
    let text = cell(SEALED, echo(), ("", "")).replace(SHOWS_OWN, &format!("tls = {{ {certs} }}"));
    let gate = Gate::start_with(1, 100, &text, &authority.files);
    for (name, shown) in [
        ("a.test", "exact"),
        ("A.Test", "exact"),
        ("c.b.test", "wild"),
        ("deep.b.test", "exact"),
        ("c.c.b.test", "own"),
        ("b.test", "own"),
        ("stranger.test", "own"),
        ("127.0.0.1", "own"), // an address is not asked for
    ] {
        let client = Peer::trusting(gate.connect(), &authority.credulous(name)).unwrap();
        let expected = CertificateDer::from_pem_slice(&authority.files[&format!("{shown}.pem")]).unwrap();
        assert_eq!(client.about().peer_certificates().unwrap()[0], expected, "{name}");
    }
}

#[test]
fn the_name_that_is_asked_for_leads_to_its_target_and_none_leads_nowhere() {
    let authority = Authority::own();
    let text = format!(
        "[[listener]]\nname = \"in\"\nprotocol = \"tls\"\nbind = [\"127.0.0.1:0\"]\nhello = \"sni\"\n\
        route = \"by-name\"\n{SHOWS_OWN}\n[route.by-name]\nresolver = \"name\"\n\
        names = {{ \"own.test\" = \"{}\" }}\n",
        echo()
    );
    let gate = Gate::start_with(1, 100, &text, &authority.files);
    let mut client = Peer::trusting(gate.connect(), &authority.trust("own.test")).unwrap();
    client.write_all(b"there").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    for (name, reason) in [("127.0.0.1", Reason::HelloMalformed), ("other.test", Reason::KeyUnknown)] {
        let mut client = Peer::trusting(gate.connect(), &authority.credulous(name)).unwrap();
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "{name} is told nothing but the end");
        gate.wait_for(|counts| counts.listeners[0].refused.contains(&(reason, 1)));
    }
}

#[test]
fn who_is_no_tls_client_is_told_so_and_ends_as_a_failed_handshake() {
    let authority = Authority::own();
    let garbage: Vec<u8> = (0..300_u32).map(|index| (index * 7 % 256) as u8).collect();
    let oversized = [&[0x16, 3, 1, 0xff, 0xff][..], &[1; 600]].concat();
    let long = [&[0x16, 3, 1, 0x40, 0, 1, 0x0f, 0xff, 0xff][..], &[0; 16_380]].concat();
    for (name, bytes) in [
        ("garbage", &garbage[..]),
        ("http", b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
        ("a record of 64 KiB", &oversized),
        ("a message of 1 MiB", &long),
        ("zeros", &[0; 64]),
    ] {
        let gate = Gate::start_with(1, 100, &cell(SEALED, echo(), ("", "")), &authority.files);
        let mut client = gate.connect();
        client.write_all(bytes).unwrap();
        let mut told = Vec::new();
        client.read_to_end(&mut told).unwrap();
        assert!(matches!(told[..], [0x15, 3, _, 0, 2, 2, _] | []), "{name} is told {told:?}");
        gate.wait_until_empty();
        assert_eq!(gate.handle.counts().listeners[0].refused, [(Reason::Handshake, 1)], "{name}");
    }
}

#[test]
fn a_handshake_that_dribbles_is_cut_at_the_hello_s_timeout() {
    let authority = Authority::own();
    let text = cell(SEALED, echo(), ("hello_timeout = \"1s\"", ""));
    let gate = Gate::start_with(1, 100, &text, &authority.files);
    let hello = first_message(&authority);
    let mut client = gate.connect();
    let began = Instant::now();
    let mut written = 0;
    // A byte each 20 ms is longer than the timeout; every one of them is progress.
    while written < hello.len() && client.write_all(&hello[written..=written]).is_ok() {
        written += 1;
        thread::park_timeout(Duration::from_millis(20));
    }
    assert!(written < hello.len(), "all of it was taken");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    gate.wait_until_empty();
    assert_eq!(gate.handle.counts().listeners[0].refused, [(Reason::HelloTimeout, 1)]);
}

#[test]
fn a_handshake_in_pieces_is_a_handshake() {
    let authority = Authority::own();
    let gate = Gate::start_with(1, 100, &cell(SEALED, echo(), ("", "")), &authority.files);
    let trust = authority.trust("own.test");
    let mut connection = ClientConnection::new(Arc::clone(&trust.config), trust.name).unwrap();
    let mut socket = gate.connect();
    socket.set_nodelay(true).unwrap();
    while connection.is_handshaking() || connection.wants_write() {
        let mut flight = Vec::new();
        connection.write_tls(&mut flight).unwrap();
        for byte in flight.chunks(1) {
            socket.write_all(byte).unwrap();
        }
        if connection.is_handshaking() && connection.wants_read() {
            connection.read_tls(&mut socket).unwrap();
            connection.process_new_packets().unwrap();
        }
    }
    gate.wait_for(|counts| counts.listeners[0].opened == 1);
}

#[test]
fn a_hello_and_what_follows_it_may_come_with_the_end_of_the_handshake() {
    let authority = Authority::own();
    let text =
        gate::by_address().replacen("protocol = \"tcp\"", &format!("protocol = \"tls\"\n{SHOWS_OWN}"), 1);
    let gate = Gate::start_with(1, 100, &text, &authority.files);
    let payload = vec![7; 40_000];
    let trust = authority.trust("own.test");
    let mut connection = ClientConnection::new(Arc::clone(&trust.config), trust.name).unwrap();
    connection.set_buffer_limit(None);
    connection.writer().write_all(&[gate::hello(echo()), payload.clone()].concat()).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, gate.connect());
    let (mut answer, mut back) = ([0; 6], vec![0; payload.len()]);
    stream.read_exact(&mut answer).unwrap();
    stream.read_exact(&mut back).unwrap();
    assert_eq!((&answer, back == payload), (b"\x02\0\0\0ok", true));
}

#[test]
fn an_end_in_the_middle_of_a_handshake_is_a_client_that_left() {
    let authority = Authority::own();
    let hello = first_message(&authority);
    for sent in [0, 1, 50, hello.len()] {
        let gate = Gate::start_with(1, 100, &cell(SEALED, echo(), ("", "")), &authority.files);
        let mut client = gate.connect();
        client.write_all(&hello[..sent]).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        client.read_to_end(&mut Vec::new()).unwrap();
        gate.wait_for(|counts| counts.listeners[0].refused == [(Reason::ClientLeft, 1)]);
    }
}

#[test]
fn a_client_s_certificate_is_asked_for_checked_and_names_it() {
    let mut authority = Authority::own();
    authority.sign("a device", &["device.test"]);
    let mut stranger = Authority::new();
    stranger.sign("a device", &["device.test"]);
    let known = authority.trust_as("own.test", "a device");
    stranger.files.insert("ca.pem".into(), authority.files["ca.pem"].clone());
    let unknown = stranger.trust_as("own.test", "a device");
    let anonymous = authority.trust("own.test");
    for (auth, trust, so) in [
        ("required", &known, Some("a device")),
        ("required", &anonymous, None),
        ("required", &unknown, None),
        ("optional", &known, Some("a device")),
        ("optional", &anonymous, Some("")),
        ("optional", &unknown, None),
    ] {
        let asks = format!("tls = {{ client_auth = \"{auth}\", client_ca = \"ca.pem\", certs");
        let text = cell(SEALED, echo(), ("", "")).replace("tls = { certs", &asks);
        let gate = Gate::start_with(1, 100, &text, &authority.files);
        // In TLS 1.3 a client is through before it is judged: it hears of it when it reads.
        let let_in = Peer::trusting(gate.connect(), trust).and_then(|mut client| {
            client.write_all(b"x")?;
            client.read_exact(&mut [0; 1])
        });
        assert_eq!(let_in.is_ok(), so.is_some(), "{auth} {so:?} {let_in:?}");
        let ended = ended(&gate);
        let identity = ended.identity.as_deref().unwrap_or_default();
        match so {
            Some(name) => assert_eq!(identity, name, "{auth}"),
            None => assert_eq!(ended.reason, Reason::Handshake, "{auth}"),
        }
    }
}

#[test]
fn a_session_is_resumed_and_an_old_version_is_spoken_unless_it_is_refused() {
    let authority = Authority::own();
    let gate = Gate::start_with(1, 100, &cell(SEALED, echo(), ("", "")), &authority.files);
    let strict =
        cell(SEALED, echo(), ("", "")).replace("tls = { certs", "tls = { min_version = \"1.3\", certs");
    let strict = Gate::start_with(1, 100, &strict, &authority.files);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let trust = speaking(&authority, version);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = Peer::trusting(gate.connect(), &trust).unwrap();
            client.write_all(b"x").unwrap();
            client.read_exact(&mut [0; 1]).unwrap(); // behind the tickets
            assert_eq!(client.about().protocol_version(), Some(version.version));
            assert_eq!(client.about().handshake_kind(), Some(kind), "{:?}", version.version);
        }
        let refused = Peer::trusting(strict.connect(), &trust).is_err();
        assert_eq!(refused, version.version == ProtocolVersion::TLSv1_2);
    }
}

#[test]
fn an_endpoint_that_is_not_to_be_trusted_is_dialled_once_and_never_served() {
    let (authority, mut stranger) = (Authority::own(), Authority::own());
    stranger.sign("elsewhere", &["elsewhere.test"]);
    let mut both = authority.files.clone();
    both.insert("stranger.pem".into(), stranger.files["ca.pem"].clone());
    let to_sealed = (Speech::Tcp, Speech::Tls);
    for (identity, says, reason) in [
        (authority.identity("own"), "ca_file = \"ca.pem\"", None),
        (authority.identity("own"), "ca_file = \"ca.pem\", server_name = \"own.test\"", None),
        (stranger.identity("own"), "verify = false", None),
        (stranger.identity("own"), "ca_file = \"ca.pem\"", Some(Reason::DialUntrusted)),
        (stranger.identity("elsewhere"), "ca_file = \"stranger.pem\"", Some(Reason::DialUntrusted)),
        (
            authority.identity("own"),
            "ca_file = \"ca.pem\", server_name = \"other.test\"",
            Some(Reason::DialUntrusted),
        ),
    ] {
        let (endpoint, address) = serving(identity);
        let text = cell(to_sealed, address, ("", "attempts = 3")).replace("ca_file = \"ca.pem\"", says);
        let gate = Gate::start_with(1, 100, &text, &both);
        let mut client = gate.connect();
        client.write_all(b"x").unwrap();
        let got = client.read(&mut [0; 1]);
        match reason {
            None => assert_eq!(got.unwrap(), 1, "{says}"),
            Some(reason) => {
                assert!(matches!(got, Ok(0) | Err(_)), "{says}");
                gate.wait_until_empty();
                assert_eq!(gate.handle.counts().listeners[0].refused, [(reason, 1)], "{says}");
            }
        }
        assert_eq!(endpoint.accepted(), 1, "{says}");
    }
}

#[test]
fn an_endpoint_that_does_not_finish_its_handshake_is_given_up_in_time() {
    let authority = Authority::own();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = cell(
        (Speech::Tls, Speech::Tls),
        silent.local_addr().unwrap(),
        ("", "connect_timeout = \"300ms\"\nattempts = 1"),
    );
    let gate = Gate::start_with(1, 100, &text, &authority.files);
    let mut client = Peer::asking(Speech::Tls, gate.connect(), &authority);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    gate.wait_for(|counts| counts.listeners[0].refused == [(Reason::DialTimeout, 1)]);
}

#[test]
fn an_endpoint_that_speaks_no_tls_refuses() {
    let authority = Authority::own();
    let text = cell((Speech::Tcp, Speech::Tls), echo(), ("", "attempts = 1"));
    let gate = Gate::start_with(1, 100, &text, &authority.files);
    let mut client = gate.connect();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let end = client.read(&mut [0; 1]).map_err(|error| error.kind());
    assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    gate.wait_for(|counts| counts.listeners[0].refused == [(Reason::DialRefused, 1)]);
}

/// A client's first message.
fn first_message(authority: &Authority) -> Vec<u8> {
    let trust = authority.trust("own.test");
    let mut connection = ClientConnection::new(Arc::clone(&trust.config), trust.name).unwrap();
    let mut message = Vec::new();
    connection.write_tls(&mut message).unwrap();
    message
}

/// Who speaks that version only.
fn speaking(
    authority: &Authority,
    version: &'static rustls::SupportedProtocolVersion,
) -> portcullis_peers::Trust {
    let mut trust = authority.trust("own.test");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority.files["ca.pem"]).unwrap()).unwrap();
    let provider = Arc::clone(trust.config.crypto_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    trust.config = Arc::new(builder.with_root_certificates(roots).with_no_client_auth());
    trust
}

fn serving(identity: Identity) -> (Endpoint, SocketAddr) {
    let endpoint = Endpoint::start(TlsEndpoint::serve(identity, serve::echo)).unwrap();
    let address = endpoint.address();
    (endpoint, address)
}

/// The record of the first session that has ended.
fn ended(gate: &Gate) -> Ended {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        for told in gate.handle.endings().take() {
            if let Told::Ended(ended) = told {
                return *ended;
            }
        }
        assert!(Instant::now() < deadline, "{:#?}", gate.handle.counts());
        thread::park_timeout(Duration::from_millis(1));
    }
}
