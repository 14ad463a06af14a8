//! A full house waits without spinning. Alone in its program, because it weighs the CPU time of all of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use gate::{Gate, echo, to};

#[test]
fn a_full_house_waits_and_goes_on_when_someone_leaves() {
    let gate = Gate::start(2, 20, &to(echo()));
    let mut inside: Vec<TcpStream> = (0..20).map(|_| gate.connect()).collect();
    gate.wait_for(|counts| counts.listeners[0].opened == 20);
    let mut outside = gate.connect();
    outside.write_all(b"x").unwrap();
    gate.wait_for(|counts| counts.accept_pauses > 0);
    let before = cpu_time();
    outside.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(outside.read(&mut [0; 1]).is_err(), "nobody is let in over the maximum");
    assert!(cpu_time() - before < Duration::from_millis(100), "waiting for room is not spinning");
    inside.pop();
    outside.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    outside.read_exact(&mut [0; 1]).unwrap();
}

/// CPU time of this whole process.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    thread::yield_now();
    Duration::from_millis(ticks * 10)
}
