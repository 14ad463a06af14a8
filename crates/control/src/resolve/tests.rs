//! Look-ups against a name server of our own on loopback.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod server;

use self::server::{Server, Zone};
use super::*;

const A: u16 = 1;

/// A resolver, its server and its counters.
struct World {
    server: Server,
    resolver: Resolver<usize>,
    counters: Arc<Counters>,
}

impl World {
    fn new() -> Self {
        Self::with_timeout(Duration::from_secs(5))
    }

    fn with_timeout(timeout: Duration) -> Self {
        let server = Server::start();
        let counters = Arc::new(Counters::default());
        let dns = Dns { servers: vec![server.addr], timeout };
        let (resolver, warning) = Resolver::new(&dns, Arc::clone(&counters), 7);
        assert!(warning.is_none());
        Self { server, resolver, counters }
    }

    /// Asks one question and waits for its answer.
    async fn ask(&mut self, host: &str, port: u16) -> Answer {
        if let Some((_, answer)) = self.resolver.ask(lookup(host, port), 0) {
            return answer;
        }
        let mut answers = self.next().await;
        assert_eq!(answers.len(), 1);
        answers.pop().unwrap().1
    }

    async fn next(&mut self) -> Vec<(usize, Answer)> {
        timeout(Duration::from_secs(10), self.resolver.next()).await.expect("an answer in time")
    }
}

