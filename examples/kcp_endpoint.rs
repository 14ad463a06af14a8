//! A KCP service behind the gateway: greets each client with `hello world` every three seconds and prints each
//! length-prefixed message it gets. No cipher, 3 parity frames after 10: what the gateway dials with
//! `kcp_reciprocity = true`.
//!
//! `cargo run -p portcullis-peers --example kcp_endpoint -- --port 8083`

use std::io;
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use clap::Parser;
use portcullis_peers::{KcpEndpoint, KcpOptions, KcpStream, serve};

#[derive(Parser)]
#[command(about = "Greets KCP clients with `hello world` and prints the messages they send.")]
struct Options {
    /// The port to listen on.
    #[arg(long, default_value_t = 8083)]
    port: u16,
    /// Seconds between two greetings.
    #[arg(long, default_value_t = 3)]
    every: u64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let service = serve::hello_world(Duration::from_secs(options.every), tell);
    let address = (Ipv4Addr::UNSPECIFIED, options.port).into();
    let endpoint = KcpEndpoint::bind(address, &KcpOptions::seed(), service)?;
    println!("listening on {}; ctrl-c ends it", endpoint.address());
    loop {
        thread::park();
    }
}

/// Prints a message as text; what is not UTF-8 shows as `�`.
fn tell(stream: &KcpStream, message: &[u8]) {
    println!("{}: {}", stream.peer_addr(), String::from_utf8_lossy(message));
}
