//! `portcullis ctl` and the admin API behind it, against the real binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Instant;

use portcullis_peers::{Endpoint, serve};
use portcullis_tests::{Gate, Setup, Site, binary, until};
use rustix::process::Signal;
use serde_json::Value;

/// Runs `portcullis ctl` with these words; the exit code and what it said on both outputs.
fn ctl(words: &[&str]) -> (i32, String) {
    let folder = Site::new();
    let output = Command::new(binary()).arg("ctl").args(words).current_dir(folder.folder()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// Asks the admin listener of `gate` over TCP with the token in `file`.
fn ask(gate: &Gate, file: &str, words: &[&str]) -> (i32, String) {
    let (admin, token) = (gate.admin().to_string(), gate.site().folder().join(file));
    ctl(&[&["--admin", &admin, "--token-file", token.to_str().unwrap()], words].concat())
}

/// What must be answered, as JSON.
fn json(gate: &Gate, words: &[&str]) -> Value {
    let (code, text) = ask(gate, "admin.token", &[&["--json"], words].concat());
    assert_eq!(code, 0, "{words:?}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// What must be done, as people read it.
fn done(gate: &Gate, words: &[&str]) -> String {
    let (code, text) = ask(gate, "admin.token", words);
    assert_eq!(code, 0, "{words:?}: {text}");
    text
}

/// A client that has heard its endpoint.
fn open(gate: &Gate, listener: &str) -> TcpStream {
    let mut client = TcpStream::connect(gate.listener(listener)).unwrap();
    client.write_all(b"x").unwrap();
    client.read_exact(&mut [0; 1]).unwrap();
    client
}

#[test]
fn ctl_finds_the_gateway_by_its_configuration_and_says_by_its_code_what_is_wrong() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let text = Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text().replace(
        "bind = \"127.0.0.1:0\"\ntoken_file",
        "bind = \"unix:{folder}/run/admin.sock\"\nread_token_file = \"{folder}/read.token\"\ntoken_file",
    );
    let mut gate = Gate::start(&text);
    let file = |name: &str| gate.site().folder().join(name).display().to_string();
    let (config, read, missing) = (file("config.toml"), file("read.token"), file("missing.token"));
    let (socket, other) = (file("run/admin.sock"), file("other.token"));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let session = open(&gate, "in");
    let from = session.local_addr().unwrap().to_string();

    let (code, said) = ctl(&["--config", &config, "sessions", "list"]);
    assert!(code == 0 && said.contains("LISTENER") && said.contains(&from), "{said}");
    let (code, said) = ctl(&["--config", &config, "status"]);
    assert!(code == 0 && said.contains("ready") && said.contains("in "), "{said}");
    let (code, said) = ctl(&["--config", &config, "--token-file", &read, "sessions", "list"]);
    assert!(code == 0 && said.contains(&from), "who may look sees them: {said}");

    fs::write(&other, format!("{}\n", "0".repeat(64))).unwrap();
    let unix = format!("unix:{socket}");
    for (words, want) in [
        (&["--config", &config, "--token-file", &read, "sessions", "close", "--all"][..], 77),
        (&["--config", &config, "--token-file", &other, "status"], 77),
        (&["--admin", &unix, "--token-file", &other, "status"], 77),
        (&["--config", &config, "--token-file", &missing, "status"], 78),
        (&["--config", &missing, "status"], 78),
        (&["--admin", "127.0.0.1:9", "status"], 78),
        (&["--admin", "localhost", "status"], 64),
        (&["--config", &config, "sessions", "close", "ffff"], 1),
        (&["--config", &config, "sessions", "close", "zz"], 1),
        (&["--config", &config, "sessions", "close"], 1),
        (&["--config", &config, "upstreams", "shop"], 1),
        (&["--config", &config, "endpoint", "set", "in", "127.0.0.1:1"], 64),
        (&["--config", &config, "endpoint", "set", "in", "127.0.0.1:1", "--weight", "257"], 64),
        (&["--config", &config, "sessions", "close", "1", "--all"], 64),
        (&["--config", &config, "bans", "add", "127.0.0.1", "--for", "soon"], 64),
        (&[], 64),
    ] {
        let (code, said) = ctl(words);
        assert_eq!(code, want, "{words:?}: {said}");
        assert!(want == 64 || said.starts_with("error: "), "{words:?}: {said}");
    }
    open(&gate, "in");
    drop(session);
    gate.signal(Signal::TERM);
    assert!(gate.wait(std::time::Duration::from_secs(60)).is_some());
    let (code, said) = ctl(&["--admin", &unix, "--token-file", &read, "status"]);
    assert!(code == 69 && said.contains("no gateway is reached"), "{said}");
    assert!(!fs::exists(&socket).unwrap(), "its path is gone with it");
}

#[test]
fn sessions_are_listed_page_by_page_while_others_come_and_go() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let gate = Gate::start(&Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text());
    let staying: Vec<TcpStream> = (0..50).map(|_| open(&gate, "in")).collect();
    let (mut found, mut cursor, mut pages) = (Vec::new(), String::new(), 0);
    let token = fs::read_to_string(gate.site().folder().join("admin.token")).unwrap();
    loop {
        // One comes and goes between any two pages.
        let passing = open(&gate, "in");
        let page = raw(&gate, &token, "GET", &format!("/v1/sessions?limit=7{cursor}"), "").1;
        drop(passing);
        let page: Value = serde_json::from_str(&page).unwrap();
        let sessions = page["sessions"].as_array().unwrap();
        assert!(sessions.len() <= 7);
        found.extend(sessions.iter().map(|session| session["client"].as_str().unwrap().to_owned()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&after={next}"),
            None => break,
        }
    }
    for client in &staying {
        let address = client.local_addr().unwrap().to_string();
        assert_eq!(found.iter().filter(|found| **found == address).count(), 1, "{address}");
    }
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "none is listed twice");
    assert!(pages >= 8, "{pages} pages");
    let one = &json(&gate, &["sessions", "list", "--limit", "1"])["sessions"][0];
    assert_eq!(
        (&one["listener"], &one["state"], &one["up_bytes"]),
        (&"in".into(), &"open".into(), &1.into())
    );
    assert_eq!(one["upstream"], "in");
    let id = one["id"].as_str().unwrap();
    assert_eq!(done(&gate, &["sessions", "close", id]), "closing 1\n");
    until("it is closed", || ask(&gate, "admin.token", &["sessions", "close", id]).0 == 1);
}

#[test]
fn sessions_are_closed_by_what_they_have_in_common_and_no_faster_than_asked() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let setup = Setup::new().fixed("one", "tcp", &[endpoint.address()], "");
    let gate = Gate::start(&setup.fixed("two", "tcp", &[endpoint.address()], "").text());
    let mut closed: Vec<TcpStream> = (0..30).map(|_| open(&gate, "one")).collect();
    let mut spared = open(&gate, "two");
    let began = Instant::now();
    assert_eq!(
        done(&gate, &["sessions", "close", "--listener", "one", "--rate", "20"]),
        "closing 30, 20 a second\n"
    );
    let (code, said) = ask(&gate, "admin.token", &["sessions", "close", "--all"]);
    assert!(code == 1 && said.contains("one order at a time"), "{said}");
    for client in &mut closed {
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "politely");
    }
    // The first is closed at once, the last 29 twentieths of a second later.
    let took = began.elapsed().as_secs_f64();
    assert!(took >= 1.4, "{took:.2} s for 30 sessions at 20 a second");
    spared.write_all(b"y").unwrap();
    spared.read_exact(&mut [0; 1]).unwrap();
    let killed = || gate.metrics().sum("portcullis_closed_total", &["reason=\"killed\""]) as u64;
    until("all are told as killed", || killed() == 30);
    let line = |words: &[&str]| gate.log().lines().any(|line| words.iter().all(|word| line.contains(word)));
    until("who ordered it is told", || {
        line(&["admin change", "role=operate", "POST /v1/sessions/close", "listener one", "peer=127.0.0.1:"])
    });
    until("that it is done is told", || line(&["sessions were closed as ordered", "count=30"]));
    assert_eq!(
        done(&gate, &["sessions", "close", "--client", "127.0.0.0/8", "--most", "1"]),
        "closing 1, 100 a second\n"
    );
    assert_eq!(spared.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn an_endpoint_that_is_drained_gets_nobody_until_it_is_ready_again() {
    let endpoints = [(); 2].map(|()| Endpoint::start(serve::echo).unwrap());
    let addresses = [endpoints[0].address(), endpoints[1].address()];
    let text = Setup::new().fixed("in", "tcp", &addresses, "").text();
    let gate = Gate::start(&text);
    let first = addresses[0].to_string();
    let said = done(&gate, &["endpoint", "set", "in", &first, "--state", "drain"]);
    assert!(said.contains("drain") && said.contains(&first), "{said}");
    let shares = |sessions: &[TcpStream]| {
        let all = json(&gate, &["sessions", "list"]);
        let endpoint = |client: &TcpStream| {
            let address = client.local_addr().unwrap().to_string();
            let all = all["sessions"].as_array().unwrap().iter();
            all.filter(|session| session["client"] == *address)
                .map(|session| session["endpoint"].clone())
                .next()
        };
        sessions.iter().filter(|client| endpoint(client) == Some(first.as_str().into())).count()
    };
    let drained: Vec<TcpStream> = (0..6).map(|_| open(&gate, "in")).collect();
    assert_eq!(shares(&drained), 0);
    // A reload leaves what the operator said as it is.
    assert!(gate.reload(&text.replace("debug", "info")));
    let still: Vec<TcpStream> = (0..2).map(|_| open(&gate, "in")).collect();
    assert_eq!(shares(&still), 0);
    done(&gate, &["endpoint", "set", "in", &first, "--state", "ready"]);
    let back: Vec<TcpStream> = (0..6).map(|_| open(&gate, "in")).collect();
    assert!(shares(&back) > 0);
    let listed = done(&gate, &["upstreams"]);
    assert!(listed.starts_with("in\nENDPOINT") && listed.contains("ready"), "{listed}");
}

#[test]
fn whoever_is_banned_is_out_until_the_ban_is_lifted() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let gate = Gate::start(&Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text());
    let mut inside = open(&gate, "in");
    let said = done(&gate, &["bans", "add", "127.0.0.0/8", "--for", "10m", "--why", "too loud"]);
    assert!(said.contains("127.0.0.0/8") && said.contains("too loud"), "{said}");
    assert_eq!(inside.read(&mut [0; 1]).unwrap_or(0), 0, "who is in is out");
    let mut outside = TcpStream::connect(gate.listener("in")).unwrap();
    assert_eq!(outside.read(&mut [0; 1]).unwrap_or(0), 0);
    assert!(done(&gate, &["bans", "list"]).contains("127.0.0.0/8"), "and the operator is not");
    done(&gate, &["bans", "lift", "127.0.0.0/8"]);
    assert_eq!(ask(&gate, "admin.token", &["bans", "lift", "127.0.0.0/8"]).0, 1);
    open(&gate, "in");
}

#[test]
fn a_reload_says_what_is_wrong_and_changes_nothing_then() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let text = Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text();
    let gate = Gate::start(&text);
    let whole = fs::read_to_string(gate.site().folder().join("config.toml")).unwrap();
    gate.site().write("config.toml", whole.replace("[log]", "[lgo]\n[log]"));
    let (code, said) = ask(&gate, "admin.token", &["reload"]);
    assert!(code == 1 && said.contains("nothing was changed") && said.contains("lgo"), "{said}");
    gate.site().write("config.toml", whole.replace("level = \"debug\"", "level = \"info\""));
    assert!(done(&gate, &["reload"]).contains("is in force"));
    assert!(done(&gate, &["effective"]).contains("level = \"info\""));
    assert!(done(&gate, &["status"]).contains("reloads: 1 taken, 1 refused"));
    open(&gate, "in");
}

