//! Foreign KCP peers: kcp-go, kcptun and C ikcp, each through a network that loses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::Duration;

use portcullis_tests::exam::Mode;
use portcullis_tests::kcp_go::{Ask, KcpGo, Link, Work};

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
