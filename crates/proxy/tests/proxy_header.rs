//! PROXY headers of those who connect: who must send one, who may not, and whose connection it then is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;
#[path = "common/tls.rs"]
mod tls;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use gate::{Gate, accept, by_address, closed_port, echo, hello, stays_silent, to_with};
use portcullis_core::outcome::Reason;
use portcullis_core::wire::proxy_header::{Addresses, Header};
use portcullis_peers::WsClient;
use tls::{Authority, Peer, Speech, cell};

const LISTED: &str = "proxy_protocol = [\"127.0.0.0/8\"]";
const UNLISTED: &str = "proxy_protocol = [\"10.0.0.0/8\"]";
const LINE: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.1 4711 443\r\n";

#[test]
fn a_session_is_the_clients_that_the_header_names() {
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
    let mapped = header("[::ffff:203.0.113.9]:4711");
    let rows: &[(&[u8], Option<&str>)] = &[
        (LINE, Some("203.0.113.9:4711")),
        (b"PROXY TCP6 2001:db8::7 ::1 9 10\r\n", Some("[2001:db8::7]:9")),
        (&header("203.0.113.9:4711"), Some("203.0.113.9:4711")),
        (&mapped, Some("203.0.113.9:4711")),
        (b"PROXY UNKNOWN\r\n", None),
        (local, None),
    ];
    let gate = Gate::start(
        1,
        1000,
        &by_address().replace("route = \"out\"\n", &format!("route = \"out\"\n{LISTED}\n")),
    );
    let server = echo();
    for (header, want) in rows {
        let mut client = gate.connect();
        let own = client.local_addr().unwrap();
        client.write_all(&[header, &hello(server)[..], b"first"].concat()).unwrap();
        assert_eq!(read(&mut client, 6 + 5), b"\x02\0\0\0okfirst");
        drop(client);
        let ended = gate.ended();
        assert_eq!(ended.client, want.map_or(own, |want| want.parse().unwrap()), "{header:?}");
        assert_eq!((ended.reason, ended.up_bytes), (Reason::ClientEnded, 5), "{header:?}");
    }
}

#[test]
fn a_header_is_read_however_it_is_cut_and_not_a_byte_further() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 1000, &to_with(listener.local_addr().unwrap(), LISTED));
    for header in [LINE, &header("203.0.113.9:4711")] {
        let wire = [header, b"first"].concat();
        for cut in [1, 5, 6, 11, 12, 13, 15, 16, 27, 28, header.len() - 1, header.len(), header.len() + 2] {
            let mut client = gate.connect();
            client.set_nodelay(true).unwrap();
            client.write_all(&wire[..cut]).unwrap();
            if cut < header.len() {
                stays_silent(&client, Duration::from_millis(5));
            }
            client.write_all(&wire[cut..]).unwrap();
            let mut endpoint = accept(&listener);
            assert_eq!(read(&mut endpoint, 5), b"first", "cut at {cut}");
            endpoint.write_all(b"answer").unwrap();
            assert_eq!(read(&mut client, 6), b"answer", "cut at {cut}");
            drop((client, endpoint));
            assert_eq!(gate.ended().client.to_string(), "203.0.113.9:4711", "cut at {cut}");
        }
    }
}

#[test]
fn whoever_is_not_listed_is_turned_away_at_once_whatever_it_sends() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 1000, &to_with(listener.local_addr().unwrap(), UNLISTED));
    for sent in [&b""[..], LINE, &header("10.0.0.1:5"), b"first"] {
        let mut client = gate.connect();
        let own = client.local_addr().unwrap();
        // It may be closed before this arrives.
        client.write_all(sent).ok();
        ends_without_a_word(&mut client);
        let ended = gate.ended();
        assert_eq!((ended.reason, ended.client), (Reason::ProxyHeader, own), "{sent:?}");
        assert_eq!((ended.endpoint, ended.opened_after), (None, None), "{sent:?}");
    }
    nobody_came(&listener);
}

