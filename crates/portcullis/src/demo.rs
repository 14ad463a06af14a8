//! `portcullis demo`: the gateway, an endpoint of each kind and a client of each kind, in one process on loopback;
//! every client reaches every endpoint, and what arrives is what was sent.
//!
//! The gateway is started as `run` starts it, on a configuration of its own in a private temporary folder.

mod cell;
mod exchange;
mod lanes;
mod line;
mod site;
mod table;
mod told;

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use portcullis_core::outcome::Reason;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use self::cell::{Board, Cell, ClientKind, EndpointKind, Row, State, verdict};
use self::lanes::{Run, Seat};
use self::site::Site;
use self::table::{Last, Screen, say};
use self::told::SessionLog;
use crate::config_file::variable;
use crate::exit::{Exit, Refused};
use crate::node::Node;
use crate::run;
use crate::signals::{Signals, Wish};

/// How often the table is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// How long the gateway may take to tell of the sessions once all is done.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What `demo` may be told.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How long it may take; what is not done by then has failed
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: u64,
    /// Moves 8 MiB each way and no more; without it the time is made use of
    #[arg(long)]
    once: bool,
    /// Prints nothing but one line of JSON at the end: `{"cells":[…],"ok":true}`
    #[arg(long, conflicts_with = "keep")]
    json: bool,
    /// Leaves the gateway and the endpoints up, and says what to try
    #[arg(long)]
    keep: bool,
}

/// Runs the demo. `Done` only when every cell has done what it should.
pub(crate) fn run(args: &Demo) -> Result<Exit, Refused> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    runtime.block_on(show(args))
}

fn system(error: io::Error) -> Refused {
    Refused::one(Exit::Bug, error)
}

async fn show(args: &Demo) -> Result<Exit, Refused> {
    let mut signals = Signals::catch().map_err(system)?;
    let (began, board) = (Instant::now(), Arc::new(Board::new()));
    let mut screen = if args.json {
        Screen::Silent
    } else {
        let colour = variable("NO_COLOR").is_none_or(|set| set.is_empty());
        Screen::of_stdout(colour, Cell::all().len())
    };
    screen.draw(&board.read(), Last::No);
    let site = Site::start().map_err(system)?;
    let (mut node, workers) = Node::start(Some(&site.config_file()))?;
    node.status.become_ready();
    let endpoints = EndpointKind::ALL.map(|kind| (site.address(kind), kind)).to_vec();
    let log = SessionLog::new(site.folder.file("sessions.log"), endpoints);
    let mut stage = Stage { board: Arc::clone(&board), screen, log };
    let run = Run {
        board: Arc::clone(&board),
        trust: site.trust.clone(),
        gates: gates(&node),
        time: Duration::from_secs(args.seconds),
        once: args.once,
        deadline: began + Duration::from_secs(args.seconds),
    };
    let seats = stage.watch(run, &mut signals).await?;
    stage.last_words(&node).await;
    drop(seats);
    let good = verdict(&board.read());
    if args.keep && good {
        say(&summary(&board.read(), began.elapsed()));
        say(&what_to_try(&node, &site));
        run::serve(&mut node, &mut signals, &workers).await;
    }
    // Whoever is still here was told that the demo ends with Ctrl-C.
    run::end(node, workers, Exit::Done).await;
    stage.look(Last::Yes);
    let rows = board.read();
    if args.json {
        say(&json(&rows));
    } else if !args.keep {
        say(&summary(&rows, began.elapsed()));
    }
    for line in failures(&rows, &site) {
        eprintln!("{line}");
    }
    Ok(if good { Exit::Done } else { Exit::Failed })
}

/// Where each kind of client connects.
fn gates(node: &Node) -> Vec<(ClientKind, SocketAddr)> {
    let listeners = node.status.in_force().listeners;
    let gate = |kind: ClientKind| {
        listeners.iter().find(|(name, _)| name.as_str() == kind.word()).map(|(_, gate)| (kind, *gate))
    };
    ClientKind::ALL.into_iter().filter_map(gate).collect()
}

/// What is shown, and where it comes from.
#[derive(Debug)]
struct Stage {
    board: Arc<Board>,
    screen: Screen,
    log: SessionLog,
}

impl Stage {
    /// Shows what there is.
    fn look(&mut self, last: Last) {
        self.log.look(&self.board);
        self.screen.draw(&self.board.read(), last);
    }

    /// Has the run done by threads of its own, and shows it until it is over, its time is, or somebody ends it.
    ///
    /// Returns the sessions; none when the run is not over.
    async fn watch(&mut self, run: Run, signals: &mut Signals) -> Result<Vec<Seat>, Refused> {
        let (tell, mut over) = oneshot::channel();
        let deadline = run.deadline;
        let lanes = thread::Builder::new().name("demo".into()).spawn(move || {
            // Nobody listens when the time was over first.
            let _unheard = tell.send(run.run());
        });
        lanes.map_err(system)?;
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                seats = &mut over => {
                    self.board.fail_rest("not done");
                    return Ok(seats.unwrap_or_default());
                }
                _ = frames.tick() => self.look(Last::No),
                () = sleep_until(deadline.into()) => {
                    self.board.fail_rest("not done in time; --seconds gives it more");
                    return Ok(Vec::new());
                }
                wish = signals.next() => if wish == Wish::End {
                    self.board.fail_rest("ended before it was done");
                    return Ok(Vec::new());
                },
            }
        }
    }

    /// Ends the sessions that no client has ended, as those of KCP, and waits for what the gateway says of all.
    async fn last_words(&mut self, node: &Node) {
        // Each worker gets an equal share of the number, and may have all the sessions.
        node.proxy.close_some(u32::MAX, Reason::Drained);
        let deadline = Instant::now() + LAST_WORDS;
        let mut frames = interval(FRAME / 4);
        loop {
            frames.tick().await;
            self.look(Last::No);
            let silent = |row: &Row| row.state == State::Done && row.path.is_empty();
            if Instant::now() > deadline || !self.board.read().iter().any(silent) {
                return;
            }
        }
    }
}

