//! Side by side measurements of Portcullis, its peers and a direct connection on this machine.
//!
//! `cargo run --release -p portcullis-bench -- smoke` takes about two minutes. It runs in a network namespace of
//! its own with `reno`: over loopback a pacing congestion control costs every subject more than the work that
//! is compared. Absolute figures belong to the machine; ratios of proxy CPU per unit are what to compare.

mod kcp;
mod load;
mod net;
mod process;
mod report;
mod sealed;
mod server;
mod smoke;
mod subject;

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: portcullis-bench smoke [tcp|kcp]

Measures bulk, ping-pong, connect-and-close and idle memory against a direct connection and HAProxy, and KCP
against kcp-go and C ikcp; prints tables and appends one line of JSON to docs/performance.jsonl. With tcp or kcp
only that half is measured, and nothing is appended.";

/// Says to the second start of this program that it is inside its namespace.
const INSIDE: &str = "--in-own-network";

/// Which rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Tcp,
    Kcp,
}

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (words, inside) = match words.split_last() {
        Some((&INSIDE, words)) => (words, true),
        _ => (&words[..], false),
    };
    let part = match words {
        ["smoke"] => Part::All,
        ["smoke", "tcp"] => Part::Tcp,
        ["smoke", "kcp"] => Part::Kcp,
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        _ => {
            eprintln!("{USAGE}");
            return Ok(ExitCode::from(64));
        }
    };
    if inside {
        return measure(part, true);
    }
    if part != Part::Tcp {
        kcp::prepare(&root());
    }
    if let Some(status) = enter_own_network(words)? {
        return Ok(status);
    }
    eprintln!(
        "no network namespace of its own (needs root): measuring with this machine's congestion control"
    );
    measure(part, false)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Starts this program again in a fresh network namespace; `None` when there can be none.
fn enter_own_network(words: &[&str]) -> io::Result<Option<ExitCode>> {
    let possible = Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]).output();
    if !possible.is_ok_and(|out| out.status.success()) {
        return Ok(None);
    }
    // The whole port range, since each connection of the connect-and-close load leaves a port to cool down.
    let script = "ip link set lo up && echo reno >/proc/sys/net/ipv4/tcp_congestion_control \
                  && echo '1024 65535' >/proc/sys/net/ipv4/ip_local_port_range && exec \"$0\" \"$@\"";
    let status = Command::new("unshare")
        .args(["--net", "sh", "-c", script])
        .arg(std::env::current_exe()?)
        .args(words)
        .arg(INSIDE)
        .status()?;
    Ok(Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

fn measure(part: Part, namespace: bool) -> io::Result<ExitCode> {
    let root = root();
    let built = build(&root);
    let tcp = match part {
        Part::All | Part::Tcp => Some(smoke::run(built.as_deref().map_err(Clone::clone))?),
        Part::Kcp => None,
    };
    // Last, for it moves this process to one core.
    let kcp = match (part, &built) {
        (Part::All | Part::Kcp, Ok(binary)) => Some(kcp::run(&root, binary)?),
        _ => None,
    };
    if let Some(found) = &tcp {
        report::print(found);
    }
    if let Some(found) = &kcp {
        kcp::report::print(found);
    }
    if let Err(why) = built {
        eprintln!("portcullis: {why}");
        return Ok(ExitCode::FAILURE);
    }
    let (Some(tcp), Some(kcp)) = (tcp, kcp) else { return Ok(ExitCode::SUCCESS) };
    if !tcp.subjects.contains(&"portcullis") {
        return Ok(ExitCode::FAILURE);
    }
    let file = root.join("docs/performance.jsonl");
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    report::append(&tcp, &kcp::report::json(&kcp), namespace, &file)?;
    println!("\nappended to docs/performance.jsonl");
    Ok(ExitCode::SUCCESS)
}

/// Builds the gateway, so that what is measured is what is on disk.
fn build(root: &Path) -> Result<PathBuf, String> {
    eprintln!("building portcullis (release)");
    let out = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--locked", "--package", "portcullis"])
        .current_dir(root)
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !out.success() {
        return Err("it does not build".into());
    }
    // This program and the gateway share a target folder.
    let mut binary = std::env::current_exe().map_err(|error| error.to_string())?;
    binary.set_file_name("portcullis");
    Ok(binary)
}
