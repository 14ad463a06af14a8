//! The cells of the matrix: who they are, and what has been seen of each.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientKind {
    Tcp,
    Tls,
    Kcp,
    Ws,
    Wss,
}

impl ClientKind {
    /// In the order of the rows.
    pub(super) const ALL: [Self; 5] = [Self::Tcp, Self::Tls, Self::Kcp, Self::Ws, Self::Wss];

    /// Its word in the configuration, and the name of its listener.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Kcp => "kcp",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }
}

/// What an endpoint speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndpointKind {
    Tcp,
    Tls,
    Kcp,
    Ws,
}

impl EndpointKind {
    /// In the order of the rows.
    pub(super) const ALL: [Self; 4] = [Self::Tcp, Self::Tls, Self::Kcp, Self::Ws];

    /// Its word in the configuration, the name of its upstream, and the key that leads there.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Kcp => "kcp",
            Self::Ws => "ws",
        }
    }
}

/// A client and an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) client: ClientKind,
    pub(super) endpoint: EndpointKind,
}

impl Cell {
    /// Every cell, row by row.
    pub(super) fn all() -> Vec<Self> {
        let of = |client| EndpointKind::ALL.map(|endpoint| Self { client, endpoint });
        ClientKind::ALL.into_iter().flat_map(of).collect()
    }
}

/// How far a cell has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing has been tried.
    Waiting,
    /// Its session is open.
    Open,
    /// Its round trips are being measured.
    Asking,
    /// Its bytes are on their way.
    Moving,
    /// Everything arrived as it was sent.
    Done,
    /// Something did not, for this reason.
    Failed(String),
}

/// What has been seen of a cell.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) cell: Cell,
    pub(super) state: State,
    /// Round trips by themselves, nothing else going on.
    pub(super) trips: u64,
    /// How long those took together.
    pub(super) asked_for: Duration,
    /// The middle one.
    pub(super) p50: Duration,
    /// 99 of 100 were no longer.
    pub(super) p99: Duration,
    /// Bytes that the client has sent, headers aside.
    pub(super) up: u64,
    /// Bytes that the client has received, headers aside.
    pub(super) down: u64,
    /// How long `up` and `down` took together.
    pub(super) moving: Duration,
    /// How the gateway moved them, in its own words; empty until it has said so.
    pub(super) path: String,
}

impl Row {
    fn new(cell: Cell) -> Self {
        Self {
            cell,
            state: State::Waiting,
            trips: 0,
            asked_for: Duration::ZERO,
            p50: Duration::ZERO,
            p99: Duration::ZERO,
            up: 0,
            down: 0,
            moving: Duration::ZERO,
            path: String::new(),
        }
    }

    /// Is there nothing more to come but the path?
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Done | State::Failed(_))
    }

    /// Takes the round trips.
    pub(super) fn asked(&mut self, mut trips: Vec<Duration>) {
        trips.sort_unstable();
        let at = |hundredths: usize| trips.get(trips.len() * hundredths / 100).copied().unwrap_or_default();
        (self.p50, self.p99) = (at(50), at(99));
        (self.trips, self.asked_for) = (trips.len() as u64, trips.iter().sum());
    }
}

/// What has been seen of every cell; the lanes write it, the table reads it.
#[derive(Debug)]
pub(super) struct Board(Mutex<Vec<Row>>);

impl Board {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Cell::all().into_iter().map(Row::new).collect()))
    }

    fn rows(&self) -> MutexGuard<'_, Vec<Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything, as it is at this moment.
    pub(super) fn read(&self) -> Vec<Row> {
        self.rows().clone()
    }

    /// Changes a row, unless it is over.
    pub(super) fn change(&self, cell: Cell, change: impl FnOnce(&mut Row)) {
        if let Some(row) = self.rows().iter_mut().find(|row| row.cell == cell && !row.is_over()) {
            change(row);
        }
    }

    /// Fails a cell, unless it is over.
    pub(super) fn fail(&self, cell: Cell, why: &str) {
        self.change(cell, |row| row.state = State::Failed(why.to_owned()));
    }

    /// Fails all that is not over.
    pub(super) fn fail_rest(&self, why: &str) {
        for row in self.rows().iter_mut().filter(|row| !row.is_over()) {
            row.state = State::Failed(why.to_owned());
        }
    }

    /// Notes what the gateway says of a session.
    pub(super) fn set_path(&self, cell: Cell, path: &str) {
        if let Some(row) = self.rows().iter_mut().find(|row| row.cell == cell) {
            path.clone_into(&mut row.path);
        }
    }
}

/// Has every cell done what it should?
pub(super) fn verdict(rows: &[Row]) -> bool {
    rows.len() == Cell::all().len() && rows.iter().all(|row| row.state == State::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cell_that_is_not_done_or_is_not_there_fails_the_demo() {
        let board = Board::new();
        for cell in Cell::all() {
            assert!(!verdict(&board.read()), "{cell:?}");
            board.change(cell, |row| row.state = State::Done);
        }
        assert!(verdict(&board.read()));
        for state in [State::Waiting, State::Open, State::Moving, State::Failed("a byte".into())] {
            let mut rows = board.read();
            rows.iter_mut().skip(7).take(1).for_each(|row| row.state = state.clone());
            assert!(!verdict(&rows), "{state:?}");
        }
        assert!(!verdict(&board.read()[1..]));
    }

    #[test]
    fn what_is_over_stays_as_it_was() {
        let board = Board::new();
        let cell = Cell { client: ClientKind::Tcp, endpoint: EndpointKind::Ws };
        board.fail(cell, "first");
        board.fail(cell, "second");
        board.fail_rest("third");
        let row = board.read().into_iter().find(|row| row.cell == cell);
        assert_eq!(row.map(|row| row.state), Some(State::Failed("first".into())));
    }

    #[test]
    fn percentiles_are_those_of_what_was_measured() {
        let board = Board::new();
        let cell = Cell { client: ClientKind::Kcp, endpoint: EndpointKind::Tls };
        board.change(cell, |row| row.asked((1..=100).rev().map(Duration::from_micros).collect()));
        let row = board.read().into_iter().find(|row| row.cell == cell);
        let seen = row.map(|row| (row.p50.as_micros(), row.p99.as_micros(), row.trips));
        assert_eq!(seen, Some((51, 100, 100)));
    }
}
