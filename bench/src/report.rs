//! What the run found: a table for the terminal, one JSON line for the file.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::load::Done;
use crate::sealed::AGREED;
use crate::smoke::{Found, Row};

/// How a row is told.
struct Told {
    row: Row,
    name: &'static str,
    /// What a second brings.
    rate: fn(&Done) -> f64,
    rate_unit: &'static str,
    /// What one unit costs the proxy.
    cost: fn(&Done) -> f64,
    cost_unit: &'static str,
    /// The most of HAProxy's cost that this project accepts.
    goal: Option<f64>,
}

/// Bytes.
pub(crate) const GIB: f64 = (1_u64 << 30) as f64;

fn gbits(done: &Done) -> f64 {
    done.units as f64 * 8.0 / 1e9 / done.seconds
}
fn per_second(done: &Done) -> f64 {
    done.units as f64 / done.seconds
}
fn seconds_per_gib(done: &Done) -> f64 {
    done.cpu.as_secs_f64() * GIB / done.units as f64
}
fn micros_per_unit(done: &Done) -> f64 {
    done.cpu.as_secs_f64() * 1e6 / done.units as f64
}

fn told() -> [Told; 7] {
    let bulk = |row, name| Told {
        row,
        name,
        rate: gbits,
        rate_unit: "Gbit/s",
        cost: seconds_per_gib,
        cost_unit: "CPU s/GiB",
        goal: Some(0.35),
    };
    let count = |row, name, rate_unit, cost_unit, goal| Told {
        row,
        name,
        rate: per_second,
        rate_unit,
        cost: micros_per_unit,
        cost_unit,
        goal,
    };
    [
        bulk(Row::Bulk1, "bulk down, 1 connection"),
        bulk(Row::Bulk8, "bulk down, 8 connections"),
        count(
            Row::PingPong,
            "ping-pong 64 B, 64 connections",
            "round trips/s",
            "CPU us/round trip",
            Some(0.95),
        ),
        count(Row::Churn, "connect and close, 64 slots", "connections/s", "CPU us/connection", Some(0.95)),
        count(
            Row::ChurnHello,
            "the same with a length-prefixed hello",
            "connections/s",
            "CPU us/connection",
            None,
        ),
        Told { goal: None, ..bulk(Row::SealedBulk, "bulk down over TLS, 1 connection") },
        count(
            Row::SealedChurn,
            "TLS handshake, message, close, 16 slots",
            "connections/s",
            "CPU us/connection",
            None,
        ),
    ]
}

/// Returns the middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The median of a figure over the rounds.
pub(crate) fn middle<T>(rounds: &[T], of: fn(&T) -> f64) -> f64 {
    median(rounds.iter().map(of).collect())
}

/// Prints the table.
pub(crate) fn print(found: &Found) {
    for told in told() {
        println!("\n{} ({}; {})", told.name, told.rate_unit, told.cost_unit);
        for name in &found.subjects {
            let Some(rounds) = found.rounds.get(&(told.row, *name)) else { continue };
            let errors: u64 = rounds.iter().map(|done| done.errors).sum();
            let cost =
                if *name == "direct" { "-".into() } else { format!("{:.3}", middle(rounds, told.cost)) };
            let times = match told.row {
                Row::Bulk1 | Row::Bulk8 | Row::SealedBulk => String::new(),
                Row::PingPong | Row::Churn | Row::ChurnHello | Row::SealedChurn => format!(
                    "  p50 {:.0} us, p99 {:.0} us",
                    middle(rounds, |done| done.p50 as f64),
                    middle(rounds, |done| done.p99 as f64)
                ),
            };
            let failed = if errors == 0 { String::new() } else { format!("  {errors} FAILED") };
            println!("  {name:<11} {:>10.1}  {cost:>8}{times}{failed}", middle(rounds, told.rate));
        }
        if let Some(ratio) = ratio(found, &told) {
            let goal = told.goal.map(|goal| {
                let word = if ratio <= goal { "reached" } else { "missed" };
                format!(" (goal {goal:.2}: {word})")
            });
            println!("  cost against haproxy: {ratio:.2}{}", goal.unwrap_or_default());
        }
    }
    for (what, idle) in [("", &found.idle), (", TLS", &found.sealed_idle)] {
        println!("\nidle memory (bytes per session{what})");
        for (name, bytes) in idle {
            println!("  {name:<11} {bytes:>10.0}");
        }
    }
    println!("\nTLS everywhere: {AGREED}");
    for note in &found.notes {
        println!("\nnote: {note}");
    }
}

/// What Portcullis costs of what HAProxy costs, when both were measured.
fn ratio(found: &Found, told: &Told) -> Option<f64> {
    let cost = |row, name| found.rounds.get(&(row, name)).map(|rounds| middle(rounds, told.cost));
    // HAProxy has no hello: its plain connection is what there is to compare with.
    let theirs = if told.row == Row::ChurnHello { Row::Churn } else { told.row };
    Some(cost(told.row, "portcullis")? / cost(theirs, "haproxy")?)
}

/// Appends the run to `file` as one line of JSON.
pub(crate) fn append(found: &Found, kcp: &Value, namespace: bool, file: &Path) -> io::Result<()> {
    let rows: Value = told()
        .iter()
        .map(|told| {
            let subjects: serde_json::Map<String, Value> = found
                .subjects
                .iter()
                .filter_map(|name| {
                    let rounds = found.rounds.get(&(told.row, *name))?;
                    let errors: u64 = rounds.iter().map(|done| done.errors).sum();
                    let value = json!({
                        told.rate_unit: rounded(middle(rounds, told.rate)),
                        told.cost_unit: (*name != "direct").then(|| rounded(middle(rounds, told.cost))),
                        "p50_us": rounded(middle(rounds, |done| done.p50 as f64)),
                        "p99_us": rounded(middle(rounds, |done| done.p99 as f64)),
                        "errors": errors,
                    });
                    Some(((*name).to_owned(), value))
                })
                .collect();
            json!({ "row": told.name, "ratio": ratio(found, told).map(rounded), "goal": told.goal, "subjects": subjects })
        })
        .collect();
    let line = json!({
        "run": "smoke",
        "commit": output("git", &["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]),
        "date": output("date", &["--utc", "+%FT%TZ"]),
        "machine": machine(),
        "namespace": namespace,
        "haproxy": output("haproxy", &["-v"]).lines().next(),
        "rows": rows,
        "idle_bytes_per_session": found.idle,
        "idle_bytes_per_tls_session": found.sealed_idle,
        "tls": AGREED,
        "kcp": kcp,
        "notes": found.notes,
    });
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    writeln!(file, "{line}")
}

/// To three digits behind the point.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn machine() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    json!({
        "cpu": field(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "congestion": read("/proc/sys/net/ipv4/tcp_congestion_control").trim(),
    })
}

/// What a command prints, or nothing when it cannot be had.
fn output(command: &str, arguments: &[&str]) -> String {
    let printed = Command::new(command).args(arguments).output();
    printed.map_or_else(|_| String::new(), |out| String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
