//! Programs of others: where they are built, how they end, and what a port costs that they cannot choose.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use crate::within;

/// A running program; dropping it kills it.
#[derive(Debug)]
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended and been waited for.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Has `command` write the program `name`, whose path it gets as its last word, and returns where it is.
///
/// Two test programs may do so at the same time: whoever ends last wins, and both are right.
///
/// # Panics
/// When it cannot be built.
pub fn build(name: &str, command: &mut Command) -> PathBuf {
    let own = folder().join(format!("{name}-{}", std::process::id()));
    let output = command.arg(&own).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let shared = folder().join(name);
    fs::rename(own, &shared).unwrap();
    shared
}

/// The sources of what is built here.
#[must_use]
pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

/// Where foreign programs are built: `peers` in the folder of the profile.
#[must_use]
pub fn folder() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    // target/debug/deps/story-1a2b → target/debug/peers
    let folder = this.parent().and_then(Path::parent).unwrap().join("peers");
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A UDP address that nothing has, for a program that cannot say which port a `0` became.
///
/// Another process could take it in between; the program then does not start, which is told.
#[must_use]
pub fn free_udp() -> SocketAddr {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

/// Waits until a UDP socket has the port, as far as the kernel's tables know.
pub fn wait_for_udp(port: u16) {
    let has = |table: &str| {
        fs::read_to_string(table).unwrap().lines().any(|line| {
            let local = line.split_whitespace().nth(1).and_then(|address| address.rsplit_once(':'));
            local.is_some_and(|(_, text)| u16::from_str_radix(text, 16) == Ok(port))
        })
    };
    let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
    let seen = within(Duration::from_secs(30), || tables.iter().any(|table| has(table)).then_some(()));
    assert!(seen.is_some(), "nothing listens on UDP port {port}");
}
