//! `portcullis demo` on the real binary: every cell, one line of JSON, plain lines where there is no terminal, and
//! an end that is told as one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use portcullis_peers::TcpClient;
use portcullis_tests::{Site, binary};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What each cell moves at least, each way, in bytes.
const AT_LEAST: u64 = 8 << 20;

#[test]
fn the_demo_reaches_every_endpoint_from_every_client() {
    let output = demo(&Site::new(), &["--once", "--seconds", "60", "--json"]).output().unwrap();
    let (text, errors) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), text.lines().count()), (Some(0), 1), "{text}{errors}");
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["ok"], true);
    let cells = told["cells"].as_array().unwrap();
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for cell in cells {
        let word = |key: &str| cell[key].as_str().unwrap();
        let number = |key: &str| cell[key].as_u64().unwrap();
        assert!(
            cell["ok"] == true && number("bytes_up") >= AT_LEAST && number("bytes_down") >= AT_LEAST,
            "{cell}"
        );
        assert!(0 < number("p50_us") && number("p50_us") <= number("p99_us"), "{cell}");
        assert!(["copy", "splice", "tls", "ws", "kcp"].contains(&word("path")), "{cell}");
        seen.push((word("client"), word("endpoint")));
    }
    let of = |client| ["tcp", "tls", "kcp", "ws"].map(|endpoint| (client, endpoint));
    let want: Vec<_> = ["tcp", "tls", "kcp", "ws", "wss"].into_iter().flat_map(of).collect();
    assert_eq!(seen, want);
}

#[test]
fn what_reads_lines_gets_lines_and_an_interrupted_demo_has_failed() {
    let site = Site::new();
    let mut running = Running::start(&site, &["--seconds", "600"]);
    let mut seen = vec![running.line(), running.line()];
    assert!(seen[0].starts_with("client  endpoint  state"), "{seen:?}");
    assert!(seen[1].contains("  open  "), "{seen:?}");
    running.signal(Signal::INT);
    seen.extend(running.lines.by_ref().map(Result::unwrap));
    let (code, errors) = running.end();
    assert_eq!(code, Some(1), "{seen:?}{errors}");
    assert!(seen.last().unwrap().contains(" of 20 cells: NOT ALL IS WELL"), "{seen:?}");
    assert!(!seen.iter().any(|line| line.contains('\x1b')), "{seen:?}");
    assert!(errors.contains("tcp → tcp: ended before it was done"), "{errors}");
    assert_eq!(fs::read_dir(site.folder()).unwrap().count(), 0, "its folder is removed");
}

#[test]
fn what_is_kept_can_be_tried_until_it_is_ended() {
    let site = Site::new();
    let mut running = Running::start(&site, &["--once", "--seconds", "60", "--keep"]);
    let mut seen = Vec::new();
    let gate = loop {
        let line = running.line();
        seen.push(line.clone());
        if let Some((_, rest)) = line.split_once("--example tcp_client -- --gate ") {
            break rest.split_once(' ').unwrap().0.parse().unwrap();
        }
    };
    assert!(seen.iter().any(|line| line.starts_with("20 of 20 cells")), "{seen:?}");
    let (mut client, answer) = TcpClient::open(gate, "kcp").unwrap();
    client.send(b"still there?").unwrap();
    let mut back = [0; 12];
    client.stream().read_exact(&mut back).unwrap();
    assert_eq!((answer.as_deref(), &back), (Some(&b"ok"[..]), b"still there?"));
    running.signal(Signal::INT);
    let (code, errors) = running.end();
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert_eq!(fs::read_dir(site.folder()).unwrap().count(), 0, "its folder is removed");
}

/// The demo, whose temporary folder is made in the site's.
fn demo(site: &Site, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.arg("demo").args(arguments).env("TMPDIR", site.folder());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A demo that is looked at while it runs; dropped it is killed.
struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(site: &Site, arguments: &[&str]) -> Self {
        let mut process = demo(site, arguments).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    fn line(&mut self) -> String {
        match self.lines.next() {
            Some(line) => line.unwrap(),
            None => panic!("it has ended: {:?}", self.end()),
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.process.id().try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// Waits for its end; the exit code and what it wrote to stderr.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut errors = String::new();
        self.process.stderr.as_mut().unwrap().read_to_string(&mut errors).unwrap();
        (self.process.wait().unwrap().code(), errors)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended and been waited for.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
