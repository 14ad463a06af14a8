//! What outlives a reload, and that turns are exact.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;

use portcullis_core::config::Config;
use portcullis_core::endpoint::Endpoint;
use portcullis_core::resolver::{Ask, Own};
use portcullis_core::snapshot::Snapshot;
use portcullis_core::upstream::{Ask as Seek, Lease, Standing, Upstream};
use portcullis_core::wheel::Tick;
use portcullis_core::wire::kcp::crypt::{Cipher, Crypt, Key};

const THREE: &[&str] = &["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"];

#[test]
fn nine_sessions_on_three_equal_endpoints_are_three_each_however_many_workers_lease() {
    for workers in [1, 2, 4] {
        let snapshot = build(THREE, None);
        let upstream = upstream(&snapshot);
        let leases: Vec<Lease> = thread::scope(|scope| {
            let share = |worker: usize| (0..9).filter(move |session| session % workers == worker);
            let threads: Vec<_> = (0..workers)
                .map(|worker| {
                    let upstream = &upstream;
                    scope.spawn(move || {
                        share(worker).map(|_| lease(upstream, &[]).unwrap()).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(leases.len(), 9);
        assert_eq!(
            counts(&upstream),
            THREE.iter().map(|name| ((*name).to_owned(), 3)).collect(),
            "{workers} workers"
        );
    }
}

#[test]
fn leases_are_counted_across_reloads_and_end_with_their_session() {
    let first = build(THREE, None);
    let held: Vec<Lease> = (0..3).map(|_| lease(&upstream(&first), &[]).unwrap()).collect();
    let second = build(&["10.0.0.2:1", "10.0.0.9:1"], Some(&first));
    assert_eq!(counts(&upstream(&second))["10.0.0.2:1"], 1, "the endpoint is known again");
    assert_eq!(counts(&upstream(&second))["10.0.0.9:1"], 0);
    drop(held);
    assert!(counts(&upstream(&second)).values().all(|count| *count == 0));
}

#[test]
fn a_reload_does_not_begin_the_turn_anew() {
    let first = build(THREE, None);
    let before = lease(&upstream(&first), &[]).unwrap();
    let second = build(THREE, Some(&first));
    let after = lease(&upstream(&second), &[]).unwrap();
    assert_ne!(before.endpoint().address, after.endpoint().address);
}

#[test]
fn an_endpoint_that_is_drained_gets_no_session_and_stays_so_over_a_reload() {
    let first = build(THREE, None);
    let drained = upstream(&first).endpoints().next().cloned().unwrap();
    drained.set_standing(Standing::Drain);
    drained.set_weight(Some(7));
    for snapshot in [build(THREE, Some(&first)), first] {
        let upstream = upstream(&snapshot);
        let _held: Vec<Lease> = (0..4).map(|_| lease(&upstream, &[]).unwrap()).collect();
        assert_eq!(counts(&upstream)["10.0.0.1:1"], 0);
        let state = upstream.endpoints().next().unwrap();
        assert_eq!((state.standing(), state.weight()), (Standing::Drain, Some(7)));
        upstream.endpoints().for_each(|endpoint| endpoint.set_standing(Standing::Maint));
        assert!(lease(&upstream, &[]).is_none(), "nobody is there to be used");
        upstream.endpoints().skip(1).for_each(|endpoint| endpoint.set_standing(Standing::Ready));
        drained.set_standing(Standing::Drain);
    }
}

#[test]
fn a_second_attempt_goes_elsewhere_and_a_fourth_starts_over() {
    let snapshot = build(THREE, None);
    let upstream = upstream(&snapshot);
    let mut tried = Vec::new();
    for _ in 0..3 {
        let lease = lease(&upstream, &tried).unwrap();
        assert!(!tried.contains(&lease.endpoint().address));
        tried.push(lease.endpoint().address.clone());
    }
    assert!(lease(&upstream, &tried).is_some());
}

#[test]
fn a_key_file_that_is_missing_names_its_route_and_its_path() {
    let text = LISTENER.to_owned()
        + "[route.r]\nresolver = \"jwt\"\nkey_file = \"gone.pem\"\nallow = [\"10.0.0.0/8:*\"]\n";
    let config = Config::parse(&text, "t.toml", &|_| None).unwrap();
    let errors = Snapshot::build(Arc::new(config), Own::default(), &missing, None).unwrap_err();
    let said = errors
        .iter()
        .map(|error| format!("{error} {:?}", std::error::Error::source(error)))
        .collect::<String>();
    assert!(said.contains('r') && said.contains("gone.pem"), "{said}");
}

#[test]
fn ciphers_are_made_for_listeners_routes_and_upstreams_that_speak_kcp() {
    let read = |path: &std::path::Path| match path.to_str() {
        Some("kcp.key") => Ok(b"a passphrase\n".to_vec()),
        _ => missing(path),
    };
    let config = Config::parse(&by_kcp("key_file = 'kcp.key'"), "t.toml", &|_| None).unwrap();
    let snapshot = Snapshot::build(Arc::new(config), Own::default(), &read, None).unwrap();
    let plan = snapshot.listener(&"in".into()).unwrap();
    let keyed = Crypt::new(Cipher::Aes128, &Key::from_passphrase("a passphrase")).unwrap();
    for crypt in [&plan.crypt, &plan.route.crypt, &upstream(&snapshot).crypt] {
        let crypt = crypt.as_ref().unwrap();
        let mut datagram = [7; 60];
        keyed.seal(&mut datagram, [1; 16]);
        assert_eq!(crypt.open(&mut datagram).as_deref(), Some(&[7; 40][..]));
    }
    let plain = build(THREE, None);
    let plan = plain.listener(&"in".into()).unwrap();
    assert!(plan.crypt.is_none() && plan.route.crypt.is_none() && upstream(&plain).crypt.is_none());
}

#[test]
fn a_passphrase_that_cannot_be_read_names_its_place_and_its_path() {
    let rows: [(&[u8], bool); 6] = [
        (b"k", true),
        (b"k\r\n", true),
        (b"", false),
        (b"\n", false),
        (b"\xff", false),
        (&[b'k'; 1025], false),
    ];
    for (bytes, good) in rows {
        let config = Config::parse(&by_kcp("key_file = 'kcp.key'"), "t.toml", &|_| None).unwrap();
        let built = Snapshot::build(Arc::new(config), Own::default(), &|_| Ok(bytes.into()), None);
        assert_eq!(built.is_ok(), good, "{bytes:?}");
    }
    let config = Config::parse(&by_kcp("key_file = 'gone.key'"), "t.toml", &|_| None).unwrap();
    let errors = Snapshot::build(Arc::new(config), Own::default(), &missing, None).unwrap_err();
    for (error, place) in errors.iter().zip(["upstream `u`", "route `r`", "listener `in`"]) {
        let source = std::error::Error::source(error).unwrap().to_string();
        assert!(error.to_string().contains(place) && source.contains("gone.key"), "{error}: {source}");
    }
    assert_eq!(errors.len(), 3);
}

#[test]
fn l13_no_key_leads_to_a_listener_of_a_fixed_port_whatever_its_protocol() {
    let text = by_kcp("key = 'k'").replace("127.0.0.1:0", "127.0.0.1:8082");
    let config = Config::parse(&text, "t.toml", &|_| None).unwrap();
    let snapshot = Snapshot::build(Arc::new(config), Own::default(), &missing, None).unwrap();
    let plan = snapshot.listener(&"in".into()).unwrap();
    let resolve = |key: &str| {
        let ask = Ask { key, client: [127, 0, 0, 1].into(), now: std::time::SystemTime::UNIX_EPOCH };
        plan.route.resolver.resolve(&ask, &snapshot.own).is_ok()
    };
    assert!(resolve("127.0.0.1:8083") && !resolve("127.0.0.1:8082"));
}

/// A listener, a route and an upstream that speak kcp, with the same cipher and key.
fn by_kcp(key: &str) -> String {
    let kcp = format!("kcp = {{ crypt = 'aes-128', {key} }}\n");
    LISTENER.replace("tcp", "kcp")
        + &kcp
        + "[route.r]\nallow = ['127.0.0.1:*']\nendpoint = 'kcp'\n"
        + &kcp
        + "[upstream.u]\nprotocol = 'kcp'\nendpoints = [{ address = '10.0.0.1:1' }]\n"
        + &kcp
}

const LISTENER: &str =
    "[[listener]]\nname = \"in\"\nprotocol = \"tcp\"\nbind = [\"127.0.0.1:0\"]\nroute = \"r\"\n";

fn build(endpoints: &[&str], previous: Option<&Snapshot>) -> Snapshot {
    let list: Vec<String> =
        endpoints.iter().map(|address| format!("{{ address = \"{address}\" }}")).collect();
    let text = format!(
        "{LISTENER}hello = \"none\"\n[route.r]\nresolver = \"upstream\"\nupstreams = [\"u\"]\n[upstream.u]\nprotocol = \"tcp\"\nendpoints = [{}]\n",
        list.join(", ")
    );
    let config = Config::parse(&text, "t.toml", &|_| None).unwrap();
    Snapshot::build(Arc::new(config), Own::default(), &missing, previous).unwrap()
}

fn missing(_: &std::path::Path) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

fn upstream(snapshot: &Snapshot) -> Arc<Upstream> {
    Arc::clone(snapshot.upstreams().next().unwrap())
}

fn lease(upstream: &Upstream, tried: &[Endpoint]) -> Option<Lease> {
    upstream.lease(&Seek { now: Tick(0), dice: 0, client: 0, tried }).ok()
}

fn counts(upstream: &Upstream) -> BTreeMap<String, u32> {
    upstream.endpoints().map(|endpoint| (endpoint.address.to_string(), endpoint.sessions())).collect()
}
