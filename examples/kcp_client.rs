//! A client of the gateway's kcp listener: says which endpoint it wants, prints what comes and sends a
//! length-prefixed message every few seconds. No cipher, 3 parity frames after 10.
//!
//! `cargo run -p portcullis-peers --example kcp_client -- --key 127.0.0.1:8083`

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Parser;
use portcullis_peers::{KcpClient, KcpOptions, KcpStream};

#[derive(Parser)]
#[command(about = "Connects through the gateway's kcp listener to the endpoint that the key names.")]
struct Options {
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:8082")]
    gate: SocketAddr,
    /// The endpoint, HOST:PORT (or whatever the gateway's resolver reads: a token, a name).
    #[arg(long)]
    key: String,
    /// What to send.
    #[arg(long, default_value = "hello from a kcp client")]
    message: String,
    /// Seconds between two messages.
    #[arg(long, default_value_t = 3)]
    every: u64,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let (mut client, answer) = KcpClient::open(options.gate, &options.key, &KcpOptions::seed())?;
    let Some(answer) = answer else {
        return Err(io::Error::other("the gateway has fallen silent"));
    };
    println!("the gateway says: {}", String::from_utf8_lossy(&answer));
    let interval = Duration::from_secs(options.every);
    loop {
        client.send_message(options.message.as_bytes())?;
        if !listen(client.stream(), Instant::now() + interval)? {
            println!("nothing was heard of the gateway for a minute");
            return Ok(());
        }
    }
}

/// Prints the endpoint's bytes until `due`; `false` at the end. KCP has no word for the end: silence is.
fn listen(mut stream: &KcpStream, due: Instant) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(true);
        }
        stream.set_read_timeout(Some(left));
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(read) => io::stdout().write_all(&buffer[..read])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        }
        io::stdout().flush()?;
    }
}
