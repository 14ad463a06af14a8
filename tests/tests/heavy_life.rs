//! Reloads and a drain under live traffic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use portcullis_peers::{Endpoint, serve};
use portcullis_tests::crowd::raise_file_limit;
use portcullis_tests::scene::ask;
use portcullis_tests::{Gate, Setup, until};
use rustix::process::Signal;

#[test]
fn b07_b08_b05_two_hundred_sessions_notice_neither_reloads_nor_the_beginning_of_the_end() {
    raise_file_limit();
    let endpoints: Vec<Endpoint> = (0..2).map(|_| Endpoint::start(serve::echo).unwrap()).collect();
    let valid = |round: usize| {
        let endpoint = endpoints[round % 2].address();
        let setup = Setup::new()
            .fixed("in", "tcp", &[endpoint], "")
            .with("[drain]\ndelay = \"3s\"\ntimeout = \"60s\"");
        setup.with(&format!("[limits]\nfailed_dials_per_minute = {}", 20 + round)).text()
    };
    let mut gate = Gate::start(&valid(0));
    let (to, stop, asked) = (gate.listener("in"), AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for lane in 0..4 {
            let (stop, asked) = (&stop, &asked);
            scope.spawn(move || {
                let clients: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(to).unwrap()).collect();
                for client in &clients {
                    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
                }
                let mut round = 0_u64;
                while !stop.load(Ordering::Acquire) {
                    for client in &clients {
                        let question = (round * 50 + lane).to_le_bytes();
                        assert_eq!(ask(client, &question), question);
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                    round += 1;
                }
            });
        }
        let _stop = Stop(&stop);
        gate.wait_for_sessions(200);
        for round in 1..=120 {
            if round % 6 == 0 {
                assert!(
                    !gate.reload(&valid(round).replacen("tcp", ["tpc", "", "wss"][round % 3], 1)),
                    "round {round}"
                );
            } else {
                assert!(gate.reload(&valid(round)), "round {round}");
            }
            let fresh = TcpStream::connect(to).unwrap();
            assert_eq!(ask(&fresh, b"fresh"), b"fresh", "round {round}");
        }
        gate.signal(Signal::TERM);
        // Not one is refused before readiness went off.
        while gate.ask("/readyz").is_ok_and(|(status, _)| status == 200) {
            let fresh = TcpStream::connect(to).unwrap();
            assert_eq!(ask(&fresh, b"fresh"), b"fresh");
        }
        let before = asked.load(Ordering::Relaxed);
        until("traffic goes on while draining", || asked.load(Ordering::Relaxed) > before + 1000);
    });
    assert_eq!(gate.wait(Duration::from_secs(70)), Some(0), "all had ended by themselves");
    assert!(!gate.log().contains("reason=bug") && !gate.log().contains("-reset"), "sessions ended in error");
    eprintln!("{} questions answered", asked.into_inner());
}

/// Lets the traffic end, also when the story fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
