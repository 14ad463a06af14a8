//! The gateways that these rows compare: each a fresh process for each measurement, on a core of its own.
//!
//! Fresh, because a KCP gateway is not told that its clients are gone: what it still sends to those of the row
//! before would be counted in the next.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use portcullis_peers::Gateway;

use super::tools::Tools;
use super::{LOAD_CORE, MTU, SERVER_CORE, WINDOW};

/// One column of these rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Ikcp,
    KcpGo,
    Portcullis,
}

impl Subject {
    pub(crate) const ALL: [Self; 3] = [Self::Ikcp, Self::KcpGo, Self::Portcullis];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ikcp => "ikcp",
            Self::KcpGo => "kcp-go",
            Self::Portcullis => "portcullis",
        }
    }
}

/// What all of them are started from.
pub(super) struct Stable<'a> {
    pub(super) gateway: &'a Path,
    pub(super) tools: &'a Tools,
    /// Where the gateway's config is written.
    pub(super) folder: PathBuf,
}

/// A gateway that relays to one TCP endpoint; dropping it ends it.
pub(super) struct Running {
    pub(super) pid: u32,
    pub(super) port: u16,
    _process: Process,
}

#[expect(dead_code, reason = "held for its end only")]
enum Process {
    Gateway(Gateway),
    Other(Ended),
}

/// A process that ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail only when it has ended and been waited for.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Stable<'_> {
    /// Starts `subject` in front of `endpoint`, with FEC 10/3 or without.
    pub(super) fn start(&self, subject: Subject, endpoint: SocketAddr, fec: bool) -> io::Result<Running> {
        match subject {
            Subject::Portcullis => self.portcullis(endpoint, fec),
            Subject::KcpGo => self.kcp_go(endpoint, fec),
            Subject::Ikcp => self.ikcp(endpoint),
        }
    }

    fn portcullis(&self, endpoint: SocketAddr, fec: bool) -> io::Result<Running> {
        fs::remove_file(self.folder.join("addresses.json")).ok();
        fs::write(self.folder.join("config.toml"), config(endpoint, fec, &self.folder))?;
        let gateway = Gateway::start(on_core(SERVER_CORE, self.gateway), &self.folder)?;
        let address = gateway.listener("bench").ok_or_else(|| io::Error::other("no listener"))?;
        Ok(Running { pid: gateway.pid(), port: address.port(), _process: Process::Gateway(gateway) })
    }

    fn kcp_go(&self, endpoint: SocketAddr, fec: bool) -> io::Result<Running> {
        let program = self.tools.have_kcp_go()?;
        let mut command = on_core(SERVER_CORE, program);
        command.args(["gateway", "-target", &endpoint.to_string()]).env("GOMAXPROCS", "1");
        set_kcp_go(&mut command, fec);
        // {"address":"127.0.0.1:4711"}
        start(command, |line| line.rsplit_once(':')?.1.trim_end_matches(['"', '}']).parse().ok())
    }

    fn ikcp(&self, endpoint: SocketAddr) -> io::Result<Running> {
        let ikcp = self.tools.have_ikcp()?;
        let mut command = on_core(SERVER_CORE, &ikcp.relay);
        command.arg(endpoint.port().to_string()).args([WINDOW.to_string(), MTU.to_string()]);
        start(command, |line| line.parse().ok())
    }
}

/// How both sides of kcp-go are set; the gateway and the C core are set alike.
pub(super) fn set_kcp_go(command: &mut Command, fec: bool) {
    command.args(["-crypt=null", "-preset=fast3", if fec { "-fec=10/3" } else { "-fec=0/0" }]);
    command.arg(format!("-window={WINDOW}")).arg(format!("-mtu={MTU}"));
}

fn start(mut command: Command, port: fn(&str) -> Option<u16>) -> io::Result<Running> {
    let mut process = Ended(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    if let Some(stdout) = &mut process.0.stdout {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    let port = port(line.trim_end()).ok_or_else(|| io::Error::other(format!("no port in {line:?}")))?;
    Ok(Running { pid: process.0.id(), port, _process: Process::Other(process) })
}

/// A command that runs on one core.
pub(super) fn on_core(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &core.to_string()]).arg(program);
    command
}

/// Moves this process, whose threads are the endpoints, to the core of the load.
pub(super) fn make_room() -> Result<(), String> {
    let own = std::process::id().to_string();
    let mut move_all = Command::new("taskset");
    move_all.args(["--all-tasks", "--cpu-list", "--pid", &LOAD_CORE.to_string(), &own]);
    super::tools::run(&mut move_all).map(drop)
}

fn config(endpoint: SocketAddr, fec: bool, folder: &Path) -> String {
    let fec = if fec { "[10, 3]" } else { "false" };
    format!(
        "workers = 1\n\n[log]\nlevel = \"warn\"\n\n[admin]\nbind = \"127.0.0.1:0\"\ntoken_file = \"{}/token\"\n\n\
         [[listener]]\nname = \"bench\"\nprotocol = \"kcp\"\nbind = [\"127.0.0.1:0\"]\nhello = \"none\"\n\
         route = \"bench\"\nzero_copy = true\nkcp = {{ preset = \"fast3\", window = {WINDOW}, mtu = {MTU}, \
         crypt = \"null\", fec = {fec}, open_rate = {{ rate = \"100000/s\", burst = 100000 }} }}\n\n\
         [route.bench]\nresolver = \"upstream\"\nupstreams = [\"bench\"]\n\n\
         [upstream.bench]\nprotocol = \"tcp\"\nendpoints = [{{ address = \"{endpoint}\" }}]\n",
        folder.display(),
    )
}
