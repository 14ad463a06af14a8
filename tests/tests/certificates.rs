//! Certificates that change while the gateway runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portcullis_peers::{Endpoint, TlsClient, Trust, serve};
use portcullis_tests::{Authority, Gate, Issued, Setup, Site, until};

/// A year in which these tests are no longer run.
const FAR: i32 = 2100;

#[test]
fn a_changed_pair_is_shown_to_new_clients_a_bad_one_is_not_and_nobody_notices_the_swap() {
    let (authority, endpoint) = (Authority::new(), Endpoint::start(serve::echo).unwrap());
    let [first, second, third] = [FAR, FAR + 1, FAR + 2].map(|year| authority.issue(&["localhost"], year));
    let gate = start(&endpoint, |site| put(site.folder(), &first));
    let mut live = TlsClient::connect(gate.listener("in"), &trust(&authority)).unwrap();
    assert_eq!(echoed(&mut live, b"before"), b"before");
    assert!(shown(&gate, &authority) == first.der);
    let (stop, shakes) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let known = [&first.der, &second.der, &third.der];
            while !stop.load(Ordering::Relaxed) {
                let seen = shown(&gate, &authority);
                assert!(known.contains(&&seen), "a certificate of nobody's");
                shakes.fetch_add(1, Ordering::Relaxed);
            }
        });
        let _stops = Stop(&stop);
        put(gate.site().folder(), &second);
        until("the second is shown", || shown(&gate, &authority) == second.der);

        // The certificate of one with the key of another, then half a file.
        let before = told(&gate);
        gate.site().write("web.pem", &first.cert);
        until("a pair that does not fit is told", || told(&gate) > before);
        let before = told(&gate);
        gate.site().write("web.pem", &third.cert[..third.cert.len() / 2]);
        until("half a file is told", || told(&gate) > before);
        assert!(shown(&gate, &authority) == second.der, "the one before stays");

        put(gate.site().folder(), &third);
        until("the third is shown", || shown(&gate, &authority) == third.der);
    });
    assert!(shakes.into_inner() > 0, "handshakes all the while");
    assert_eq!(echoed(&mut live, b"and after"), b"and after");
    let metrics = gate.metrics();
    assert!(metrics.sum("portcullis_tls_reloads_total", &["result=\"ok\""]) >= 2.0);
    assert!(metrics.sum("portcullis_tls_reloads_total", &["result=\"failed\""]) >= 2.0);
    assert!(
        metrics.sum("portcullis_reloads_total", &[]) < 0.5,
        "none of it was a reload of the configuration"
    );
    let log = gate.log();
    let line = log.lines().find(|line| line.contains(TOLD)).expect("a line");
    assert!(line.contains("WARN") && line.contains("listener `in`") && line.contains("web.key"), "{line}");
}