fn lookup(host: &str, port: u16) -> Lookup {
    Lookup { host: HostName::parse(host).unwrap(), port: NonZeroU16::new(port) }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(texts: &[&str]) -> Answer {
    Ok(texts.iter().map(|text| text.parse().unwrap()).collect())
}

#[tokio::test]
async fn names_become_addresses_ipv4_first() {
    let mut world = World::new();
    world.server.set("both.test", Zone::Addresses(vec![ip("fd00::1"), ip("10.0.0.1"), ip("10.0.0.2")], 60));
    world.server.set("six.test", Zone::Addresses(vec![ip("fd00::2")], 60));
    assert_eq!(world.ask("both.test", 7000).await, at(&["10.0.0.1:7000", "10.0.0.2:7000", "[fd00::1]:7000"]));
    assert_eq!(world.ask("six.test", 7001).await, at(&["[fd00::2]:7001"]));
}

#[tokio::test]
async fn a_server_that_never_answers_aaaa_costs_no_timeout() {
    let mut world = World::new();
    world.server.set("four.test", Zone::OnlyFour(ip("10.0.0.1")));
    let begin = Instant::now();
    assert_eq!(world.ask("four.test", 7000).await, at(&["10.0.0.1:7000"]));
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn failures_are_told_apart() {
    let mut world = World::with_timeout(Duration::from_secs(2));
    world.server.set("gone.test", Zone::Code(3));
    world.server.set("empty.test", Zone::Addresses(vec![], 60));
    world.server.set("broken.test", Zone::Code(2));
    world.server.set("silent.test", Zone::Silence);
    assert_eq!(world.ask("gone.test", 1).await, Err(LookupError::NotFound));
    assert_eq!(world.ask("empty.test", 1).await, Err(LookupError::NotFound));
    assert_eq!(world.ask("broken.test", 1).await, Err(LookupError::Failed));
    let begin = Instant::now();
    assert_eq!(world.ask("silent.test", 1).await, Err(LookupError::Timeout));
    assert!(begin.elapsed() < Duration::from_millis(3900), "the timeout is for the whole look-up");
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &world.counters;
    assert_eq!(count(&counters.lookups), 4);
    assert_eq!((count(&counters.not_found), count(&counters.failures), count(&counters.timeouts)), (2, 1, 1));
}

#[tokio::test]
async fn many_sessions_ask_once_and_all_are_answered() {
    let mut world = World::new();
    world.server.set("busy.test", Zone::Addresses(vec![ip("10.0.0.1")], 60));
    for asker in 0..1000 {
        assert!(world.resolver.ask(lookup("busy.test", 7000), asker).is_none());
    }
    let answers = world.next().await;
    let askers: Vec<_> = answers.iter().map(|(asker, _)| *asker).collect();
    assert_eq!(askers, (0..1000).collect::<Vec<_>>());
    assert!(answers.iter().all(|(_, answer)| *answer == at(&["10.0.0.1:7000"])));
    assert_eq!(world.ask("busy.test", 7001).await, at(&["10.0.0.1:7001"]), "the port is not cached");
    assert_eq!(world.server.asked("busy.test", A), 1);
    assert_eq!(world.counters.cache_hits.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn an_answer_holds_for_its_time_and_then_the_flip_is_seen() {
    let mut world = World::new();
    // A TTL of 0 is held for a second: what is checked and what is dialled are one answer.
    world.server.set("flip.test", Zone::Addresses(vec![ip("10.0.0.1")], 0));
    let asked = Instant::now();
    assert_eq!(world.ask("flip.test", 7000).await, at(&["10.0.0.1:7000"]));
    world.server.set("flip.test", Zone::Addresses(vec![ip("127.0.0.1")], 0));
    loop {
        let answer = world.ask("flip.test", 7000).await;
        if answer == at(&["127.0.0.1:7000"]) {
            break;
        }
        assert_eq!(answer, at(&["10.0.0.1:7000"]));
        assert!(asked.elapsed() < Duration::from_secs(10), "the flip is never seen");
        tokio::task::yield_now().await;
    }
    assert!(asked.elapsed() >= Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn services_give_ports_and_are_tried_by_priority() {
    let mut world = World::new();
    let services = vec![
        (20, 0, 7002, "spare.test"),
        (10, 5, 7001, "main.test"),
        (10, 5, 7009, "gone.test"),
        (5, 1, 7003, ""),
    ];
    world.server.set("game.test", Zone::Services(services));
    world.server.set("main.test", Zone::Addresses(vec![ip("10.0.0.1")], 60));
    world.server.set("spare.test", Zone::Addresses(vec![ip("10.0.0.2")], 60));
    world.server.set("nowhere.test", Zone::Services(vec![(1, 1, 7000, "")]));
    assert_eq!(world.ask("game.test", 0).await, at(&["10.0.0.1:7001", "10.0.0.2:7002"]));
    assert_eq!(world.ask("nowhere.test", 0).await, Err(LookupError::NotFound));
    assert_eq!(world.ask("gone.test", 0).await, Err(LookupError::NotFound));
}

#[tokio::test]
async fn localhost_needs_no_server() {
    let mut world = World::with_timeout(Duration::from_secs(5));
    world.server.set("localhost", Zone::Silence);
    let answer = world.ask("localhost", 7000).await.unwrap();
    assert_eq!(answer.first(), Some(&"127.0.0.1:7000".parse().unwrap()), "{answer:?}");
    assert!(answer.iter().all(|addr| addr.ip().is_loopback()), "{answer:?}");
    assert_eq!(world.server.asked("localhost", A), 0);
}

#[tokio::test]
async fn new_servers_are_asked_anew() {
    let mut world = World::new();
    world.server.set("moved.test", Zone::Addresses(vec![ip("10.0.0.1")], 60));
    assert_eq!(world.ask("moved.test", 7000).await, at(&["10.0.0.1:7000"]));
    let other = Server::start();
    other.set("moved.test", Zone::Addresses(vec![ip("10.0.0.2")], 60));
    let dns = Dns { servers: vec![other.addr], timeout: Duration::from_secs(5) };
    assert!(world.resolver.configure(&dns).is_none());
    assert_eq!(world.ask("moved.test", 7000).await, at(&["10.0.0.2:7000"]));
}

#[tokio::test]
async fn a_dead_server_leaves_the_others() {
    let mut world = World::new();
    world.server.set("up.test", Zone::Addresses(vec![ip("10.0.0.1")], 60));
    let dead = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers = vec![dead.local_addr().unwrap(), world.server.addr];
    assert!(world.resolver.configure(&Dns { servers, timeout: Duration::from_secs(5) }).is_none());
    assert_eq!(world.ask("up.test", 7000).await, at(&["10.0.0.1:7000"]));
}
