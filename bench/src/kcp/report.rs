//! The KCP rows as a table and as JSON.

use serde_json::{Map, Value, json};

use super::subject::Subject;
use super::{Done, Found, Row, kcp_go_version};
use crate::report::{GIB, middle, rounded};

/// How a row is told.
struct Told {
    row: Row,
    name: String,
    /// What a second brings.
    rate: Figure,
    /// What one unit costs the gateway.
    cost: Figure,
    goal: Goal,
}

/// A number of a measurement, and its unit.
#[derive(Clone, Copy)]
struct Figure {
    unit: &'static str,
    of: fn(&Done) -> f64,
}

/// What this project expects of itself.
#[derive(Clone, Copy)]
enum Goal {
    /// At most so much of kcp-go's cost.
    Cost(f64),
    /// At least so much of C ikcp's rate.
    Rate(f64),
    /// At most so much, by itself.
    AtMost(f64),
    None,
}

const MEGABYTES: Figure = Figure { unit: "MB/s", of: |done| done.units as f64 / 1e6 / done.seconds };
const PER_GIB: Figure =
    Figure { unit: "CPU s/GiB", of: |done| done.cpu.as_secs_f64() * GIB / done.units as f64 };
const MESSAGES: Figure = Figure { unit: "messages/s", of: |done| done.units as f64 / done.seconds };
const PER_MESSAGE: Figure =
    Figure { unit: "CPU us/message", of: |done| done.cpu.as_secs_f64() * 1e6 / done.units as f64 };
const MEMORY: Figure = Figure { unit: "bytes/session", of: |done| done.memory };
const BUSY: Figure = Figure { unit: "% CPU", of: |done| done.cpu.as_secs_f64() * 100.0 / done.seconds };

impl Told {
    fn of(row: Row) -> Self {
        let bulk = |name: &str, goal| Self { row, name: name.into(), rate: MEGABYTES, cost: PER_GIB, goal };
        let lossy = |way: &str, loss: u8| bulk(&format!("kcp bulk {way}, {loss} % loss"), Goal::Rate(1.0));
        match row {
            Row::Up(0) => bulk("kcp bulk up", Goal::Cost(0.6)),
            Row::Down(0) => bulk("kcp bulk down", Goal::Cost(0.6)),
            Row::Up(loss) => lossy("up", loss),
            Row::Down(loss) => lossy("down", loss),
            Row::FecUp => bulk("kcp bulk up, FEC 10/3", Goal::None),
            Row::FecDown => bulk("kcp bulk down, FEC 10/3", Goal::None),
            Row::Messages => Self {
                row,
                name: "kcp 1000 sessions, 20/s, 64 B".into(),
                rate: MESSAGES,
                cost: PER_MESSAGE,
                goal: Goal::Cost(0.4),
            },
            Row::Idle => Self {
                row,
                name: "kcp 5000 idle sessions".into(),
                rate: MEMORY,
                cost: BUSY,
                goal: Goal::AtMost(1536.0),
            },
        }
    }

    fn figure(&self, found: &Found, subject: Subject, figure: Figure) -> Option<f64> {
        found.rounds.get(&(self.row, subject)).map(|rounds| middle(rounds, figure.of))
    }

    /// What is compared with the goal, and whether it is reached.
    fn verdict(&self, found: &Found) -> Option<Verdict> {
        let of = |subject, figure| self.figure(found, subject, figure);
        let ratio = |figure, to| Some(of(Subject::Portcullis, figure)? / of(to, figure)?);
        Some(match self.goal {
            Goal::Cost(goal) => {
                Verdict::new("cost against kcp-go", ratio(self.cost, Subject::KcpGo)?, goal, true)
            }
            Goal::Rate(goal) => {
                Verdict::new("rate against ikcp", ratio(self.rate, Subject::Ikcp)?, goal, false)
            }
            Goal::AtMost(goal) => {
                Verdict::new(self.rate.unit, of(Subject::Portcullis, self.rate)?, goal, true)
            }
            Goal::None => return None,
        })
    }
}

struct Verdict {
    what: &'static str,
    value: f64,
    goal: f64,
    reached: bool,
}

impl Verdict {
    fn new(what: &'static str, value: f64, goal: f64, at_most: bool) -> Self {
        Self { what, value, goal, reached: if at_most { value <= goal } else { value >= goal } }
    }
}

/// Prints the table.
pub(crate) fn print(found: &Found) {
    let measured = |told: &Told| found.rounds.keys().any(|(row, _)| *row == told.row);
    for told in Row::ALL.map(Told::of).into_iter().filter(measured) {
        println!("\n{} ({}; {})", told.name, told.rate.unit, told.cost.unit);
        for subject in Subject::ALL {
            let Some(rounds) = found.rounds.get(&(told.row, subject)) else { continue };
            let times = if told.row == Row::Messages {
                let [p50, p99] = [|done: &Done| done.p50 as f64, |done: &Done| done.p99 as f64];
                format!("  p50 {:.0} us, p99 {:.0} us", middle(rounds, p50), middle(rounds, p99))
            } else {
                String::new()
            };
            let [rate, cost] = [told.rate, told.cost].map(|figure| middle(rounds, figure.of));
            let load = match middle(rounds, |done| done.load * 100.0) {
                0.0 => String::new(),
                load => format!("  (load {load:.0} %)"),
            };
            println!("  {:<11} {rate:>10.1}  {cost:>8.3}{times}{load}", subject.name());
        }
        if let Some(Verdict { what, value, goal, reached }) = told.verdict(found) {
            let word = if reached { "reached" } else { "missed" };
            println!("  {what}: {value:.2} (goal {goal:.2}: {word})");
        }
    }
    for note in &found.notes {
        println!("\nnote: {note}");
    }
}

/// The rows for the file.
pub(crate) fn json(found: &Found) -> Value {
    let rows: Vec<Value> = Row::ALL.map(Told::of).iter().map(|told| row(told, found)).collect();
    json!({ "kcp_go": kcp_go_version(), "rows": rows, "notes": found.notes })
}

fn row(told: &Told, found: &Found) -> Value {
    let of = |rounds: &Vec<Done>| {
        json!({
            told.rate.unit: rounded(middle(rounds, told.rate.of)),
            told.cost.unit: rounded(middle(rounds, told.cost.of)),
            "p50_us": rounded(middle(rounds, |done| done.p50 as f64)),
            "p99_us": rounded(middle(rounds, |done| done.p99 as f64)),
            "load_busy": rounded(middle(rounds, |done| done.load)),
            "rounds": rounds.len(),
        })
    };
    let measured =
        |subject: Subject| Some((subject.name().into(), of(found.rounds.get(&(told.row, subject))?)));
    let subjects: Map<String, Value> = Subject::ALL.into_iter().filter_map(measured).collect();
    let verdict = told.verdict(found);
    let verdict = verdict.map(|Verdict { what, value, goal, reached }| {
        json!({ "what": what, "value": rounded(value), "goal": goal, "reached": reached })
    });
    json!({ "row": told.name, "verdict": verdict, "subjects": subjects })
}
