//! The config of the first gateway of this kind, and the kcp-go clients and endpoints that it was made for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;
use std::time::Duration;

use portcullis_peers::Endpoint;
use portcullis_tests::kcp_go::{Ask, KcpGo, Link, Work};
use portcullis_tests::seed::{converted, file, with_zero_copy};
use portcullis_tests::{Gate, exam, within};

/// What kcp-go does when nobody sets anything, but for the FEC that the seed sets.
const LINK: Link =
    Link { crypt: "null", fec: (10, 3), preset: "default", window: 32, mtu: 1400, stream: false };

#[test]
fn two_hundred_kcp_go_clients_talk_to_tcp_endpoints_without_an_error() {
    let Some(kcp_go) = KcpGo::have("two_hundred_kcp_go_clients_talk_to_tcp_endpoints") else { return };
    let endpoint = Endpoint::start(exam::serve).unwrap();
    for config in configs(false) {
        talk(&kcp_go, &config, &endpoint.address().to_string());
    }
}

#[test]
fn two_hundred_kcp_go_clients_talk_to_kcp_go_endpoints_without_an_error() {
    let Some(kcp_go) = KcpGo::have("two_hundred_kcp_go_clients_talk_to_kcp_go_endpoints") else { return };
    for config in configs(true) {
        let server = kcp_go.serve(&LINK);
        talk(&kcp_go, &config, &server.address().to_string());
    }
}

/// Each sends 200 messages, and each message comes back.
fn talk(kcp_go: &KcpGo, config: &str, key: &str) {
    let gate = Gate::start(config);
    let ask = Ask::new(LINK, gate.listener("kcpgate"), Work::Messages(200, 64));
    let within = Duration::from_secs(60);
    let report = kcp_go.ask(&Ask { hello: Some(key), sessions: 200, within, ..ask });
    assert!(report.ok, "{} of 200 failed: {}\n{config}", report.failed, report.error);
    eprintln!("{:.1} s, a message {:?} ms", report.seconds, report.rtt);
}

#[test]
fn a_kcp_client_whose_endpoint_is_not_there_is_told_error_and_never_ok() {
    let Some(kcp_go) = KcpGo::have("a_kcp_client_whose_endpoint_is_not_there") else { return };
    let refusing = portcullis_tests::scene::refusing().to_string();
    for config in [with(true, file()), with(false, file())] {
        let gate = Gate::start(&config);
        let ask = Ask::new(LINK, gate.listener("kcpgate"), Work::Messages(1, 64));
        let report = kcp_go.ask(&Ask { hello: Some(&refusing), ..ask });
        assert_eq!((report.ok, report.refused.as_str()), (false, "error"), "{report:?}");
    }
}

#[test]
fn when_the_endpoint_ends_nothing_of_a_kcp_session_is_left_after_five_seconds() {
    let Some(kcp_go) = KcpGo::have("when_the_endpoint_ends_nothing_is_left") else { return };
    for config in configs(true) {
        let server = kcp_go.serve(&LINK);
        leave(&kcp_go, &config, server.address(), server);
    }
    for config in configs(false) {
        let endpoint = Endpoint::start(exam::serve).unwrap();
        leave(&kcp_go, &config, endpoint.address(), endpoint);
    }
}

/// Twenty clients talk, and their endpoint ends under them.
fn leave<E>(kcp_go: &KcpGo, config: &str, address: SocketAddr, endpoint: E) {
    let gate = Gate::start(config);
    let (before, key) = (gate.sockets(), address.to_string());
    let pace = Duration::from_millis(50);
    let ask = Ask::new(LINK, gate.listener("kcpgate"), Work::Messages(1000, 64));
    let clients = kcp_go.start(&Ask { hello: Some(&key), sessions: 20, pace, ..ask });
    let opened = within(Duration::from_secs(30), || (gate.sockets() >= before + 20).then_some(()));
    assert!(opened.is_some(), "{} sockets of {before} + 20", gate.sockets());
    drop(endpoint);
    // It takes 5 s, and a machine with other work adds to that; silence would free it after a minute.
    let freed = within(Duration::from_secs(20), || (gate.sockets() <= before).then_some(()));
    assert!(freed.is_some(), "{} sockets, {before} at the start", gate.sockets());
    drop(clients);
}

/// The file, with `zero_copy` and without, as it was published and converted.
fn configs(reciprocity: bool) -> [String; 4] {
    let file = with(reciprocity, file());
    let zero_copy = with(reciprocity, with_zero_copy());
    let (native, native_zero_copy) = (converted(&file), converted(&zero_copy));
    [file, zero_copy, native, native_zero_copy]
}

/// Endpoints by KCP, as it was published, or by TCP.
fn with(reciprocity: bool, file: String) -> String {
    if reciprocity { file } else { file.replace("kcp_reciprocity = true", "kcp_reciprocity = false") }
}
