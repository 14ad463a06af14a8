//! A service whose answers prove what arrived, and the client that asks it; tests/peers/serve.go is the same
//! service on kcp-go.
//!
//! A request is: kind `u`, `d` or `e`; length u64le; seed u64le. `u`: that many bytes follow, and their SHA-256
//! comes back. `d`: that many bytes come back. `e`: each byte comes back. A connection may ask again and again.

use std::io::{self, ErrorKind, Read, Write};

use aws_lc_rs::digest::{Context, SHA256};

/// How much is read or written at a time; a multiple of the generator's word.
const PIECE: usize = 16 << 10;
/// What goes down is made of another seed than what goes up.
const DOWN: u64 = 0xd0d0_d0d0_d0d0_d0d0;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From the client to the endpoint.
    Up,
    /// From the endpoint to the client.
    Down,
    /// There and back.
    Echo,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Up, Self::Down, Self::Echo];

    /// Its name on a peer's command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Echo => "echo",
        }
    }
}

/// The endless bytes of a seed: SplitMix64's words in little endian.
#[derive(Clone, Debug)]
struct Content {
    seed: u64,
    word: u64,
}

impl Content {
    fn new(seed: u64) -> Self {
        Self { seed, word: 0 }
    }

    /// Takes the next bytes; only the last piece may have a length that is no multiple of eight.
    fn fill(&mut self, piece: &mut [u8]) {
        for word in piece.chunks_mut(8) {
            self.word = self.word.wrapping_add(1);
            let mut z = self.seed.wrapping_add(self.word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            word.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..word.len()]);
        }
    }
}

/// Answers requests until the client ends; a service for [`portcullis_peers::Endpoint`] and for
/// [`portcullis_peers::KcpEndpoint`].
///
/// # Errors
/// [`ErrorKind::InvalidData`] for a request that is none, and what reading and writing fail with.
pub fn serve<S>(mut stream: &S) -> io::Result<()>
where
    for<'s> &'s S: Read + Write,
{
    let mut head = [0; 17];
    loop {
        match stream.read_exact(&mut head) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let (bytes, seed) = (number(1), number(9));
        match head[0] {
            b'u' => {
                let digest = receive(&mut stream, bytes)?;
                stream.write_all(&digest)?;
            }
            b'd' => drop(send(&mut stream, bytes, seed ^ DOWN)?),
            b'e' => drop(io::copy(&mut stream.take(bytes), &mut &*stream)?),
            _ => return Err(ErrorKind::InvalidData.into()),
        }
    }
}

/// Asks the service at the other end of `stream` for one request, and says whether the answer was right.
///
/// # Errors
/// What reading and writing fail with.
pub fn ask(stream: &mut (impl Read + Write), mode: Mode, bytes: u64, seed: u64) -> io::Result<bool> {
    let head = [&mode.name().as_bytes()[..1], &bytes.to_le_bytes(), &seed.to_le_bytes()].concat();
    stream.write_all(&head)?;
    match mode {
        Mode::Up => {
            let sent = send(stream, bytes, seed)?;
            let mut received = [0; 32];
            stream.read_exact(&mut received)?;
            Ok(sent == received)
        }
        Mode::Down => Ok(receive(stream, bytes)? == send(&mut io::sink(), bytes, seed ^ DOWN)?),
        Mode::Echo => echo(stream, bytes, seed),
    }
}

/// Piece by piece, as one thread has to.
fn echo(stream: &mut (impl Read + Write), mut left: u64, seed: u64) -> io::Result<bool> {
    let (mut content, mut piece, mut back) = (Content::new(seed), [0; PIECE], [0; PIECE]);
    while left > 0 {
        let length = left.min(PIECE as u64) as usize;
        content.fill(&mut piece[..length]);
        stream.write_all(&piece[..length])?;
        stream.flush()?;
        stream.read_exact(&mut back[..length])?;
        if piece[..length] != back[..length] {
            return Ok(false);
        }
        left -= length as u64;
    }
    Ok(true)
}

fn send(to: &mut impl Write, mut left: u64, seed: u64) -> io::Result<[u8; 32]> {
    let (mut content, mut sum, mut piece) = (Content::new(seed), Context::new(&SHA256), [0; PIECE]);
    while left > 0 {
        let length = left.min(PIECE as u64) as usize;
        content.fill(&mut piece[..length]);
        sum.update(&piece[..length]);
        to.write_all(&piece[..length])?;
        left -= length as u64;
    }
    to.flush()?;
    Ok(finish(sum))
}

fn receive(from: &mut impl Read, mut left: u64) -> io::Result<[u8; 32]> {
    let (mut sum, mut piece) = (Context::new(&SHA256), [0; PIECE]);
    while left > 0 {
        let length = left.min(PIECE as u64) as usize;
        let read = from.read(&mut piece[..length])?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        sum.update(&piece[..read]);
        left -= read as u64;
    }
    Ok(finish(sum))
}

fn finish(sum: Context) -> [u8; 32] {
    sum.finish().as_ref().try_into().unwrap()
}

#[cfg(test)]
mod tests {
    use portcullis_peers::{Endpoint, TcpClient};

    use super::*;

    #[test]
    fn the_service_and_its_client_agree_on_every_length() {
        let endpoint = Endpoint::start(serve).unwrap();
        let client = TcpClient::connect(endpoint.address()).unwrap();
        for bytes in [0, 1, 7, 8, 9, PIECE as u64 - 1, PIECE as u64 + 1, 300_001] {
            for mode in Mode::ALL {
                assert!(ask(&mut client.stream(), mode, bytes, bytes + 1).unwrap(), "{mode:?} {bytes}");
            }
        }
    }

    #[test]
    fn content_differs_by_seed_and_by_place() {
        let (mut one, mut other) = ([0; 64], [0; 64]);
        Content::new(1).fill(&mut one);
        Content::new(2).fill(&mut other);
        assert_ne!(one, other);
        assert_ne!(one[..32], one[32..]);
        // As tests/peers/serve.go has it.
        assert_eq!(one[..8], 0x910a_2dec_8902_5cc1_u64.to_le_bytes());
    }
}
