//! What outlives the process: devices, bans, and what operators said of endpoints.
//!
//! One thread owns the file. It takes all work that waits, decides it together and writes it with one commit:
//! what is acknowledged is on disk, and a thousand decisions wait for the disk once. When it cannot write,
//! whatever would have to be kept is refused, logged and counted; what only reads goes on. Owns no rule about
//! devices: those are `portcullis_core::token`'s.

mod embedded;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use portcullis_core::config;
use portcullis_core::endpoint::Endpoint;
use portcullis_core::name::UpstreamName;
use portcullis_core::token::bearer::{Answer, FamilyChange};
use portcullis_core::token::{ClientId, Refusal};
use portcullis_core::upstream::Standing;
use portcullis_proxy::{DeviceQuestion, ProxyHandle};
use tokio::sync::oneshot;

use crate::devices::{Decided, Devices};
use crate::log::{Entry, Log};
pub(crate) use embedded::Batch;
use embedded::Embedded;
pub use embedded::{Space, StoreError};

/// How much work may wait. What the data plane asks waits in its own queue.
const QUEUE: usize = 16;
/// How much of it is decided together.
const TOGETHER: usize = 64;
/// How long a file that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);

/// The store. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Store {
    path: Arc<Path>,
    queue: SyncSender<Work>,
    counters: Arc<Counters>,
}

/// The thread that owns the file.
#[derive(Debug)]
#[must_use = "the file is closed in order by `finish` only"]
pub struct StoreThread {
    queue: SyncSender<Work>,
    thread: JoinHandle<()>,
}

/// What an operator said of an endpoint, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptStanding {
    /// Whose endpoint.
    pub upstream: UpstreamName,
    /// Which.
    pub endpoint: Endpoint,
    /// What is wanted of it.
    pub standing: Standing,
    /// The weight in place of the configured one.
    pub weight: Option<u16>,
}

/// What the store has done; shared with metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Commits that are on disk.
    pub commits: AtomicU64,
    /// Times that the file could not be opened, read or written.
    pub failures: AtomicU64,
    /// Devices that are known; a gauge.
    pub devices: AtomicU64,
    /// Questions that were lost because too many waited.
    pub busy: AtomicU64,
    /// Decisions about devices that let them go on, by `devices::GOOD`.
    pub good: [AtomicU64; 5],
    /// Refusals, by [`Refusal::ALL`].
    pub refused: [AtomicU64; Refusal::ALL.len()],
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What waits for the thread.
#[derive(Debug)]
enum Work {
    Open(SyncSender<Result<(), StoreError>>),
    /// Answers this data plane's questions from here on.
    Serve(ProxyHandle),
    /// It has some.
    Look,
    Forget(ClientId, ProxyHandle, Reply<bool>),
    Put(Space, Box<str>, Option<Box<[u8]>>, Reply<()>),
    All(Space, Reply<Vec<(String, Vec<u8>)>>),
    Finish,
}

impl Store {
    /// Starts the thread for the file at `path`, which is opened (and made) when it is first needed.
    ///
    /// # Errors
    /// No thread.
    pub fn start(path: &Path, log: Log) -> std::io::Result<(Self, StoreThread)> {
        let (queue, work) = sync_channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let path: Arc<Path> = path.into();
        let keeper = Keeper {
            path: path.to_path_buf(),
            file: None,
            proxy: None,
            retry_at: None,
            devices: Devices::new(log.clone(), Arc::clone(&counters)),
            log,
            counters: Arc::clone(&counters),
        };
        let thread = thread::Builder::new().name("store".into()).spawn(move || keeper.run(&work))?;
        let store = Self { path, queue: queue.clone(), counters };
        Ok((store, StoreThread { queue, thread }))
    }

