//! KCP in and out, with the gateway's own machine at all ends, so that it needs no foreign program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use portcullis_core::wire::kcp::crypt::{Cipher, Crypt, Key};
use portcullis_core::wire::kcp::fec::Shards;
use portcullis_peers::{Endpoint, KcpClient, KcpEndpoint, KcpOptions, KcpStream, TcpClient, serve};
use portcullis_tests::exam::{self, Mode};
use portcullis_tests::kcp_go::{Link, PASSPHRASE};
use portcullis_tests::seed::file;
use portcullis_tests::{Gate, Setup};

const ALLOW: &[&str] = &["127.0.0.1:*"];

#[test]
fn every_cell_carries_every_byte_under_each_sort_of_cipher_and_code() {
    for (crypt, fec) in [("null", (10, 3)), ("aes-gcm", (0, 0)), ("aes-256", (3, 1)), ("salsa20", (0, 0))] {
        let link = Link { crypt, fec, ..Link::default() };
        let (line, endpoint) = (link.table(), format!("endpoint = \"kcp\"\n{}", link.table()));
        let setup = Setup::new()
            .addressed("kcp-tcp", "kcp", ALLOW, &line)
            .addressed("kcp-kcp", "kcp", ALLOW, &line)
            .with(&endpoint)
            .addressed("tcp-kcp", "tcp", ALLOW, "")
            .with(&endpoint);
        let gate = Gate::start(&setup.text());
        let tcp = Endpoint::start(exam::serve).unwrap();
        let kcp = KcpEndpoint::start(&options(&link), exam::serve).unwrap();
        for (listener, to) in [("kcp-tcp", tcp.address()), ("kcp-kcp", kcp.address())] {
            let to = to.to_string();
            let (client, answer) = KcpClient::open(gate.listener(listener), &to, &options(&link)).unwrap();
            assert_eq!(answer.as_deref(), Some(&b"ok"[..]), "{listener} {link:?}");
            check(&mut client.into_stream(), &format!("{listener} {link:?}"));
        }
        let (client, _) = TcpClient::open(gate.listener("tcp-kcp"), &kcp.address().to_string()).unwrap();
        check(&mut client.into_stream(), &format!("tcp-kcp {link:?}"));
    }
}

#[test]
fn the_examples_meet_through_document_000_s_file() {
    let greeting = |stream: &KcpStream| serve::hello_world(Duration::from_secs(3), |_, _| {})(stream);
    let endpoint = KcpEndpoint::start(&KcpOptions::seed(), greeting).unwrap();
    let gate = Gate::start(&file());
    let key = endpoint.address().to_string();
    let (client, answer) = KcpClient::open(gate.listener("kcpgate"), &key, &KcpOptions::seed()).unwrap();
    let mut greeted = [0; 12];
    client.stream().read_exact(&mut greeted).unwrap();
    assert_eq!((answer.as_deref(), &greeted[..]), (Some(&b"ok"[..]), serve::HELLO_WORLD));
}

fn check(stream: &mut (impl Read + Write), cell: &str) {
    for mode in Mode::ALL {
        let right = exam::ask(stream, mode, 200_001, 7);
        assert!(right.as_ref().is_ok_and(|right| *right), "{cell} {mode:?}: {right:?}");
    }
}

fn options(link: &Link) -> KcpOptions {
    let crypt =
        Crypt::new(Cipher::from_label(link.crypt).unwrap(), &Key::from_passphrase(PASSPHRASE)).unwrap();
    let (data, parity) = link.fec;
    KcpOptions { crypt: Arc::new(crypt), code: Shards::new(data, parity).ok(), ..KcpOptions::default() }
}
