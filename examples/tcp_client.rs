//! A client of the gateway's tcp listener: says which endpoint it wants, prints what comes and sends a
//! length-prefixed message every few seconds, or each line of the terminal.
//!
//! `cargo run -p portcullis-peers --example tcp_client -- --key 127.0.0.1:7083`

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use clap::Parser;
use portcullis_peers::{TcpClient, write_message};

#[derive(Parser)]
#[command(about = "Connects through the gateway's tcp listener to the endpoint that the key names.")]
struct Options {
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:7082")]
    gate: SocketAddr,
    /// The endpoint, HOST:PORT (or whatever the gateway's resolver reads: a token, a name).
    #[arg(long)]
    key: String,
    /// What to send.
    #[arg(long, default_value = "hello from a tcp client")]
    message: String,
    /// Seconds between two messages.
    #[arg(long, default_value_t = 3)]
    every: u64,
    /// Send the lines of the terminal instead.
    #[arg(long)]
    stdin: bool,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let (client, answer) = TcpClient::open(options.gate, &options.key)?;
    let Some(answer) = answer else {
        return Err(io::Error::other("the gateway closed the connection without an answer"));
    };
    println!("the gateway says: {}", String::from_utf8_lossy(&answer));
    let stream = client.into_stream();
    stream.set_read_timeout(None)?;

    let (ended, end) = mpsc::sync_channel(1);
    let reader = stream.try_clone()?;
    thread::spawn(move || ended.send(print(reader)).ok());
    if options.stdin {
        for line in io::stdin().lock().lines() {
            write_message(&mut &stream, line?.as_bytes())?;
        }
        return Ok(());
    }
    loop {
        write_message(&mut &stream, options.message.as_bytes())?;
        match end.recv_timeout(Duration::from_secs(options.every)) {
            Ok(outcome) => return outcome,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Prints the endpoint's bytes until it ends.
fn print(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            println!("the endpoint has ended");
            return Ok(());
        }
        io::stdout().write_all(&buffer[..read])?;
        io::stdout().flush()?;
    }
}
