//! A client of the shield: a request every few seconds, a heartbeat every now and then, and what comes is printed.
//!
//! `cargo run -p portcullis-peers --example shield_client -- localhost 8080`

use std::io;
use std::net::ToSocketAddrs as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use clap::Parser;
use portcullis_peers::{Frame, FrameClient, TypeWidth};

#[derive(Parser)]
#[command(about = "Sends a request every few seconds and prints the answers.")]
struct Options {
    /// The gateway's host.
    host: String,
    /// Its port.
    port: u16,
    /// How wide a frame's type is.
    #[arg(long, default_value = "1")]
    type_bytes: TypeWidth,
    /// Milliseconds between two requests.
    #[arg(long, default_value_t = 1000)]
    every: u64,
    /// Seconds between two heartbeats.
    #[arg(long, default_value_t = 30)]
    heartbeat: u64,
    /// How many requests there are; without it they go on.
    #[arg(long)]
    count: Option<u64>,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let width = options.type_bytes;
    let gate = (options.host.as_str(), options.port).to_socket_addrs()?.next();
    let gate = gate.ok_or_else(|| io::Error::other("the host has no address"))?;
    let client = FrameClient::tcp(gate, width)?;
    client.stream().set_read_timeout(None)?;
    let reader = FrameClient::new(client.stream().try_clone()?, width);
    let (answered, answers) = mpsc::sync_channel(16);
    std::thread::spawn(move || {
        while let Ok(Some(frame)) = reader.read() {
            println!("{} {}", frame.kind, String::from_utf8_lossy(&frame.payload));
            if answered.send(()).is_err() {
                return;
            }
        }
        println!("the session has ended");
    });

    let request = Frame::new(width.types().hello, br#"{"message": "hello"}"#);
    let heartbeat = Frame::new(width.types().heartbeat, b"{}");
    let (every, beat) = (Duration::from_millis(options.every), Duration::from_secs(options.heartbeat));
    let mut beaten = Instant::now();
    for _ in 0..options.count.unwrap_or(u64::MAX) {
        client.send(&request)?;
        if beaten.elapsed() >= beat {
            client.send(&heartbeat)?;
            beaten = Instant::now();
        }
        // Waits for the next moment; whoever answers meanwhile is printed by the other thread.
        let until = Instant::now() + every;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if answers.recv_timeout(left) == Err(mpsc::RecvTimeoutError::Disconnected) {
                return Ok(());
            }
        }
    }
    Ok(())
}
