//! Defects that gateways of this kind are known for, each by its id in docs/defects.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_peers::{Endpoint, Key, Message, WsClient, serve};
use portcullis_tests::scene::{Deaf, ERROR, OK, Stage, answer, ask, hello, open, refusing, take};
use portcullis_tests::script::{End, read_to_end};
use portcullis_tests::{Gate, Setup, Site, best_of, binary, ends_at, hs256, jwt, until, within};
use rustix::process::Signal;

const SECRET: &[u8] = b"a secret of thirty-two bytes, and more";
const HEAD: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

fn jwt_gate() -> Gate {
    let site = Site::new();
    site.write("jwt.key", SECRET);
    let setup = Setup::new()
        .listener("in", "tcp", "failure_delay = \"20ms\"")
        .with("[route.in]\nresolver = \"jwt\"\nkey_file = \"{folder}/jwt.key\"\nallow = [\"127.0.0.1:*\"]");
    site.start(&setup.text())
}

fn address_gate(lines: &str) -> Gate {
    let setup = Setup::new().addressed("in", "tcp", &["127.0.0.1:*"], lines);
    Gate::start(&setup.with("[limits]\nfailed_dials_per_minute = 100000").text())
}

fn ws_gate(endpoint: SocketAddr, lines: &str) -> Gate {
    Gate::start(&Setup::new().fixed("in", "ws", &[endpoint], lines).text())
}

