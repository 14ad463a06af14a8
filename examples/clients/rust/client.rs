//! A client of a Portcullis `tcp`, `ws` or `kcp` listener, on the clients of `portcullis-peers`.
//!
//! `cargo run -p portcullis-peers --example client -- tcp|ws|kcp HOST:PORT KEY MESSAGE...`
//!
//! Sends each message as a line and prints the line that comes back. Ends with 1 when the gateway refuses the key.
//!
//! tcp and kcp: u32 little-endian length and key; the answer is a length and `ok`, or `error`; then the endpoint's
//! bytes as they are. ws: the key is the upgrade's header `server-identify`; the first message is `ok`, or `error` and a
//! close with code 1008; then payload is the endpoint's bytes, and where a message ends is arbitrary.

use std::io::{self, BufRead as _, BufReader, Error, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use portcullis_peers::{KcpClient, KcpOptions, Key, Message, TcpClient, WsClient};

#[derive(Parser)]
#[command(about = "Reaches an endpoint through the gateway.")]
struct Options {
    #[arg(value_enum)]
    protocol: Protocol,
    /// Where the gateway listens.
    gate: SocketAddr,
    /// The endpoint, HOST:PORT (or whatever the gateway's resolver reads: a token, a name).
    key: String,
    messages: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Protocol {
    Tcp,
    Ws,
    Kcp,
}

fn main() -> ExitCode {
    let outcome = run(&Options::parse());
    if let Err(error) = &outcome {
        eprintln!("{error}");
    }
    if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(Options { protocol, gate, key, messages }: &Options) -> io::Result<()> {
    match protocol {
        Protocol::Tcp => {
            let (client, answer) = TcpClient::open(*gate, key)?;
            accepted(answer.as_deref())?;
            let stream = client.into_stream();
            ask(&stream, &stream, messages)
        }
        Protocol::Kcp => {
            let (client, answer) = KcpClient::open(*gate, key, &KcpOptions::default())?;
            accepted(answer.as_deref())?;
            ask(client.stream(), client.stream(), messages)
        }
        Protocol::Ws => {
            let (mut client, answer) = WsClient::open(*gate, Key::Header(key))?;
            accepted(answer.as_ref().and_then(payload))?;
            messages.iter().try_for_each(|message| ask_ws(&mut client, message))
        }
    }
}

/// Is the endpoint open? The gateway never says why not: its log does.
fn accepted(answer: Option<&[u8]>) -> io::Result<()> {
    let text = String::from_utf8_lossy(answer.unwrap_or(b"no answer"));
    if text == "ok" { Ok(()) } else { Err(Error::other(format!("refused: {text}"))) }
}

fn ask(from: impl Read, mut to: impl Write, messages: &[String]) -> io::Result<()> {
    let mut lines = BufReader::new(from).lines();
    for message in messages {
        to.write_all(format!("{message}\n").as_bytes())?;
        println!("{}", lines.next().ok_or(io::ErrorKind::UnexpectedEof)??);
    }
    Ok(())
}

/// The answer to a line ends with one, and begins with a message: nobody has asked for more.
fn ask_ws(client: &mut WsClient, message: &str) -> io::Result<()> {
    client.send(&Message::Text(format!("{message}\n")))?;
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let Some(message) = client.read()? else { return Err(io::ErrorKind::UnexpectedEof.into()) };
        line.extend_from_slice(payload(&message).unwrap_or_default());
    }
    io::stdout().write_all(&line)
}

/// What a message of data carries.
fn payload(message: &Message) -> Option<&[u8]> {
    match message {
        Message::Text(text) => Some(text.as_bytes()),
        Message::Binary(bytes) => Some(bytes),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => None,
    }
}
