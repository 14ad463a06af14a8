//! The run: every session is opened, each is asked for its round trips while nothing else goes on, then a few at a
//! time move their bytes.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_peers::Trust;

use super::cell::{Board, Cell, ClientKind, EndpointKind, Row, State};
use super::exchange;
use super::line::Line;

/// How many sessions move bytes at a time; more would only wait for the processors.
const LANES: usize = 4;
/// What each cell moves at least, each way, in bytes.
const ROUND: u64 = 8 << 20;
/// The fewest round trips that a figure is made of.
const TRIPS: usize = 16;
/// How long a silent session is waited for: a share of the time, and no less than this.
const PATIENCE: Duration = Duration::from_secs(2);
/// Shares of the time, in hundredths: silence, round trips, and what is left for the slow at the end.
const SILENT: u32 = 30;
const ASKING: u32 = 15;
const RESERVE: u32 = 20;

/// What the run needs.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) board: Arc<Board>,
    pub(super) trust: Trust,
    /// Where each kind of client connects.
    pub(super) gates: Vec<(ClientKind, SocketAddr)>,
    /// How long it may take.
    pub(super) time: Duration,
    /// Is one round enough?
    pub(super) once: bool,
    /// When it must be over.
    pub(super) deadline: Instant,
}

/// A cell and its session, as long as all is well.
#[derive(Debug)]
pub(super) struct Seat {
    cell: Cell,
    line: Option<Line>,
}

impl Run {
    /// Does all of it, and returns the sessions: those of KCP live until they are dropped.
    pub(super) fn run(&self) -> Vec<Seat> {
        let mut seats: Vec<Seat> = Cell::all().into_iter().map(|cell| Seat { cell, line: None }).collect();
        let cells = seats.len() as u32;
        in_lanes(LANES, &mut seats, |seat| self.open(seat));
        let share = if self.once { Duration::ZERO } else { self.time * ASKING / 100 / cells };
        in_lanes(1, &mut seats, |seat| self.attend(seat, |cell, line| self.ask(cell, line, share)));
        let left = AtomicU32::new(cells);
        in_lanes(LANES, &mut seats, |seat| {
            let share = self.share(left.fetch_sub(1, Ordering::Relaxed));
            self.attend(seat, |cell, line| self.transfer(cell, line, share));
        });
        seats
    }

    fn open(&self, seat: &mut Seat) {
        let cell = seat.cell;
        let gate = self.gates.iter().find(|(client, _)| *client == cell.client).map(|(_, gate)| *gate);
        let opened = gate.ok_or_else(|| ErrorKind::AddrNotAvailable.into());
        match opened.and_then(|gate| Line::open(cell.client, gate, &self.trust, cell.endpoint.word())) {
            Ok(line) => {
                seat.line = Some(line);
                self.board.change(cell, |row| row.state = State::Open);
            }
            Err(error) => self.board.fail(cell, &format!("open: {error}")),
        }
    }

    /// Does `work` on a session that is open; one that fails is closed and its cell has failed.
    fn attend(&self, seat: &mut Seat, work: impl FnOnce(Cell, &Line) -> io::Result<()>) {
        let Some(line) = &seat.line else { return };
        if let Err(error) = work(seat.cell, line) {
            self.board.fail(seat.cell, &self.why(&error));
            seat.line = None;
        }
    }

    /// What each of the last `cells` has of the time that is left for moving.
    fn share(&self, cells: u32) -> Duration {
        if self.once {
            return Duration::ZERO;
        }
        let end = self.deadline.checked_sub(self.time * RESERVE / 100).unwrap_or(self.deadline);
        end.saturating_duration_since(Instant::now()) * LANES as u32 / cells.max(1)
    }

    fn patience(&self) -> Duration {
        PATIENCE.max(self.time * SILENT / 100)
    }

    fn why(&self, error: &io::Error) -> String {
        match error.kind() {
            ErrorKind::WouldBlock => format!("nothing came for {:?}", self.patience()),
            _ => error.to_string(),
        }
    }

    /// Measures round trips for `share`.
    fn ask(&self, cell: Cell, line: &Line, share: Duration) -> io::Result<()> {
        self.board.change(cell, |row| row.state = State::Asking);
        let trips =
            line.with(self.patience(), |stream| exchange::ask(stream, TRIPS, Instant::now() + share))?;
        self.board.change(cell, |row| {
            row.asked(trips);
            row.state = State::Open;
        });
        Ok(())
    }

    /// Moves bytes both ways for `share`, at least a round, and ends the session.
    fn transfer(&self, cell: Cell, line: &Line, share: Duration) -> io::Result<()> {
        self.board.change(cell, |row| row.state = State::Moving);
        let began = Instant::now();
        let mut rounds = 0;
        // Another round, if it ends in time when it is as fast as those before it.
        while rounds == 0 || began.elapsed() * (rounds + 1) / rounds < share {
            rounds += 1;
            self.round(cell, line, rounds.into(), began)?;
        }
        // KCP has no word for an end: its sessions end with the demo.
        if cell.client != ClientKind::Kcp && cell.endpoint != EndpointKind::Kcp {
            line.end(self.patience())?;
        }
        self.board.change(cell, |row| row.state = State::Done);
        Ok(())
    }

    /// Moves [`ROUND`] bytes of a seed each way.
    fn round(&self, cell: Cell, line: &Line, seed: u64, began: Instant) -> io::Result<()> {
        line.with(self.patience(), |stream| {
            let mut told = |more| self.moved(cell, began, |row| row.up += more);
            exchange::up(stream, seed, ROUND, &mut told)?;
            let mut told = |more| self.moved(cell, began, |row| row.down += more);
            exchange::down(stream, !seed, ROUND, &mut told)
        })
    }

    /// Notes a piece; the deadline is the end of it.
    fn moved(&self, cell: Cell, began: Instant, note: impl FnOnce(&mut Row)) -> io::Result<()> {
        self.board.change(cell, |row| {
            note(row);
            row.moving = began.elapsed();
        });
        if Instant::now() > self.deadline { Err(ErrorKind::TimedOut.into()) } else { Ok(()) }
    }
}

/// Does `work` on each item, on so many threads.
fn in_lanes<T: Send>(lanes: usize, items: &mut [T], work: impl Fn(&mut T) + Sync) {
    let queue = Mutex::new(items.iter_mut());
    thread::scope(|scope| {
        for _ in 0..lanes {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(item) = next else { return };
                    work(item);
                }
            });
        }
    });
}