    /// Where its file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it has done.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Opens the file, if it is not. Blocks for as long as the file system takes: for the start and reload only.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn open(&self) -> Result<(), StoreError> {
        let (reply, answer) = sync_channel(1);
        self.queue.send(Work::Open(reply)).map_err(|_| StoreError::Ended)?;
        answer.recv().unwrap_or(Err(StoreError::Ended))
    }

    /// Answers the questions of a data plane from here on.
    pub(crate) fn serve(&self, proxy: &ProxyHandle) {
        // At the start nothing waits, and a thread that has ended has told why.
        let _ended = self.queue.send(Work::Serve(proxy.clone()));
    }

    /// There are questions. Never blocks: a thread that has work looks for them after it.
    pub(crate) fn look(&self) {
        match self.queue.try_send(Work::Look) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }

    /// Forgets a device and closes its sessions; false: there is none of that name. On disk when it returns.
    ///
    /// # Errors
    /// The store cannot be read or written, or too much waits.
    pub async fn forget(&self, client_id: ClientId, proxy: &ProxyHandle) -> Result<bool, StoreError> {
        self.wait(|reply| Work::Forget(client_id, proxy.clone(), reply)).await
    }

    /// Keeps a value under a key, or removes it with `None`. On disk when it returns. For bans: their text form.
    ///
    /// # Errors
    /// As [`Store::forget`]; or key, value or their number are beyond [`Space`]'s bounds.
    pub async fn put(&self, space: Space, key: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        let (key, value) = (key.into(), value.map(Into::into));
        self.wait(|reply| Work::Put(space, key, value, reply)).await
    }

    /// Everything of a space, by key. Where there is no file there is nothing, and none is made.
    ///
    /// # Errors
    /// As [`Store::forget`].
    pub async fn all(&self, space: Space) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.wait(|reply| Work::All(space, reply)).await
    }

    /// Keeps what an operator said of an endpoint; ready at its configured weight is nothing to keep.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn put_standing(&self, kept: &KeptStanding) -> Result<(), StoreError> {
        let weight = kept.weight.map_or_else(String::new, |weight| weight.to_string());
        let value = format!("{} {weight}", kept.standing.label());
        let is_usual = kept.standing == Standing::Ready && kept.weight.is_none();
        let key = format!("{} {}", kept.upstream, kept.endpoint);
        self.put(Space::Standing, &key, (!is_usual).then_some(value.as_bytes())).await
    }

    /// What operators said of endpoints. What cannot be read is left out.
    ///
    /// # Errors
    /// As [`Store::forget`].
    pub async fn standings(&self) -> Result<Vec<KeptStanding>, StoreError> {
        let all = self.all(Space::Standing).await?;
        Ok(all.iter().filter_map(|(key, value)| kept_standing(key, value)).collect())
    }

    async fn wait<T>(&self, work: impl FnOnce(Reply<T>) -> Work) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(work(reply)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Ended,
        })?;
        answer.await.unwrap_or(Err(StoreError::Ended))
    }
}

fn kept_standing(key: &str, value: &[u8]) -> Option<KeptStanding> {
    let (upstream, endpoint) = key.split_once(' ')?;
    let (standing, weight) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let weight = if weight.is_empty() { None } else { Some(weight.parse().ok()?) };
    let (upstream, endpoint) = (UpstreamName::from(upstream), endpoint.parse().ok()?);
    Some(KeptStanding { upstream, endpoint, standing: Standing::named(standing)?, weight })
}

impl StoreThread {
    /// Carries out what waits, closes the file and ends the thread.
    pub fn finish(self) {
        if self.queue.send(Work::Finish).is_ok() {
            let _panicked = self.thread.join();
        }
    }
}

/// The thread's own.
struct Keeper {
    path: PathBuf,
    file: Option<Embedded>,
    /// Whose questions are answered.
    proxy: Option<ProxyHandle>,
    /// When a file that failed is tried again.
    retry_at: Option<Instant>,
    devices: Devices,
    log: Log,
    counters: Arc<Counters>,
}

/// What is told once the batch is on disk, or could not be put there.
enum Owed {
    Device(Box<DeviceQuestion>, Decided, ProxyHandle),
    Forgotten(Option<FamilyRevoked>, Reply<bool>),
    Done(Reply<()>),
}

/// A family whose sessions end.
struct FamilyRevoked(portcullis_core::token::Family, ProxyHandle);

impl Keeper {
    fn run(mut self, queue: &Receiver<Work>) {
        while let Ok(first) = queue.recv() {
            let mut together = vec![first];
            while together.len() < TOGETHER
                && let Ok(work) = queue.try_recv()
            {
                together.push(work);
            }
            let is_over = together.iter().any(|work| matches!(work, Work::Finish));
            self.carry_out(together);
            if is_over {
                break;
            }
        }
    }

    fn carry_out(&mut self, works: Vec<Work>) {
        let (mut batch, mut owed) = (None, Vec::new());
        for work in works {
            match work {
                Work::Open(reply) => {
                    // Whoever asks waits for it, and is told each time.
                    self.retry_at = None;
                    let opened = self.begin(&mut batch).map(|_| ());
                    let _gone = reply.send(opened.inspect_err(|error| self.leave_alone(error)));
                }
                Work::Serve(proxy) => self.proxy = Some(proxy),
                Work::Forget(client_id, proxy, reply) => {
                    match self.begin(&mut batch).and_then(|batch| Devices::forget(batch, &client_id)) {
                        Ok(family) => {
                            let revoked = family.map(|family| FamilyRevoked(family, proxy));
                            owed.push(Owed::Forgotten(revoked, reply));
                        }
                        Err(error) => drop(reply.send(Err(self.failed(error)))),
                    }
                }
                Work::Put(space, key, value, reply) => {
                    match self.begin(&mut batch).and_then(|batch| batch.put(space, &key, value)) {
                        Ok(()) => owed.push(Owed::Done(reply)),
                        Err(error) => drop(reply.send(Err(self.failed(error)))),
                    }
                }
                Work::All(space, reply) => {
                    let all = if self.file.is_none() && !self.path.exists() {
                        Ok(Vec::new())
                    } else {
                        self.begin(&mut batch).and_then(|batch| batch.all(space))
                    };
                    let _gone = reply.send(all.map_err(|error| self.failed(error)));
                }
                Work::Look | Work::Finish => {}
            }
        }
        if let Some(proxy) = self.proxy.clone() {
            self.decide(proxy.devices().take(), &proxy, &mut batch, &mut owed);
            self.counters.busy.store(proxy.devices().dropped(), Ordering::Relaxed);
        }
        let kept = match (batch, &mut self.file) {
            (Some(batch), Some(file)) if batch.is_changed() => {
                match file.commit(batch, &self.devices.sweep()) {
                    Ok(devices) => {
                        self.counters.commits.fetch_add(1, Ordering::Relaxed);
                        self.counters.devices.store(devices, Ordering::Relaxed);
                        Ok(())
                    }
                    Err(error) => Err(self.failed(error)),
                }
            }
            _ => Ok(()),
        };
        owed.into_iter().for_each(|owed| self.pay(owed, &kept));
    }

