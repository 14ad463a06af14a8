//! The clients of examples/clients, built and run as their users do, each against a real gateway: what an endpoint
//! says reaches them, and a key that is refused ends them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use portcullis_peers::{Endpoint, serve};
use portcullis_tests::browser::{Browser, PATIENCE, serve_files};
use portcullis_tests::foreign;
use portcullis_tests::kcp_go::GOPATH;
use portcullis_tests::skip::{have, skip};
use portcullis_tests::{Gate, Setup, Site, within};
use rcgen::{CertificateParams, KeyPair};

/// A target that no `allow` of these tests has.
const FORBIDDEN: &str = "10.9.8.7:7000";

#[test]
fn python_says_its_hello_on_every_listener() {
    if !have("python_says_its_hello", &["python3"]) {
        return;
    }
    let world = World::new();
    let python = |file: &str| program(Command::new("python3").arg(example("python").join(file)));
    world.check("tcp", || python("tcp.py"));
    world.check("kcp", || python("kcp.py"));
    for by in ["header", "protocol", "query"] {
        world.check("ws", || with(python("ws.py"), &["--by", by]));
    }
    let trust = world.gate.site().folder().join("cert.pem").display().to_string();
    world.check("tls", || with(python("tcp.py"), &["--ca", &trust]));
    world.check("wss", || with(python("ws.py"), &["--ca", &trust]));
}

#[test]
fn python_trusts_nobody_else() {
    if !have("python_trusts_nobody_else", &["python3"]) {
        return;
    }
    let world = World::new();
    let other = world.gate.site().write("other.pem", certificate().0).display().to_string();
    for (listener, file) in [("tls", "tcp.py"), ("wss", "ws.py")] {
        let python = program(Command::new("python3").arg(example("python").join(file)));
        let gate = world.gate.listener(listener);
        let output = run(with(python, &["--ca", &other]), gate, FORBIDDEN, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("CERTIFICATE_VERIFY_FAILED"), "{output:?}");
    }
    assert_eq!(world.echo.accepted(), 0);
}

#[test]
fn go_says_its_hello_on_every_listener() {
    const TEST: &str = "go_says_its_hello";
    if !have(TEST, &["go"]) {
        return;
    }
    let world = World::new();
    let tcp = go("tcp");
    world.check("tcp", || Command::new(&tcp));
    if !Path::new(GOPATH).join("src/github.com/xtaci/kcp-go").exists() {
        return skip(TEST, "needs golang-github-xtaci-kcp-dev, and golang-golang-x-net-dev with it");
    }
    let (ws, kcp) = (go("ws"), go("kcp"));
    world.check("kcp", || Command::new(&kcp));
    for by in ["header", "protocol", "query"] {
        world.check("ws", || with(Command::new(&ws), &["-by", by]));
    }
}

#[test]
fn typescript_says_its_hello_from_node() {
    const TEST: &str = "typescript_says_its_hello_from_node";
    if !have(TEST, &["node", "esbuild"]) {
        return;
    }
    let Some(flags) =
        [&[][..], &["--experimental-websocket"]].into_iter().find(|flags| has_web_socket(flags))
    else {
        return skip(TEST, "needs Node.js 20.10 or later");
    };
    let bundle = foreign::folder().join(format!("client-{}.cjs", std::process::id()));
    esbuild("cli.ts", &["--bundle", "--platform=node"], &bundle);
    let world = World::new();
    for by in ["protocol", "query", "header"] {
        let node = || with(program(Command::new("node").args(flags).arg(&bundle)), &["--by", by]);
        world.check("ws", node);
    }
    fs::remove_file(bundle).unwrap();
}

#[test]
fn typescript_says_its_hello_from_a_page() {
    if !have("typescript_says_its_hello_from_a_page", &["chromium", "esbuild"]) {
        return;
    }
    let module = foreign::folder().join(format!("gateway-{}.js", std::process::id()));
    esbuild("gateway.ts", &["--format=esm"], &module);
    let files =
        [example("typescript/index.html"), module.clone()].map(|path| fs::read_to_string(path).unwrap());
    fs::remove_file(module).unwrap();
    let [page, script] = files;
    let url = serve_files(vec![("index.html", page), ("gateway.js", script)]);
    let world = World::new();
    let (gate, key) = (world.gate.listener("ws"), world.echo.address().to_string());
    for by in ["protocol", "query"] {
        let shown = |key: &str, want: &str| {
            let browser =
                Browser::open(&format!("{url}?gate={gate}&key={key}&message=hello+page&by={by}"), &[]);
            let title = within(PATIENCE, || browser.title().filter(|title| title == want));
            assert_eq!(title.as_deref(), Some(want), "{by}; it shows {:?}", browser.title());
        };
        shown(&key, "hello page");
        shown(FORBIDDEN, "refused: error");
    }
}

