//! The control plane's one thread: answers the data plane's questions, writes down what it tells, and serves
//! the admin listener.
//!
//! It may be slow and it may stand still: the data plane's queues are bounded, and what does not fit is
//! dropped and counted there. Ends when told to, and then nothing of it runs on.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use portcullis_core::config::{Dns, LogLevel};
use portcullis_core::endpoint::HostName;
use portcullis_proxy::{Asked, Event, NameError, ProxyHandle, Told};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::admin::{self, AdminSocket, Facts, Orders, Reload};
use crate::export::Traffic;
use crate::log::{Entry, Log};
use crate::resolve::{Answer, Counters, Lookup, LookupError, Resolver};
use crate::status::Status;
use crate::store::Store;

/// How long records gather before they are written: workers ring for the first of a batch only, so that a
/// flood of short sessions does not wake this thread for each.
const GATHER: Duration = Duration::from_millis(20);
/// How many commands may wait.
const COMMANDS: usize = 16;

/// What the control plane is made of.
#[derive(Debug)]
pub struct Parts {
    /// The data plane.
    pub proxy: ProxyHandle,
    /// Where lines go.
    pub log: Log,
    /// What the process says of itself.
    pub status: Arc<Status>,
    /// How names are looked up.
    pub dns: Dns,
    /// The admin listener; `None` = there is none.
    pub admin: Option<AdminSocket>,
    /// Where operators' wishes for a reload go.
    pub reload: mpsc::Sender<Reload>,
    /// What outlives the process.
    pub store: Store,
}

/// A change of what the control plane does.
#[derive(Debug)]
pub struct Change {
    /// How names are looked up from now on.
    pub dns: Dns,
    /// Another admin listener, or none; `None` = it stays as it is.
    pub admin: Option<Option<AdminSocket>>,
}

/// A running control plane.
#[derive(Debug)]
#[must_use = "the last records are only written by `finish`"]
pub struct Control {
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    Change(Change),
    Finish,
}

impl Control {
    /// Starts the thread, and returns once it serves.
    ///
    /// # Errors
    /// No thread, no poller for it, or no descriptor for the admin listener.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (commands, queue) = mpsc::channel(COMMANDS);
        let (tell, serves) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("control".into())
            .spawn(move || runtime.block_on(attend(parts, queue, &tell)))?;
        serves.recv().map_err(io::Error::other)??;
        Ok(Self { commands, thread })
    }

    /// Applies a change; it takes effect soon after. A control plane that has ended takes none.
    pub async fn apply(&self, change: Change) {
        let _ended = self.commands.send(Command::Change(change)).await;
    }

    /// Writes what the data plane has told until now, and ends the thread.
    pub async fn finish(self) {
        if self.commands.send(Command::Finish).await.is_ok() {
            // What the thread still does is bounded: a queue to empty, tasks to drop.
            let _panicked = self.thread.join();
        }
    }
}

/// The life of the thread. Tells whether it serves, once.
async fn attend(parts: Parts, queue: mpsc::Receiver<Command>, tell: &SyncSender<io::Result<()>>) {
    let (proxy, log) = (parts.proxy.clone(), parts.log.clone());
    let begun = Bells::hang(&proxy).and_then(|bells| Ok((bells, Desk::new(parts)?)));
    // Whoever starts the thread waits for this.
    let (bells, mut desk) = match begun {
        Ok(begun) => {
            let _waits = tell.send(Ok(()));
            begun
        }
        Err(error) => {
            let _waits = tell.send(Err(error));
            return;
        }
    };
    if let Err(error) = desk.serve(&bells, queue).await {
        log.tell(
            Entry::error("the control plane has ended: no names, no session lines").with_text("error", error),
        );
    }
}

/// The doorbells of the data plane's queues.
struct Bells<'a> {
    questions: AsyncFd<BorrowedFd<'a>>,
    devices: AsyncFd<BorrowedFd<'a>>,
    endings: AsyncFd<BorrowedFd<'a>>,
}

impl<'a> Bells<'a> {
    fn hang(proxy: &'a ProxyHandle) -> io::Result<Self> {
        Ok(Self {
            questions: watch(proxy.questions().as_fd())?,
            devices: watch(proxy.devices().as_fd())?,
            endings: watch(proxy.endings().as_fd())?,
        })
    }
}

