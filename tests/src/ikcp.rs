//! The original KCP core in C as a peer: plain KCP without cipher or FEC, stream or message mode.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use crate::foreign::{Process, build, sources};
use crate::skip;

/// The built program.
#[derive(Clone, Debug)]
pub struct Ikcp {
    program: PathBuf,
}

impl Ikcp {
    /// Fetches the core and builds the program, or files that `test` is skipped because that cannot be done.
    #[must_use]
    pub fn have(test: &str) -> Option<Self> {
        if !skip::have(test, &["cc", "python3", "pip3", "flock"]) {
            return None;
        }
        static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
        let program = PROGRAM.get_or_init(|| {
            let fetched = Command::new(sources().join("ikcp/core")).output().unwrap();
            eprint!("{}", String::from_utf8_lossy(&fetched.stderr));
            let core = PathBuf::from(String::from_utf8(fetched.stdout).unwrap().trim_end());
            fetched.status.success().then(|| {
                let mut cc = Command::new("cc");
                cc.args(["-O2", "-I"]).arg(&core).arg(sources().join("ikcp/ikcp.c")).arg(core.join("ikcp.c"));
                build("ikcp", cc.arg("-o"))
            })
        });
        if program.is_none() {
            skip::skip(test, "the C core of KCP cannot be fetched");
        }
        program.clone().map(|program| Self { program })
    }

    /// Starts a session of number `conv` to `to`.
    #[must_use]
    pub fn connect(&self, to: SocketAddr, conv: u32, mode: &str) -> Session {
        let mut command = Command::new(&self.program);
        command.arg(to.ip().to_string()).arg(to.port().to_string()).arg(conv.to_string());
        command.args([mode, "256", "1350"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        let (up, down) = (process.0.stdin.take().unwrap(), process.0.stdout.take().unwrap());
        Session { up, down, _process: process }
    }
}

/// A session that is read and written like a stream; dropping it ends it without a word, as KCP does.
#[derive(Debug)]
pub struct Session {
    up: ChildStdin,
    down: ChildStdout,
    _process: Process,
}

impl Read for Session {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.down.read(buffer)
    }
}

impl Write for Session {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.up.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.up.flush()
    }
}
