//! A service behind the gateway: greets each client with `hello world` every three seconds and prints each
//! length-prefixed message it gets.
//!
//! `cargo run -p portcullis-peers --example tcp_endpoint -- --port 7083`

use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::Duration;

use clap::Parser;
use portcullis_peers::{Endpoint, serve};

#[derive(Parser)]
#[command(about = "Greets clients with `hello world` and prints the messages they send.")]
struct Options {
    /// The port to listen on.
    #[arg(long, default_value_t = 7083)]
    port: u16,
    /// Seconds between two greetings.
    #[arg(long, default_value_t = 3)]
    every: u64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let service = serve::hello_world(Duration::from_secs(options.every), tell);
    let endpoint = Endpoint::bind((Ipv4Addr::UNSPECIFIED, options.port).into(), service)?;
    println!("listening on {}; ctrl-c ends it", endpoint.address());
    loop {
        thread::park();
    }
}

/// Prints a message as text; what is not UTF-8 shows as `�`.
fn tell(stream: &TcpStream, message: &[u8]) {
    let from = stream.peer_addr().map_or_else(|error| error.to_string(), |address| address.to_string());
    println!("{from}: {}", String::from_utf8_lossy(message));
}