/// Makes a doorbell something to wait for.
#[expect(
    deprecated,
    reason = "what is unsound about it, a descriptor that is closed early, a borrowed one excludes"
)]
fn watch(bell: BorrowedFd<'_>) -> io::Result<AsyncFd<BorrowedFd<'_>>> {
    AsyncFd::with_interest(bell, Interest::READABLE)
}

/// Everything the thread holds.
struct Desk {
    proxy: ProxyHandle,
    log: Log,
    resolver: Resolver<Asker>,
    facts: Facts,
    admin: JoinSet<()>,
    /// Lets the admin listener go on while it is there.
    admin_stop: Option<watch::Sender<()>>,
    lost: Lost,
}

/// Who waits for an answer, and what for.
type Asker = (Asked, HostName);

/// What the log has been told is missing.
#[derive(Default)]
struct Lost {
    questions: u64,
    endings: u64,
}

impl Desk {
    /// Serves until told to finish.
    async fn serve(&mut self, bells: &Bells<'_>, mut queue: mpsc::Receiver<Command>) -> io::Result<()> {
        let mut gathering = None;
        loop {
            tokio::select! {
                ready = bells.questions.readable() => {
                    ready?.clear_ready();
                    self.handle_questions();
                }
                ready = bells.devices.readable() => {
                    ready?.clear_ready();
                    self.facts.store.look();
                }
                ready = bells.endings.readable() => {
                    ready?.clear_ready();
                    gathering = Some(Instant::now() + GATHER);
                }
                () = sleep_until(gathering.unwrap_or_else(Instant::now)), if gathering.is_some() => {
                    gathering = None;
                    self.handle_endings();
                }
                answers = self.resolver.next() => {
                    for (asker, answer) in answers {
                        self.answer(&asker, answer);
                    }
                }
                command = queue.recv() => match command {
                    Some(Command::Change(change)) => self.handle_change(change),
                    Some(Command::Finish) | None => break,
                }
            }
        }
        self.handle_endings();
        Ok(())
    }

    fn new(parts: Parts) -> io::Result<Self> {
        let Parts { proxy, log, status, dns, admin, store, reload } = parts;
        let counters = Arc::new(Counters::default());
        // Differs between nodes and starts, and need not be secret.
        let seed =
            u64::from(std::process::id()) ^ status.began().elapsed().unwrap_or_default().as_nanos() as u64;
        let (resolver, warning) = Resolver::new(&dns, Arc::clone(&counters), seed);
        let counted = proxy.clone();
        let traffic = Arc::new(move || Traffic::from(counted.counts()));
        store.serve(&proxy);
        let facts = Facts {
            status,
            dns: counters,
            log: log.clone(),
            store,
            traffic,
            proxy: proxy.clone(),
            orders: Arc::new(Orders::default()),
            reload,
        };
        let mut desk = Self {
            proxy,
            log,
            resolver,
            facts,
            admin: JoinSet::new(),
            admin_stop: None,
            lost: Lost::default(),
        };
        if let Some(warning) = warning {
            desk.log.tell(Entry::warn("names may not be found").with_text("error", warning));
        }
        desk.say_what_is_wanted();
        desk.serve_admin(admin)?;
        Ok(desk)
    }

    fn handle_questions(&mut self) {
        for question in self.proxy.questions().take() {
            let lookup = Lookup { host: question.host.clone(), port: question.port };
            if let Some((asker, answer)) = self.resolver.ask(lookup, (question.asked, question.host)) {
                self.answer(&asker, answer);
            }
        }
        let dropped = self.proxy.questions().dropped();
        if dropped > self.lost.questions {
            let entry = Entry::warn("names were not looked up: too many at a time");
            self.log.tell(entry.with("count", dropped - self.lost.questions));
            self.lost.questions = dropped;
        }
    }

    fn answer(&self, (asked, host): &Asker, answer: Answer) {
        if let Err(error) = &answer {
            let entry = Entry::debug("a name was not found").with("host", host.as_str());
            self.log.tell(entry.with_text("error", error));
        }
        let answer = answer.map_err(|error| match error {
            LookupError::NotFound => NameError::NotFound,
            // Refusals of the servers and their silence are one thing to a session: nobody knows.
            LookupError::Timeout | LookupError::Failed => NameError::Timeout,
            LookupError::Busy => NameError::Busy,
        });
        self.proxy.answer(*asked, answer);
    }

    /// A record that nobody would read is not made.
    fn say_what_is_wanted(&self) {
        self.proxy.tell(self.log.has(LogLevel::Debug), self.log.has(LogLevel::Info));
    }

    fn handle_endings(&mut self) {
        for told in self.proxy.endings().take() {
            self.log.tell(match &told {
                Told::Opened(opened) => Entry::from(&**opened),
                Told::Ended(ended) => Entry::from(&**ended),
                Told::Refused(refused) => Entry::from(&**refused),
                Told::Event(event) => Entry::from(event),
            });
        }
        let dropped = self.proxy.endings().dropped();
        if dropped > self.lost.endings {
            let entry = Entry::warn("session records were lost: more sessions ended than could be written");
            self.log.tell(entry.with("count", dropped - self.lost.endings));
            self.lost.endings = dropped;
        }
    }

    fn handle_change(&mut self, change: Change) {
        if let Some(warning) = self.resolver.configure(&change.dns) {
            self.log.tell(Entry::warn("names may not be found").with_text("error", warning));
        }
        // The log has its own level by now.
        self.say_what_is_wanted();
        if let Some(admin) = change.admin
            && let Err(error) = self.serve_admin(admin)
        {
            self.log.tell(Entry::error("the admin listener is not served").with_text("error", error));
        }
    }

    /// Serves `socket` in place of the one before.
    fn serve_admin(&mut self, socket: Option<AdminSocket>) -> io::Result<()> {
        while self.admin.try_join_next().is_some() {}
        self.admin_stop = None;
        if let Some(socket) = socket {
            let (stop, stopped) = watch::channel(());
            self.admin.spawn(admin::serve(socket, self.facts.clone(), stopped)?);
            self.admin_stop = Some(stop);
        }
        Ok(())
    }
}

impl From<&Event> for Entry {
    /// Tells a change of the whole, and what the operator can do about it.
    fn from(event: &Event) -> Self {
        match event {
            Event::AcceptPausedNoFiles => Self::warn("accepting paused: no file descriptor is left")
                .with("hint", "raise the hard limit of open files (`LimitNOFILE` under systemd)"),
            Event::AcceptPausedFull => Self::warn("accepting paused: the session maximum is reached")
                .with("hint", "raise `[limits] sessions`, or the hard limit of open files it derives from"),
            Event::AcceptResumed => Self::info("accepting goes on"),
            Event::Bug { message } => {
                Self::error("a defect of the gateway ended a session").with("panic", &**message)
            }
            Event::Endpoint { upstream, endpoint, change, why } => {
                Self::of_endpoint((upstream, endpoint), *change, why)
            }
            Event::Degraded { what } => {
                Self::warn("the kernel refused an option; traffic goes on").with("what", &**what)
            }
        }
    }
}
