//! Metrics for Prometheus: one table of what there is, and one page made from it at each scrape.
//!
//! Owns names, labels and the text format (exposition format 0.0.4). Owns no counter: the page is drawn
//! from what the data plane, the log and the look-ups count themselves.

mod endpoint;
mod frames;
mod kcp;
mod page;
mod pool;
mod process;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_core::outcome::Path;
use portcullis_proxy::{Counts, EndpointCounts, ListenerCounts, PoolCounts};

use self::page::Page;
use crate::log::Losses;
use crate::resolve;
use crate::status::{Readiness, Status};
use crate::store;

/// Declares every metric once: its constant, its name, kind, labels and meaning.
macro_rules! metrics {
    ($($name:ident $text:literal $kind:ident [$($label:literal),*] $help:literal),+ $(,)?) => {
        $(#[doc = $help] pub const $name: Metric =
            Metric { name: $text, kind: Kind::$kind, labels: &[$($label),*], help: $help };)+

        /// Every metric, in the order of the page.
        pub const ALL: &[Metric] = &[$($name),+];
    };
}

/// One family of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What its values do.
    pub kind: Kind,
    /// The names of its labels; every set of values is bounded.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

/// What the values of a metric do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Grows only.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in classes by size, cumulated at each upper bound `le`, with their sum.
    Histogram,
}

