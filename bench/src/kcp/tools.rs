//! The programs of others that these rows need: built on the spot, from sources in this project.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where Debian has Go's packages.
const GOPATH: &str = "/usr/share/gocode";

/// What could be built.
pub(super) struct Tools {
    /// The clients, and a gateway on C ikcp.
    pub(super) ikcp: Result<Ikcp, String>,
    /// tests/peers, a client and a gateway on kcp-go.
    pub(super) kcp_go: Result<PathBuf, String>,
}

/// The programs on the original C core.
pub(super) struct Ikcp {
    pub(super) load: PathBuf,
    pub(super) relay: PathBuf,
}

impl Tools {
    pub(super) fn build(root: &Path) -> Self {
        let folder = match folder() {
            Ok(folder) => folder,
            Err(error) => return Self { ikcp: Err(error.to_string()), kcp_go: Err(error.to_string()) },
        };
        Self { ikcp: ikcp(root, &folder), kcp_go: kcp_go(root, &folder) }
    }

    pub(super) fn have_ikcp(&self) -> io::Result<&Ikcp> {
        self.ikcp.as_ref().map_err(|why| io::Error::other(why.as_str()))
    }

    pub(super) fn have_kcp_go(&self) -> io::Result<&Path> {
        self.kcp_go.as_deref().map_err(|why| io::Error::other(why.as_str()))
    }
}

/// Fetches the C core into this user's cache, so that it is there where there is no network; returns its folder.
pub(super) fn fetch_core(root: &Path) -> Result<PathBuf, String> {
    let mut fetch = Command::new(root.join("tests/peers/ikcp/core"));
    let path = run(fetch.envs([("PIP_RETRIES", "1"), ("PIP_DEFAULT_TIMEOUT", "10")]))?;
    Ok(PathBuf::from(path.trim_end()))
}

fn ikcp(root: &Path, folder: &Path) -> Result<Ikcp, String> {
    let core = fetch_core(root)?;
    let sources = root.join("bench/ikcp");
    let build = |name: &str| {
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-I"]).arg(&core).arg(sources.join(name).with_extension("c"));
        cc.arg(sources.join("batch.c")).arg(core.join("ikcp.c"));
        let program = folder.join(name);
        run(cc.arg("-o").arg(&program)).map(|_| program)
    };
    Ok(Ikcp { load: build("load")?, relay: build("relay")? })
}

fn kcp_go(root: &Path, folder: &Path) -> Result<PathBuf, String> {
    if !Path::new(GOPATH).join("src/github.com/xtaci/kcp-go").exists() {
        return Err("golang-github-xtaci-kcp-dev is not installed".into());
    }
    let program = folder.join("kcp-go");
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(&program).current_dir(root.join("tests/peers"));
    go.envs([("GO111MODULE", "off"), ("CGO_ENABLED", "0"), ("GOPATH", GOPATH)]);
    run(go.env("GOCACHE", folder.join("go-cache"))).map(|_| program)
}

/// Beside this program.
fn folder() -> io::Result<PathBuf> {
    let mut folder = std::env::current_exe()?;
    folder.set_file_name("bench-peers");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Runs a command to its end and returns what it prints.
pub(super) fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.output().map_err(|error| format!("{name}: {error}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    Err(format!("{name}: {}", said.lines().last().unwrap_or("failed")))
}