/// One line of JSON.
fn json(rows: &[Row]) -> String {
    let cells: Vec<String> = rows
        .iter()
        .map(|row| {
            let (client, endpoint) = (row.cell.client.word(), row.cell.endpoint.word());
            let (ok, path) = (row.state == State::Done, serde_json::json!(row.path));
            let (up, down) = (row.up, row.down);
            let (p50, p99) = (row.p50.as_micros(), row.p99.as_micros());
            format!(
                "{{\"client\":\"{client}\",\"endpoint\":\"{endpoint}\",\"ok\":{ok},\"bytes_up\":{up},\
                 \"bytes_down\":{down},\"p50_us\":{p50},\"p99_us\":{p99},\"path\":{path}}}"
            )
        })
        .collect();
    format!("{{\"cells\":[{}],\"ok\":{}}}\n", cells.join(","), verdict(rows))
}

/// The last line.
fn summary(rows: &[Row], took: Duration) -> String {
    let done = rows.iter().filter(|row| row.state == State::Done).count();
    let moved: u64 = rows.iter().map(|row| row.up + row.down).sum();
    let (all, moved, took) = (rows.len(), moved >> 20, took.as_secs_f64());
    let word = if verdict(rows) { "every byte arrived as it was sent" } else { "NOT ALL IS WELL" };
    format!("{done} of {all} cells: {word}, {moved} MiB in {took:.1} s\n")
}

/// Why cells have failed, and what the gateway says about it.
fn failures(rows: &[Row], site: &Site) -> Vec<String> {
    let mut lines: Vec<String> = rows
        .iter()
        .filter_map(|row| match &row.state {
            State::Failed(why) => {
                Some(format!("{} → {}: {why}", row.cell.client.word(), row.cell.endpoint.word()))
            }
            State::Waiting | State::Open | State::Asking | State::Moving | State::Done => None,
        })
        .collect();
    if !lines.is_empty() {
        lines.extend(site::errors(&site.folder).lines().map(|line| format!("the gateway: {line}")));
    }
    lines
}

/// What a human can do while the gateway is up.
fn what_to_try(node: &Node, site: &Site) -> String {
    let gates = gates(node);
    let gate = |kind: ClientKind| {
        gates.iter().find(|(known, _)| *known == kind).map(|(_, gate)| gate.to_string()).unwrap_or_default()
    };
    let (tcp, tls, ws) = (gate(ClientKind::Tcp), gate(ClientKind::Tls), gate(ClientKind::Ws));
    let admin = node.status.in_force().admin.map(|admin| admin.to_string()).unwrap_or_default();
    let (cert, config) = (site.folder.file("cert.pem"), site.config_file());
    let (cert, config) = (cert.display(), config.display());
    let mut text = String::new();
    // Writing into a String cannot fail.
    let mut line = |line: &str| writeln!(text, "{line}").ok();
    line(
        "\nThe gateway and its endpoints stay up until Ctrl-C. A client names its endpoint: tcp, tls, kcp or ws;",
    );
    line("each sends back what comes. In another terminal:\n");
    line(&format!("  cargo run -p portcullis-peers --example tcp_client -- --gate {tcp} --key kcp"));
    line(&format!("  cargo run -p portcullis-peers --example ws_client -- --gate {ws} --key tls"));
    line(&format!(
        "  (printf '\\003\\000\\000\\000tcphello\\n'; sleep 1) | openssl s_client -quiet -no_ign_eof -connect {tls} -CAfile {cert}"
    ));
    line(&format!("  websocat 'ws://{ws}/?server-identify=tcp'"));
    line(&format!("  curl -s http://{admin}/metrics | grep portcullis_path"));
    line(&format!("  cat {config}"));
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_json_has_every_cell_and_is_ok_only_when_all_are() {
        let board = Board::new();
        for cell in Cell::all() {
            let value: serde_json::Value = serde_json::from_str(&json(&board.read())).unwrap();
            assert_eq!(value["ok"], false, "before {cell:?}");
            board.change(cell, |row| row.state = State::Done);
        }
        let text = json(&board.read());
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((value["cells"].as_array().unwrap().len(), &value["ok"]), (20, &true.into()));
        assert_eq!(text.lines().count(), 1);
        let keys: Vec<&str> = value["cells"][0].as_object().unwrap().keys().map(String::as_str).collect();
        let mut want = ["client", "endpoint", "ok", "bytes_up", "bytes_down", "p50_us", "p99_us", "path"];
        want.sort_unstable();
        assert_eq!(keys, want);
    }

    #[test]
    fn the_last_line_does_not_praise_what_failed() {
        let board = Board::new();
        board.fail_rest("a byte was lost");
        assert!(summary(&board.read(), Duration::from_secs(1)).starts_with("0 of 20 cells: NOT"));
    }
}
