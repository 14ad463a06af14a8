//! The page against its own table, and the table against the documentation.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use portcullis_core::health::Counted;
use portcullis_core::name::{ListenerName, UpstreamName};
use portcullis_core::outcome::Reason;
use portcullis_core::wire::kcp::roster::Dropped;
use portcullis_proxy::{EndpointCounts, FrameCounts, KcpCounts, PoolCounts, RTT_BOUNDS};

use super::*;
use crate::status::InForce;

fn status() -> Status {
    let status = Status::new(InForce {
        effective: "".into(),
        file: PathBuf::from("p.toml"),
        hash: 0xab,
        listeners: Vec::new(),
        admin: None,
        session_maximum: 500,
    });
    status.certified(vec![(ListenerName::from("web"), UNIX_EPOCH + std::time::Duration::from_secs(86_400))]);
    status.renewed(3, 1);
    status
}

fn kcp() -> KcpCounts {
    let mut round_trips = [0; RTT_BOUNDS.len() + 1];
    (round_trips[0], round_trips[4], round_trips[RTT_BOUNDS.len()]) = (3, 2, 1);
    KcpCounts {
        datagrams_in: 100,
        datagrams_out: 90,
        answers: 4,
        embryos: 5,
        recovered: 6,
        retransmits: 7,
        duplicates: 8,
        round_trips,
        round_trip_millis: 6_036,
        dropped: Dropped::ALL.iter().map(|why| (*why, *why as u64)).collect(),
        full: 9,
    }
}

fn example() -> Traffic {
    let listener = ListenerCounts {
        name: ListenerName::from("odd \"name\"\\\n"),
        sessions: 3,
        hellos: 2,
        accepted: 14,
        opened: 10,
        refused: vec![(Reason::KeyForbidden, 4)],
        closed: vec![(Reason::ClientEnded, 7)],
        up_bytes: 11,
        down_bytes: 12,
        path_bytes: [5, 18, 0, 0, 0, 0],
        frames: FrameCounts { up: 21, down: 22, heartbeats: 23, limited: 24 },
        kcp: kcp(),
    };
    Traffic::from(Counts {
        listeners: vec![listener],
        pools: vec![PoolCounts {
            name: UpstreamName::from("out"),
            idle: 4,
            hits: 30,
            misses: 2,
            made: 40,
            failed: 1,
            discarded: [3, 2, 1, 0],
        }],
        endpoints: vec![EndpointCounts {
            upstream: UpstreamName::from("out"),
            endpoint: "10.0.0.7:9000".parse().unwrap(),
            is_up: true,
            sessions: 2,
            counted: Counted { good: 20, bad: 3, ejections: 1 },
            response: Some(std::time::Duration::from_micros(1500)),
        }],
        sessions: 3,
        session_maximum: 500,
        accept_pauses: 6,
        bugs: 0,
        questions_dropped: 0,
        endings_dropped: 0,
    })
}

fn page_of(traffic: &Traffic) -> String {
    let dns = resolve::Counters::default();
    dns.timeouts.store(9, Ordering::Relaxed);
    let (store, losses) = (store::Counters::default(), Losses { dropped: 1, failed: 2 });
    page(&Sources { traffic, losses, dns: &dns, store: &store, status: &status() })
}

/// Reads a page as Prometheus does: every sample with its labels.
fn parse(page: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeSet::new());
    let mut family = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split_once(' ').unwrap().0;
            assert!(helped.insert(family), "{family} twice");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(
                name == family && matches!(kind, "counter" | "gauge" | "histogram") && typed.insert(name),
                "{line}"
            );
        } else {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let own = name.split('{').next().unwrap().strip_prefix(family);
            assert!(matches!(own, Some("" | "_bucket" | "_sum" | "_count")), "{line}");
            assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line} twice");
        }
    }
    samples
}

