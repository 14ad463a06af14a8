//! What breaks around the gateway, and what sessions see of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use portcullis_peers::{Endpoint, serve};
use portcullis_tests::crowd::{Holder, connect_all, quantile, raise_file_limit};
use portcullis_tests::scene::{Stage, ask, refusing, take};
use portcullis_tests::script::{End, cut, read_to_end};
use portcullis_tests::{Gate, Setup, Site, binary, until, within};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

#[test]
fn b01_an_endpoint_that_dies_in_mid_stream_is_told_after_its_last_byte_and_in_its_own_way() {
    let endpoint = Stage::new();
    let gate = Gate::start(&Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text());
    let mut times = Vec::new();
    for round in 0..20_usize {
        let client = TcpStream::connect(gate.listener("in")).unwrap();
        let mut server = endpoint.accept();
        let length = 1 + round * 7919;
        server.write_all(&vec![round as u8; length]).unwrap();
        let want = if round % 2 == 0 {
            drop(server);
            End::Fin
        } else {
            // What a process leaves behind that is killed with bytes unread.
            let seen = take(&client, length);
            assert!(seen.iter().all(|byte| *byte == round as u8));
            cut(server);
            End::Reset
        };
        let died = Instant::now();
        let (rest, end) = read_to_end(&client).unwrap();
        assert_eq!((rest.len(), end), (if want == End::Fin { length } else { 0 }, want), "round {round}");
        times.push(died.elapsed());
    }
    assert!(quantile(&times, 0.8) < Duration::from_millis(500), "told after {times:?}");
    gate.assert_clean();
}

#[test]
fn b01_new_sessions_go_to_the_endpoint_that_is_left() {
    let alive = Endpoint::start(serve::echo).unwrap();
    let gate = Gate::start(&Setup::new().fixed("in", "tcp", &[refusing(), alive.address()], "").text());
    for round in 0..10 {
        let client = TcpStream::connect(gate.listener("in")).unwrap();
        assert_eq!(ask(&client, b"who?"), b"who?", "round {round}");
    }
    assert_eq!(alive.accepted(), 10);
    gate.assert_clean();
}

#[test]
fn b03_an_endpoint_that_does_not_read_slows_its_own_clients_and_nobody_else() {
    let (stuck, alive) = (Holder::start(), Endpoint::start(serve::echo).unwrap());
    let setup =
        Setup::new().fixed("stuck", "tcp", &[stuck.address()], "").fixed("in", "tcp", &[alive.address()], "");
    let gate = Gate::start(&setup.text());
    let before = gate.rss();
    let floods = connect_all(gate.listener("stuck"), 50).unwrap();
    for flood in &floods {
        flood.set_nonblocking(true).unwrap();
        // Until nothing more is taken for a while.
        let mut sent = 0;
        while let Some(wrote) = within(Duration::from_millis(20), || (&mut &*flood).write(&[0; 1 << 16]).ok())
        {
            sent += wrote;
            assert!(sent < 64 << 20, "a dead reader took {sent} bytes");
        }
    }
    let times: Vec<Duration> = (0..200)
        .map(|_| {
            let began = Instant::now();
            let client = TcpStream::connect(gate.listener("in")).unwrap();
            assert_eq!(ask(&client, b"quick"), b"quick");
            began.elapsed()
        })
        .collect();
    assert!(quantile(&times, 0.5) < Duration::from_millis(50), "{times:?}");
    let grown = gate.rss().saturating_sub(before);
    assert!(grown < 50 * (128 << 10) + (2 << 20), "50 stuck sessions hold {grown} bytes");
    drop(floods);
    drop(stuck.take());
    gate.assert_clean();
}

#[test]
fn b14_a_full_disk_loses_lines_and_never_a_session() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let config = Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text();
    let gate =
        Gate::start(&config.replace("level = \"debug\"", "level = \"debug\"\ninfo_file = \"/dev/full\""));
    for _ in 0..50 {
        let client = TcpStream::connect(gate.listener("in")).unwrap();
        assert_eq!(ask(&client, b"still served"), b"still served");
    }
    gate.assert_clean();
    until("lost lines are counted", || gate.metrics().sum("portcullis_log_failures_total", &[]) >= 50.0);
}

#[test]
fn b15_without_a_file_left_accepting_pauses_without_spinning_and_recovers_at_once() {
    raise_file_limit();
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let gate = Gate::start(&Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text());
    // Taken away while it runs: what it computed from the limit at its start does not help it.
    let pid = Pid::from_raw(gate.pid().try_into().unwrap());
    let files = Rlimit { current: Some(gate.fds() as u64 + 100), maximum: Some(20_000) };
    prlimit(pid, Resource::Nofile, files).unwrap();
    let clients = connect_all(gate.listener("in"), 150).unwrap();
    let served = |client: &TcpStream| {
        client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        (&mut &*client).write_all(b"?").is_ok() && (&mut &*client).read(&mut [0]).is_ok_and(|read| read == 1)
    };
    let count = clients.iter().filter(|client| served(client)).count();
    // What the gateway keeps spare of its own is let go before it pauses.
    assert!((20..=54).contains(&count), "{count} of 150 sessions in 100 files");
    let (cpu, began) = (gate.cpu(), Instant::now());
    while began.elapsed() < Duration::from_secs(1) {
        // Someone who looks inside must be let in, above all now.
        assert_eq!(gate.ask("/healthz").unwrap().0, 200);
        within(Duration::from_millis(50), || None::<()>);
    }
    let burnt = gate.cpu() - cpu;
    assert!(burnt < Duration::from_millis(100), "{burnt:?} of CPU in a second without files");
    drop(clients);
    until("it recovers", || {
        let client = TcpStream::connect(gate.listener("in")).unwrap();
        served(&client)
    });
    gate.assert_clean();
}

