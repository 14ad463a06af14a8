#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io;

use super::super::tests::{ask, route};
use super::*;
use crate::allow::Forbidden;
use crate::config;
use crate::resolver::{Resolved, Resolver};

/// The passphrase of every address below; all but the first were made by OpenSSL 3.0.
const PASSPHRASE: &[u8] = b"p0S8rX680*48\n";
/// Of frontd's own documentation: `127.0.0.1:62863`.
const PUBLISHED: &str = "U2FsdGVkX19KIJ9OQJKT/yHGMrS+5SsBAAjetomptQ0=";
/// `10.0.0.7:7000`
const NEAR: &str = "U2FsdGVkX18AAQIDBAUGBxb7s2UpW8mN7GLOuRZ2ekc=";

#[test]
fn an_address_that_openssl_encrypted_is_read_and_checked() {
    let rows = [
        (PUBLISHED, Ok("127.0.0.1:62863")),
        (NEAR, Ok("10.0.0.7:7000")),
        // [fd00::7]:7000
        ("U2FsdGVkX18iIiIiIiIiInz6Jm8vKv1R8qVW1de3hLQ=", Ok("[fd00::7]:7000")),
        // 169.254.169.254:80
        (
            "U2FsdGVkX19ERERERERERKRFatfKW3SfsIM5blvf8Eqo6rQ+DFv+mQz0gyWx3AeS",
            Err(Refusal::Forbidden(Forbidden::LinkLocal)),
        ),
        // 10.0.0.7:6999
        ("U2FsdGVkX193d3d3d3d3d7kB+XuqpYvxpww9AiY3wLQ=", Err(Refusal::Forbidden(Forbidden::NotAllowed))),
        // 10.0.0.7
        ("U2FsdGVkX18zMzMzMzMzM51LRjgk+TKFBHkq5VQ0zwA=", Err(Refusal::Malformed)),
        // 10.0.0.7:7000 and a line's end
        ("U2FsdGVkX19VVVVVVVVVVV6Tg/aVT+tJJvY/SQDjdrg=", Err(Refusal::Malformed)),
        // nothing
        ("U2FsdGVkX19mZmZmZmZmZgZCWP1LL5T72dj1PkqADkY=", Err(Refusal::Malformed)),
    ];
    for (key, want) in rows {
        let want = want.map(|addr| Target::Address(addr.parse().unwrap()));
        assert_eq!(resolve(PASSPHRASE, key), want, "{key}");
    }
    let name = resolve(PASSPHRASE, "U2FsdGVkX18REREREREREakdfc08+ZjNIJLSDqGCwEuRp5Cc+KWqrsJ1bomS4fcZ");
    assert!(
        matches!(&name, Ok(Target::Name { host, port }) if host.as_str() == "lobby.game.internal" && port.get() == 7000),
        "{name:?}"
    );
}

#[test]
fn whatever_is_wrong_with_a_blob_is_one_refusal() {
    let blob = STANDARD.decode(NEAR).unwrap();
    let encoded = |bytes: &[u8]| STANDARD.encode(bytes);
    let mut rows: Vec<String> = (0..blob.len()).map(|cut| encoded(&blob[..cut])).collect();
    rows.extend(
        ["", "=", "10.0.0.7:7000", "GET / HTTP/1.1", &NEAR[1..], &NEAR[..NEAR.len() - 1]].map(Into::into),
    );
    rows.push(format!("{NEAR}\n"));
    rows.push(encoded(&[&blob[..], &[0; 16]].concat()));
    rows.push(encoded(&[b"salted__", &blob[8..]].concat()));
    for key in rows {
        assert_eq!(resolve(PASSPHRASE, &key), Err(Refusal::Malformed), "{key}");
    }
    assert_eq!(resolve(b"another passphrase", NEAR), Err(Refusal::Malformed));
}

/// It cannot be otherwise: nothing in the format tells a changed address. What it leads to is still bounded.
#[test]
fn a_changed_blob_is_refused_or_is_another_address_that_allow_has() {
    let blob = STANDARD.decode(NEAR).unwrap();
    for bit in 0..blob.len() * 8 {
        let mut changed = blob.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(target) = resolve(PASSPHRASE, &STANDARD.encode(changed)) {
            assert!(matches!(target, Target::Address(addr) if addr.port() == 7000), "bit {bit}: {target:?}");
        }
    }
}

#[test]
fn a_passphrase_is_text_and_is_never_shown() {
    let build =
        |bytes: &'static [u8]| Resolver::build(&route(settings(), ALLOW), &|_| Ok(bytes.to_vec()), None);
    for (bytes, fits) in [
        (&b"one"[..], true),
        (b"one\n", true),
        (b"one\r\n", true),
        (b"", false),
        (b"\n", false),
        (&[b'x'; 1024], true),
        (&[b'x'; 1025], false),
        (b"\xff\xfe", false),
    ] {
        let built = build(bytes);
        assert_eq!(built.is_ok(), fits, "{bytes:?}");
        let told = built.map_or_else(|error| error.to_string(), |resolver| format!("{resolver:?}"));
        assert!(!told.contains("one\"") && !told.contains("xxx"), "{told}");
        assert!(fits || told.starts_with("route `r`: key file frontd.key: a passphrase is text"), "{told}");
    }
    let error = Resolver::build(&route(settings(), ALLOW), &|_| Err(io::ErrorKind::NotFound.into()), None);
    assert_eq!(error.unwrap_err().to_string(), "route `r`: key file frontd.key cannot be read");
}

const ALLOW: &[&str] = &["127.0.0.1:62863", "0.0.0.0/0:7000", "[fd00::]/8:7000", "*.game.internal:7000"];

fn settings() -> config::Resolver {
    config::Resolver::Frontd(config::Frontd { key_file: "frontd.key".into() })
}

fn resolve(passphrase: &'static [u8], key: &str) -> Result<Target, Refusal> {
    let resolver = Resolver::build(&route(settings(), ALLOW), &|_| Ok(passphrase.to_vec()), None).unwrap();
    resolver.resolve(&ask(key), &Own::default()).map(|Resolved { target, identity }| {
        assert_eq!(identity, None, "nobody is verified by it");
        target
    })
}
