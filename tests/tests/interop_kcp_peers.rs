//! Foreign KCP peers against their own kind, so that what fails with the gateway between is the gateway's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::TcpStream;
use std::time::Duration;

use portcullis_peers::Endpoint;
use portcullis_tests::exam::{self, Mode};
use portcullis_tests::ikcp::Ikcp;
use portcullis_tests::kcp_go::{Ask, CIPHERS, KcpGo, Link, Work};
use portcullis_tests::kcptun::Kcptun;
use portcullis_tests::shim::{Shim, Weather};
use portcullis_tests::{Site, skip};

#[test]
fn kcp_go_agrees_with_itself() {
    let Some(kcp_go) = KcpGo::have("kcp_go_agrees_with_itself") else { return };
    for crypt in CIPHERS {
        let link = Link { crypt, fec: (10, 3), ..Link::default() };
        let server = kcp_go.serve(&link);
        for mode in Mode::ALL {
            let report = kcp_go.ask(&Ask::new(link, server.address(), Work::Bulk(mode, 300_001)));
            assert!(report.ok, "{crypt} {mode:?}: {report:?}");
            assert_eq!(report.digests[0], report.digests[1]);
        }
    }
}

#[test]
fn kcp_go_passes_a_gateway_on_kcp_go_through_a_network_that_loses() {
    let Some(kcp_go) = KcpGo::have("kcp_go_passes_a_gateway_on_kcp_go") else { return };
    let endpoint = Endpoint::start(exam::serve).unwrap();
    let key = endpoint.address().to_string();
    for (seed, fec) in [(1, (0, 0)), (2, (10, 3)), (3, (3, 1))] {
        let link = Link { fec, ..Link::default() };
        let gateway = kcp_go.gateway(&link);
        let shim = Shim::start(gateway.address(), Weather::losing(20), seed);
        for mode in Mode::ALL {
            let ask = Ask::new(link, shim.address(), Work::Bulk(mode, 192 << 10));
            let report = kcp_go.ask(&Ask { hello: Some(&key), ..ask });
            assert!(report.ok, "{fec:?} {mode:?}: {report:?}");
        }
    }
}

#[test]
fn the_c_core_agrees_with_kcp_go() {
    const TEST: &str = "the_c_core_agrees_with_kcp_go";
    let (Some(kcp_go), Some(ikcp)) = (KcpGo::have(TEST), Ikcp::have(TEST)) else { return };
    let server = kcp_go.serve(&Link::default());
    for (conv, form) in [(7, "stream"), (8, "message")] {
        let mut session = ikcp.connect(server.address(), conv, form);
        for mode in Mode::ALL {
            assert!(exam::ask(&mut session, mode, 300_001, 1).unwrap(), "{form} {mode:?}");
        }
    }
}

#[test]
fn kcptun_agrees_with_itself() {
    if !skip::have("kcptun_agrees_with_itself", &["kcptun-client", "kcptun-server"]) {
        return;
    }
    let (endpoint, site) = (Endpoint::start(exam::serve).unwrap(), Site::new());
    for crypt in ["aes-128", "salsa20"] {
        let link = Link { crypt, fec: (10, 3), ..Link::default() };
        let server = Kcptun::server(&link, endpoint.address(), &site.folder().join("server.log"));
        let client = Kcptun::client(&link, server.address(), &site.folder().join("client.log"));
        for mode in Mode::ALL {
            let mut stream = TcpStream::connect(client.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert!(exam::ask(&mut stream, mode, 1 << 20, 1).unwrap(), "{crypt} {mode:?}");
        }
    }
}
