//! KCP on either side of the gateway: kcp-go, kcptun and C ikcp as clients, kcp-go and kcptun as endpoints.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{self, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use portcullis_peers::{Endpoint, Key, Message, WsClient};
use portcullis_tests::exam::{self, Mode};
use portcullis_tests::ikcp::Ikcp;
use portcullis_tests::kcp_go::{Ask, KcpGo, Link, Work};
use portcullis_tests::kcptun::Kcptun;
use portcullis_tests::scene::{self, OK, Stage, open};
use portcullis_tests::shim::{Shim, Weather};
use portcullis_tests::{Gate, Setup, Site, Table, skip, within};

const BYTES: u64 = 1 << 20;
/// By when everything of a session is gone once its endpoint has ended: 5 s, and what a machine with other work
/// adds; silence would free it after a minute.
const FREED_WITHIN: Duration = Duration::from_secs(20);

/// A listener whose keys are addresses of endpoints that speak KCP.
fn to_kcp(setup: Setup, name: &str, protocol: &str, lines: &str, link: &Link) -> Setup {
    let table = link.table();
    setup.listener(name, protocol, lines).with(&format!(
        "[route.{name}]\nresolver = \"address\"\nallow = [\"127.0.0.1:*\"]\nendpoint = \"kcp\"\n{table}"
    ))
}

#[test]
fn clients_of_every_protocol_reach_kcp_go_endpoints() {
    let Some(kcp_go) = KcpGo::have("clients_of_every_protocol_reach_kcp_go_endpoints") else { return };
    let table = Table::new();
    for (number, (crypt, fec)) in
        [("null", (10, 3)), ("null", (0, 0)), ("aes-128", (3, 1)), ("aes-gcm", (10, 3))]
            .into_iter()
            .enumerate()
    {
        let link = Link { crypt, fec, ..Link::default() };
        let server = kcp_go.serve(&link);
        let lossy = Shim::start(server.address(), Weather::rough(3), number as u64);
        let setup = to_kcp(Setup::new(), "kcp", "kcp", &link.table(), &link);
        let setup = to_kcp(setup, "tcp", "tcp", "", &link);
        let setup = to_kcp(setup, "ws", "ws", "hello = \"header\"", &link);
        let gate = Gate::start(&setup.text());
        let (key, seed) = (lossy.address().to_string(), number as u64);
        for mode in Mode::ALL {
            let case = |cell: &str| format!("{cell} {crypt} {}/{} {} 3 % lost", fec.0, fec.1, mode.name());
            let ask = Ask::new(link, gate.listener("kcp"), Work::Bulk(mode, BYTES));
            let report = kcp_go.ask(&Ask { hello: Some(&key), ..ask });
            let outcome = if report.ok { Ok(()) } else { Err(format!("{report:?}")) };
            table.file("kcp-go", &case("kcp→kcp"), outcome);
            let client = open(gate.listener("tcp"), &key);
            table.file("kcp-go", &case("tcp→kcp"), examine(&mut &client, mode, seed));
            let (client, first) = WsClient::open(gate.listener("ws"), Key::Header(&key)).unwrap();
            assert_eq!(first, Some(Message::Binary(b"ok".into())));
            let mut client = WsBytes { client, read: Vec::new() };
            table.file("kcp-go", &case("ws→kcp"), examine(&mut client, mode, seed));
        }
    }
    table.finish(4 * 3 * 3);
}

#[test]
fn the_c_core_reaches_tcp_and_kcp_endpoints_in_stream_and_in_message_mode() {
    const TEST: &str = "the_c_core_reaches_tcp_and_kcp_endpoints";
    let (Some(kcp_go), Some(ikcp)) = (KcpGo::have(TEST), Ikcp::have(TEST)) else { return };
    let endpoint = Endpoint::start(exam::serve).unwrap();
    let framed = Link { fec: (10, 3), ..Link::default() };
    let server = kcp_go.serve(&framed);
    // The C core knows no FEC: the gateway has to answer it without, on a listener that has it.
    let setup = Setup::new().addressed("tcp", "kcp", &["127.0.0.1:*"], &framed.table());
    let gate = Gate::start(&to_kcp(setup, "kcp", "kcp", &framed.table(), &framed).text());
    let table = Table::new();
    let cells = [("tcp", endpoint.address()), ("kcp", server.address())];
    for (number, (cell, target)) in cells.into_iter().enumerate() {
        let lossy = Shim::start(gate.listener(cell), Weather::rough(5), number as u64);
        for (conv, form) in [(1, "stream"), (2, "message")] {
            for mode in Mode::ALL {
                let mut session = ikcp.connect(lossy.address(), conv * 100 + mode as u32, form);
                let outcome = hello(&mut session, &target.to_string())
                    .and_then(|()| examine(&mut session, mode, u64::from(conv)));
                table.file("C ikcp", &format!("kcp→{cell} {form} mode {} 5 % lost", mode.name()), outcome);
            }
        }
    }
    table.finish(2 * 2 * 3);
}

