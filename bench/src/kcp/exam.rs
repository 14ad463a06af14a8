//! The endpoint of kcp-go's client: a request, and its bytes one way, as tests/peers/kcp.go asks.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

/// Bytes of a request: its kind, how many, and a seed.
const REQUEST: usize = 17;
/// Bytes of the digest that answers `U`; of zeros, for nobody hashes what is measured.
const DIGEST: usize = 32;
const CHUNK: usize = 256 << 10;

/// Starts serving; the thread lives as long as the process.
pub(super) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let serve = move || {
        for stream in listener.incoming().flatten() {
            // Its error is the end of its client, which tells more of it.
            thread::spawn(move || answer(&stream).ok());
        }
    };
    thread::Builder::new().name("exam".into()).spawn(serve)?;
    Ok(address)
}

fn answer(mut stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = [0; REQUEST];
    stream.read_exact(&mut head)?;
    let [kind, length @ ..] = head;
    let mut left = u64::from_le_bytes(*length.first_chunk().ok_or(io::ErrorKind::InvalidData)?);
    let mut chunk = vec![0; CHUNK];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let moved =
            if kind == b'U' { stream.read(&mut chunk[..most])? } else { stream.write(&chunk[..most])? };
        if moved == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= moved as u64;
    }
    if kind == b'U' {
        stream.write_all(&[0; DIGEST])?;
    }
    Ok(())
}
