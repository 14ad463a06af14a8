//! The wall clock jumps under a running gateway: no deadline moves, and no token comes back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::process::Command;

use portcullis_peers::{Endpoint, TcpClient, serve};
use portcullis_tests::scene::{ask, hello};
use portcullis_tests::skip::have;
use portcullis_tests::{Setup, Site, binary, ends_at, hs256, jwt, until};

const NAME: &str = "b13_a_clock_that_jumps_ends_no_session_and_brings_no_token_back";
const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const HOUR: i64 = 3600;

#[test]
fn b13_a_clock_that_jumps_ends_no_session_and_brings_no_token_back() {
    if !have(NAME, &["faketime"]) {
        return;
    }
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let site = Site::new();
    site.write("jwt.key", KEY);
    let clock = site.write("clock", "+0");
    // Where the library lies is known to its own command.
    let preload =
        Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]).output().unwrap().stdout;
    let mut command = Command::new(binary());
    command
        .env("LD_PRELOAD", String::from_utf8(preload).unwrap().trim())
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let setup = Setup::new()
        .listener("in", "tcp", "failure_delay = \"10ms\"")
        .with("[route.in]\nresolver = \"jwt\"\nkey_file = \"{folder}/jwt.key\"\nallow = [\"127.0.0.1:*\"]");
    let gate = site.start_by(command, &setup.text());
    let says = |ends: i64| {
        let (address, exp) = (endpoint.address(), ends_at(ends));
        let claims = format!(r#"{{"host":"{}","port":{},"exp":{exp}}}"#, address.ip(), address.port());
        let mut client = TcpClient::connect(gate.listener("in")).unwrap();
        client.send(&hello(jwt(r#"{"alg":"HS256","typ":"JWT"}"#, &claims, hs256(KEY)))).unwrap();
        let said = client.read_message().unwrap();
        (client, said.as_deref() == Some(b"ok"))
    };
    let is_open = |ends: i64| says(ends).1;
    let (live, opened) = says(HOUR);
    assert!(opened);
    assert!(!is_open(-HOUR), "a token that has ended an hour ago");
    for (jump, accepted, refused) in [("+2d", 72 * HOUR, HOUR), ("-2d", HOUR, -HOUR), ("+0", HOUR, -HOUR)] {
        gate.site().write("clock", jump);
        until("the clock has jumped", || is_open(accepted) && !is_open(refused));
        assert_eq!(ask(live.stream(), b"still here?"), b"still here?", "after {jump}");
    }
    drop(live);
    gate.assert_clean();
}