#[test]
fn kcptun_passes_through_without_knowing_of_the_gateway() {
    const TEST: &str = "kcptun_passes_through";
    if !skip::have(TEST, &["kcptun-client", "kcptun-server"]) {
        return;
    }
    let table = Table::new();
    for crypt in ["aes-128", "aes-256", "salsa20"] {
        let link = Link { crypt, fec: (10, 3), window: 1024, ..Link::default() };
        let endpoint = Endpoint::start(exam::serve).unwrap();
        let site = Site::new();
        let server = Kcptun::server(&link, endpoint.address(), &site.folder().join("server.log"));
        let settings = link.table();
        let gate = Gate::start(
            &Setup::new()
                .listener("in", "kcp", &format!("hello = \"none\"\n{settings}"))
                .with("[route.in]\nresolver = \"upstream\"\nupstreams = [\"out\"]")
                .with(&format!(
                    "[upstream.out]\nprotocol = \"kcp\"\nendpoints = [{{ address = \"{}\" }}]\n{settings}",
                    server.address()
                ))
                .text(),
        );
        let client = Kcptun::client(&link, gate.listener("in"), &site.folder().join("client.log"));
        for mode in Mode::ALL {
            let mut stream = TcpStream::connect(client.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let outcome = exam::ask(&mut stream, mode, 4 << 20, 1);
            table.file("kcptun", &format!("{crypt} 10/3 {} 4 MiB", mode.name()), verdict(outcome));
        }
    }
    table.finish(3 * 3);
}

#[test]
fn a_kcp_client_is_told_failure_when_there_is_no_endpoint_and_never_ok() {
    let Some(kcp_go) = KcpGo::have("a_kcp_client_is_told_failure") else { return };
    let link = Link { fec: (10, 3), ..Link::default() };
    let setup = Setup::new().addressed("tcp", "kcp", &["127.0.0.1:*"], &link.table());
    let gate = Gate::start(&to_kcp(setup, "kcp", "kcp", &link.table(), &link).text());
    // One that refuses, and one that is there and never answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let refusing = scene::refusing();
    for (cell, target) in [("tcp", refusing), ("kcp", refusing), ("kcp", silent.local_addr().unwrap())] {
        let ask = Ask::new(link, gate.listener(cell), Work::Messages(1, 64));
        let report = kcp_go.ask(&Ask { hello: Some(&target.to_string()), sessions: 20, ..ask });
        assert_eq!((report.failed, report.refused.as_str()), (20, "error"), "{cell} {target}: {report:?}");
    }
    assert_eq!(freed(&gate), Ok(()));
}

#[test]
fn when_the_endpoint_ends_all_of_the_kcp_session_is_freed_within_five_seconds() {
    let Some(kcp_go) = KcpGo::have("when_the_endpoint_ends_all_is_freed") else { return };
    let link = Link { fec: (10, 3), ..Link::default() };
    let setup = Setup::new().addressed("tcp", "kcp", &["127.0.0.1:*"], &link.table());
    let gate = Gate::start(&to_kcp(setup, "kcp", "kcp", &link.table(), &link).text());
    let pace = Duration::from_millis(20);
    let talk = |cell: &str, key: &str| {
        let ask = Ask::new(link, gate.listener(cell), Work::Messages(1000, 64));
        kcp_go.start(&Ask { hello: Some(key), sessions: 20, pace, ..ask })
    };

    let stage = Stage::new();
    let clients = talk("tcp", &stage.address().to_string());
    let streams: Vec<TcpStream> = (0..20).map(|_| stage.accept()).collect();
    gate.wait_for_sessions(20);
    drop(streams);
    assert_eq!(freed(&gate), Ok(()), "kcp→tcp");
    drop(clients);

    let server = kcp_go.serve(&link);
    let clients = talk("kcp", &server.address().to_string());
    gate.wait_for_sessions(20);
    drop(server);
    assert_eq!(freed(&gate), Ok(()), "kcp→kcp");
    drop(clients);
    gate.assert_clean();
}

/// Waits until no session is left; else how many are.
fn freed(gate: &Gate) -> Result<(), usize> {
    within(FREED_WITHIN, || (gate.sessions() == 0).then_some(())).ok_or_else(|| gate.sessions())
}

fn examine(stream: &mut (impl Read + Write), mode: Mode, seed: u64) -> Result<(), String> {
    verdict(exam::ask(stream, mode, BYTES, seed))
}

fn verdict(outcome: io::Result<bool>) -> Result<(), String> {
    match outcome {
        Ok(true) => Ok(()),
        Ok(false) => Err("the bytes that arrived are not the bytes that were sent".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Says a key and expects success.
fn hello(session: &mut (impl Read + Write), key: &str) -> Result<(), String> {
    let mut answer = [0; OK.len()];
    session
        .write_all(&scene::hello(key))
        .and_then(|()| session.flush())
        .and_then(|()| session.read_exact(&mut answer))
        .map_err(|error| format!("hello: {error}"))?;
    if answer == OK { Ok(()) } else { Err(format!("hello: {answer:?}")) }
}

/// A WebSocket client as a stream of bytes.
struct WsBytes {
    client: WsClient,
    read: Vec<u8>,
}

impl Read for WsBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read.is_empty() {
            match self.client.read()? {
                Some(Message::Binary(bytes)) => self.read = bytes,
                Some(other) => return Err(io::Error::other(format!("{other:?}"))),
                None => return Ok(0),
            }
        }
        let length = self.read.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.read[..length]);
        self.read.drain(..length);
        Ok(length)
    }
}

impl Write for WsBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.client.send(&Message::Binary(bytes.to_vec()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
