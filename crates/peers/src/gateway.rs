//! The gateway itself as a process: started on a config in a folder of its own, found by its addresses file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the gateway may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running gateway; dropping it kills it.
#[derive(Debug)]
pub struct Gateway {
    process: Child,
    folder: PathBuf,
    listeners: BTreeMap<String, Vec<SocketAddr>>,
    admin: Option<SocketAddr>,
}

impl Gateway {
    /// Starts `command` (the binary, or something that executes it) on `config.toml` in `folder` and waits
    /// until it is ready. What it writes to stderr goes to `stderr.log` there.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] when it is not ready within 30 s; [`ErrorKind::Other`] with its exit status and
    /// what it said when it ended instead; and whatever starting it fails with.
    pub fn start(mut command: Command, folder: &Path) -> io::Result<Self> {
        let found = folder.join("addresses.json");
        // That of an earlier run would be taken for this one's; most often there is none.
        fs::remove_file(&found).ok();
        let process = command
            .arg("run")
            .arg("--config")
            .arg(folder.join("config.toml"))
            .arg("--addresses-file")
            .arg(&found)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("stderr.log"))?)
            .spawn()?;
        let mut gateway = Self { process, folder: folder.into(), listeners: BTreeMap::new(), admin: None };
        let deadline = Instant::now() + READY_WITHIN;
        while !found.exists() {
            if let Some(status) = gateway.process.try_wait()? {
                return Err(io::Error::other(format!("{status}\n{}", gateway.stderr())));
            }
            if Instant::now() > deadline {
                return Err(io::Error::new(ErrorKind::TimedOut, format!("not ready\n{}", gateway.stderr())));
            }
            thread::park_timeout(Duration::from_millis(2));
        }
        gateway.read_addresses(&fs::read_to_string(found)?)?;
        Ok(gateway)
    }

    /// Reads `{"listeners":{name:[address]},"admin":address or null}`.
    fn read_addresses(&mut self, text: &str) -> io::Result<()> {
        let tree: serde_json::Value = serde_json::from_str(text)?;
        let address = |value: &serde_json::Value| value.as_str().and_then(|text| text.parse().ok());
        for (name, addresses) in tree["listeners"].as_object().into_iter().flatten() {
            let addresses = addresses.as_array().into_iter().flatten().filter_map(address).collect();
            self.listeners.insert(name.clone(), addresses);
        }
        self.admin = address(&tree["admin"]);
        Ok(())
    }

    /// The first address of a listener; one that is bound to a wildcard is reached on loopback.
    #[must_use]
    pub fn listener(&self, name: &str) -> Option<SocketAddr> {
        self.listeners.get(name)?.first().copied().map(reachable)
    }

    /// The admin listener's address, if there is one.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The folder with its config and its logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it wrote to stderr until now.
    #[must_use]
    pub fn stderr(&self) -> String {
        fs::read(self.folder.join("stderr.log")).map_or_else(
            |error| format!("stderr.log: {error}"),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }

    /// Waits until it has ended; `None` when it has not within `time`.
    ///
    /// # Errors
    /// Whatever waiting fails with.
    pub fn wait(&mut self, time: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + time;
        loop {
            let status = self.process.try_wait()?;
            if status.is_some() || Instant::now() > deadline {
                return Ok(status);
            }
            thread::park_timeout(Duration::from_millis(2));
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Both fail only when it has ended and been waited for.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Returns where a client reaches what listens on `address`.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        // A wildcard of IPv6 is dual stack, so IPv4's loopback reaches either.
        address = (std::net::Ipv4Addr::LOCALHOST, address.port()).into();
    }
    address
}
