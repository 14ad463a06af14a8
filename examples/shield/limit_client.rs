//! A client of the shield that finds out how fast it may ask: it hastens until it is told, waits longer then, and comes
//! nearer again slowly.
//!
//! `cargo run -p portcullis-peers --example shield_limit_client -- localhost 8080`

use std::io;
use std::net::ToSocketAddrs as _;
use std::sync::mpsc;
use std::time::Duration;

use clap::Parser;
use portcullis_peers::{Frame, FrameClient, TypeWidth};

#[derive(Parser)]
#[command(about = "Finds the rate at which its requests pass.")]
struct Options {
    /// The gateway's host.
    host: String,
    /// Its port.
    port: u16,
    /// How wide a frame's type is.
    #[arg(long, default_value = "1")]
    type_bytes: TypeWidth,
    /// Milliseconds between the first two requests.
    #[arg(long, default_value_t = 400)]
    every: u64,
    /// How many requests there are; without it they go on.
    #[arg(long)]
    count: Option<u64>,
}

/// What is waited between two requests: a tenth less after each that passed, half as long again after one that did not.
struct Pace(Duration);

impl Pace {
    const SHORTEST: Duration = Duration::from_millis(20);

    fn passed(&mut self) {
        self.0 = (self.0 * 9 / 10).max(Self::SHORTEST);
    }

    fn was_refused(&mut self) {
        self.0 = self.0 * 3 / 2;
    }
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let width = options.type_bytes;
    let gate = (options.host.as_str(), options.port).to_socket_addrs()?.next();
    let gate = gate.ok_or_else(|| io::Error::other("the host has no address"))?;
    let client = FrameClient::tcp(gate, width)?;
    let request = Frame::new(width.types().hello, br#"{"message": "hello"}"#);
    let mut pace = Pace(Duration::from_millis(options.every));
    let (mut passed, mut refused) = (0_u64, 0_u64);
    // Nobody sends: it is there to be waited on.
    let (_clock, tick) = mpsc::sync_channel::<()>(1);
    for _ in 0..options.count.unwrap_or(u64::MAX) {
        let answer = client.ask(&request)?;
        if answer.payload.starts_with(br#"{"message":"error:"#) {
            refused += 1;
            pace.was_refused();
        } else {
            passed += 1;
            pace.passed();
        }
        println!("{passed} passed, {refused} refused; next in {} ms", pace.0.as_millis());
        if tick.recv_timeout(pace.0) == Err(mpsc::RecvTimeoutError::Disconnected) {
            break;
        }
    }
    Ok(())
}
