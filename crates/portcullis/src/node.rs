//! One gateway: what it is made of, how it comes to be, and how it takes a new configuration.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use portcullis_control::admin::{AdminError, AdminSocket, Reload, ReloadErrors};
use portcullis_control::capacity::{self, Needs};
use portcullis_control::log::{Entry, Log, LogThread};
use portcullis_control::plane::{self, Change, Control};
use portcullis_control::status::{InForce, Status, fingerprint};
use portcullis_control::store::{self, Store, StoreThread};
use portcullis_core::config::{self, Config, Workers};
use portcullis_core::resolver::Own;
use portcullis_core::snapshot::Snapshot;
use portcullis_proxy::{ProxyHandle, Running, Sockets};
use portcullis_sys::{interfaces, limits};

use tokio::sync::mpsc;

use crate::certificates;
use crate::config_file::{self, ConfigFile};
use crate::exit::{Exit, Refused, told};
use crate::files::Files;

/// How long the log may take over why the gateway does not start.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A running gateway.
#[derive(Debug)]
pub(crate) struct Node {
    /// The data plane.
    pub(crate) proxy: ProxyHandle,
    /// The control plane.
    pub(crate) control: Control,
    /// Where lines go.
    pub(crate) log: Log,
    /// Writes them.
    pub(crate) log_thread: LogThread,
    /// What the process says of itself.
    pub(crate) status: Arc<Status>,
    /// Keeps what outlives the process.
    pub(crate) store_thread: StoreThread,
    /// The configuration in force.
    pub(crate) config: Arc<Config>,
    /// Operators who ask for a reload.
    pub(crate) reloads: mpsc::Receiver<Reload>,
    store: Store,
    file: PathBuf,
    files: Files,
    sockets: Sockets,
    admin: Option<AdminSocket>,
}

/// Everything a configuration asks the system for, had before any of it is put in force.
struct Prepared {
    config: Arc<Config>,
    snapshot: Arc<Snapshot>,
    /// What was read for it.
    files: Files,
    sockets: Sockets,
    admin: Option<AdminSocket>,
    in_force: InForce,
}

/// What is in force while the next configuration is prepared.
#[derive(Default)]
struct Before<'a> {
    snapshot: Option<&'a Snapshot>,
    sockets: Option<&'a Sockets>,
    admin: Option<&'a AdminSocket>,
}

impl Node {
    /// Reads the configuration and starts the gateway it describes. Nothing serves before everything is bound.
    pub(crate) fn start(file: Option<&Path>) -> Result<(Self, Running), Refused> {
        let source = ConfigFile::read(file)?;
        let file = source.path.clone();
        let (log, log_thread) =
            Log::start(&source.config.log).map_err(|error| Refused::one(Exit::Config, error))?;
        let on_stderr = source.config.log.error_file.is_none() && source.config.log.info_file.is_none();
        match Parts::start(source, &log) {
            Ok((parts, running)) => {
                let Parts { proxy, control, status, reloads, store, store_thread, prepared } = parts;
                let Prepared { config, files, sockets, admin, .. } = prepared;
                let node = Self {
                    proxy,
                    control,
                    log,
                    log_thread,
                    status,
                    store_thread,
                    config,
                    store,
                    reloads,
                    file,
                    files,
                    sockets,
                    admin,
                };
                Ok((node, running))
            }
            Err(refused) => {
                // The command line tells them on stderr in any case.
                for error in refused.errors.iter().filter(|_| !on_stderr) {
                    log.tell(refusal("the gateway does not start", error));
                }
                let _in_time = log_thread.finish(LAST_LINES);
                Err(refused)
            }
        }
    }

    /// Takes the file anew: all of it, or nothing, and then it says why.
    pub(crate) async fn reload(&mut self) -> Result<(), ReloadErrors> {
        match self.prepare_reload() {
            Ok(prepared) => {
                self.apply(prepared).await;
                Ok(())
            }
            Err(refused) => {
                for error in &refused.errors {
                    self.log.tell(refusal("the new configuration is refused", error));
                }
                let count = Entry::error("nothing was changed by the reload").every_time();
                self.log.tell(count.with("errors", refused.errors.len() as u64));
                // Without the lines of the file: they may hold what is not for those who read the status.
                let first = |error: &String| error.lines().next().unwrap_or_default().to_owned();
                let errors: ReloadErrors = refused.errors.iter().map(first).collect();
                self.status.refused(errors.clone());
                Err(errors)
            }
        }
    }