#[test]
fn the_page_says_what_was_counted() {
    let samples = parse(&page_of(&example()));
    let odd = r#"listener="odd \"name\"\\\n""#;
    for (name, want) in [
        (format!("portcullis_sessions{{{odd}}}"), 3.0),
        (format!("portcullis_opens_total{{{odd},result=\"ok\"}}"), 10.0),
        (format!("portcullis_opens_total{{{odd},result=\"key-forbidden\"}}"), 4.0),
        (format!("portcullis_closed_total{{{odd},reason=\"client-ended\"}}"), 7.0),
        (format!("portcullis_bytes_total{{{odd},direction=\"down\"}}"), 12.0),
        (format!("portcullis_kcp_datagrams_total{{{odd},direction=\"in\"}}"), 100.0),
        (format!("portcullis_kcp_dropped_total{{{odd},reason=\"tombstone\"}}"), 2.0),
        (format!("portcullis_kcp_dropped_total{{{odd},reason=\"full\"}}"), 9.0),
        (format!("portcullis_kcp_unproven{{{odd}}}"), 5.0),
        (format!("portcullis_kcp_fec_recovered_total{{{odd}}}"), 6.0),
        ("portcullis_path_bytes_total{path=\"splice\"}".into(), 18.0),
        ("portcullis_path_bytes_total{path=\"copy\"}".into(), 5.0),
        (r#"portcullis_endpoint_up{upstream="out",endpoint="10.0.0.7:9000"}"#.into(), 1.0),
        (r#"portcullis_endpoint_sessions{upstream="out",endpoint="10.0.0.7:9000"}"#.into(), 2.0),
        (r#"portcullis_endpoint_response_seconds{upstream="out",endpoint="10.0.0.7:9000"}"#.into(), 0.0015),
        (r#"portcullis_probes_total{upstream="out",endpoint="10.0.0.7:9000",result="failed"}"#.into(), 3.0),
        (r#"portcullis_ejections_total{upstream="out",endpoint="10.0.0.7:9000"}"#.into(), 1.0),
        ("portcullis_accept_pauses_total".into(), 6.0),
        ("portcullis_session_maximum".into(), 500.0),
        ("portcullis_hellos_in_progress".into(), 2.0),
        ("portcullis_dns_failures_total{reason=\"timeout\"}".into(), 9.0),
        ("portcullis_log_lines_dropped_total".into(), 1.0),
        ("portcullis_log_failures_total".into(), 2.0),
        ("portcullis_ready".into(), 0.0),
        ("portcullis_last_reload_successful".into(), 1.0),
        ("portcullis_tls_reloads_total{result=\"ok\"}".into(), 3.0),
        ("portcullis_tls_reloads_total{result=\"failed\"}".into(), 1.0),
        ("portcullis_tls_certificate_expiry_timestamp_seconds{listener=\"web\"}".into(), 86_400.0),
        ("portcullis_config_info{hash=\"000000ab\"}".into(), 1.0),
    ] {
        assert_eq!(samples.get(&name), Some(&want), "{name} in {samples:#?}");
    }
    for name in ["process_open_fds", "process_max_fds", "process_resident_memory_bytes", "process_threads"] {
        assert!(samples[name] >= 1.0, "{name}");
    }
}

#[test]
fn a_histogram_cumulates_its_classes_and_tells_their_sum() {
    let samples = parse(&page_of(&example()));
    let odd = r#"listener="odd \"name\"\\\n""#;
    let name = "portcullis_kcp_round_trip_seconds";
    for (bound, want) in [("0.001", 3.0), ("0.01", 3.0), ("0.02", 5.0), ("5", 5.0), ("+Inf", 6.0)] {
        let sample = format!("{name}_bucket{{{odd},le=\"{bound}\"}}");
        assert_eq!(samples.get(&sample), Some(&want), "{sample} in {samples:#?}");
    }
    assert_eq!(samples[&format!("{name}_count{{{odd}}}")], 6.0);
    assert_eq!(samples[&format!("{name}_sum{{{odd}}}")], 6.036);
}

#[test]
fn a_listener_that_speaks_no_kcp_has_no_samples_of_it() {
    let mut traffic = example();
    for listener in &mut traffic.listeners {
        (listener.kcp.datagrams_in, listener.kcp.datagrams_out) = (0, 0);
    }
    assert!(!parse(&page_of(&traffic)).keys().any(|name| name.starts_with("portcullis_kcp")));
}

#[test]
fn every_metric_of_the_table_is_on_the_page_and_none_besides() {
    let page = page_of(&example());
    let told: Vec<_> =
        page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    let table: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(told, table);
}

#[test]
fn names_follow_prometheus_conventions() {
    for metric in ALL {
        let counts = metric.name.ends_with("_total");
        assert_eq!(counts, metric.kind == Kind::Counter, "{}", metric.name);
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        assert!(metric.name.bytes().all(plain), "{}", metric.name);
        assert!(metric.labels.iter().all(|label| label.bytes().all(plain)), "{}", metric.name);
        assert!(!metric.help.contains('\\') && !metric.help.contains('\n'), "{}", metric.name);
    }
}

#[test]
fn the_documentation_has_every_metric_as_it_is() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let text = std::fs::read_to_string(file).expect("docs/metrics.md");
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `portcullis_") || line.starts_with("| `process_"))
        .collect();
    let table: Vec<String> = ALL
        .iter()
        .map(|metric| {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), metric.help)
        })
        .collect();
    assert_eq!(rows, table, "the rows of docs/metrics.md should be:\n{}\n", table.join("\n"));
}