#[test]
fn rust_says_its_hello_on_every_listener() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "build",
        "--offline",
        "--locked",
        "--quiet",
        "--package=portcullis-peers",
        "--example=client",
    ]);
    cargo.args(["--message-format=json", "--manifest-path"]).arg(root().join("Cargo.toml"));
    let said = String::from_utf8(succeed(&mut cargo).stdout).unwrap();
    let messages = said.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let client = messages
        .filter(|message| message["target"]["name"] == "client")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo tells where it has built the example");
    let world = World::new();
    for protocol in ["tcp", "ws", "kcp"] {
        world.check(protocol, || with(Command::new(&client), &[protocol]));
    }
}

#[test]
fn no_client_is_longer_than_a_hundred_lines() {
    let mut seen = 0;
    for language in fs::read_dir(root().join("examples/clients")).unwrap() {
        let Ok(files) = fs::read_dir(language.unwrap().path()) else { continue };
        for path in files.map(|file| file.unwrap().path()) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(lines <= 100, "{}: {lines} lines", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 10, "only {seen} files");
}

/// A gateway with a listener per protocol, and an endpoint that sends back what comes.
struct World {
    echo: Endpoint,
    gate: Gate,
}

impl World {
    fn new() -> Self {
        let site = Site::new();
        let (cert, key) = certificate();
        site.write("cert.pem", cert);
        site.write("cert.key", key);
        let tls = "tls = { certs = [{ cert = \"{folder}/cert.pem\", key = \"{folder}/cert.key\" }] }";
        let setup = ["tcp", "ws", "kcp", "tls", "wss"].into_iter().fold(Setup::new(), |setup, protocol| {
            let lines = if ["tls", "wss"].contains(&protocol) { tls } else { "" };
            setup.addressed(protocol, protocol, &["127.0.0.1:*"], lines)
        });
        Self { echo: Endpoint::start(serve::echo).unwrap(), gate: site.start(&setup.text()) }
    }

    /// What every client must do, on the listener of that name.
    fn check(&self, listener: &str, client: impl Fn() -> Command) {
        let gate = self.gate.listener(listener);
        let key = self.echo.address().to_string();
        // The last one is longer than a segment of KCP, and than a frame with a short length.
        let messages = ["hello".into(), "two words".into(), "Tür und Tor ".repeat(400)];
        let output = run(client(), gate, &key, &messages);
        assert!(output.status.success(), "{:?}: {}", client(), text(&output.stderr));
        assert_eq!(text(&output.stdout).lines().collect::<Vec<_>>(), messages, "{:?}", client());

        let reached = self.echo.accepted();
        let output = run(client(), gate, FORBIDDEN, &messages[..1]);
        assert_eq!(output.status.code(), Some(1), "{:?}: {}", client(), text(&output.stderr));
        assert!(output.stdout.is_empty() && text(&output.stderr).contains("refused: error"), "{output:?}");
        assert_eq!(self.echo.accepted(), reached);
    }
}

/// A certificate for this machine that signs itself, and its key.
fn certificate() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// Runs a client to its end, which comes within a minute: each of them gives up by itself before.
fn run(mut client: Command, gate: SocketAddr, key: &str, messages: &[String]) -> Output {
    client.arg(gate.to_string()).arg(key).args(messages);
    client.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = foreign::Process(client.spawn().unwrap());
    let ended = within(Duration::from_secs(60), || process.0.try_wait().unwrap());
    assert!(ended.is_some(), "{client:?} does not end");
    let mut output = Output { status: ended.unwrap(), stdout: Vec::new(), stderr: Vec::new() };
    std::io::copy(process.0.stdout.as_mut().unwrap(), &mut output.stdout).unwrap();
    std::io::copy(process.0.stderr.as_mut().unwrap(), &mut output.stderr).unwrap();
    output
}

/// Builds a program of examples/clients/go; Go keeps what it has compiled, so that only the first build takes time.
fn go(name: &str) -> PathBuf {
    let mut go = Command::new("go");
    go.args(["build", "-o"]).env("GOCACHE", foreign::folder().join("go-cache"));
    go.envs([("GO111MODULE", "off"), ("CGO_ENABLED", "0"), ("GOPATH", GOPATH)]);
    let built = foreign::folder().join(format!("client-{name}"));
    succeed(go.arg(&built).arg(example("go").join(format!("{name}.go"))));
    built
}

fn esbuild(source: &str, arguments: &[&str], to: &Path) {
    let mut esbuild = Command::new("esbuild");
    esbuild.arg(example("typescript").join(source)).args(arguments).arg("--log-level=error");
    succeed(esbuild.arg(format!("--outfile={}", to.display())));
}

fn has_web_socket(flags: &[&str]) -> bool {
    let output = Command::new("node").args(flags).args(["-p", "typeof WebSocket"]).output();
    output.is_ok_and(|output| output.status.success() && output.stdout.starts_with(b"function"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn example(path: &str) -> PathBuf {
    root().join("examples/clients").join(path)
}

/// A command of its own with the program and the arguments of `command`.
fn program(command: &Command) -> Command {
    with(Command::new(command.get_program()), &command.get_args().collect::<Vec<_>>())
}

fn with(mut command: Command, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Command {
    command.args(arguments);
    command
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", text(&output.stderr));
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
