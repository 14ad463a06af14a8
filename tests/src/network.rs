//! A network of one's own: a namespace in which a test may drop packets, add addresses and exhaust ports.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::skip;

/// Says to the second start of a test program which test it runs inside.
const INSIDE: &str = "PORTCULLIS_OWN_NETWORK";

/// Runs the test called `test` in a fresh network namespace with nothing but loopback in it.
///
/// The test program is started again inside, for this test alone; when that is not possible (it takes root)
/// the test is skipped.
#[expect(clippy::disallowed_methods, reason = "this is how a test knows that it is inside")]
pub fn own(test: &str, story: impl FnOnce()) {
    if std::env::var(INSIDE).as_deref() == Ok(test) {
        story();
        return;
    }
    if !rustix::process::geteuid().is_root() {
        skip::skip(test, "needs root for a network namespace");
        return;
    }
    if !skip::have(test, &["unshare", "ip", "nft"]) {
        return;
    }
    let out = Command::new("unshare")
        .args(["--net", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    eprintln!("{text}\n{}", String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{test} failed in its own network");
    assert!(text.contains("1 passed"), "{test} did not run in its own network: is that its name?");
}

/// Feeds commands to nft.
pub fn nft(commands: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "nft: {commands}");
}

/// Drops, from here on, whatever goes to this port of loopback or comes from it.
pub fn black_hole(port: u16) {
    nft(&format!(
        "add table inet hole\n\
         add chain inet hole input {{ type filter hook input priority 0; }}\n\
         add rule inet hole input tcp dport {port} drop\n\
         add rule inet hole input tcp sport {port} drop\n"
    ));
}

/// Adds an address to loopback.
pub fn add_address(address: &str) {
    let status = Command::new("ip").args(["address", "add", address, "dev", "lo"]).status().unwrap();
    assert!(status.success(), "ip address add {address}");
}
