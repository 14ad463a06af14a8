//! Start, reload, drain and end, seen from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use portcullis_peers::{Endpoint, serve};
use portcullis_tests::scene::{ask, take};
use portcullis_tests::script::read_to_end;
use portcullis_tests::{Gate, Setup, until};
use rustix::process::Signal;

fn echo() -> (Endpoint, Setup) {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let setup = Setup::new().fixed("in", "tcp", &[endpoint.address()], "");
    (endpoint, setup)
}

#[test]
fn health_and_readiness_are_told_and_metrics_count_a_session() {
    let (_endpoint, setup) = echo();
    let gate = Gate::start(&setup.text());
    assert_eq!(gate.ask("/healthz").unwrap().0, 200);
    assert_eq!(gate.ask("/readyz").unwrap().0, 200);
    let client = TcpStream::connect(gate.listener("in")).unwrap();
    assert_eq!(ask(&client, b"12345"), b"12345");
    gate.wait_for_sessions(1);
    drop(client);
    gate.wait_for_sessions(0);
    let metrics = gate.metrics();
    for (name, label, want) in [
        ("portcullis_opens_total", "result=\"ok\"", 1.0),
        ("portcullis_closed_total", "reason=\"client-ended\"", 1.0),
        ("portcullis_bytes_total", "direction=\"up\"", 5.0),
        ("portcullis_bytes_total", "direction=\"down\"", 5.0),
        ("portcullis_path_bytes_total", "path=\"copy\"", 10.0),
    ] {
        let value = metrics.sum(name, &[label]);
        assert!((value - want).abs() < 0.1, "{name}{{{label}}} is {value}");
    }
    gate.assert_clean();
}

#[test]
fn b05_readiness_goes_first_then_accepting_then_what_ends_by_itself_is_not_cut() {
    let (_endpoint, setup) = echo();
    let mut gate = Gate::start(&setup.with("[drain]\ndelay = \"3s\"\ntimeout = \"30s\"").text());
    let client = TcpStream::connect(gate.listener("in")).unwrap();
    assert_eq!(ask(&client, b"before"), b"before");
    let asked = Instant::now();
    gate.signal(Signal::TERM);
    until("readiness is off", || gate.ask("/readyz").unwrap().0 == 503);
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    let late = TcpStream::connect(gate.listener("in")).unwrap();
    assert_eq!(ask(&late, b"within the delay"), b"within the delay");
    until("listening stops", || TcpStream::connect(gate.listener("in")).is_err());
    assert!(asked.elapsed() >= Duration::from_millis(2_999), "{:?}", asked.elapsed());
    assert_eq!(ask(&client, b"still here?"), b"still here?");
    drop((client, late));
    assert_eq!(gate.wait(Duration::from_secs(20)), Some(0));
}

