//! The gateway's KCP machine, as the peers have it, against foreign ones, and nothing else between: what fails here
//! is the machine's fault and not the gateway's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_core::wire::kcp::arq::Settings;
use portcullis_core::wire::kcp::crypt::{Cipher, Crypt, Key};
use portcullis_core::wire::kcp::fec::Shards;
use portcullis_peers::{KcpClient, KcpEndpoint, KcpOptions};
use portcullis_tests::exam::{self, Mode};
use portcullis_tests::ikcp::Ikcp;
use portcullis_tests::kcp_go::{Ask, CIPHERS, KcpGo, Link, PASSPHRASE, Work};
use portcullis_tests::shim::{Shim, Weather};

const CODES: [(u8, u8); 4] = [(0, 0), (10, 3), (3, 1), (20, 5)];

#[test]
fn our_client_is_served_by_kcp_go_under_every_cipher_and_code() {
    let Some(kcp_go) = KcpGo::have("our_client_is_served_by_kcp_go") else { return };
    for link in links() {
        let server = kcp_go.serve(&link);
        ask_all(server.address(), &link, 100_001);
    }
}

#[test]
fn our_endpoint_serves_kcp_go_under_every_cipher_and_code() {
    let Some(kcp_go) = KcpGo::have("our_endpoint_serves_kcp_go") else { return };
    for link in links() {
        let endpoint = KcpEndpoint::start(&options(&link), exam::serve).unwrap();
        for mode in Mode::ALL {
            let report = kcp_go.ask(&Ask::new(link, endpoint.address(), Work::Bulk(mode, 100_001)));
            assert!(report.ok, "{link:?} {mode:?}: {report:?}");
        }
    }
}

#[test]
fn loss_between_us_and_kcp_go_costs_time_and_nothing_else() {
    let Some(kcp_go) = KcpGo::have("loss_between_us_and_kcp_go") else { return };
    for (seed, fec) in [(1, (0, 0)), (2, (10, 3))] {
        let link = Link { crypt: "aes-256", fec, ..Link::default() };
        let server = kcp_go.serve(&link);
        let shim = Shim::start(server.address(), Weather::losing(20), seed);
        ask_all(shim.address(), &link, 100_001);

        let endpoint = KcpEndpoint::start(&options(&link), exam::serve).unwrap();
        let shim = Shim::start(endpoint.address(), Weather::losing(20), seed);
        for mode in Mode::ALL {
            let report = kcp_go.ask(&Ask::new(link, shim.address(), Work::Bulk(mode, 100_001)));
            assert!(report.ok, "{fec:?} {mode:?}: {report:?}");
        }
    }
}

#[test]
fn our_endpoint_serves_a_framed_bare_or_otherwise_framed_client_on_one_port() {
    let Some(kcp_go) = KcpGo::have("our_endpoint_serves_a_framed_or_bare_client") else { return };
    let endpoint = KcpEndpoint::start(&KcpOptions::seed(), exam::serve).unwrap();
    for fec in [(10, 3), (0, 0), (5, 2)] {
        let work = Work::Messages(50, 64);
        let link = Link { fec, ..Link::default() };
        let report = kcp_go.ask(&Ask { sessions: 20, ..Ask::new(link, endpoint.address(), work) });
        assert!(report.ok, "{fec:?}: {report:?}");
    }
    assert_eq!(endpoint.accepted(), 60);
}

#[test]
fn our_endpoint_serves_the_c_core() {
    let Some(ikcp) = Ikcp::have("our_endpoint_serves_the_c_core") else { return };
    let endpoint = KcpEndpoint::start(&KcpOptions::seed(), exam::serve).unwrap();
    for (conv, form) in [(7, "stream"), (8, "message")] {
        let mut session = ikcp.connect(endpoint.address(), conv, form);
        for mode in Mode::ALL {
            assert!(exam::ask(&mut session, mode, 100_001, 1).unwrap(), "{form} {mode:?}");
        }
    }
}

/// Every cipher with one code, and every code with one cipher.
fn links() -> Vec<Link> {
    let ciphers = CIPHERS.map(|crypt| Link { crypt, fec: (10, 3), ..Link::default() });
    let codes = CODES.map(|fec| Link { fec, ..Link::default() });
    // kcp-go's message mode, and its defaults.
    let forms = ["default", "fast"].map(|preset| Link { preset, stream: false, ..Link::default() });
    [&ciphers[..], &codes, &forms].concat()
}

fn ask_all(to: SocketAddr, link: &Link, bytes: u64) {
    let mut client = KcpClient::connect(to, &options(link)).unwrap().into_stream();
    for mode in Mode::ALL {
        let right = exam::ask(&mut client, mode, bytes, 1);
        assert!(
            right.as_ref().is_ok_and(|right| *right),
            "{link:?} {mode:?}: {right:?} {:?}",
            client.tally()
        );
    }
}

fn options(link: &Link) -> KcpOptions {
    let crypt =
        Crypt::new(Cipher::from_label(link.crypt).unwrap(), &Key::from_passphrase(PASSPHRASE)).unwrap();
    let (data, parity) = link.fec;
    let settings = Settings { mtu: link.mtu, stream: link.stream, ..KcpOptions::default().settings };
    KcpOptions {
        crypt: Arc::new(crypt),
        code: Shards::new(data, parity).ok(),
        settings,
        ..KcpOptions::default()
    }
}
