//! A client of the gateway's ws listener: says in a header (or the query, or a sub-protocol, as browsers must)
//! which endpoint it wants, prints what comes and sends a message every few seconds.
//!
//! `cargo run -p portcullis-peers --example ws_client -- --key 127.0.0.1:7083`

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use portcullis_peers::{Key, Message, WsClient};

#[derive(Parser)]
#[command(about = "Connects through the gateway's ws listener to the endpoint that the key names.")]
struct Options {
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:9082")]
    gate: SocketAddr,
    /// The endpoint, HOST:PORT (or whatever the gateway's resolver reads: a token, a name).
    #[arg(long)]
    key: String,
    /// Where the key stands in the upgrade.
    #[arg(long, value_enum, default_value_t = Place::Header)]
    place: Place,
    /// What to send.
    #[arg(long, default_value = "hello from a ws client")]
    message: String,
    /// Seconds between two messages.
    #[arg(long, default_value_t = 3)]
    every: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Place {
    Header,
    Query,
    SubProtocol,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let key = match options.place {
        Place::Header => Key::Header(&options.key),
        Place::Query => Key::Query(&options.key),
        Place::SubProtocol => Key::SubProtocol(&options.key),
    };
    let (mut client, answer) = WsClient::open(options.gate, key)?;
    println!("the gateway says: {}", text(answer.as_ref()));
    if !matches!(answer, Some(Message::Binary(_))) {
        return Ok(());
    }
    let interval = Duration::from_secs(options.every);
    loop {
        client.send(&Message::Text(options.message.clone()))?;
        if !listen(&mut client, Instant::now() + interval)? {
            println!("the session has ended");
            return Ok(());
        }
    }
}

/// Prints what comes until `due`; `false` at the end.
fn listen(client: &mut WsClient, due: Instant) -> io::Result<bool> {
    loop {
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(true);
        }
        if !client.wait(left)? {
            continue;
        }
        match client.read()? {
            Some(Message::Ping(_) | Message::Pong(_)) => {}
            message @ (Some(Message::Close(_)) | None) => {
                println!("{}", text(message.as_ref()));
                return Ok(false);
            }
            message => print!("{}", text(message.as_ref())),
        }
        io::stdout().flush()?;
    }
}

fn text(message: Option<&Message>) -> String {
    match message {
        Some(Message::Text(text)) => text.clone(),
        Some(Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes)) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Some(Message::Close(code)) => {
            format!("closed, code {}", code.map_or("none".into(), |code| code.to_string()))
        }
        None => "the connection ended".into(),
    }
}
