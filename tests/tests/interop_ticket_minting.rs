//! The minting programs of examples/tickets, run as a user runs them: the gateway opens what they mint, and for
//! the same content all of them mint the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use portcullis_core::config::NameTarget;
use portcullis_core::ticket::{KeyRing, Ticket};
use portcullis_tests::skip::{have, skip};

const KEY_FILE: &str =
    "# the first one seals\n0a0b0c0d:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

#[test]
fn go_mints_what_the_gateway_opens() {
    if !have("go_mints_what_the_gateway_opens", &["go"]) {
        return;
    }
    let folder = Folder::new("go");
    let program = folder.0.join("mint_ticket");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(example("go/mint_ticket.go")).current_dir(&folder.0);
    build.envs([("GO111MODULE", "off"), ("CGO_ENABLED", "0")]);
    build.env("GOCACHE", folder.0.join("cache")).env("GOPATH", folder.0.join("path"));
    succeed(&mut build);
    check(&folder, || Command::new(&program));
}

#[test]
fn typescript_mints_what_the_gateway_opens() {
    const TEST: &str = "typescript_mints_what_the_gateway_opens";
    if !have(TEST, &["node"]) {
        return;
    }
    let folder = Folder::new("typescript");
    let source = example("typescript/mint_ticket.ts");
    // Node strips the types itself from 22.18 on; before that, esbuild does.
    let strips = Command::new("node").args(["-p", "process.features.typescript ?? ''"]).output();
    if strips.is_ok_and(|output| output.stdout.starts_with(b"strip")) {
        return check(&folder, || with_argument("node", &source));
    }
    if !have(TEST, &["esbuild"]) {
        return;
    }
    let program = folder.0.join("mint_ticket.mjs");
    let mut strip = Command::new("esbuild");
    strip.arg(&source).args(["--format=esm", "--log-level=error"]);
    succeed(strip.arg(format!("--outfile={}", program.display())));
    check(&folder, || with_argument("node", &program));
}

#[test]
fn python_mints_what_the_gateway_opens() {
    let has = |python: &&str| runs(Command::new(python).args(["-c", "import cryptography"]));
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(has) else {
        return skip("python_mints_what_the_gateway_opens", "needs python3 with the package `cryptography`");
    };
    let program = example("python/mint_ticket.py");
    check(&Folder::new("python"), || with_argument(python, &program));
}

/// What any minting program must do.
fn check(folder: &Folder, program: impl Fn() -> Command) {
    let key_file = folder.0.join("tickets.key");
    std::fs::File::create(&key_file).unwrap().write_all(KEY_FILE.as_bytes()).unwrap();
    let mint = |args: &str| {
        let output = succeed(program().arg("--key-file").arg(&key_file).args(args.split(' ')));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    };
    for (args, sealed) in vectors() {
        assert_eq!(mint(&args), sealed, "{args}");
    }
    // By itself: a life that has begun, a name and a nonce of its own each time.
    let ring = KeyRing::parse(KEY_FILE).unwrap();
    let tickets = [(); 2].map(|()| mint("--target lobby.internal:7000 --ttl 30 --once"));
    let [one, other] = tickets.each_ref().map(|text| Ticket::open(text, &ring).unwrap().0);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((now..=now + 30).contains(&one.exp), "{} at {now}", one.exp);
    assert_eq!(one.target, NameTarget::Endpoint("lobby.internal:7000".parse().unwrap()));
    assert!(one.once && one.jti != other.jti);
    assert_ne!(tickets[0][..24], tickets[1][..24], "the nonce");
}

/// The vectors of docs/ticket.md: arguments, and what they mint.
fn vectors() -> Vec<(String, String)> {
    let text = include_str!("../../docs/ticket.md").split("```vectors\n").nth(1).unwrap();
    let vectors = text.split("```").next().unwrap().split("\n\n").map(|vector| {
        let [nonce, content, sealed] = vector.trim().lines().collect::<Vec<_>>()[..] else {
            panic!("{vector}")
        };
        let content: serde_json::Map<_, _> = serde_json::from_str(content).unwrap();
        let mut args = format!("--nonce {nonce}");
        for (name, value) in content {
            args += &match value {
                serde_json::Value::Bool(true) => format!(" --{name}"),
                value => format!(" --{name} {}", value.as_str().map_or(value.to_string(), String::from)),
            };
        }
        (args, sealed.to_owned())
    });
    vectors.collect()
}

fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tickets").join(path)
}

fn with_argument(program: &str, argument: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(argument);
    command
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A folder of this test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