#[test]
fn b05_what_does_not_end_by_itself_is_cut_in_time_and_the_exit_code_tells() {
    let (_endpoint, setup) = echo();
    let mut gate = Gate::start(&setup.with("[drain]\ntimeout = \"800ms\"").text());
    let clients: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(gate.listener("in")).unwrap()).collect();
    for client in &clients {
        assert_eq!(ask(client, b"x"), b"x");
    }
    let began = Instant::now();
    gate.signal(Signal::TERM);
    assert_eq!(gate.wait(Duration::from_secs(20)), Some(75));
    assert!((0.3..15.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    for client in &clients {
        assert!(read_to_end(client).unwrap().0.is_empty());
    }
    until("each end has its reason", || gate.log().matches("reason=drained").count() == 10);
}

#[test]
fn b05_a_second_signal_ends_at_once() {
    let (_endpoint, setup) = echo();
    let mut gate = Gate::start(&setup.text());
    let client = TcpStream::connect(gate.listener("in")).unwrap();
    assert_eq!(ask(&client, b"x"), b"x");
    gate.signal(Signal::TERM);
    until("readiness is off", || !gate.ask("/readyz").is_ok_and(|(status, _)| status == 200));
    gate.signal(Signal::TERM);
    assert_eq!(gate.wait(Duration::from_secs(15)), Some(75));
}

#[test]
fn b07_a_valid_reload_moves_new_sessions_and_leaves_live_ones() {
    let (one, two) = (Endpoint::start(serve::echo).unwrap(), Endpoint::start(serve::echo).unwrap());
    let to = |endpoint: &Endpoint| Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text();
    let gate = Gate::start(&to(&one));
    let live = TcpStream::connect(gate.listener("in")).unwrap();
    assert_eq!(ask(&live, b"first"), b"first");
    assert!(gate.reload(&to(&two)));
    assert_eq!(ask(&live, b"still the first"), b"still the first");
    until("new sessions go to the second", || {
        let fresh = TcpStream::connect(gate.listener("in")).unwrap();
        ask(&fresh, b"second") == b"second" && two.accepted() > 0
    });
    assert_eq!(ask(&live, b"still the first"), b"still the first");
}

#[test]
fn b07_a_listener_comes_and_goes_by_reload_and_its_sessions_stay() {
    let (endpoint, setup) = echo();
    let gate = Gate::start(&setup.text());
    let more = setup.clone().fixed("more", "tcp", &[endpoint.address()], "");
    let live = TcpStream::connect(gate.listener("in")).unwrap();
    assert_eq!(ask(&live, b"x"), b"x");
    assert!(gate.reload(&more.text()));
    assert_eq!(ask(&live, b"y"), b"y");
    assert!(gate.reload(&setup.text()));
    assert_eq!(ask(&live, b"z"), b"z");
}

#[test]
fn b08_an_invalid_reload_changes_nothing_and_is_told() {
    let (_endpoint, setup) = echo();
    let gate = Gate::start(&setup.text());
    for broken in ["no toml [", "[[listener]]\nname = 1", "", &setup.text().replace("tcp", "tpc")] {
        assert!(!gate.reload(broken), "{broken}");
        let client = TcpStream::connect(gate.listener("in")).unwrap();
        assert_eq!(ask(&client, b"as before"), b"as before");
    }
    assert!(gate.metrics().sum("portcullis_last_reload_successful", &[]) < 0.5);
    until("the mistake is logged with its place", || gate.log().contains("config.toml:1:"));
    assert!(gate.reload(&setup.text()));
    assert!(gate.metrics().sum("portcullis_last_reload_successful", &[]) > 0.5);
}

#[test]
fn nine_sessions_on_three_equal_endpoints_are_three_each_whichever_worker_takes_them() {
    let endpoints: Vec<Endpoint> = (0..3).map(|_| Endpoint::start(serve::echo).unwrap()).collect();
    let addresses: Vec<_> = endpoints.iter().map(Endpoint::address).collect();
    let gate = Gate::start(&Setup::new().top("workers = 4").fixed("in", "tcp", &addresses, "").text());
    let clients: Vec<TcpStream> = (0..9).map(|_| TcpStream::connect(gate.listener("in")).unwrap()).collect();
    for client in &clients {
        assert_eq!(ask(client, b"x"), b"x");
    }
    assert_eq!(endpoints.iter().map(Endpoint::accepted).collect::<Vec<_>>(), [3, 3, 3]);
}

#[test]
fn a_second_gateway_on_a_bound_port_ends_with_69_and_a_broken_config_with_78() {
    let (_endpoint, setup) = echo();
    let gate = Gate::start(&setup.text());
    let taken = setup.text().replacen("127.0.0.1:0\"]", &format!("{}\"]", gate.listener("in")), 1);
    let said = Gate::refused(&taken).expect("it does not start");
    assert!(said.contains("exit status: 69") && said.contains(&gate.listener("in").to_string()), "{said}");
    let said = Gate::refused("[[listener]]\nname = \"x\"\n").expect("it does not start");
    assert!(said.contains("exit status: 78") && said.contains("config.toml:1:"), "{said}");
}

#[test]
fn a25_no_secret_is_in_any_output() {
    let site = portcullis_tests::Site::new();
    let secret = "canary-secret-4f1d9c7e2b8a4f1d9c7e2b8a";
    site.write("jwt.key", secret);
    let setup = Setup::new()
        .listener("in", "tcp", "failure_delay = \"10ms\"")
        .listener("web", "ws", "failure_delay = \"10ms\"\nws = { query = true }")
        .with("[route.in]\nresolver = \"jwt\"\nkey_file = \"{folder}/jwt.key\"\nallow = [\"127.0.0.1:*\"]")
        .with("[route.web]\nresolver = \"jwt\"\nkey_file = \"{folder}/jwt.key\"\nallow = [\"127.0.0.1:*\"]");
    let gate = site.start(&setup.text().replace("\"debug\"", "\"trace\""));
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let port = endpoint.address().port();
    let head = r#"{"alg":"HS256"}"#;
    let claims = format!(
        r#"{{"host":"127.0.0.1","port":{port},"exp":{},"sub":"canary-subject"}}"#,
        portcullis_tests::ends_at(60)
    );
    let good = portcullis_tests::jwt(head, &claims, portcullis_tests::hs256(secret.as_bytes()));
    let bad = portcullis_tests::jwt(head, &claims, |_| b"canary-signature".to_vec());
    for token in [&good, &bad] {
        let (bytes, _) = portcullis_tests::script::read_to_end(&{
            let mut client = TcpStream::connect(gate.listener("in")).unwrap();
            client.write_all(&portcullis_tests::scene::hello(token)).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            client
        })
        .unwrap();
        assert!(!bytes.is_empty());
        for key in [portcullis_peers::Key::Header(token), portcullis_peers::Key::Query(token)] {
            portcullis_peers::WsClient::open(gate.listener("web"), key).unwrap();
        }
    }
    // An endless and a broken hello, a reload, an end: all that writes something.
    let mut client = TcpStream::connect(gate.listener("in")).unwrap();
    client.write_all(&[&[0xff; 4], good.as_bytes()].concat()).unwrap();
    assert_eq!(take(&client, 9), portcullis_tests::scene::ERROR);
    gate.reload(&format!("[broken]\nsecret = \"{secret}\""));
    let admin = std::fs::read_to_string(gate.site().folder().join("admin.token")).unwrap_or_default();
    let metrics = gate.metrics().text().to_owned();
    let folder = gate.site().folder().to_owned();
    gate.signal(Signal::TERM);
    let mut gate = gate;
    gate.wait(Duration::from_secs(40)).unwrap();
    let log = std::fs::read_to_string(folder.join("stderr.log")).unwrap();
    let parts: Vec<&str> = [&good, &bad].iter().flat_map(|token| token.split('.').skip(1)).collect();
    for canary in
        [secret, &good, &bad, admin.trim()].into_iter().chain(parts).filter(|canary| !canary.is_empty())
    {
        assert!(!metrics.contains(canary), "{canary:?} in the metrics");
        assert!(!log.contains(canary), "{canary:?} in the log");
    }
}

#[test]
fn a26_every_event_is_one_line_whatever_a_client_says() {
    let setup = Setup::new().addressed("in", "tcp", &["127.0.0.1:*"], "failure_delay = \"10ms\"");
    let text = setup.with("[limits]\nfailed_dials_per_minute = 100000").text();
    let gate = Gate::start(&text.replace("level = \"debug\"", "level = \"trace\"\nformat = \"json\""));
    let long = "x".repeat(4000);
    let keys = [
        "a:1\nlevel=error msg=forged",
        "a:1\r\n{\"level\":\"error\"}",
        "\u{1b}[31mred:1",
        "a\u{202e}b:1",
        "a\u{2028}b:1",
        "\0:1",
        "\"},{\"x\":\"",
        "\\",
        "%s%n",
        &long,
        "é:1",
        "\u{85}:1",
    ];
    for key in keys {
        let (bytes, _) =
            portcullis_tests::scene::answer(gate.listener("in"), &portcullis_tests::scene::hello(key));
        assert_eq!(bytes, portcullis_tests::scene::ERROR, "{key:?}");
    }
    let closed = |log: &str| log.lines().filter(|line| line.contains("session closed")).count();
    until("all ends are logged", || closed(&gate.log()) == keys.len());
    for line in gate.log().lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(event["level"].is_string(), "{line}");
        assert!(line.len() < 2048, "a line of {} bytes", line.len());
        assert!(
            !line.chars().any(|char| char.is_control() || ('\u{2028}'..='\u{202e}').contains(&char)),
            "{line:?}"
        );
        assert!(!line.contains("forged\""), "{line}");
    }
}
