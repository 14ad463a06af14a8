//! kcp-go clients to TCP endpoints: every cipher, every framing, every direction, through a network that loses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use portcullis_peers::Endpoint;
use portcullis_tests::exam::{self, Mode};
use portcullis_tests::kcp_go::{Ask, CIPHERS, KcpGo, Link, Work};
use portcullis_tests::shim::{Shim, Weather};
use portcullis_tests::{Gate, Setup, Table};

/// The ciphers that are tried with everything; the others are tried once.
const CROSSED: [&str; 3] = ["null", "aes-256", "salsa20"];
const SHARDS: [(u8, u8); 3] = [(0, 0), (10, 3), (3, 1)];
/// How many of a hundred datagrams are lost each way, and how many bytes then pass within a second or two.
const LOSSES: [(u8, u64); 3] = [(0, 2 << 20), (5, 512 << 10), (20, 192 << 10)];
/// How many cases run at the same time.
const AT_ONCE: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Case {
    link: Link,
    loss: u8,
    mode: Mode,
    bytes: u64,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for crypt in CIPHERS {
        let crossed = CROSSED.contains(&crypt);
        for fec in SHARDS.into_iter().filter(|fec| crossed || *fec == (10, 3)) {
            let link = Link { crypt, fec, ..Link::default() };
            for (loss, bytes) in LOSSES.into_iter().filter(|(loss, _)| crossed || *loss == 5) {
                let modes = Mode::ALL.into_iter().filter(|mode| crossed || *mode == Mode::Echo);
                cases.extend(modes.map(|mode| Case { link, loss, mode, bytes }));
            }
        }
    }
    cases
}

#[test]
fn kcp_go_clients_reach_tcp_endpoints_whatever_the_cipher_the_framing_and_the_loss() {
    let Some(kcp_go) = KcpGo::have("kcp_go_clients_reach_tcp_endpoints") else { return };
    let endpoint = Endpoint::start(exam::serve).unwrap();
    let key = endpoint.address().to_string();
    let cases = cases();
    assert_eq!(cases.len(), 81 + 5);
    let mut setup = Setup::new();
    let mut names: Vec<String> = Vec::new();
    for case in &cases {
        if !names.contains(&name(&case.link)) {
            setup = setup.addressed(&name(&case.link), "kcp", &["127.0.0.1:*"], &case.link.table());
            names.push(name(&case.link));
        }
    }
    let gate = Gate::start(&setup.text());
    let (table, left) = (Table::new(), Mutex::new(cases.iter().enumerate()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                // The lock is held for the taking only, not for the case.
                let next = || left.lock().unwrap().next();
                while let Some((seed, case)) = next() {
                    let outcome = run(&kcp_go, case, gate.listener(&name(&case.link)), &key, seed as u64);
                    let text = format!("{} {} {} % lost", name(&case.link), case.mode.name(), case.loss);
                    table.file("kcp-go", &text, outcome);
                }
            });
        }
    });
    table.finish(cases.len());
}

fn name(link: &Link) -> String {
    format!("{}-{}-{}", link.crypt, link.fec.0, link.fec.1)
}

fn run(kcp_go: &KcpGo, case: &Case, gate: SocketAddr, key: &str, seed: u64) -> Result<(), String> {
    let shim = Shim::start(gate, Weather::losing(case.loss), seed);
    let work = Work::Bulk(case.mode, case.bytes);
    let report = kcp_go.ask(&Ask { hello: Some(key), ..Ask::new(case.link, shim.address(), work) });
    if report.ok && report.digests[0] == report.digests[1] { Ok(()) } else { Err(format!("{report:?}")) }
}

#[test]
fn clients_of_any_framing_share_a_listener_and_two_hundred_of_each_never_stall() {
    let Some(kcp_go) = KcpGo::have("clients_of_any_framing_share_a_listener") else { return };
    let endpoint = Endpoint::start(exam::serve).unwrap();
    let key = endpoint.address().to_string();
    let listener = Link { fec: (10, 3), ..Link::default() };
    let gate = Gate::start(&Setup::new().addressed("in", "kcp", &["127.0.0.1:*"], &listener.table()).text());
    let table = Table::new();
    let works = [Work::Messages(20, 300), Work::Bulk(Mode::Up, 96 << 10), Work::Bulk(Mode::Down, 96 << 10)];
    for (fec, stream) in [((5, 2), true), ((5, 2), false), ((0, 0), true), ((0, 0), false), ((10, 3), true)] {
        for work in works {
            let link = Link { fec, stream, ..Link::default() };
            let shim = Shim::start(gate.listener("in"), Weather::rough(5), 1);
            let report = kcp_go.ask(&Ask {
                hello: Some(&key),
                sessions: 200,
                within: Duration::from_secs(40),
                ..Ask::new(link, shim.address(), work)
            });
            let form = if stream { "stream" } else { "message" };
            let outcome = if report.ok { Ok(()) } else { Err(format!("{report:?}")) };
            let case = format!("200 × {}/{} on 10/3, {form} mode, {work:?}", fec.0, fec.1);
            table.file("kcp-go", &case, outcome);
        }
    }
    table.finish(15);
}
