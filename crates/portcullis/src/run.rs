//! `portcullis run`: start, serve, drain.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use portcullis_control::drain::{Pace, Step, TICK};
use portcullis_control::log::Entry;
use portcullis_control::status::InForce;
use portcullis_core::outcome::Reason;
use portcullis_proxy::Running;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::certificates;
use crate::cli;
use crate::exit::{Exit, Refused, told};
use crate::node::Node;
use crate::signals::{Signals, Wish};

/// How long workers may take to end once every session is cut.
const LAST_TURN: Duration = Duration::from_secs(5);

/// How long the last log lines may take.
const LAST_LINES: Duration = Duration::from_secs(2);

/// How often the workers are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Runs the gateway on `config` until it ends.
pub(crate) fn run(config: Option<&Path>, args: &cli::Run) -> Result<Exit, Refused> {
    let system = |error: io::Error| Refused::one(Exit::Bug, error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system)?;
    runtime.block_on(async {
        // Before anything else: a signal that comes during the start is not the end.
        let mut signals = Signals::catch().map_err(system)?;
        let (mut node, workers) = Node::start(config)?;
        announce(&node, args);
        let exit = match serve(&mut node, &mut signals, &workers).await {
            Serve::Drain => drain(&mut node, &mut signals, &workers).await,
            Serve::Failed => Exit::Bug,
        };
        Ok(end(node, workers, exit).await)
    })
}

/// Says where the gateway is: to the log, to a human on stdout, and to a file for programs.
fn announce(node: &Node, args: &cli::Run) {
    let in_force = node.status.in_force();
    for (listener, address) in &in_force.listeners {
        node.log
            .tell(Entry::info("listening").with("listener", listener.as_str()).with_text("address", address));
    }
    node.status.become_ready();
    let admin = in_force.admin.as_ref().map(ToString::to_string);
    let ready = Entry::info("ready").with("version", env!("CARGO_PKG_VERSION"));
    node.log.tell(ready.with("session_maximum", in_force.session_maximum).with_some("admin", admin));
    // Nobody may be reading.
    let _closed = io::stdout().write_all(banner(&in_force).as_bytes());
    if let Some(file) = &args.addresses_file
        && let Err(error) = write_whole(file, &in_force.addresses())
    {
        let entry = Entry::error("the addresses file cannot be written");
        node.log.tell(entry.with_text("file", file.display()).with_text("error", error));
    }
}

/// The one line for a human.
fn banner(in_force: &InForce) -> String {
    let listeners: Vec<_> =
        in_force.listeners.iter().map(|(listener, address)| format!("{listener} on {address}")).collect();
    let admin =
        in_force.admin.as_ref().map_or_else(|| "no admin".into(), |admin| format!("admin on {admin}"));
    let (version, maximum) = (env!("CARGO_PKG_VERSION"), in_force.session_maximum);
    format!("portcullis {version} is ready: {}; {admin}; at most {maximum} sessions\n", listeners.join(", "))
}

/// Writes `file` so that whoever sees it sees all of it.
fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    let mut half = file.as_os_str().to_owned();
    half.push(".new");
    fs::write(&half, text)?;
    fs::rename(&half, file)
}

/// Waits until a worker has failed. Cancel safe.
async fn failed(workers: &Running) {
    let mut looks = interval(LOOK);
    while !workers.has_failed() {
        looks.tick().await;
    }
}

/// Why serving is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Serve {
    /// The program was asked to end.
    Drain,
    /// The data plane has failed.
    Failed,
}

/// Serves until asked to end.
pub(crate) async fn serve(node: &mut Node, signals: &mut Signals, workers: &Running) -> Serve {
    let mut looks = interval(certificates::LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                // The log and the status say how it went.
                Wish::Reload => drop(node.reload().await),
                Wish::ReopenLogs => node.log.reopen(),
                Wish::End => return Serve::Drain,
            },
            Some(asked) = node.reloads.recv() => {
                let done = node.reload().await;
                // Whoever asked may have gone.
                let _unheard = asked.send(done);
            }
            _ = looks.tick() => node.renew_certificates(),
            () = failed(workers) => return Serve::Failed,
        }
    }
}