#[test]
fn a_listed_peer_without_a_valid_header_is_closed_without_a_word() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 1000, &to_with(listener.local_addr().unwrap(), LISTED));
    let mut bent = header("203.0.113.9:4711");
    *bent.last_mut().unwrap() ^= 1;
    let rows: &[&[u8]] = &[
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"PROXY TCP4 203.0.113.9 198.51.100.1 4711\r\n",
        b"PROXY TCP9",
        &[b"PROXY UNKNOWN "[..].to_vec(), vec![b'x'; 200]].concat(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        &bent,
    ];
    for sent in rows {
        let mut client = gate.connect();
        client.write_all(sent).unwrap();
        ends_without_a_word(&mut client);
        assert_eq!(gate.ended().reason, Reason::ProxyHeader, "{sent:?}");
    }
    // One that ends within its header is no port check; one that says nothing is.
    for (sent, want) in [(&LINE[..20], Reason::ProxyHeader), (b"", Reason::ClientLeft)] {
        let mut client = gate.connect();
        client.write_all(sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        ends_without_a_word(&mut client);
        assert_eq!(gate.ended().reason, want, "{sent:?}");
    }
    nobody_came(&listener);
}

#[test]
fn a_header_comes_before_tls() {
    let authority = Authority::own();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = cell((Speech::Tls, Speech::Tcp), listener.local_addr().unwrap(), (LISTED, ""));
    let gate = Gate::start_with(1, 1000, &text, &authority.files);
    for header in [LINE, &header("203.0.113.9:4711")] {
        let socket = gate.connect();
        (&socket).write_all(header).unwrap();
        let mut client = Peer::asking(Speech::Tls, socket, &authority);
        client.write_all(b"first").unwrap();
        let mut endpoint = accept(&listener);
        assert_eq!(read(&mut endpoint, 5), b"first");
        drop((client, endpoint));
        assert_eq!(gate.ended().client.to_string(), "203.0.113.9:4711");
    }
    // A handshake is no header, and a header within TLS is none.
    let mut socket = gate.connect();
    socket.write_all(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").unwrap();
    ends_without_a_word(&mut socket);
    assert_eq!(gate.ended().reason, Reason::ProxyHeader);
}

#[test]
fn a_header_in_drops_ends_at_the_hello_timeout() {
    let settings = format!("{LISTED}\nhello_timeout = \"300ms\"");
    let gate = Gate::start(1, 1000, &to_with(closed_port(), &settings));
    for drops in [false, true] {
        let mut client = gate.connect();
        let began = Instant::now();
        for byte in LINE {
            if !drops || client.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(20)); // the pace of it
        }
        ends_without_a_word(&mut client);
        assert_eq!(gate.ended().reason, Reason::HelloTimeout, "after {:?}", began.elapsed());
    }
}

#[test]
fn a_header_is_no_more_than_bytes_where_none_is_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gate = Gate::start(1, 1000, &to_with(listener.local_addr().unwrap(), ""));
    let mut client = gate.connect();
    let own = client.local_addr().unwrap();
    client.write_all(LINE).unwrap();
    let mut endpoint = accept(&listener);
    assert_eq!(read(&mut endpoint, LINE.len()), LINE);
    drop((client, endpoint));
    assert_eq!(gate.ended().client, own);

    let gate = Gate::start(1, 1000, &by_address());
    let mut client = gate.connect();
    let own = client.local_addr().unwrap();
    client.write_all(&[LINE, &hello(listener.local_addr().unwrap())].concat()).unwrap();
    let ended = gate.ended();
    assert_eq!((ended.reason, ended.client), (Reason::HelloMalformed, own));
    nobody_came(&listener);
}

#[test]
fn failed_dials_are_held_against_the_client_and_not_against_the_proxy() {
    let text = by_address().replace("route = \"out\"\n", &format!("route = \"out\"\n{LISTED}\n"));
    let text = format!("{text}attempts = 1\n[limits]\nfailed_dials_per_minute = 2\n");
    let gate = Gate::start(1, 1000, &text);
    let ask = |client: &str| {
        let mut stream = gate.connect();
        stream.write_all(&[header(client), hello(closed_port())].concat()).unwrap();
        stream.read_to_end(&mut Vec::new()).ok();
        gate.ended().reason
    };
    let reasons: Vec<Reason> = (0..4).map(|port| ask(&format!("203.0.113.9:{}", 5000 + port))).collect();
    assert_eq!(reasons, [Reason::DialRefused, Reason::DialRefused, Reason::DialBudget, Reason::DialBudget]);
    assert_eq!(ask("203.0.113.10:5000"), Reason::DialRefused);
}

#[test]
fn a_websocket_client_is_who_trusted_proxies_say_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let rows: &[(&str, &[u8], &str, Option<&str>)] = &[
        // settings, header, X-Forwarded-For, client
        ("", b"", "203.0.113.9", None),
        ("ws = { trusted_proxies = [\"10.0.0.0/8\"] }", b"", "203.0.113.9", None),
        ("ws = { trusted_proxies = [\"127.0.0.0/8\"] }", b"", "203.0.113.9", Some("203.0.113.9:0")),
        (
            "ws = { trusted_proxies = [\"127.0.0.0/8\"] }",
            b"",
            "1.2.3.4, 203.0.113.9:77",
            Some("203.0.113.9:77"),
        ),
        ("ws = { trusted_proxies = [\"127.0.0.0/8\"] }", b"", "unknown", None),
        // trust is asked of whom the header names
        (
            "proxy_protocol = [\"127.0.0.0/8\"]\nws = { trusted_proxies = [\"127.0.0.0/8\"] }",
            LINE,
            "1.2.3.4",
            Some("203.0.113.9:4711"),
        ),
        (
            "proxy_protocol = [\"127.0.0.0/8\"]\nws = { trusted_proxies = [\"203.0.113.0/24\"] }",
            LINE,
            "1.2.3.4",
            Some("1.2.3.4:0"),
        ),
    ];
    for (settings, header, forwarded, want) in rows {
        let text = to_with(listener.local_addr().unwrap(), settings);
        let gate = Gate::start(1, 1000, &text.replacen("protocol = \"tcp\"", "protocol = \"ws\"", 1));
        let mut client = gate.connect();
        let own = client.local_addr().unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             X-Forwarded-For: {forwarded}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n"
        );
        let frame = WsClient::frame(0x82, b"first");
        client.write_all(&[header, request.as_bytes(), &frame].concat()).unwrap();
        let mut endpoint = accept(&listener);
        assert_eq!(read(&mut endpoint, 5), b"first");
        drop((client, endpoint));
        assert_eq!(
            gate.ended().client,
            want.map_or(own, |want| want.parse().unwrap()),
            "{settings} {forwarded}"
        );
    }
}

fn header(client: &str) -> Vec<u8> {
    let addresses = Addresses {
        source: client.parse().unwrap(),
        destination: SocketAddr::from(([198, 51, 100, 1], 443)),
    };
    Header { addresses, authority: Some("game.example"), unique_id: "7", identity: None }.encode()
}

fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

fn ends_without_a_word(client: &mut TcpStream) {
    let mut said = Vec::new();
    match client.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    assert_eq!(said, b"");
}

fn nobody_came(listener: &TcpListener) {
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}