    /// The batch that is under way, or one that begins.
    fn begin<'b>(&mut self, batch: &'b mut Option<Batch>) -> Result<&'b mut Batch, StoreError> {
        if let Some(begun) = batch {
            return Ok(begun);
        }
        let begun = self.file()?.begin()?;
        Ok(batch.insert(begun))
    }

    /// The file; opened, if it is not, but not more often than each second while that fails.
    fn file(&mut self) -> Result<&mut Embedded, StoreError> {
        match self.file.take() {
            Some(file) => Ok(self.file.insert(file)),
            None if self.retry_at.is_some_and(|at| Instant::now() < at) => Err(StoreError::Away),
            None => {
                let file = Embedded::open(&self.path)?;
                self.retry_at = None;
                Ok(self.file.insert(file))
            }
        }
    }

    /// Decides questions. What needs no disk is answered at once.
    fn decide(
        &mut self,
        questions: VecDeque<DeviceQuestion>,
        proxy: &ProxyHandle,
        batch: &mut Option<Batch>,
        owed: &mut Vec<Owed>,
    ) {
        if !questions.is_empty()
            && let Err(error) = self.begin(batch)
        {
            self.failed(error);
        }
        for question in questions {
            let decided = match batch {
                Some(batch) => self.devices.decide(&question, batch),
                None => Ok(Decided::refused(Refusal::Store)),
            };
            let decided = decided.unwrap_or_else(|error| {
                self.failed(error);
                Decided::refused(Refusal::Store)
            });
            if decided.needs_disk {
                owed.push(Owed::Device(Box::new(question), decided, proxy.clone()));
            } else {
                self.answer(&question, &decided, proxy);
            }
        }
    }

    fn answer(&mut self, question: &DeviceQuestion, decided: &Decided, proxy: &ProxyHandle) {
        self.devices.tell(question, &decided.answer);
        proxy.answer_device(question.asked, decided.answer);
        if let Some((family, change)) = decided.change {
            proxy.change_family(family, change);
        }
    }

    fn pay(&mut self, owed: Owed, kept: &Result<(), StoreError>) {
        match (owed, kept) {
            (Owed::Device(question, decided, proxy), Ok(())) => self.answer(&question, &decided, &proxy),
            (Owed::Device(question, decided, proxy), Err(_)) => {
                // A theft is one whether it could be written down or not.
                let decided = if matches!(decided.answer, Answer::Refused(Refusal::Stolen)) {
                    decided
                } else {
                    Decided::refused(Refusal::Store)
                };
                self.answer(&question, &decided, &proxy);
            }
            (Owed::Forgotten(revoked, reply), Ok(())) => {
                let _gone = reply.send(Ok(revoked.is_some()));
                if let Some(FamilyRevoked(family, proxy)) = revoked {
                    proxy.change_family(family, FamilyChange::Revoked);
                }
            }
            (Owed::Forgotten(_, reply), Err(error)) => drop(reply.send(Err(error.clone()))),
            (Owed::Done(reply), kept) => drop(reply.send(kept.clone())),
        }
    }

    /// Tells and counts what failed; a file that is broken is opened anew after a while.
    fn failed(&mut self, error: StoreError) -> StoreError {
        if error.is_the_files() {
            let entry = Entry::error("the store cannot be used; registrations are refused");
            self.log.tell(entry.with_text("error", &error).with_text("file", self.path.display()));
        }
        self.leave_alone(&error);
        error
    }

    fn leave_alone(&mut self, error: &StoreError) {
        if error.is_the_files() {
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
            self.file = None;
            self.retry_at = Some(Instant::now() + RETRY);
        }
    }
}

/// Does a configuration need the store to start?
#[must_use]
pub fn is_needed(config: &config::Config) -> bool {
    config.listeners.iter().any(|listener| listener.tokens.is_some())
}
