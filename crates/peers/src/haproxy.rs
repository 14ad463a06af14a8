//! HAProxy as a peer: the same work done by a gateway that everybody knows.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running HAProxy in `mode tcp` with one thread and default buffers; dropping it ends it.
#[derive(Debug)]
pub struct Haproxy {
    process: Child,
    config: PathBuf,
    addresses: Vec<SocketAddr>,
}

impl Haproxy {
    /// Starts it with one listener on 127.0.0.1 per target; `None` when HAProxy is not installed.
    ///
    /// # Errors
    /// Whatever starting it fails with, and [`ErrorKind::TimedOut`] when it does not listen within 5 s.
    pub fn start(targets: &[SocketAddr]) -> io::Result<Option<Self>> {
        Self::start_with(targets, &[], None)
    }

    /// The same with listeners that speak TLS behind them, one for each of `sealed`, on the certificate and key in
    /// the PEM file `shown`.
    ///
    /// # Errors
    /// As [`Haproxy::start`].
    pub fn start_with(
        targets: &[SocketAddr],
        sealed: &[SocketAddr],
        shown: Option<&Path>,
    ) -> io::Result<Option<Self>> {
        let addresses = free_addresses(targets.len() + sealed.len())?;
        let mut text = String::from(
            "global\n  nbthread 1\n  maxconn 9000\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
             timeout client 1h\n  timeout server 1h\n",
        );
        for (index, (address, target)) in addresses.iter().zip(targets.iter().chain(sealed)).enumerate() {
            let how = match shown.filter(|_| index >= targets.len()) {
                Some(file) => format!(" ssl crt {}", file.display()),
                None => String::new(),
            };
            // Writing into a String cannot fail.
            write!(text, "listen l{index}\n  bind {address}{how}\n  server s{index} {target}\n").ok();
        }
        let port = addresses.first().map_or(0, SocketAddr::port);
        let config =
            std::env::temp_dir().join(format!("portcullis-haproxy-{}-{port}.cfg", std::process::id()));
        fs::write(&config, text)?;
        let started = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match started {
            Ok(process) => process,
            Err(error) => {
                fs::remove_file(&config).ok();
                return if error.kind() == ErrorKind::NotFound { Ok(None) } else { Err(error) };
            }
        };
        let mut haproxy = Self { process, config, addresses };
        haproxy.wait()?;
        Ok(Some(haproxy))
    }

    /// Waits until it accepts connections.
    fn wait(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(5);
        let Some(address) = self.addresses.first().copied() else { return Ok(()) };
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.process.try_wait()? {
                return Err(io::Error::other(format!("haproxy ended with {status}")));
            }
            if Instant::now() > deadline {
                return Err(ErrorKind::TimedOut.into());
            }
            thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The listener in front of the target of that index.
    ///
    /// # Panics
    /// When there was no target of that index.
    #[must_use]
    pub fn address(&self, index: usize) -> SocketAddr {
        self.addresses[index]
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // Each of these fails only when there is nothing left to end or to remove.
        self.process.kill().ok();
        self.process.wait().ok();
        fs::remove_file(&self.config).ok();
    }
}

/// Finds addresses that nothing listens on. HAProxy cannot tell which port a `0` became, so there is a moment
/// in which another process could take one; HAProxy then does not start, and that is told.
fn free_addresses(count: usize) -> io::Result<Vec<SocketAddr>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    held.iter().map(TcpListener::local_addr).collect()
}
