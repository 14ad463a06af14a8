//! An endpoint process is killed while it sends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use portcullis_tests::script::{End, read_to_end};
use portcullis_tests::skip::have;
use portcullis_tests::{Gate, Setup};

const NAME: &str = "b01_an_endpoint_killed_while_it_sends_ends_its_sessions_after_the_last_byte";
/// Says its port, then counts to whoever connects: eight bytes a number, in order, for ever.
const COUNTING: &str = "
import socket, struct
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
client, _ = listener.accept()
at = 0
while True:
    client.sendall(b''.join(struct.pack('<Q', at + more) for more in range(1000)))
    at += 1000
";

#[test]
fn b01_an_endpoint_killed_while_it_sends_ends_its_sessions_after_the_last_byte() {
    if !have(NAME, &["python3"]) {
        return;
    }
    for round in 0..8_usize {
        let mut endpoint =
            Command::new("python3").args(["-c", COUNTING]).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(endpoint.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let address: SocketAddr = format!("127.0.0.1:{}", port.trim()).parse().unwrap();
        let gate = Gate::start(&Setup::new().fixed("in", "tcp", &[address], "").text());
        let mut client = TcpStream::connect(gate.listener("in")).unwrap();
        let mut first = vec![0; 1 + round * 123_457];
        client.read_exact(&mut first).unwrap();
        endpoint.kill().unwrap();
        endpoint.wait().unwrap();
        let killed = Instant::now();
        let (rest, end) = read_to_end(&client).unwrap();
        assert!(killed.elapsed() < Duration::from_secs(15), "told after {:?}", killed.elapsed());
        assert_eq!(end, End::Fin, "what a killed process had sent is followed by an end");
        let all = [first, rest].concat();
        assert!(all.len() > round * 123_457);
        for (at, number) in all.chunks_exact(8).enumerate() {
            assert_eq!(number, (at as u64).to_le_bytes(), "number {at}, round {round}");
        }
        drop(client);
        gate.assert_clean();
    }
}
