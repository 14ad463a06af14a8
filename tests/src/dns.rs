//! A name server that answers as a test tells it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// A running server; it ends with the test's process.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    asked: Arc<AtomicU64>,
}

impl NameServer {
    /// Starts on a free port of loopback. `answers` gets the name in lower case and how many questions for an
    /// A record came before, and returns addresses; those of the family that was asked for are sent, with a
    /// time to live of zero.
    #[must_use]
    pub fn start(answers: impl Fn(&str, u64) -> Vec<IpAddr> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicU64::new(0));
        thread::spawn({
            let asked = Arc::clone(&asked);
            move || {
                let mut buffer = [0; 1500];
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let Some((name, kind, end)) = question(&buffer[..length]) else { continue };
                    let before = if kind == A { asked.fetch_add(1, Ordering::AcqRel) } else { 0 };
                    let reply = reply(&buffer[..end], kind, &answers(&name, before));
                    socket.send_to(&reply, from).ok();
                }
            }
        });
        Self { address, asked }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many questions for an A record it got.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Acquire)
    }
}

/// Record types (RFC 1035 section 3.2.2, RFC 3596).
const A: u16 = 1;
const AAAA: u16 = 28;

/// Reads the one question: the name, the type, and where it ends.
fn question(packet: &[u8]) -> Option<(String, u16, usize)> {
    let (mut at, mut name) = (12, Vec::new());
    loop {
        let length = usize::from(*packet.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?);
    Some((name.join("."), kind, at + 4))
}

/// Writes the answer; no address at all is "no such name".
fn reply(question: &[u8], kind: u16, addresses: &[IpAddr]) -> Vec<u8> {
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(v4) if kind == A => Some(v4.octets().to_vec()),
            IpAddr::V6(v6) if kind == AAAA => Some(v6.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut out = question.to_vec();
    // Response, recursion available; code 3 (no such name) when there is nothing of either family.
    (out[2], out[3]) = (0x81, if addresses.is_empty() { 0x83 } else { 0x80 });
    out[6..8].copy_from_slice(&(records.len() as u16).to_be_bytes());
    out[8..12].fill(0);
    for record in records {
        // The name by pointer, class IN, TTL 0.
        out.extend([0xC0, 0x0C]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 0]);
        out.extend((record.len() as u16).to_be_bytes());
        out.extend(record);
    }
    out
}
