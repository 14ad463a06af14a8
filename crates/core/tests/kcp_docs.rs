//! docs/kcp.md against the code: what a client is written from must be what is read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use portcullis_core::config::Config;
use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::crypt::Cipher;
use portcullis_core::wire::kcp::fec::{Encoder, HEADER, Shards, mul_acc_scalar};
use portcullis_core::wire::kcp::outbox::Outbox;
use portcullis_core::wire::kcp::roster::{Dropped, Roster, Settings, Verdict};
use portcullis_core::wire::kcp::segment::{Command, segments};

#[test]
fn the_first_datagram_it_shows_begins_a_session_with_that_hello() {
    let datagram = hex(&block_behind("as a first datagram"));
    let segment = segments(&datagram).next().unwrap().unwrap();
    assert_eq!((segment.command, segment.sn, segment.window), (Command::Push, 0, 256));
    assert_eq!(segment.payload, [&[14, 0, 0, 0], b"127.0.0.1:7083".as_slice()].concat());
    let verdict = Roster::new(&Settings::default()).judge(Tick(0), "192.0.2.1:4".parse().unwrap(), &datagram);
    assert_eq!(verdict, Verdict::Newcomer { conv: 0x1122_3344, framed: false });
}

#[test]
fn the_parity_rows_it_shows_are_those_of_the_code() {
    let mut encoder = Encoder::new(Shards::new(10, 3).unwrap(), mul_acc_scalar, 0);
    let mut out = Outbox::default();
    for column in 0..10 {
        // A one in a place of its own: the parity there is the coefficient.
        let mut datagram = [0; HEADER + 10];
        datagram[HEADER + column] = 1;
        encoder.data(Tick(0), &mut datagram);
        encoder.parity(&mut out, 0, true);
    }
    let rows: Vec<&[u8]> = out.iter().map(|parity| &parity[HEADER..]).collect();
    assert_eq!(rows.concat(), hex(&block_behind("The parity rows")));
}

#[test]
fn every_reason_and_every_cipher_has_its_row() {
    let page = page();
    let lacks = |label: &&str| !page.contains(&format!("\n| `{label}` |"));
    let reasons: Vec<&str> = Dropped::ALL.iter().map(|why| why.label()).filter(lacks).collect();
    assert!(reasons.is_empty(), "docs/kcp.md lacks {reasons:?}");
    for cipher in Cipher::ALL {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` | `", cipher.label())));
        let cells: Vec<&str> =
            row.unwrap_or_else(|| panic!("{cipher:?}")).split('|').map(str::trim).collect();
        let bytes: usize = cells[4].split(", ").map(|bytes| bytes.parse::<usize>().unwrap()).sum();
        assert_eq!(bytes, cipher.overhead(), "{}", cipher.label());
    }
}

#[test]
fn the_presets_it_shows_are_those_of_the_configuration() {
    for line in page().lines().filter(|line| line.contains(" ms | ")) {
        let cells: Vec<String> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let [name, nodelay, interval, resend, congestion] = cells.try_into().unwrap();
        let name = name.split('`').nth(1).unwrap().to_owned();
        let text = format!(
            "[[listener]]\nname = \"a\"\nprotocol = \"kcp\"\nbind = [\"127.0.0.1:0\"]\nroute = \"r\"\n\
             kcp = {{ preset = \"{name}\" }}\n[route.r]\nallow = [\"192.0.2.0/24:*\"]\n"
        );
        let arq = Config::parse(&text, "docs", &|_| None).unwrap().listeners[0].kcp.clone().unwrap().arq;
        let shown = [
            arq.nodelay.to_string(),
            format!("{} ms", arq.interval),
            arq.resend.to_string(),
            arq.congestion.to_string(),
        ];
        assert_eq!(shown, [nodelay, interval, resend, congestion], "{name}");
    }
}

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/kcp.md")).unwrap()
}

/// The first block of code behind these words.
fn block_behind(words: &str) -> String {
    let page = page();
    let (_, rest) = page.split_once(words).expect(words);
    let (_, rest) = rest.split_once("```text\n").unwrap();
    rest.split("```").next().unwrap().to_owned()
}

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
