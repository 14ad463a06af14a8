//! kcptun as a peer: TCP in, TCP out, and between its halves KCP with a cipher, FEC and a multiplexer.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::foreign::{Process, free_udp, wait_for_udp};
use crate::kcp_go::{Link, PASSPHRASE};
use crate::within;

/// One half of kcptun at work; dropping it ends it.
#[derive(Debug)]
pub struct Kcptun {
    _process: Process,
    address: SocketAddr,
}

impl Kcptun {
    /// Starts the half that takes KCP on a free port and dials `target` for each stream.
    #[must_use]
    pub fn server(link: &Link, target: SocketAddr, log: &Path) -> Self {
        let address = free_udp();
        let mut command = command("kcptun-server", link, log);
        command.args(["--listen", &address.to_string(), "--target", &target.to_string()]);
        let process = Process(command.spawn().unwrap());
        wait_for_udp(address.port());
        Self { _process: process, address }
    }

    /// Starts the half that takes TCP on a free port and has one KCP session to `gateway`.
    #[must_use]
    pub fn client(link: &Link, gateway: SocketAddr, log: &Path) -> Self {
        let mut command = command("kcptun-client", link, log);
        command.args(["--localaddr", "127.0.0.1:0", "--remoteaddr", &gateway.to_string()]);
        let process = Process(command.spawn().unwrap());
        let address = within(Duration::from_secs(30), || {
            let mut text = String::new();
            File::open(log).ok()?.read_to_string(&mut text).ok()?;
            let line = text.lines().find_map(|line| line.split_once("listening on: "))?.1;
            line.parse().ok()
        });
        Self { _process: process, address: address.expect("kcptun-client says where it listens") }
    }

    /// Where it listens: the client's half on TCP, the server's on UDP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn command(program: &str, link: &Link, log: &Path) -> Command {
    let mut command = Command::new(program);
    let crypt = if link.crypt == "aes-256" { "aes" } else { link.crypt };
    command.args(["--crypt", crypt, "--key", PASSPHRASE, "--mode", link.preset]);
    command.args(["--mtu", &link.mtu.to_string()]);
    command.args(["--sndwnd", &link.window.to_string(), "--rcvwnd", &link.window.to_string()]);
    command.args(["--datashard", &link.fec.0.to_string(), "--parityshard", &link.fec.1.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log).unwrap());
    command
}