#[test]
fn l01_claims_of_another_type_end_in_a_refusal_and_claims_in_either_form_of_a_port_do_not() {
    let gate = jwt_gate();
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let (port, exp) = (endpoint.address().port(), ends_at(60));
    for claims in [
        format!(r#"{{"host":"127.0.0.1","port":{port},"exp":{exp}}}"#),
        format!(r#"{{"host":"127.0.0.1","port":"{port}","exp":{exp}}}"#),
    ] {
        let client = open(gate.listener("in"), jwt(HEAD, &claims, hs256(SECRET)));
        assert_eq!(ask(&client, b"echo"), b"echo", "{claims}");
    }
    for claims in [
        format!(r#"{{"host":"127.0.0.1","port":[{port}],"exp":{exp}}}"#),
        format!(r#"{{"host":"127.0.0.1","port":{port}.5,"exp":{exp}}}"#),
        format!(r#"{{"host":"127.0.0.1","port":-1,"exp":{exp}}}"#),
        format!(r#"{{"host":17,"port":{port},"exp":{exp}}}"#),
        format!(r#"{{"port":{port},"exp":{exp}}}"#),
        format!(r#"{{"host":"127.0.0.1","exp":{exp}}}"#),
        "no JSON".into(),
        "[]".into(),
    ] {
        let token = jwt(HEAD, &claims, hs256(SECRET));
        assert_eq!(answer(gate.listener("in"), &hello(token)), (ERROR.to_vec(), End::Fin), "{claims}");
    }
    gate.assert_clean();
}

#[test]
fn l02_a_token_in_base64url_without_padding_is_accepted() {
    let gate = jwt_gate();
    let endpoint = Endpoint::start(serve::echo).unwrap();
    // Bytes that differ between base64 and base64url, and lengths that would be padded.
    let claims = format!(
        r#"{{"host":"127.0.0.1","port":{},"exp":{},"sub":"???>>>ÿÿ"}}"#,
        endpoint.address().port(),
        ends_at(60)
    );
    let token = jwt(HEAD, &claims, hs256(SECRET));
    assert!(token.contains(['-', '_']) && !token.contains('='), "{token}");
    assert_eq!(ask(&open(gate.listener("in"), token), b"echo"), b"echo");
}

#[test]
fn l02b_a_token_is_not_believed_without_its_signature_or_after_its_end() {
    let gate = jwt_gate();
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let claims =
        |exp: i64| format!(r#"{{"host":"127.0.0.1","port":{},"exp":{exp}}}"#, endpoint.address().port());
    let good = claims(ends_at(60));
    for (what, token) in [
        ("signature of garbage", jwt(HEAD, &good, |_| b"garbage".to_vec())),
        ("no signature", jwt(HEAD, &good, |_| Vec::new())),
        ("alg none", jwt(r#"{"alg":"none"}"#, &good, |_| Vec::new())),
        ("alg nOnE", jwt(r#"{"alg":"nOnE"}"#, &good, |_| Vec::new())),
        ("exp 1", jwt(HEAD, &claims(1), hs256(SECRET))),
        ("exp beyond the leeway", jwt(HEAD, &claims(ends_at(-120)), hs256(SECRET))),
    ] {
        assert_eq!(answer(gate.listener("in"), &hello(token)).0, ERROR, "{what}");
    }
    assert_eq!(endpoint.accepted(), 0);
}

#[test]
fn l03_a_hello_may_straddle_a_second_of_the_wall_clock() {
    let gate = address_gate("");
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let wire = hello(endpoint.address().to_string());
    let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut client = TcpStream::connect(gate.listener("in")).unwrap();
    client.set_nodelay(true).unwrap();
    for piece in wire.chunks(wire.len() / 2 + 1) {
        let before = second();
        client.write_all(piece).unwrap();
        until("the next second", || second() > before);
    }
    assert_eq!(take(&client, OK.len()), OK);
}

#[test]
fn l04_a_length_is_checked_before_anything_is_reserved_for_it() {
    let gate = address_gate("failure_delay = \"20ms\"");
    assert_eq!(answer(gate.listener("in"), b"\xff\xff\xff\x7f").0, ERROR);
    let before = gate.rss();
    for length in [4097_u32, 65_536, 1 << 20, 1 << 26, i32::MAX as u32] {
        for _ in 0..20 {
            let said = [&length.to_le_bytes()[..], b"more"].concat();
            assert_eq!(answer(gate.listener("in"), &said), (ERROR.to_vec(), End::Fin), "{length}");
        }
    }
    let grown = gate.rss().saturating_sub(before);
    assert!(grown < 2 << 20, "100 refused lengths cost {grown} bytes");
    gate.assert_clean();
}

#[test]
fn l05_a_length_beyond_two_to_the_31_is_refused_and_leaks_nothing() {
    let gate = address_gate("failure_delay = \"20ms\"");
    for length in [1_u32 << 31, (1 << 31) + 1, u32::MAX] {
        assert_eq!(
            answer(gate.listener("in"), &length.to_le_bytes()),
            (ERROR.to_vec(), End::Fin),
            "{length}"
        );
    }
    gate.assert_clean();
}

#[test]
fn l06_a_dial_that_timed_out_is_a_failure() {
    let deaf = Deaf::new();
    let setup = Setup::new().listener("in", "tcp", "").with(
        "[route.in]\nresolver = \"address\"\nallow = [\"127.0.0.1:*\"]\nconnect_timeout = \"200ms\"\nattempts = 2",
    );
    let gate = Gate::start(&setup.text());
    assert_eq!(answer(gate.listener("in"), &hello(deaf.address().to_string())), (ERROR.to_vec(), End::Fin));
    until("it is counted", || {
        gate.metrics().sum("portcullis_opens_total", &["result=\"dial-timeout\""]) > 0.9
    });
    gate.assert_clean();
}

#[test]
fn l07_the_failure_message_reaches_a_client_that_is_still_sending() {
    let gate = address_gate("");
    let wire = [&hello(refusing().to_string())[..], &vec![0x55; 32 << 10]].concat();
    for _ in 0..10 {
        assert_eq!(answer(gate.listener("in"), &wire), (ERROR.to_vec(), End::Fin));
    }
    gate.assert_clean();
}

#[test]
fn l08_an_endpoint_that_closes_behind_a_websocket_is_noticed_and_nothing_follows_its_bytes() {
    let endpoint = Stage::new();
    let gate = ws_gate(endpoint.address(), "");
    let mut client = WsClient::connect(gate.listener("in"), Key::Absent).unwrap();
    let mut server = endpoint.accept();
    server.write_all(b"all there is").unwrap();
    drop(server);
    assert_eq!(client.read().unwrap(), Some(Message::Binary(b"all there is".into())));
    assert_eq!(client.read().unwrap(), Some(Message::Close(Some(1000))));
    client.send(&Message::Close(Some(1000))).unwrap();
    assert_eq!(client.read().unwrap(), None);
    gate.assert_clean();
}

#[test]
fn l09_messages_of_any_size_fragments_pings_masks_and_closes_are_what_they_are() {
    let endpoint = Stage::new();
    let gate = ws_gate(endpoint.address(), "ws = { framing_up = \"length-prefixed\" }");
    let mut client = WsClient::connect(gate.listener("in"), Key::Absent).unwrap();
    let server = endpoint.accept();
    for length in [2048_usize, 2049, 65_535, 65_536, 300_000] {
        client.send(&Message::Binary(vec![7; length])).unwrap();
        assert_eq!(take(&server, 4), (length as u32).to_le_bytes());
        assert!(take(&server, length) == vec![7; length], "{length}");
    }
    // A ping between two fragments is answered, and the message is one.
    let pieces =
        [WsClient::frame(0x02, b"AAA"), WsClient::frame(0x89, b"mid"), WsClient::frame(0x80, b"BBB")];
    client.send_raw(&pieces.concat()).unwrap();
    assert_eq!(client.read().unwrap(), Some(Message::Pong(b"mid".into())));
    assert_eq!(take(&server, 10), b"\x06\0\0\0AAABBB");
    client.send(&Message::Close(Some(4321))).unwrap();
    assert_eq!(client.read().unwrap(), Some(Message::Close(Some(4321))));
    assert_eq!(client.read().unwrap(), None);
    assert_eq!(read_to_end(&server).unwrap(), (Vec::new(), End::Fin));

    let mut unmasked = WsClient::connect(gate.listener("in"), Key::Absent).unwrap();
    let server = endpoint.accept();
    unmasked.send_raw(b"\x82\x01x").unwrap();
    assert_eq!(unmasked.read().unwrap(), Some(Message::Close(Some(1002))));
    assert_eq!(read_to_end(&server).unwrap().0, b"");
}

#[test]
fn l10_a_half_close_leaves_the_answer_whole() {
    let endpoint = Stage::new();
    let gate = Gate::start(&Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text());
    let mut client = TcpStream::connect(gate.listener("in")).unwrap();
    client.write_all(b"question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut server = endpoint.accept();
    assert_eq!(read_to_end(&server).unwrap(), (b"question".to_vec(), End::Fin));
    let writer = std::thread::spawn(move || server.write_all(&vec![3; 8 << 20]));
    let (bytes, end) = read_to_end(&client).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!((bytes.len(), end), (8 << 20, End::Fin));
}

#[test]
fn l11_a_client_that_is_gone_is_not_kept_while_its_endpoint_does_not_read() {
    let endpoint = Stage::new();
    let setup = Setup::new().fixed("in", "tcp", &[endpoint.address()], "idle_timeout = \"300ms\"");
    let gate = Gate::start(&setup.text());
    let began = Instant::now();
    let client = TcpStream::connect(gate.listener("in")).unwrap();
    let server = endpoint.accept();
    assert!(read_to_end(&server).unwrap().0.is_empty());
    // A worker counts whole milliseconds: a wait ends up to one of them early.
    assert!(began.elapsed() >= Duration::from_millis(299), "{:?}", began.elapsed());
    assert!(read_to_end(&client).unwrap().0.is_empty());
    until("the end is counted", || gate.metrics().sum("portcullis_closed_total", &["reason=\"idle\""]) > 0.5);
    gate.assert_clean();
}

#[test]
fn l15_ending_lets_a_session_finish_and_burns_nothing_meanwhile() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let mut gate = Gate::start(&Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text());
    let client = TcpStream::connect(gate.listener("in")).unwrap();
    assert_eq!(ask(&client, b"before"), b"before");
    let (cpu, began) = (gate.cpu(), Instant::now());
    gate.signal(Signal::TERM);
    while began.elapsed() < Duration::from_millis(500) {
        assert_eq!(ask(&client, b"still here?"), b"still here?");
        within(Duration::from_millis(20), || None::<()>);
    }
    let burnt = gate.cpu() - cpu;
    assert!(burnt < Duration::from_millis(100), "{burnt:?} of CPU within {:?} of draining", began.elapsed());
    drop(client);
    assert_eq!(gate.wait(Duration::from_secs(20)), Some(0));
}

#[test]
fn l16_the_limit_of_open_files_is_raised_and_the_session_maximum_told() {
    let config = Setup::new().fixed("in", "tcp", &[refusing()], "").text();
    let mut limited = Command::new("prlimit");
    limited.args(["--nofile=256:4000"]).arg(binary());
    let gate = Site::new().start_by(limited, &config);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gate.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("4000"), "{line}");
    let maximum = gate.metrics().sum("portcullis_session_maximum", &[]);
    assert!((1000.0..2000.0).contains(&maximum), "two sockets for each session: {maximum}");
    until("it is logged", || gate.log().contains(&format!("={maximum}")));
}

#[test]
fn l17_retries_log_paths_and_zero_copy_do_what_they_say() {
    let deaf = Deaf::new();
    let config = |retry: u8, zero_copy: bool| {
        format!(
            "[log]\ninfofilePath = \"{{folder}}/log/info.log\"\nerrorfilePath = \"{{folder}}/log/error.log\"\n\
             [tcpgate]\nport = 0\ndial_timeout = 1\nzero_copy = {zero_copy}\n[common]\ndial_retry = {retry}\n\
             [admin]\nbind = \"127.0.0.1:0\"\ntoken_file = \"{{folder}}/token\"\n"
        )
    };
    for retry in [1, 2] {
        let gate = Gate::start(&config(retry, false));
        let earliest = Duration::from_secs(retry.into());
        let latest = earliest + Duration::from_millis(900);
        let took = best_of(latest, || {
            let began = Instant::now();
            assert_eq!(answer(gate.listener("tcpgate"), &hello(deaf.address().to_string())).0, ERROR);
            began.elapsed()
        });
        assert!((earliest..latest).contains(&took), "{retry} attempts took {took:?}");
        let info = gate.site().folder().join("log/info.log");
        until("the session's line", || {
            std::fs::read_to_string(&info).is_ok_and(|text| text.contains("dial-timeout"))
        });
    }
    for zero_copy in [false, true] {
        let gate = Gate::start(&config(1, zero_copy));
        let endpoint = Stage::new();
        let mut client = open(gate.listener("tcpgate"), endpoint.address().to_string());
        let mut server = endpoint.accept();
        let writer = std::thread::spawn(move || server.write_all(&vec![1; 16 << 20]));
        let read = std::io::copy(&mut client, &mut std::io::sink()).unwrap();
        writer.join().unwrap().unwrap();
        assert_eq!(read, 16 << 20);
        drop(client);
        gate.assert_clean();
        let spliced = gate.metrics().sum("portcullis_path_bytes_total", &["path=\"splice\""]);
        assert_eq!(spliced > 0.0, zero_copy, "{spliced} bytes spliced");
    }
}

#[test]
fn l18_connections_and_hellos_are_limited_and_counted() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let setup = Setup::new()
        .fixed("in", "tcp", &[endpoint.address()], "")
        .addressed("hello", "tcp", &["127.0.0.1:*"], "hello_timeout = \"300ms\"")
        .with("[limits]\nsessions = 8");
    let gate = Gate::start(&setup.text());
    let began = Instant::now();
    let mut silent = TcpStream::connect(gate.listener("hello")).unwrap();
    let mut said = Vec::new();
    silent.read_to_end(&mut said).unwrap();
    assert!(
        (0.3..8.0).contains(&began.elapsed().as_secs_f64()),
        "a silent hello ended after {:?}",
        began.elapsed()
    );

    let clients: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(gate.listener("in")).unwrap()).collect();
    for client in &clients {
        assert_eq!(ask(client, b"in"), b"in");
    }
    let mut ninth = TcpStream::connect(gate.listener("in")).unwrap();
    ninth.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    ninth.write_all(b"in").ok();
    assert!(!matches!(ninth.read(&mut [0; 2]), Ok(2)), "a ninth session of eight was served");
    let metrics = gate.metrics();
    assert!(
        (metrics.sum("portcullis_opens_total", &["result=\"hello-timeout\""]) - 1.0).abs() < 0.1,
        "{}",
        metrics.text()
    );
    assert!(
        (metrics.sum("portcullis_opens_total", &["result=\"ok\""]) - 8.0).abs() < 0.1,
        "{}",
        metrics.text()
    );
}