    /// Takes certificates and keys anew whose files hold something else than they did. Whoever cannot use what they
    /// hold keeps what it had, which is told once for each change.
    pub(crate) fn renew_certificates(&self) {
        let snapshot = self.proxy.snapshot();
        let changed = self.files.changed(snapshot.tls_files());
        if changed.is_empty() {
            return;
        }
        let is_changed = |path: &Path| changed.iter().any(|file| file == path);
        let renewed = snapshot.renew_tls(&is_changed, &|path| self.files.read_again(path));
        for error in &renewed.kept {
            let entry =
                Entry::warn("changed certificates or keys cannot be used; those before stay in force");
            self.log.tell(entry.with("error", told(error)).every_time());
        }
        self.status.renewed(renewed.taken.into(), renewed.kept.len() as u64);
        if let Some(snapshot) = renewed.snapshot.map(Arc::new) {
            self.proxy.apply(Arc::clone(&snapshot), self.sockets.clone());
            let entry = Entry::info("changed certificates and keys are in force").every_time();
            self.log.tell(entry.with("count", renewed.taken));
            certificates::tell(&snapshot, &self.status, &self.log);
        }
    }

    /// Stops listening, once what waits at the listeners is taken.
    pub(crate) fn stop_accepting(&mut self) {
        // A socket listens as long as anyone holds it.
        self.sockets = Sockets::none(0);
        self.proxy.stop_accepting();
    }

    /// Has everything the file asks for, without a trace if anything is missing.
    fn prepare_reload(&self) -> Result<Prepared, Refused> {
        let source = ConfigFile::read(Some(&self.file))?;
        let (snapshot, maximum) = (self.proxy.snapshot(), self.status.in_force().session_maximum);
        let before =
            Before { snapshot: Some(&snapshot), sockets: Some(&self.sockets), admin: self.admin.as_ref() };
        let prepared = prepare(source, &before, &self.store, maximum)?;
        if prepared.config.log != self.config.log {
            // The last that can fail.
            self.log.configure(&prepared.config.log).map_err(|error| Refused::one(Exit::Config, error))?;
        }
        Ok(prepared)
    }

    /// Puts what was prepared in force.
    async fn apply(&mut self, prepared: Prepared) {
        let Prepared { config, snapshot, files, sockets, admin, in_force } = prepared;
        if config.workers != self.config.workers || config.limits.sessions != self.config.limits.sessions {
            self.log.tell(Entry::warn("`workers` and `[limits] sessions` change at the next start only"));
        }
        if *config.store != *self.store.path() {
            self.log.tell(Entry::warn("`[store] file` changes at the next start only"));
        }
        self.proxy.apply(Arc::clone(&snapshot), sockets.clone());
        let changed = (admin != self.admin).then(|| admin.clone());
        self.control.apply(Change { dns: config.dns.clone(), admin: changed }).await;
        warn(&self.log, &config);
        let hash = format!("{:08x}", in_force.hash);
        self.log.tell(Entry::info("the new configuration is in force").with("hash", hash));
        certificates::tell(&snapshot, &self.status, &self.log);
        self.status.reloaded(in_force);
        (self.config, self.files, self.sockets, self.admin) = (config, files, sockets, admin);
    }
}

/// What a start yields besides the log.
struct Parts {
    proxy: ProxyHandle,
    control: Control,
    status: Arc<Status>,
    reloads: mpsc::Receiver<Reload>,
    store: Store,
    store_thread: StoreThread,
    prepared: Prepared,
}

impl Parts {
    fn start(source: ConfigFile, log: &Log) -> Result<(Self, Running), Refused> {
        let system = |error: io::Error| Refused::one(Exit::Bug, error);
        let workers = workers(&source.config);
        let maximum = session_maximum(&source.config, workers, log);
        if let Err(error) = limits::forbid_core_files() {
            log.tell(
                Entry::warn("core files cannot be forbidden; they would hold keys").with_text("error", error),
            );
        }
        let (store, store_thread) = Store::start(&source.config.store, log.clone()).map_err(system)?;
        let prepared = prepare(source, &Before::default(), &store, maximum)?;
        warn(log, &prepared.config);
        let status = Arc::new(Status::new(prepared.in_force.clone()));
        certificates::tell(&prepared.snapshot, &status, log);
        let (snapshot, sockets) = (Arc::clone(&prepared.snapshot), prepared.sockets.clone());
        let parts = portcullis_proxy::Parts { snapshot, sockets, workers, sessions: maximum };
        let (proxy, running) = portcullis_proxy::start(parts).map_err(system)?;
        let (reload, reloads) = mpsc::channel(1);
        let parts = plane::Parts {
            proxy: proxy.clone(),
            log: log.clone(),
            status: Arc::clone(&status),
            dns: prepared.config.dns.clone(),
            admin: prepared.admin.clone(),
            store: store.clone(),
            reload,
        };
        let control = Control::start(parts).map_err(system)?;
        Ok((Self { proxy, control, status, reloads, store, store_thread, prepared }, running))
    }
}

