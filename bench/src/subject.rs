//! What is measured: a direct connection, HAProxy and Portcullis, each in front of the same endpoints.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_peers::{Gateway, Haproxy};

use crate::load::Target;
use crate::sealed::{SealedTarget, Shown};
use crate::server::Server;

/// One column of the table.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// The process to account for; a direct connection has none.
    pub(crate) pid: Option<u32>,
    pub(crate) echo: Target,
    pub(crate) source: Target,
    /// The echo behind a length-prefixed hello.
    pub(crate) hello: Option<Target>,
    /// Echo and source behind TLS.
    pub(crate) sealed: Option<[SealedTarget; 2]>,
    /// Ends with the subject.
    _process: Process,
}

#[expect(dead_code, reason = "held for its end only")]
enum Process {
    None,
    Haproxy(Haproxy),
    Portcullis(Gateway, Folder),
}

/// A folder that goes with its owner.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    /// Makes one for this run.
    pub(crate) fn make(what: &str) -> io::Result<Self> {
        let folder =
            Self(std::env::temp_dir().join(format!("portcullis-bench-{what}-{}", std::process::id())));
        fs::create_dir_all(&folder.0)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

impl Subject {
    /// The endpoints themselves.
    pub(crate) fn direct(server: Server) -> Self {
        let (echo, source) = (server.echo.into(), server.source.into());
        Self { name: "direct", pid: None, echo, source, hello: None, sealed: None, _process: Process::None }
    }

    /// HAProxy as Debian ships it, `mode tcp`, one thread; `None` when it is not installed.
    pub(crate) fn haproxy(server: Server, shown: &Shown) -> io::Result<Option<Self>> {
        let targets = [server.echo, server.source];
        let started = Haproxy::start_with(&targets, &targets, Some(&shown.file))?;
        Ok(started.map(|haproxy| Self {
            name: "haproxy",
            pid: Some(haproxy.pid()),
            echo: haproxy.address(0).into(),
            source: haproxy.address(1).into(),
            hello: None,
            sealed: Some([2, 3].map(|index| shown.at(haproxy.address(index)))),
            _process: Process::Haproxy(haproxy),
        }))
    }

    /// Portcullis with one worker; like HAProxy here it writes no line per session.
    pub(crate) fn portcullis(server: Server, shown: &Shown, binary: &Path) -> io::Result<Self> {
        let folder = Folder::make("gateway")?;
        fs::write(folder.0.join("config.toml"), config(server, shown, &folder.0))?;
        let gateway = Gateway::start(Command::new(binary), &folder.0)?;
        let listener =
            |name| gateway.listener(name).ok_or_else(|| io::Error::other(format!("no listener {name}")));
        let key = server.echo.to_string();
        let hello = Target {
            address: listener("hello")?,
            hello: [&(key.len() as u32).to_le_bytes()[..], key.as_bytes()].concat(),
            answer: 4 + "ok".len(),
        };
        Ok(Self {
            name: "portcullis",
            pid: Some(gateway.pid()),
            echo: listener("echo")?.into(),
            source: listener("source")?.into(),
            hello: Some(hello),
            sealed: Some([shown.at(listener("sealed-echo")?), shown.at(listener("sealed-source")?)]),
            _process: Process::Portcullis(gateway, folder),
        })
    }
}

fn config(server: Server, shown: &Shown, folder: &Path) -> String {
    let pem = shown.file.display();
    let sealed = |name: &str| {
        format!(
            "[[listener]]\nname = \"sealed-{name}\"\nprotocol = \"tls\"\nbind = [\"127.0.0.1:0\"]\nhello = \"none\"\n\
             route = \"{name}\"\ntls = {{ certs = [{{ cert = \"{pem}\", key = \"{pem}\" }}] }}\n\n"
        )
    };
    let fixed = |name: &str, endpoint: SocketAddr| {
        format!(
            "[[listener]]\nname = \"{name}\"\nprotocol = \"tcp\"\nbind = [\"127.0.0.1:0\"]\nhello = \"none\"\n\
             route = \"{name}\"\n\n[route.{name}]\nresolver = \"upstream\"\nupstreams = [\"{name}\"]\n\n\
             [upstream.{name}]\nprotocol = \"tcp\"\nendpoints = [{{ address = \"{endpoint}\" }}]\n\n"
        )
    };
    format!(
        "workers = 1\n\n[log]\nlevel = \"warn\"\n\n[admin]\nbind = \"127.0.0.1:0\"\ntoken_file = \"{}/token\"\n\n\
         {}{}{}{}[[listener]]\nname = \"hello\"\nprotocol = \"tcp\"\nbind = [\"127.0.0.1:0\"]\n\
         hello = \"length-prefixed\"\nroute = \"hello\"\n\n\
         [route.hello]\nresolver = \"address\"\nallow = [\"127.0.0.0/8:*\"]\n",
        folder.display(),
        fixed("echo", server.echo),
        fixed("source", server.source),
        sealed("echo"),
        sealed("source"),
    )
}
