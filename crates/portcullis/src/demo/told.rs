//! What the gateway itself says of the sessions: their paths, from its log.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::cell::{Board, Cell, ClientKind, EndpointKind};

/// The log of sessions, read as it grows.
#[derive(Debug)]
pub(super) struct SessionLog {
    file: PathBuf,
    /// How many bytes were read, whole lines only.
    read: u64,
    endpoints: Vec<(SocketAddr, EndpointKind)>,
}

impl SessionLog {
    /// A log in `file`; `endpoints` tell which is which by its address.
    pub(super) fn new(file: PathBuf, endpoints: Vec<(SocketAddr, EndpointKind)>) -> Self {
        Self { file, read: 0, endpoints }
    }

    /// Reads what is new, and notes on the board how each session's bytes were moved.
    ///
    /// A file that is not there yet has nothing new.
    pub(super) fn look(&mut self, board: &Board) {
        let text = self.rest().unwrap_or_default();
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        for line in text[..whole].lines() {
            if let Some((cell, path)) = self.ended(line) {
                board.set_path(cell, &path);
            }
        }
    }

    fn rest(&self) -> Option<String> {
        let mut file = File::open(&self.file).ok()?;
        file.seek(SeekFrom::Start(self.read)).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// The cell and the path of a session that has ended; other lines have none.
    fn ended(&self, line: &str) -> Option<(Cell, String)> {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| line.get(key).and_then(Value::as_str);
        let endpoint: SocketAddr = text("endpoint")?.parse().ok()?;
        let (_, endpoint) = self.endpoints.iter().find(|(address, _)| *address == endpoint)?;
        let listener = text("listener")?;
        let client = ClientKind::ALL.into_iter().find(|client| client.word() == listener)?;
        Some((Cell { client, endpoint: *endpoint }, text("path")?.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn the_path_is_that_of_the_session_s_own_line_however_the_log_grows() {
        let file = std::env::temp_dir().join(format!("portcullis-told-{}.log", std::process::id()));
        std::fs::remove_file(&file).ok(); // left by one of this number that was killed
        let endpoint = "127.0.0.1:7083".parse().unwrap();
        let mut log = SessionLog::new(file.clone(), vec![(endpoint, EndpointKind::Ws)]);
        let board = Board::new();
        log.look(&board);
        let line = |listener: &str, endpoint: &str, path: &str| {
            format!(
                "{{\"listener\":\"{listener}\",\"endpoint\":\"127.0.0.1:{endpoint}\",\"path\":\"{path}\"}}\n"
            )
        };
        let text = ["no json\n", &line("tcp", "7084", "copy"), &line("kcp", "7083", "kcp")].concat();
        let (first, rest) = text.split_at(text.len() - 9);
        for more in [first, rest] {
            let mut whole = std::fs::read_to_string(&file).unwrap_or_default();
            whole.push_str(more);
            std::fs::write(&file, whole).unwrap();
            log.look(&board);
        }
        std::fs::remove_file(&file).unwrap();
        let told: Vec<_> = board.read().into_iter().filter(|row| !row.path.is_empty()).collect();
        let [row] = &told[..] else { panic!("{told:?}") };
        let want = Cell { client: ClientKind::Kcp, endpoint: EndpointKind::Ws };
        assert_eq!((row.cell, row.path.as_str()), (want, "kcp"));
    }
}
