//! The clients of examples/shield in languages of their own, built and run as their users do, against a real gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_peers::{Endpoint, Frame, TypeWidth, serve_frames};
use portcullis_tests::identity::Own;
use portcullis_tests::skip::have;
use portcullis_tests::{Gate, Setup, Site, foreign, within};

static BUILDS: AtomicU64 = AtomicU64::new(0);

/// A gateway with a plain listener for each width and one with device tokens, and the server behind them.
struct World {
    gate: Gate,
    _servers: [Endpoint; 2],
}

impl World {
    fn new() -> Self {
        let site = Site::new();
        let identity = Own::new(&site);
        let servers = TypeWidth::ALL.map(|width| {
            let request = width.types().hello;
            let echo = move |frame: &Frame| {
                let answer = Frame::new(request, &[b"heard ", &frame.payload[..]].concat());
                (frame.kind == request).then_some(answer).into_iter().collect()
            };
            Endpoint::start(serve_frames::<TcpStream, _>(width, &[1, 2], echo)).unwrap()
        });
        let listener = |name: &str, protocol: &str, lines: &str| {
            format!(
                "[[listener]]\nname = \"{name}\"\nprotocol = \"{protocol}\"\nbind = [\"127.0.0.1:0\"]\n\
                 hello = \"none\"\n{lines}\n\n"
            )
        };
        let upstream = |name: &str, server: &Endpoint| {
            format!(
                "[route.{name}]\nresolver = \"upstream\"\nupstreams = [\"{name}\"]\n\n\
                 [upstream.{name}]\nendpoints = [{{ address = \"{}\" }}]\n\n",
                server.address()
            )
        };
        let tokens = format!(
            "route = \"one\"\nframes = {{ type_bytes = 1 }}\ntokens = {{ rotate_after = \"1s\" }}\n{}",
            Own::shown()
        );
        let text = [
            listener("one", "tcp", "route = \"one\"\nframes = { type_bytes = 1 }"),
            listener("two", "tcp", "route = \"two\"\nframes = { type_bytes = 2 }"),
            listener("devices", "tls", &tokens),
            upstream("one", &servers[0]),
            upstream("two", &servers[1]),
            "[store]\nfile = \"{folder}/store.redb\"".into(),
        ]
        .concat();
        drop(identity);
        let gate = site.start(&Setup::new().with(&text).text());
        Self { gate, _servers: servers }
    }

    /// What a client of each width, and one that is a device, prints.
    fn check(&self, client: impl Fn() -> Command) {
        for (listener, width) in [("one", "1"), ("two", "2")] {
            let mut command = client();
            command.args(["--type-bytes", width]).arg(self.gate.listener(listener).to_string());
            assert_eq!(said(run(command.args(["first", "second"]))), heard(&["first", "second"]));
        }
        let folder = self.gate.site().folder();
        let kept = folder.join(format!("device-{}", BUILDS.fetch_add(1, Ordering::Relaxed)));
        let device = |id: &str| {
            let mut command = client();
            command.arg("--ca").arg(folder.join("own.pem")).arg("--tokens").arg(&kept).args(["--id", id]);
            command.arg(format!("127.0.0.1:{}", self.gate.listener("devices").port()));
            command
        };
        assert_eq!(said(run(device("02:00:00:00:00:01").arg("registered"))), heard(&["registered"]));
        for turn in ["logged in", "and again", "and again"] {
            assert_eq!(said(run(device("02:00:00:00:00:01").arg(turn))), heard(&[turn]));
        }
        // Another device with this one's token.
        let refused = run(device("02:00:00:00:00:02").arg("stolen"));
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("refused"), "{refused:?}");
    }
}

fn heard(messages: &[&str]) -> String {
    messages.iter().map(|message| format!("heard {{\"message\":\"{message}\"}}\n")).collect()
}

fn said(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a client to its end, which comes within a minute: each of them gives up by itself before.
fn run(client: &mut Command) -> Output {
    client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = foreign::Process(client.spawn().unwrap());
    let status = within(Duration::from_secs(60), || process.0.try_wait().unwrap()).expect("it ends");
    let mut output = Output { status, stdout: Vec::new(), stderr: Vec::new() };
    std::io::copy(process.0.stdout.as_mut().unwrap(), &mut output.stdout).unwrap();
    std::io::copy(process.0.stderr.as_mut().unwrap(), &mut output.stderr).unwrap();
    output
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples/shield").join(path)
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_client_in_go_is_served_and_known_by_its_token() {
    if !have("a_client_in_go_is_served", &["go"]) {
        return;
    }
    let built = foreign::folder().join(format!("shield-go-{}", std::process::id()));
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&built).arg(example("go/client.go"));
    go.env("GOCACHE", foreign::folder().join("go-cache"))
        .envs([("GO111MODULE", "off"), ("CGO_ENABLED", "0")]);
    succeed(&mut go);
    World::new().check(|| Command::new(&built));
    fs::remove_file(built).unwrap();
}

#[test]
fn a_client_in_typescript_is_served_and_known_by_its_token() {
    if !have("a_client_in_typescript_is_served", &["node", "esbuild"]) {
        return;
    }
    let bundle = foreign::folder().join(format!("shield-{}.cjs", std::process::id()));
    let mut esbuild = Command::new("esbuild");
    esbuild.arg(example("typescript/client.ts")).args(["--bundle", "--platform=node", "--log-level=error"]);
    succeed(esbuild.arg(format!("--outfile={}", bundle.display())));
    World::new().check(|| {
        let mut node = Command::new("node");
        node.arg(&bundle);
        node
    });
    fs::remove_file(bundle).unwrap();
}