metrics! {
    SESSIONS "portcullis_sessions" Gauge ["listener"] "Sessions at the moment, those that are still opening included.",
    SESSION_MAXIMUM "portcullis_session_maximum" Gauge [] "The most sessions at a time.",
    HELLOS "portcullis_hellos_in_progress" Gauge [] "Clients that have not yet said where they belong.",
    OPENS "portcullis_opens_total" Counter ["listener", "result"] "Sessions that opened (`ok`), or the reason why they did not.",
    CLOSED "portcullis_closed_total" Counter ["listener", "reason"] "Sessions that had opened, by the reason of their end.",
    BYTES "portcullis_bytes_total" Counter ["listener", "direction"] "Payload bytes relayed, up (to the endpoint) and down (to the client).",
    PATH_BYTES "portcullis_path_bytes_total" Counter ["path"] "Payload bytes relayed, by how they were moved.",
    MESSAGES "portcullis_messages_total" Counter ["listener", "direction"] "Frames of clients (`up`), whatever became of them, and of endpoints (`down`).",
    HEARTBEATS "portcullis_heartbeats_total" Counter ["listener"] "Heartbeats of clients that the gateway answered itself.",
    MESSAGES_LIMITED "portcullis_messages_limited_total" Counter ["listener"] "Frames of clients that were answered with an error for a limit.",
    KCP_DATAGRAMS "portcullis_kcp_datagrams_total" Counter ["listener", "direction"] "KCP datagrams that came (`in`) and left (`out`), parity and what was dropped included.",
    KCP_DROPPED "portcullis_kcp_dropped_total" Counter ["listener", "reason"] "KCP datagrams that were dropped, by reason.",
    KCP_ANSWERS "portcullis_kcp_answers_total" Counter ["listener"] "Questions of strangers that were answered without keeping anything.",
    KCP_UNPROVEN "portcullis_kcp_unproven" Gauge ["listener"] "Sessions whose client has not shown that it receives what is sent to its address.",
    KCP_RETRANSMITS "portcullis_kcp_retransmits_total" Counter ["listener"] "Segments sent again.",
    KCP_DUPLICATES "portcullis_kcp_duplicates_total" Counter ["listener"] "Segments that came again.",
    KCP_RECOVERED "portcullis_kcp_fec_recovered_total" Counter ["listener"] "Lost datagrams that error correction has brought back.",
    KCP_ROUND_TRIP "portcullis_kcp_round_trip_seconds" Histogram ["listener"] "Measured round trips, to the millisecond.",
    POOL_IDLE "portcullis_pool_idle" Gauge ["upstream"] "Warm connections that wait for a session.",
    POOL_TAKES "portcullis_pool_takes_total" Counter ["upstream", "result"] "Connections that were wanted and there (`hit`), or had to be made (`miss`).",
    POOL_DIALS "portcullis_pool_dials_total" Counter ["upstream", "result"] "Attempts to make a connection in advance: made (`ok`) or not (`failed`).",
    POOL_DISCARDED "portcullis_pool_discarded_total" Counter ["upstream", "cause"] "Warm connections that were closed unused, by cause.",
    ENDPOINT_UP "portcullis_endpoint_up" Gauge ["upstream", "endpoint"] "1 while the endpoint is neither found down, nor stopped by its agent, nor left alone because sessions failed on it.",
    ENDPOINT_SESSIONS "portcullis_endpoint_sessions" Gauge ["upstream", "endpoint"] "Sessions at the endpoint, those that are still being connected included.",
    ENDPOINT_RESPONSE "portcullis_endpoint_response_seconds" Gauge ["upstream", "endpoint"] "How long the endpoint takes to be connected or to reply: a mean that rises at once and falls slowly.",
    PROBES "portcullis_probes_total" Counter ["upstream", "endpoint", "result"] "Health probes that were good (`ok`) or not (`failed`).",
    EJECTIONS "portcullis_ejections_total" Counter ["upstream", "endpoint"] "Times that an endpoint was left alone because sessions failed on it.",
    ACCEPT_PAUSES "portcullis_accept_pauses_total" Counter [] "Times that accepting paused for lack of file descriptors or of sessions.",
    BUGS "portcullis_bugs_total" Counter [] "Sessions that a defect of the gateway ended.",
    QUESTIONS_DROPPED "portcullis_questions_dropped_total" Counter [] "Names the data plane could not ask for because the queue was full.",
    ENDINGS_DROPPED "portcullis_endings_dropped_total" Counter [] "Session records that were not logged because the queue was full.",
    DNS_LOOKUPS "portcullis_dns_lookups_total" Counter [] "Names asked of name servers.",
    DNS_FAILURES "portcullis_dns_failures_total" Counter ["reason"] "Look-ups without an address, by reason.",
    DNS_CACHE_HITS "portcullis_dns_cache_hits_total" Counter [] "Names answered from the cache.",
    DNS_WAITING "portcullis_dns_waiting" Gauge [] "Names being looked up or waiting to be.",
    DNS_CACHED "portcullis_dns_cached" Gauge [] "Names in the cache.",
    LOG_DROPPED "portcullis_log_lines_dropped_total" Counter [] "Log lines dropped because the queue was full.",
    LOG_FAILED "portcullis_log_failures_total" Counter [] "Log lines, rotations and reopenings that the file system refused.",
    TOKENS "portcullis_device_tokens_total" Counter ["action", "result"] "Decisions about devices: `ok`, or the reason of a refusal (`action` is then `refused`).",
    DEVICES "portcullis_devices" Gauge [] "Devices that are registered; told from the first change on.",
    STORE_COMMITS "portcullis_store_commits_total" Counter [] "Changes put on disk, many decisions together.",
    STORE_FAILURES "portcullis_store_failures_total" Counter [] "Times that the store could not be opened, read or written.",
    STORE_BUSY "portcullis_store_busy_total" Counter [] "Questions about devices that were lost because too many waited.",
    READY "portcullis_ready" Gauge [] "1 while the gateway is to be sent clients.",
    RELOADS "portcullis_reloads_total" Counter ["result"] "Reloads that were applied (`ok`) or refused whole (`failed`).",
    LAST_RELOAD "portcullis_last_reload_timestamp_seconds" Gauge [] "When the last reload ended; 0 before the first.",
    LAST_RELOAD_OK "portcullis_last_reload_successful" Gauge [] "1 if the last reload was applied, or if there was none.",
    TLS_RELOADS "portcullis_tls_reloads_total" Counter ["result"] "Listeners, routes and upstreams that took changed certificate and key files while running (`ok`), or kept what they had (`failed`).",
    TLS_EXPIRY "portcullis_tls_certificate_expiry_timestamp_seconds" Gauge ["listener"] "When the first certificate of the listener ends, in Unix time.",
    CONFIG "portcullis_config_info" Gauge ["hash"] "Always 1; the fingerprint of the configuration in force.",
    BUILD "portcullis_build_info" Gauge ["version"] "Always 1; the version of the program.",
    CPU "process_cpu_seconds_total" Counter [] "Processor time used, user and system.",
    OPEN_FDS "process_open_fds" Gauge [] "File descriptors in use.",
    MAX_FDS "process_max_fds" Gauge [] "File descriptors the process may use.",
    RSS "process_resident_memory_bytes" Gauge [] "Memory in RAM.",
    THREADS "process_threads" Gauge [] "Threads.",
    START "process_start_time_seconds" Gauge [] "When the process began, in Unix time.",
}

/// What the data plane has counted.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    /// By listener.
    pub listeners: Vec<ListenerCounts>,
    /// Payload bytes by how they were moved.
    pub path_bytes: Vec<(&'static str, u64)>,
    /// Warm connections, by upstream.
    pub pools: Vec<PoolCounts>,
    /// Endpoints, by upstream.
    pub endpoints: Vec<EndpointCounts>,
    /// Clients that have not yet said where they belong.
    pub hellos: u64,
    /// Times that accepting paused.
    pub accept_pauses: u64,
    /// Sessions that a defect ended.
    pub bugs: u64,
    /// Questions lost to a full queue.
    pub questions_dropped: u64,
    /// Session records lost to a full queue.
    pub endings_dropped: u64,
}