/// Lets sessions end, then ends them; a second signal ends them at once.
async fn drain(node: &mut Node, signals: &mut Signals, workers: &Running) -> Exit {
    node.status.begin_draining();
    let settings = node.config.drain;
    let entry = Entry::info("draining").with("sessions", node.proxy.sessions());
    node.log.tell(entry.with("delay", settings.delay).with("timeout", settings.timeout));
    let log = node.log.clone();
    let mut ended = std::pin::pin!(end_sessions(node));
    loop {
        tokio::select! {
            exit = &mut ended => return exit,
            wish = signals.next() => match wish {
                Wish::ReopenLogs => log.reopen(),
                Wish::Reload => log.tell(Entry::info("no reload while draining")),
                Wish::End => {
                    log.tell(Entry::info("ending at once: asked a second time"));
                    return Exit::Done;
                }
            },
            () = failed(workers) => return Exit::Bug,
        }
    }
}

/// The steps of a drain, each as long as the configuration says. `SomeCut` when not all ended by themselves.
async fn end_sessions(node: &mut Node) -> Exit {
    let settings = node.config.drain;
    sleep(settings.delay).await;
    node.stop_accepting();
    let pace = Pace::new(Instant::now(), settings.timeout);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut exit = Exit::Done;
    loop {
        ticks.tick().await;
        match pace.handle_tick(Instant::now(), node.proxy.left()) {
            Step::Done => return exit,
            Step::Wait => {}
            Step::Close(count) => {
                exit = Exit::SomeCut;
                node.proxy.close_some(count, Reason::Drained);
            }
            Step::Cut => return Exit::SomeCut,
        }
    }
}

/// Ends what still runs, in the order in which each may still have something to tell the next.
pub(crate) async fn end(node: Node, workers: Running, exit: Exit) -> Exit {
    let Node { proxy, control, log, log_thread, store_thread, .. } = node;
    let cut = proxy.sessions();
    proxy.shut_down();
    let joined = join(workers).await;
    control.finish().await;
    store_thread.finish();
    let exit = match joined {
        Joined::Failed(error) => {
            log.tell(Entry::error("the data plane has failed; please report this").with("error", error));
            Exit::Bug
        }
        Joined::Late => {
            log.tell(Entry::error("the workers do not end; the process ends without them"));
            Exit::Bug
        }
        Joined::Ended if exit == Exit::Done && cut > 0 => Exit::SomeCut,
        Joined::Ended => exit,
    };
    log.tell(Entry::info("ended").with("cut", cut).with("exit", u64::from(exit as u8)));
    if !log_thread.finish(LAST_LINES) {
        eprintln!("the last log lines could not be written in time");
    }
    exit
}

/// How the workers ended.
enum Joined {
    /// In order.
    Ended,
    /// One of them failed, for this reason.
    Failed(String),
    /// Not within [`LAST_TURN`].
    Late,
}

/// Waits for the workers, but not for ever.
async fn join(workers: Running) -> Joined {
    let (tell, ended) = oneshot::channel();
    let waiting = thread::Builder::new().name("join".into()).spawn(move || {
        // Nobody listens any more when the program gave up waiting.
        let _unheard = tell.send(workers.join());
    });
    if let Err(error) = waiting {
        return Joined::Failed(told(&error));
    }
    match timeout(LAST_TURN, ended).await {
        Ok(Ok(Ok(()))) => Joined::Ended,
        Ok(Ok(Err(error))) => Joined::Failed(told(&error)),
        Ok(Err(error)) => Joined::Failed(told(&error)),
        Err(_) => Joined::Late,
    }
}
