//! Looks names up for the data plane: the hosts file, then DNS; addresses and services.
//!
//! Owns the sockets to the name servers and what they have answered lately. A name is asked for once at a
//! time however many sessions wait for it, at most [`IN_FLIGHT`] names at a time, and no answer is older
//! than its time to live. Judges no address: whether one may be dialled is `allow`'s business.

mod desk;
mod service;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup as DnsLookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use portcullis_core::config::Dns;
use portcullis_core::endpoint::HostName;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::desk::{Begun, Desk, Key};
use self::service::Service;

/// How many names are looked up at the same time.
pub const IN_FLIGHT: usize = 64;

/// How long the second address family is waited for once the first has answered (RFC 8305, section 3).
const SECOND_FAMILY: Duration = Duration::from_millis(50);

/// The most addresses of one answer that are kept.
const ADDRESSES: usize = 32;

/// The most targets of one service whose addresses are looked up.
const TARGETS: usize = 8;

/// Why a name gave no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LookupError {
    /// The name does not exist, or has no address.
    #[error("the name has no address")]
    NotFound,
    /// No server answered within `[dns] timeout`.
    #[error("no name server answered in time")]
    Timeout,
    /// Every server refused or failed.
    #[error("the name servers cannot answer")]
    Failed,
    /// Too many other names are waiting.
    #[error("too many names are being looked up")]
    Busy,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The name.
    pub host: HostName,
    /// The port of the answer; `None` = an SRV look-up gives it.
    pub port: Option<NonZeroU16>,
}

/// An answer: where to dial, best first, never empty; or why not.
pub type Answer = Result<Vec<SocketAddr>, LookupError>;

/// What look-ups have done since the process began, and do at the moment; shared with metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Questions to name servers that ended.
    pub lookups: AtomicU64,
    /// Those of them without an address: not found, timeout, failed.
    pub not_found: AtomicU64,
    /// See `not_found`.
    pub timeouts: AtomicU64,
    /// See `not_found`.
    pub failures: AtomicU64,
    /// Questions answered from the cache.
    pub cache_hits: AtomicU64,
    /// Questions refused because too many waited.
    pub refused: AtomicU64,
    /// Names being looked up or waiting to be; a gauge.
    pub waiting: AtomicU64,
    /// Names in the cache; a gauge.
    pub cached: AtomicU64,
}

/// Looks names up. `T` is whatever the asker wants back with the answer.
///
/// Lives on one task: [`Resolver::ask`] takes a question, [`Resolver::next`] yields answers.
#[derive(Debug)]
pub struct Resolver<T> {
    client: Arc<Client>,
    desk: Desk<(T, Option<NonZeroU16>)>,
    flights: JoinSet<Result<Found, LookupError>>,
    /// What each flight looks up, and in which epoch of the desk it began.
    aboard: HashMap<tokio::task::Id, (Key, u64)>,
    counters: Arc<Counters>,
    draw: u64,
}

/// What a server said, with its time to live.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    records: Records,
    ttl: Duration,
}

/// What a name stands for. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Records {
    /// Addresses, IPv4 first.
    Addresses(Arc<[IpAddr]>),
    /// A service's targets with their addresses.
    Services(Arc<[Service]>),
}

