//! Foreign KCP peers: kcp-go, kcptun and C ikcp, each through a network that loses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::TcpStream;
use std::time::Duration;

use portcullis_peers::Endpoint;
use portcullis_tests::exam::{self, Mode};
use portcullis_tests::ikcp::Ikcp;
use portcullis_tests::kcp_go::{Ask, KcpGo, Link, Work};
use portcullis_tests::kcptun::Kcptun;
use portcullis_tests::{Site, skip};

/// The ciphers a listener may have.
const CIPHERS: [&str; 8] = ["null", "none", "xor", "aes-128", "aes-192", "aes-256", "salsa20", "aes-gcm"];

#[test]
fn kcp_go_agrees_with_itself_so_that_a_gateway_between_is_all_that_is_tested() {
    let Some(kcp_go) = KcpGo::have("kcp_go_agrees_with_itself") else { return };
    for crypt in CIPHERS {
        let link = Link { crypt, fec: (10, 3), ..Link::default() };
        let server = kcp_go.serve(&link);
        for mode in Mode::ALL {
            let work = Work::Bulk(mode, 300_001);
            let within = Duration::from_secs(20);
            let report =
                kcp_go.ask(&Ask { link, to: server.address(), hello: None, sessions: 1, work, within });
            assert!(report.ok, "{crypt} {mode:?}: {report:?}");
            assert_eq!(report.digests[0], report.digests[1]);
        }
    }
}

#[test]
fn the_c_core_agrees_with_kcp_go_so_that_a_gateway_between_is_all_that_is_tested() {
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
fn kcptun_agrees_with_itself_so_that_a_gateway_between_is_all_that_is_tested() {
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