#[test]
fn a21_a_flood_of_connections_leaves_the_admin_listener_and_live_sessions_alone() {
    raise_file_limit();
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let setup = Setup::new().fixed("in", "tcp", &[endpoint.address()], "").addressed(
        "hello",
        "tcp",
        &["127.0.0.1:*"],
        "",
    );
    let mut limited = Command::new("prlimit");
    limited.args(["--nofile=512:512"]).arg(binary());
    let gate = Site::new().start_by(limited, &setup.text());
    let live = TcpStream::connect(gate.listener("in")).unwrap();
    assert_eq!(ask(&live, b"before"), b"before");
    let flood = connect_all(gate.listener("hello"), 1000).unwrap();
    for _ in 0..20 {
        assert_eq!(ask(&live, b"meanwhile"), b"meanwhile");
        assert_eq!(gate.ask("/healthz").unwrap().0, 200);
    }
    // Hellos have a share of the sessions, and the oldest unfinished one gives way: newcomers are served.
    let newcomer = TcpStream::connect(gate.listener("in")).unwrap();
    assert_eq!(ask(&newcomer, b"newcomer"), b"newcomer");
    until("the oldest hellos have given way", || {
        gate.metrics().sum("portcullis_opens_total", &["result=\"hello-evicted\""]) > 100.0
    });
    drop((flood, live, newcomer));
    gate.assert_clean();
}

#[test]
fn a22_readers_that_never_read_are_slowed_and_cost_little() {
    raise_file_limit();
    let source = Endpoint::start(serve::source).unwrap();
    let echo = Endpoint::start(serve::echo).unwrap();
    let setup =
        Setup::new().fixed("flood", "tcp", &[source.address()], "").fixed("in", "tcp", &[echo.address()], "");
    let gate = Gate::start(&setup.text());
    let before = gate.rss();
    let readers = connect_all(gate.listener("flood"), 300).unwrap();
    // They stand still when the endpoint's bytes stop moving.
    let moved = || gate.metrics().sum("portcullis_bytes_total", &["listener=\"flood\""]);
    until("the flood stands still", || {
        let before = moved();
        within(Duration::from_millis(200), || None::<()>);
        moved() - before < 1.0
    });
    let grown = gate.rss().saturating_sub(before);
    assert!(grown < 300 * (64 << 10) + (4 << 20), "300 slow readers cost {grown} bytes");
    let times: Vec<Duration> = (0..100)
        .map(|_| {
            let began = Instant::now();
            let client = TcpStream::connect(gate.listener("in")).unwrap();
            assert_eq!(ask(&client, b"x"), b"x");
            began.elapsed()
        })
        .collect();
    assert!(quantile(&times, 0.5) < Duration::from_millis(50), "{times:?}");
    drop(readers);
    // Hundreds of full sockets are emptied first, by a kernel that shares its cores with the flood.
    gate.wait_for_sessions(0);
    gate.assert_clean();
}

#[test]
fn b20_a_peer_that_falls_silent_is_let_go_and_both_sides_are_freed() {
    let endpoint = Stage::new();
    let setup = Setup::new().fixed("idle", "tcp", &[endpoint.address()], "idle_timeout = \"200ms\"").fixed(
        "half",
        "tcp",
        &[endpoint.address()],
        "half_close_timeout = \"200ms\"",
    );
    let gate = Gate::start(&setup.text());
    for round in 0..20 {
        let client = TcpStream::connect(gate.listener("idle")).unwrap();
        let server = endpoint.accept();
        assert!(
            read_to_end(&server).unwrap().0.is_empty() && read_to_end(&client).unwrap().0.is_empty(),
            "{round}"
        );
        let client = TcpStream::connect(gate.listener("half")).unwrap();
        let server = endpoint.accept();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&server).unwrap(), (Vec::new(), End::Fin));
        assert!(read_to_end(&client).unwrap().0.is_empty(), "{round}");
    }
    gate.assert_clean();
    let closed = |reason: &str| gate.metrics().sum("portcullis_closed_total", &[reason]) as u32;
    assert_eq!((closed("reason=\"idle\""), closed("reason=\"half-close-timeout\"")), (20, 20));
}

#[test]
fn b22_connections_the_kernel_had_queued_are_served_when_listening_stops() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let mut gate = Gate::start(&Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text());
    let (to, stop) = (gate.listener("in"), AtomicBool::new(false));
    let (served, lost) = std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut served, mut lost) = (0, Vec::new());
                    while !stop.load(Ordering::Acquire) {
                        let Ok(mut client) = TcpStream::connect(to) else { break };
                        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                        let outcome = client.write_all(b"x").and_then(|()| client.read_exact(&mut [0]));
                        match outcome {
                            Ok(()) => served += 1,
                            Err(error) => lost.push(error.kind()),
                        }
                    }
                    (served, lost)
                })
            })
            .collect();
        until("sessions flow", || gate.metrics().sum("portcullis_opens_total", &["result=\"ok\""]) > 200.0);
        gate.signal(rustix::process::Signal::TERM);
        let code = gate.wait(Duration::from_secs(60));
        stop.store(true, Ordering::Release);
        assert_eq!(code, Some(0));
        let parts = crowd.into_iter().map(|one| one.join().unwrap());
        parts.fold((0, Vec::<ErrorKind>::new()), |(served, mut all), (more, lost)| {
            all.extend(lost);
            (served + more, all)
        })
    });
    assert!(lost.is_empty(), "{served} served, lost: {lost:?}");
}