impl From<Counts> for Traffic {
    fn from(counts: Counts) -> Self {
        let sum = |of: fn(&ListenerCounts) -> u64| counts.listeners.iter().map(of).sum::<u64>();
        let moved = |path: Path| counts.listeners.iter().map(|one| one.path_bytes[path as usize]).sum();
        Self {
            path_bytes: Path::ALL.map(|path| (path.label(), moved(path))).to_vec(),
            hellos: sum(|listener| listener.hellos),
            accept_pauses: counts.accept_pauses,
            bugs: counts.bugs,
            questions_dropped: counts.questions_dropped,
            endings_dropped: counts.endings_dropped,
            pools: counts.pools,
            endpoints: counts.endpoints,
            listeners: counts.listeners,
        }
    }
}

/// Everything a page is made of.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The data plane.
    pub traffic: &'a Traffic,
    /// The log.
    pub losses: Losses,
    /// The look-ups.
    pub dns: &'a resolve::Counters,
    /// What outlives the process.
    pub store: &'a store::Counters,
    /// The process.
    pub status: &'a Status,
}

/// The media type of [`page`].
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Returns the page.
#[must_use]
pub fn page(sources: &Sources<'_>) -> String {
    let mut page = Page::default();
    traffic(&mut page, sources.traffic, sources.status);
    lookups(&mut page, sources.dns);
    page.family(LOG_DROPPED).sample(&[], sources.losses.dropped);
    page.family(LOG_FAILED).sample(&[], sources.losses.failed);
    tokens::write(&mut page, sources.store);
    node(&mut page, sources.status);
    process::write(&mut page, sources.status);
    page.into_text()
}

fn traffic(page: &mut Page, traffic: &Traffic, status: &Status) {
    let listeners = &traffic.listeners;
    page.family(SESSIONS);
    for listener in listeners {
        page.sample(&[listener.name.as_str()], listener.sessions);
    }
    page.family(SESSION_MAXIMUM).sample(&[], status.in_force().session_maximum.into());
    page.family(HELLOS).sample(&[], traffic.hellos);
    page.family(OPENS);
    for listener in listeners {
        page.sample(&[listener.name.as_str(), "ok"], listener.opened);
        for (reason, count) in &listener.refused {
            page.sample(&[listener.name.as_str(), reason.label()], *count);
        }
    }
    page.family(CLOSED);
    for listener in listeners {
        for (reason, count) in &listener.closed {
            page.sample(&[listener.name.as_str(), reason.label()], *count);
        }
    }
    page.family(BYTES);
    for listener in listeners {
        page.sample(&[listener.name.as_str(), "up"], listener.up_bytes);
        page.sample(&[listener.name.as_str(), "down"], listener.down_bytes);
    }
    page.family(PATH_BYTES);
    for (path, bytes) in &traffic.path_bytes {
        page.sample(&[path], *bytes);
    }
    frames::write(page, &traffic.listeners);
    kcp::write(page, listeners);
    pool::write(page, &traffic.pools);
    endpoint::write(page, &traffic.endpoints);
    page.family(ACCEPT_PAUSES).sample(&[], traffic.accept_pauses);
    page.family(BUGS).sample(&[], traffic.bugs);
    page.family(QUESTIONS_DROPPED).sample(&[], traffic.questions_dropped);
    page.family(ENDINGS_DROPPED).sample(&[], traffic.endings_dropped);
}

fn lookups(page: &mut Page, dns: &resolve::Counters) {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.family(DNS_LOOKUPS).sample(&[], read(&dns.lookups));
    page.family(DNS_FAILURES)
        .sample(&["not-found"], read(&dns.not_found))
        .sample(&["timeout"], read(&dns.timeouts))
        .sample(&["failed"], read(&dns.failures))
        .sample(&["busy"], read(&dns.refused));
    page.family(DNS_CACHE_HITS).sample(&[], read(&dns.cache_hits));
    page.family(DNS_WAITING).sample(&[], read(&dns.waiting));
    page.family(DNS_CACHED).sample(&[], read(&dns.cached));
}

fn node(page: &mut Page, status: &Status) {
    let reloads = status.reloads();
    page.family(READY).sample(&[], u64::from(status.readiness() == Readiness::Ready));
    page.family(RELOADS).sample(&["ok"], reloads.applied).sample(&["failed"], reloads.refused);
    let last = reloads.last.as_ref();
    page.family(LAST_RELOAD).sample(&[], last.map_or(0, |last| unix(last.at)));
    page.family(LAST_RELOAD_OK).sample(&[], u64::from(last.is_none_or(|last| last.errors.is_empty())));
    let certificates = status.certificates();
    page.family(TLS_RELOADS).sample(&["ok"], certificates.taken).sample(&["failed"], certificates.kept);
    page.family(TLS_EXPIRY);
    for (listener, at) in &certificates.expiries {
        page.sample(&[listener.as_str()], unix(*at));
    }
    page.family(CONFIG).sample(&[&format!("{:08x}", status.in_force().hash)], 1);
    page.family(BUILD).sample(&[env!("CARGO_PKG_VERSION")], 1);
}

/// Seconds of Unix time; 0 before 1970.
fn unix(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
