//! The table: drawn over itself on a terminal, a line for each event elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use portcullis_sys::terminal;

use super::cell::{Row, State};

/// A line above the rows and one below them, and the one on which the cursor stands.
const LINES_BESIDES_ROWS: usize = 3;
/// Blanks between two columns.
const GAP: usize = 2;
/// The title, the width, and how soon the column is left out where there is no room: the largest number first.
const COLUMNS: [(&str, usize, u8); 8] = [
    ("client", 6, 0),
    ("endpoint", 8, 0),
    ("state", 8, 0),
    ("trips/s", 8, 4),
    ("p50", 8, 2),
    ("p99", 8, 5),
    ("MiB/s", 7, 1),
    ("path", 6, 3),
];
/// Where the numbers are: those stand at the right of their column.
const NUMBERS: std::ops::Range<usize> = 3..7;
/// Where the state is.
const STATE: usize = 2;

/// Who looks.
#[derive(Debug)]
pub(super) enum Screen {
    /// Nobody: only the last word is printed.
    Silent,
    /// Something that reads lines, with the states it was told.
    Lines(Vec<State>),
    /// A terminal of so many columns, on which so many lines were drawn.
    Terminal { columns: usize, colour: bool, drawn: usize },
}

impl Screen {
    /// What stdout is; `colour` = may there be any?
    pub(super) fn of_stdout(colour: bool, rows: usize) -> Self {
        let size = if io::stdout().is_terminal() { terminal::size(io::stdout()).ok() } else { None };
        match size {
            // What scrolls out at the top cannot be drawn over.
            Some(size) if usize::from(size.rows) >= rows + LINES_BESIDES_ROWS && size.columns > 0 => {
                Self::Terminal { columns: size.columns.into(), colour, drawn: 0 }
            }
            _ => Self::Lines(Vec::new()),
        }
    }

    /// Shows the rows as they are; the `last` time also those of which the gateway has not said everything.
    pub(super) fn draw(&mut self, rows: &[Row], last: Last) {
        let mut text = String::new();
        match self {
            Self::Silent => return,
            Self::Lines(told) => {
                if told.is_empty() {
                    text.push_str(&titles(usize::MAX));
                    text.push('\n');
                    told.resize(rows.len(), State::Waiting);
                }
                for (row, told) in rows.iter().zip(told) {
                    if row.state == *told || (last == Last::No && is_half_told(row)) {
                        continue;
                    }
                    if is_an_event(&row.state, told) {
                        text.push_str(&line(row, usize::MAX, false));
                        text.push('\n');
                    }
                    told.clone_from(&row.state);
                }
            }
            Self::Terminal { columns, colour, drawn } => {
                if *drawn > 0 {
                    text.push_str(&format!("\x1b[{drawn}A"));
                }
                let titles = titles(*columns);
                let head = if *colour { format!("\x1b[2m{titles}\x1b[0m") } else { titles };
                let lines = rows.iter().map(|row| line(row, *columns, *colour));
                for line in std::iter::once(head).chain(lines) {
                    text.push_str(&format!("\x1b[2K{line}\n"));
                }
                *drawn = rows.len() + 1;
            }
        }
        say(&text);
    }
}

/// Is this the last time that rows are shown?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Yes,
    No,
}

/// The path of a session is known only once it has ended.
fn is_half_told(row: &Row) -> bool {
    row.state == State::Done && row.path.is_empty()
}

/// Prints; nobody may be reading.
pub(super) fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    let _closed = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Opened, done and failed are worth a line; what a cell does in between is not.
fn is_an_event(state: &State, before: &State) -> bool {
    match state {
        State::Open => *before == State::Waiting,
        State::Done | State::Failed(_) => true,
        State::Waiting | State::Asking | State::Moving => false,
    }
}

/// Which columns there is room for.
fn shown(columns: usize) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..COLUMNS.len()).collect();
    let width = |shown: &[usize]| shown.iter().map(|index| COLUMNS[*index].1 + GAP).sum::<usize>();
    while width(&shown) > columns {
        let last = shown.iter().copied().max_by_key(|index| COLUMNS[*index].2);
        match last.filter(|index| COLUMNS[*index].2 > 0) {
            Some(last) => shown.retain(|index| *index != last),
            None => break,
        }
    }
    shown
}

