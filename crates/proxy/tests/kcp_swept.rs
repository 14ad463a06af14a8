//! A port that is closed at one worker while another still has sessions there. Alone in its program: it
//! measures what the workers' threads cost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "common/gate.rs"]
mod gate;

use std::fs;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::thread;
use std::time::Duration;

use gate::{Gate, echo, to};
use portcullis_peers::{KcpClient, KcpOptions, KcpStream};

#[test]
fn a_worker_that_has_closed_a_port_rests_though_datagrams_come_to_it() {
    let gate = Gate::start(2, 1000, &to(echo()).replacen("\"tcp\"", "\"kcp\"", 1));
    let client = KcpClient::connect(gate.address(), &KcpOptions::default()).unwrap().into_stream();
    ask(&client);
    gate.handle.stop_accepting();
    gate.wait_for(|_| gate.handle.left() == 1);
    // To both workers, one of which has nobody there any more.
    let strangers: Vec<UdpSocket> = (0..64).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for stranger in &strangers {
        stranger.send_to(&[7; 64], gate.address()).unwrap();
    }
    ask(&client);
    let before = cost_of_workers();
    thread::park_timeout(Duration::from_millis(500));
    let cost = cost_of_workers() - before;
    assert!(cost <= 10, "{cost} ticks of 10 ms in half a second");
    ask(&client);
}

fn ask(mut client: &KcpStream) {
    client.write_all(b"here?").unwrap();
    let mut answer = [0; 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"here?");
}

/// What the workers' threads have used, in the kernel's ticks of 10 ms.
fn cost_of_workers() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let workers = tasks
        .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("worker-")));
    workers
        .map(|task| {
            let stat = fs::read_to_string(task.join("stat")).unwrap();
            let after = stat.rsplit_once(") ").unwrap().1;
            // The 14th and 15th fields of the line, the 12th and 13th behind the name.
            after.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum::<u64>()
        })
        .sum()
}