/// Has everything `source` asks for: every error of every step is told together.
fn prepare(
    source: ConfigFile,
    before: &Before<'_>,
    store: &Store,
    maximum: u32,
) -> Result<Prepared, Refused> {
    let ConfigFile { path, text, config } = source;
    // What was read can be shown; should it not, the rest need not fail for that.
    let effective = config::effective(&text, &path.display().to_string(), &config_file::variable);
    let effective = effective.unwrap_or_default().into();
    let config = Arc::new(config);
    let files = Files::default();
    let (mut unbound, mut wrong) = (Vec::new(), Vec::new());
    let nothing = Sockets::none(workers(&config));
    let sockets = before.sockets.unwrap_or(&nothing).bind_more(&config);
    let sockets = sockets.map_err(|errors| unbound.extend(errors.iter().map(|error| told(error)))).ok();
    let admin = config.admin.as_ref().map(|admin| AdminSocket::bind(admin, before.admin)).transpose();
    let admin = admin.map_err(|error| match error {
        AdminError::Bind { .. } => unbound.push(told(&error)),
        AdminError::Token(_) => wrong.push(told(&error)),
    });
    let listeners = sockets.as_ref().map(Sockets::addresses).unwrap_or_default();
    let own = own(&listeners, admin.as_ref().ok().and_then(Option::as_ref));
    let snapshot = own.map_err(|error| wrong.push(told(&error))).ok().and_then(|own| {
        let read = |file: &Path| files.read(file);
        let snapshot = Snapshot::build(Arc::clone(&config), own, &read, before.snapshot);
        snapshot.map_err(|errors| wrong.extend(errors.iter().map(|error| told(error)))).ok()
    });
    if store::is_needed(&config)
        && let Err(error) = store.open()
    {
        wrong.push(told(&error));
    }
    match (sockets, admin, snapshot) {
        (Some(sockets), Ok(admin), Some(snapshot)) if wrong.is_empty() => {
            let in_force = InForce {
                file: path,
                effective,
                hash: fingerprint(&text),
                listeners,
                admin: admin.as_ref().map(|admin| admin.place().clone()),
                session_maximum: maximum,
            };
            Ok(Prepared { config, snapshot: Arc::new(snapshot), files, sockets, admin, in_force })
        }
        _ => {
            let exit = if wrong.is_empty() { Exit::CannotBind } else { Exit::Config };
            wrong.append(&mut unbound);
            Err(Refused { exit, errors: wrong.iter().map(|error| format!("error: {error}")).collect() })
        }
    }
}

/// Tells one error of a configuration: what is wrong and what to write instead, without the line of the file.
fn refusal(message: &'static str, error: &str) -> Entry {
    let mut lines = error.lines();
    let first = lines.next().unwrap_or_default();
    let entry = Entry::error(message).every_time();
    let hint = lines.next_back().map(|hint| hint.trim_start_matches([' ', '=']));
    entry.with("error", first.trim_start_matches("error: ")).with_some("hint", hint)
}

/// Where the gateway itself is, so that no key leads back into it.
fn own(
    listeners: &[(portcullis_core::name::ListenerName, std::net::SocketAddr)],
    admin: Option<&AdminSocket>,
) -> io::Result<Own> {
    let admin = admin.and_then(|admin| admin.place().tcp());
    let listening = listeners.iter().map(|(_, address)| *address).chain(admin).collect();
    Ok(Own { listening, local: interfaces::addresses()? })
}

/// How many workers there are.
fn workers(config: &Config) -> usize {
    match config.workers {
        Workers::Auto => available_parallelism().map_or(1, NonZeroUsize::get),
        Workers::Fixed(count) => count.get().into(),
    }
}

/// Raises the limit of open files and returns how many sessions there may be; both are logged.
fn session_maximum(config: &Config, workers: usize, log: &Log) -> u32 {
    let files = limits::raise_open_files().unwrap_or_else(|error| {
        log.tell(Entry::warn("the limit of open files cannot be raised").with_text("error", error));
        limits::open_files()
    });
    let sockets = config.listeners.iter().map(|listener| listener.bind.len()).sum();
    let room = capacity::sessions(Needs { open_files: files.soft, workers, sockets });
    let maximum = config.limits.sessions.map_or(room, |wanted| wanted.min(room));
    let entry = Entry::info("session maximum").with("sessions", maximum).with("open_files", files.soft);
    log.tell(entry.with("workers", workers as u64));
    if let Some(wanted) = config.limits.sessions.filter(|wanted| *wanted > room) {
        let entry =
            Entry::warn("`[limits] sessions` is more than the open files allow; raise their hard limit");
        log.tell(entry.with("wanted", wanted).with("room", room));
    }
    maximum
}

/// Tells what runs but deserves a word.
fn warn(log: &Log, config: &Config) {
    for warning in &config.warnings {
        let at = warning.at.as_deref();
        log.tell(
            Entry::warn("configuration").with_some("at", at).with("warning", &*warning.text).every_time(),
        );
    }
}