impl<T: Send + 'static> Resolver<T> {
    /// Makes a resolver that asks the servers of `dns`, and a warning when it cannot do quite that.
    ///
    /// `seed` draws between the targets of a service; it need not be secret.
    #[must_use]
    pub fn new(dns: &Dns, counters: Arc<Counters>, seed: u64) -> (Self, Option<ClientWarning>) {
        let (client, warning) = Client::new(dns);
        let resolver = Self {
            client: Arc::new(client),
            desk: Desk::new(),
            flights: JoinSet::new(),
            aboard: HashMap::new(),
            counters,
            draw: seed | 1,
        };
        (resolver, warning)
    }

    /// Changes the servers and forgets what the old ones said. Those who wait still get an answer.
    #[must_use]
    pub fn configure(&mut self, dns: &Dns) -> Option<ClientWarning> {
        let (client, warning) = Client::new(dns);
        self.client = Arc::new(client);
        self.desk.forget();
        self.gauge();
        warning
    }

    /// Takes a question. Returns the answer if it is known at once, with `asker`; else [`Resolver::next`]
    /// yields it later.
    pub fn ask(&mut self, lookup: Lookup, asker: T) -> Option<(T, Answer)> {
        let key = if lookup.port.is_some() { Key::Address(lookup.host) } else { Key::Service(lookup.host) };
        let begun = self.desk.handle_question(key, (asker, lookup.port), Instant::now());
        let answer = match begun {
            Begun::Known { asker: (asker, port), found } => {
                self.counters.cache_hits.fetch_add(1, Ordering::Relaxed);
                Some((asker, self.answer(&found, port)))
            }
            Begun::Start { key, epoch } => {
                self.start(key, epoch);
                None
            }
            Begun::Waits => None,
            Begun::Full { asker: (asker, _) } => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                Some((asker, Err(LookupError::Busy)))
            }
        };
        self.gauge();
        answer
    }

    /// Waits for the next name to be looked up and returns the answers of all who asked for it.
    ///
    /// Cancel safe: a look-up that ended is not lost. Waits for ever while nothing is being looked up.
    pub async fn next(&mut self) -> Vec<(T, Answer)> {
        let (key, epoch, found) = loop {
            let (flight, found) = match self.flights.join_next_with_id().await {
                Some(Ok((flight, found))) => (flight, found),
                // A panic inside the library is a failed look-up like any other.
                Some(Err(panicked)) => (panicked.id(), Err(LookupError::Failed)),
                None => std::future::pending().await,
            };
            if let Some((key, epoch)) = self.aboard.remove(&flight) {
                break (key, epoch, found);
            }
        };
        self.count(&found);
        let (askers, start) = self.desk.handle_found(&key, epoch, found.clone(), Instant::now());
        if let Some((key, epoch)) = start {
            self.start(key, epoch);
        }
        self.gauge();
        askers.into_iter().map(|(asker, port)| (asker, self.answer(&found, port))).collect()
    }

    /// Sends a question to the servers.
    fn start(&mut self, key: Key, epoch: u64) {
        let (client, asked) = (Arc::clone(&self.client), key.clone());
        let flight = self.flights.spawn(async move { client.look_up(&asked).await });
        self.aboard.insert(flight.id(), (key, epoch));
    }

    /// Makes of what was found the answer to one who asked for `port`.
    fn answer(&mut self, found: &Result<Found, LookupError>, port: Option<NonZeroU16>) -> Answer {
        match (&found.as_ref().map_err(|error| *error)?.records, port) {
            (Records::Addresses(addresses), Some(port)) => {
                Ok(addresses.iter().map(|ip| SocketAddr::new(*ip, port.get())).collect())
            }
            (Records::Services(services), None) => Ok(service::in_order(services, &mut self.draw)),
            // The key of the cache has the kind of question in it.
            (Records::Addresses(_), None) | (Records::Services(_), Some(_)) => Err(LookupError::Failed),
        }
    }

    fn count(&self, found: &Result<Found, LookupError>) {
        self.counters.lookups.fetch_add(1, Ordering::Relaxed);
        let counter = match found {
            Ok(_) => return,
            Err(LookupError::NotFound) => &self.counters.not_found,
            Err(LookupError::Timeout) => &self.counters.timeouts,
            Err(LookupError::Failed | LookupError::Busy) => &self.counters.failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn gauge(&self) {
        self.counters.waiting.store(self.desk.waiting() as u64, Ordering::Relaxed);
        self.counters.cached.store(self.desk.cached() as u64, Ordering::Relaxed);
    }
}

/// Why names are looked up in another way than the operator may expect.
#[derive(Debug, thiserror::Error)]
#[error("the system's name servers are not known (/etc/resolv.conf); set `[dns] servers`")]
pub struct ClientWarning(#[source] NetError);

/// The questions themselves, without memory.
struct Client {
    /// `None` when the library refused to begin: every look-up fails then.
    dns: Option<TokioResolver>,
    timeout: Duration,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Client {
    fn new(dns: &Dns) -> (Self, Option<ClientWarning>) {
        let provider = TokioRuntimeProvider::default();
        let named = |servers: &[SocketAddr]| {
            let servers = servers.iter().map(|server| name_server(*server)).collect();
            // Without a search list: a name is asked for as it is written.
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, provider.clone())
        };
        let local = [SocketAddr::from(([127, 0, 0, 1], 53))];
        let (mut builder, mut warning) = if dns.servers.is_empty() {
            match TokioResolver::builder_tokio() {
                Ok(builder) => (builder, None),
                Err(error) => (named(&local), Some(ClientWarning(error))),
            }
        } else {
            (named(&dns.servers), None)
        };
        let options = builder.options_mut();
        // The desk remembers answers, within its own bounds.
        options.cache_size = 0;
        // A datagram that is lost leaves time for a second one.
        options.timeout = dns.timeout / 2;
        options.attempts = 2;
        options.max_active_requests = 4 * IN_FLIGHT;
        let built = builder.build().map_err(|error| warning = Some(ClientWarning(error)));
        (Self { dns: built.ok(), timeout: dns.timeout }, warning)
    }

    /// Asks for `key`, within `[dns] timeout` in all.
    async fn look_up(&self, key: &Key) -> Result<Found, LookupError> {
        let Some(dns) = &self.dns else { return Err(LookupError::Failed) };
        let found = match key {
            Key::Address(host) => timeout(self.timeout, addresses(dns, host.as_str())).await,
            Key::Service(host) => timeout(self.timeout, services(dns, host.as_str())).await,
        };
        found.unwrap_or(Err(LookupError::Timeout))
    }
}

/// Asks for A and AAAA at the same time; the slower family may be missing in the answer.
async fn addresses(dns: &TokioResolver, host: &str) -> Result<Found, LookupError> {
    let (four, six) = (dns.lookup(host, RecordType::A), dns.lookup(host, RecordType::AAAA));
    tokio::pin!(four, six);
    let (four, six) = tokio::select! {
        four = &mut four => {
            let six = if four.is_ok() { timeout(SECOND_FAMILY, six).await.ok() } else { Some(six.await) };
            (Some(four), six)
        }
        six = &mut six => {
            let four = if six.is_ok() { timeout(SECOND_FAMILY, four).await.ok() } else { Some(four.await) };
            (four, Some(six))
        }
    };
    let (mut addresses, mut ttl, mut error) = (Vec::new(), u32::MAX, LookupError::NotFound);
    for family in [four, six].into_iter().flatten() {
        match family {
            Ok(lookup) => {
                let records = lookup.answers().iter();
                addresses.extend(records.filter_map(|record| record.data.ip_addr()));
                ttl = ttl.min(lowest_ttl(&lookup));
            }
            Err(reason) => error = worse(error, because(&reason)),
        }
    }
    addresses.truncate(ADDRESSES);
    if addresses.is_empty() {
        return Err(error);
    }
    Ok(Found { records: Records::Addresses(addresses.into()), ttl: Duration::from_secs(ttl.into()) })
}

/// Asks for SRV (RFC 2782), then for the addresses of the best targets.
async fn services(dns: &TokioResolver, host: &str) -> Result<Found, LookupError> {
    let lookup = dns.lookup(host, RecordType::SRV).await.map_err(|error| because(&error))?;
    let mut ttl = Duration::from_secs(lowest_ttl(&lookup).into());
    let mut targets: Vec<_> = lookup
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            RData::SRV(srv) => {
                Some((srv.priority, srv.weight, NonZeroU16::new(srv.port)?, srv.target.clone()))
            }
            _ => None,
        })
        // A target of "." says that the service is decidedly not there.
        .filter(|(.., target)| !target.is_root())
        .collect();
    targets.sort_by_key(|(priority, weight, ..)| (*priority, u16::MAX - *weight));
    let (mut services, mut error) = (Vec::new(), LookupError::NotFound);
    for (priority, weight, port, target) in targets.into_iter().take(TARGETS) {
        match addresses(dns, &target.to_ascii()).await {
            Ok(found) => {
                ttl = ttl.min(found.ttl);
                if let Records::Addresses(addresses) = found.records {
                    services.push(Service { priority, weight, port, addresses });
                }
            }
            Err(reason) => error = worse(error, reason),
        }
    }
    if services.is_empty() {
        return Err(error);
    }
    Ok(Found { records: Records::Services(services.into()), ttl })
}

/// Names one server, asked by UDP and, for long answers, by TCP.
fn name_server(server: SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
    NameServerConfig::new(server.ip(), true, connections)
}

/// The time to live of an answer is that of its shortest-lived record, in seconds.
fn lowest_ttl(lookup: &DnsLookup) -> u32 {
    lookup.answers().iter().map(|record| record.ttl).min().unwrap_or(0)
}

/// What an error of the DNS library means to an asker.
fn because(error: &NetError) -> LookupError {
    match error {
        _ if error.is_no_records_found() => LookupError::NotFound,
        NetError::Timeout => LookupError::Timeout,
        _ => LookupError::Failed,
    }
}

/// "Not found" is only true if nobody failed.
fn worse(one: LookupError, two: LookupError) -> LookupError {
    if one == LookupError::NotFound { two } else { one }
}