fn titles(columns: usize) -> String {
    join(shown(columns).into_iter().map(|index| pad(index, COLUMNS[index].0)), columns)
}

fn line(row: &Row, columns: usize, colour: bool) -> String {
    let cells = cells(row);
    let painted = |index: usize| {
        let text = pad(index, &cells[index]);
        let paint = match row.state {
            State::Done => "\x1b[32m",
            State::Failed(_) => "\x1b[31m",
            State::Asking | State::Moving => "\x1b[33m",
            State::Waiting | State::Open => "\x1b[2m",
        };
        if colour && index == STATE { format!("{paint}{text}\x1b[0m") } else { text }
    };
    // Colours take no room: a line is cut only where there are none.
    join(shown(columns).into_iter().map(painted), if colour { usize::MAX } else { columns })
}

fn pad(index: usize, text: &str) -> String {
    let width = COLUMNS[index].1;
    if NUMBERS.contains(&index) { format!("{text:>width$}") } else { format!("{text:<width$}") }
}

fn join(cells: impl Iterator<Item = String>, columns: usize) -> String {
    let line = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
    line.trim_end().chars().take(columns).collect()
}

fn cells(row: &Row) -> [String; COLUMNS.len()] {
    let measured = row.trips > 0;
    let or_nothing = |there: bool, text: String| if there { text } else { "-".into() };
    let per_second = row.trips as f64 / row.asked_for.as_secs_f64().max(1e-9);
    let moved = (row.up + row.down) as f64 / f64::from(1 << 20);
    let rate = moved / row.moving.as_secs_f64().max(1e-9);
    [
        row.cell.client.word().into(),
        row.cell.endpoint.word().into(),
        word(&row.state).into(),
        or_nothing(measured, format!("{per_second:.0}")),
        or_nothing(measured, show(row.p50)),
        or_nothing(measured, show(row.p99)),
        or_nothing(row.moving > Duration::ZERO, format!("{rate:.0}")),
        or_nothing(!row.path.is_empty(), row.path.clone()),
    ]
}

fn word(state: &State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Open => "open",
        State::Asking => "asking",
        State::Moving => "moving",
        State::Done => "ok",
        State::Failed(_) => "failed",
    }
}

fn show(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..10_000 => format!("{:.1} ms", micros as f64 / 1000.0),
        _ => format!("{} ms", micros / 1000),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::cell::Board;
    use super::*;

    fn row() -> Row {
        let mut row = Board::new().read().swap_remove(0);
        row.asked(vec![Duration::from_micros(50); 100]);
        (row.up, row.down, row.moving) = (8 << 20, 8 << 20, Duration::from_secs(2));
        (row.state, row.path) = (State::Done, "splice".into());
        row
    }

    #[test]
    fn a_row_has_every_figure_under_its_title() {
        let titles = titles(80);
        let line = line(&row(), 80, false);
        assert_eq!(titles, "client  endpoint  state      trips/s       p50       p99    MiB/s  path");
        assert_eq!(line, "tcp     tcp       ok           20000     50 µs     50 µs        8  splice");
    }

    #[test]
    fn no_terminal_is_too_narrow_for_a_line() {
        for columns in 1..100 {
            for text in [titles(columns), line(&row(), columns, false)] {
                assert!(text.chars().count() <= columns, "{columns}: {text:?}");
            }
        }
        let narrow = line(&row(), 40, false);
        assert!(narrow.contains("ok") && narrow.contains('8') && !narrow.contains("splice"), "{narrow:?}");
    }

    #[test]
    fn colours_are_around_the_state_only_and_none_without_leave() {
        assert!(line(&row(), 80, true).contains("\x1b[32mok      \x1b[0m  "));
        assert!(!line(&row(), 80, false).contains('\x1b'));
    }

    #[test]
    fn a_line_is_told_when_a_cell_opens_and_when_it_is_over() {
        let failed = State::Failed("a byte".into());
        for (state, before, told) in [
            (State::Open, State::Waiting, true),
            (State::Open, State::Asking, false),
            (State::Moving, State::Open, false),
            (State::Done, State::Moving, true),
            (failed, State::Waiting, true),
        ] {
            assert_eq!(is_an_event(&state, &before), told, "{before:?} → {state:?}");
        }
    }
}