#[test]
fn two_hundred_sessions_and_a_hundred_newcomers_a_second_do_not_notice_a_swap() {
    const LANES: usize = 4;
    let (authority, endpoint) = (Authority::new(), Endpoint::start(serve::echo).unwrap());
    let pairs = [FAR, FAR + 1, FAR + 2, FAR + 3].map(|year| authority.issue(&["localhost"], year));
    let gate = start(&endpoint, |site| put(site.folder(), &pairs[0]));
    let (trust, stop) = (trust(&authority), AtomicBool::new(false));
    let (asked, came) = (AtomicU32::new(0), AtomicU32::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let connect = || TlsClient::connect(gate.listener("in"), &trust).unwrap();
                let mut live: Vec<TlsClient> = (0..200 / LANES).map(|_| connect()).collect();
                while !stop.load(Ordering::Relaxed) {
                    for client in &mut live {
                        assert_eq!(echoed(client, b"still here?"), b"still here?");
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                shown(&gate, &authority);
                let next = began + Duration::from_millis(10) * (came.fetch_add(1, Ordering::Relaxed) + 1);
                thread::park_timeout(next.saturating_duration_since(Instant::now()));
            }
        });
        let _stops = Stop(&stop);
        gate.wait_for_sessions(200);
        for pair in &pairs[1..] {
            let before = asked.load(Ordering::Relaxed);
            put(gate.site().folder(), pair);
            until("it is shown", || shown(&gate, &authority) == pair.der);
            until("everybody was asked since", || asked.load(Ordering::Relaxed) > before + 400);
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let [asked, came] = [asked, came].map(AtomicU32::into_inner);
    eprintln!("{asked} answers, {came} newcomers in {seconds:.1} s, 3 swaps, nobody failed");
    let log = gate.log();
    for reason in ["bug", "handshake", "endpoint-reset", "hello-timeout"] {
        assert!(!log.contains(&format!("reason={reason}")), "a session ended by {reason}");
    }
}

#[test]
fn a_link_swapped_beneath_both_files_changes_them_together() {
    let (authority, endpoint) = (Authority::new(), Endpoint::start(serve::echo).unwrap());
    let [first, second] = [FAR, FAR + 1].map(|year| authority.issue(&["localhost"], year));
    // As clusters mount secrets: each file a link through `..data`, which is a link to a folder of one version.
    let gate = start(&endpoint, |site| {
        for (version, pair) in [("v1", &first), ("v2", &second)] {
            fs::create_dir(site.folder().join(version)).unwrap();
            put(&site.folder().join(version), pair);
        }
        symlink("v1", site.folder().join("..data")).unwrap();
        for file in ["web.pem", "web.key"] {
            symlink(format!("..data/{file}"), site.folder().join(file)).unwrap();
        }
    });
    assert!(shown(&gate, &authority) == first.der);
    symlink("v2", gate.site().folder().join("..next")).unwrap();
    fs::rename(gate.site().folder().join("..next"), gate.site().folder().join("..data")).unwrap();
    until("the second is shown", || shown(&gate, &authority) == second.der);
    assert_eq!(told(&gate), 0, "both at once: no moment at which they do not fit");
}

#[test]
fn a_reload_with_a_bad_pair_changes_nothing_and_one_with_a_good_pair_takes_it() {
    let (authority, endpoint) = (Authority::new(), Endpoint::start(serve::echo).unwrap());
    let [first, second] = [FAR, FAR + 1].map(|year| authority.issue(&["localhost"], year));
    let gate = start(&endpoint, |site| put(site.folder(), &first));
    gate.site().write("web.key", &second.key);
    let more = setup(&endpoint).fixed("more", "tcp", &[endpoint.address()], "");
    assert!(!gate.reload(&more.text()));
    until("the mistake is told with its file", || gate.log().contains("web.key: is not the key"));
    assert!(shown(&gate, &authority) == first.der);
    put(gate.site().folder(), &second);
    assert!(gate.reload(&setup(&endpoint).text()));
    assert!(shown(&gate, &authority) == second.der);
}

#[test]
fn a_bad_pair_at_the_start_is_told_with_its_listener_and_file_and_an_old_one_is_served() {
    let (authority, endpoint) = (Authority::new(), Endpoint::start(serve::echo).unwrap());
    let said = Gate::refused(&setup(&endpoint).text()).expect("it does not start");
    assert!(
        said.contains("exit status: 78") && said.contains("listener `in`") && said.contains("web.pem"),
        "{said}"
    );

    let old = authority.issue(&["localhost"], 2021);
    let gate = start(&endpoint, |site| put(site.folder(), &old));
    until("it is told", || gate.log().contains("a certificate has expired"));
    let ends =
        gate.metrics().sum("portcullis_tls_certificate_expiry_timestamp_seconds", &["listener=\"in\""]);
    assert!((ends - 1_609_459_200.0).abs() < 0.5, "{ends}");
    let error = TlsClient::connect(gate.listener("in"), &trust(&authority))
        .expect_err("a client that looks")
        .to_string();
    assert!(error.to_lowercase().contains("expired"), "{error}");
}

/// What is told, once for each change that cannot be used.
const TOLD: &str = "changed certificates or keys cannot be used";

fn told(gate: &Gate) -> usize {
    gate.log().matches(TOLD).count()
}

fn setup(endpoint: &Endpoint) -> Setup {
    let tls = "tls = { certs = [{ cert = \"{folder}/web.pem\", key = \"{folder}/web.key\" }] }";
    Setup::new().fixed("in", "tls", &[endpoint.address()], tls)
}

/// A gate before `endpoint`, with the files that `fill` puts into its folder.
fn start(endpoint: &Endpoint, fill: impl FnOnce(&Site)) -> Gate {
    let site = Site::new();
    fill(&site);
    site.start(&setup(endpoint).text())
}

/// Puts a pair in place: the key first, each file at once, so that what is seen between is a pair that does not fit.
fn put(folder: &Path, pair: &Issued) {
    for (name, text) in [("web.key", &pair.key), ("web.pem", &pair.cert)] {
        let half = folder.join("half");
        fs::write(&half, text).unwrap();
        fs::rename(&half, folder.join(name)).unwrap();
    }
}

/// A client's trust in whatever `authority` signs.
fn trust(authority: &Authority) -> Trust {
    Trust::new(authority.pem.as_bytes(), "localhost").unwrap()
}

/// Ends what goes on elsewhere, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The certificate that a new client is shown.
fn shown(gate: &Gate, authority: &Authority) -> Vec<u8> {
    // One who was there before would resume, and be shown nothing.
    let mut client = TlsClient::connect(gate.listener("in"), &trust(authority)).unwrap();
    assert_eq!(echoed(&mut client, b"x"), b"x");
    client
        .stream()
        .about(|connection| connection.peer_certificates().and_then(|chain| Some(chain.first()?.to_vec())))
        .expect("a certificate")
}

fn echoed(client: &mut TlsClient, text: &[u8]) -> Vec<u8> {
    client.send_message(text).unwrap();
    client.read_message().unwrap().expect("an echo")
}