#[test]
fn a24_no_answer_and_no_line_has_a_secret_in_it() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let site = Site::new();
    let jwt = "jwt-canary-0123456789abcdef0123456789";
    site.write("jwt.key", jwt);
    let kcp = "kcp = { crypt = \"aes-128\", key = \"kcp-canary-passphrase\" }";
    let text = Setup::new()
        .fixed("in", "tcp", &[endpoint.address()], "")
        .fixed("kcp", "kcp", &[endpoint.address()], kcp)
        .listener("by-token", "tcp", "")
        .with("[route.by-token]\nresolver = \"jwt\"\nkey_file = \"{folder}/jwt.key\"\nupstreams = [\"in\"]")
        .text()
        .replace("token_file", "read_token_file = \"{folder}/read.token\"\ntoken_file");
    let gate = site.start(&text);
    let _session = open(&gate, "in");
    let token = |name: &str| fs::read_to_string(gate.site().folder().join(name)).unwrap().trim().to_owned();
    let (operate, read) = (token("admin.token"), token("read.token"));
    let secrets = [operate.as_str(), &read, jwt, "kcp-canary-passphrase"];
    let mut answers = String::new();
    for path in [
        "/healthz",
        "/readyz",
        "/metrics",
        "/v1/status",
        "/v1/config",
        "/v1/limits",
        "/v1/bans",
        "/v1/sessions",
        "/v1/sessions/0",
        "/v1/upstreams",
        "/v1/upstreams/in",
    ] {
        let (code, answer) = raw(&gate, &operate, "GET", path, "");
        assert!(code == 200 || path == "/v1/sessions/0", "{path}: {answer}");
        assert!(code == 200 || code == 404);
        answers.push_str(&answer);
        assert_eq!(raw(&gate, &read, "DELETE", path, "").0 / 100, 4, "{path}");
    }
    assert!(answers.contains("***"), "the passphrase is there, but not shown: {answers}");
    let broken = raw(&gate, &operate, "POST", "/v1/sessions/close", "{\"all\":").1;
    for secret in secrets {
        assert!(!answers.contains(secret) && !broken.contains(secret), "{secret}");
        assert!(!gate.log().contains(secret), "{secret} in the log");
    }
}

/// One request with a token; the status and the body.
fn raw(gate: &Gate, token: &str, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(gate.admin()).unwrap();
    let (token, length) = (token.trim(), body.len());
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}
