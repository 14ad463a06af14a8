//! What a client of the demo asks of an endpoint, and the endpoint's answers: round trips, and bytes whose SHA-256
//! both sides take.
//!
//! A request begins with a byte that no UTF-8 text has, so that an endpoint can also serve a human: whatever else
//! comes first, it sends back all that comes.

use std::io::{self, Error, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, SHA256};
use portcullis_peers::serve::{Bytes, Connection};

/// 64 bytes in all; the same come back.
const TRIP: u8 = 0xFA;
/// A seed and a length, then the bytes, then their SHA-256. The endpoint's own and its verdict come back.
const UP: u8 = 0xFB;
/// A seed and a length. The bytes and their SHA-256 come back; the client's own follows, and the endpoint's verdict.
const DOWN: u8 = 0xFC;
/// How long a round trip's message is, in bytes.
const TRIP_BYTES: usize = 64;
/// How much is written or read at a time, in bytes; a multiple of the generator's word.
const PIECE: usize = 32 << 10;
/// The verdict that both sums are the same.
const SAME: u8 = 1;

/// Bytes that both sides can make: those of a seed, by the words of SplitMix64.
struct Content {
    state: u64,
    left: u64,
    sum: Context,
}

impl Content {
    fn new(seed: u64, length: u64) -> Self {
        Self { state: seed, left: length, sum: Context::new(&SHA256) }
    }

    /// Fills `piece` with the next bytes and returns how many there were.
    fn fill(&mut self, piece: &mut [u8]) -> usize {
        let length = self.left.min(piece.len() as u64) as usize;
        let piece = &mut piece[..length];
        for word in piece.chunks_mut(8) {
            self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let bytes = (z ^ (z >> 31)).to_le_bytes();
            word.copy_from_slice(&bytes[..word.len()]);
        }
        self.sum.update(piece);
        self.left -= length as u64;
        length
    }
}

/// Answers until the client ends; a service for every kind of endpoint.
///
/// # Errors
/// Whatever the connection fails with.
pub(super) fn serve<C: Connection>(stream: &C) -> io::Result<()> {
    let mut io = Bytes(stream);
    loop {
        let mut kind = [0];
        if io.read(&mut kind)? == 0 {
            return stream.end();
        }
        match kind {
            [TRIP] => {
                let mut message = [TRIP; TRIP_BYTES];
                io.read_exact(&mut message[1..])?;
                io.write_all(&message)?;
            }
            [UP] => {
                let (_, length) = read_terms(&mut io)?;
                let own = receive(&mut io, length, &mut |_| Ok(()))?;
                let theirs: [u8; 32] = read_array(&mut io)?;
                io.write_all(&[&own[..], &[u8::from(own == theirs)]].concat())?;
            }
            [DOWN] => {
                let (seed, length) = read_terms(&mut io)?;
                let own = send(&mut io, Content::new(seed, length), &mut |_| Ok(()))?;
                io.write_all(&own)?;
                let theirs: [u8; 32] = read_array(&mut io)?;
                io.write_all(&[u8::from(own == theirs)])?;
            }
            other => {
                io.write_all(&other)?;
                return portcullis_peers::serve::echo(stream);
            }
        }
    }
}

/// Measures round trips of 64 bytes until `until`, at least `fewest`.
///
/// # Errors
/// Whatever the connection fails with; [`ErrorKind::InvalidData`] when something else comes back.
pub(super) fn ask(stream: &dyn Connection, fewest: usize, until: Instant) -> io::Result<Vec<Duration>> {
    let mut io = Bytes(stream);
    let mut trips = Vec::new();
    let mut content = Content::new(1, u64::MAX);
    while trips.len() < fewest || Instant::now() < until {
        let (mut message, mut back) = ([TRIP; TRIP_BYTES], [0; TRIP_BYTES]);
        content.fill(&mut message[1..]);
        let sent = Instant::now();
        io.write_all(&message)?;
        io.read_exact(&mut back)?;
        trips.push(sent.elapsed());
        if back != message {
            return Err(Error::new(ErrorKind::InvalidData, "a round trip brought back other bytes"));
        }
    }
    Ok(trips)
}

/// Told of each piece that was moved, in bytes; its error is the end.
pub(super) type Told<'t> = &'t mut dyn FnMut(u64) -> io::Result<()>;

/// Sends `length` bytes of a seed, and sees that the endpoint has the same sum.
///
/// # Errors
/// Whatever the connection or `told` fails with; [`ErrorKind::InvalidData`] when one of the sums is another.
pub(super) fn up(stream: &dyn Connection, seed: u64, length: u64, told: Told<'_>) -> io::Result<()> {
    let mut io = Bytes(stream);
    io.write_all(&head(UP, seed, length))?;
    let own = send(&mut io, Content::new(seed, length), told)?;
    io.write_all(&own)?;
    let theirs: [u8; 32] = read_array(&mut io)?;
    let [verdict] = read_array(&mut io)?;
    judge(own == theirs && verdict == SAME, "the endpoint received other bytes than were sent")
}

/// Has `length` bytes of a seed sent, and sees that they are those, and that the endpoint has the same sum.
///
/// # Errors
/// As [`up`].
pub(super) fn down(stream: &dyn Connection, seed: u64, length: u64, told: Told<'_>) -> io::Result<()> {
    let mut io = Bytes(stream);
    io.write_all(&head(DOWN, seed, length))?;
    let own = receive(&mut io, length, told)?;
    let theirs: [u8; 32] = read_array(&mut io)?;
    io.write_all(&own)?;
    let [verdict] = read_array(&mut io)?;
    judge(own == theirs && verdict == SAME, "the client received other bytes than were sent")
}

fn judge(good: bool, why: &'static str) -> io::Result<()> {
    if good { Ok(()) } else { Err(Error::new(ErrorKind::InvalidData, why)) }
}

fn head(kind: u8, seed: u64, length: u64) -> Vec<u8> {
    [&[kind][..], &seed.to_le_bytes(), &length.to_le_bytes()].concat()
}

/// Reads a seed and a length.
fn read_terms(from: &mut impl Read) -> io::Result<(u64, u64)> {
    Ok((u64::from_le_bytes(read_array(from)?), u64::from_le_bytes(read_array(from)?)))
}

fn read_array<const LEN: usize>(from: &mut impl Read) -> io::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Sends all of `content` and returns its sum.
fn send(to: &mut impl Write, mut content: Content, told: Told<'_>) -> io::Result<[u8; 32]> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = content.fill(&mut piece);
        if length == 0 {
            return sum(content.sum);
        }
        to.write_all(&piece[..length])?;
        told(length as u64)?;
    }
}

/// Receives `length` bytes and returns their sum.
fn receive(from: &mut impl Read, mut length: u64, told: Told<'_>) -> io::Result<[u8; 32]> {
    let (mut piece, mut seen) = (vec![0; PIECE], Context::new(&SHA256));
    while length > 0 {
        let room = length.min(PIECE as u64) as usize;
        let count = from.read(&mut piece[..room])?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        seen.update(&piece[..count]);
        length -= count as u64;
        told(count as u64)?;
    }
    sum(seen)
}

fn sum(context: Context) -> io::Result<[u8; 32]> {
    context.finish().as_ref().try_into().map_err(|_| ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use portcullis_peers::{Endpoint, TcpClient};

    use super::*;

    #[test]
    fn what_is_asked_is_answered_again_and_again() {
        let endpoint = Endpoint::start(serve).unwrap();
        let client = TcpClient::connect(endpoint.address()).unwrap();
        for length in [0, 1, 7, 8, PIECE as u64 - 1, PIECE as u64 + 1, 300_001] {
            let (mut sent, mut got) = (0, 0);
            up(client.stream(), length, length, &mut |more| {
                sent += more;
                Ok(())
            })
            .unwrap();
            down(client.stream(), length, length, &mut |more| {
                got += more;
                Ok(())
            })
            .unwrap();
            assert_eq!((sent, got), (length, length));
            assert_eq!(ask(client.stream(), 3, Instant::now()).unwrap().len(), 3);
        }
    }

    #[test]
    fn a_byte_that_was_changed_is_seen_on_either_way() {
        // An endpoint that changes the sum of what came, or what it sends.
        let wrong_up = |stream: &std::net::TcpStream| {
            let mut io = Bytes(stream);
            let [_kind] = read_array(&mut io)?;
            let (_, length) = read_terms(&mut io)?;
            let mut own = receive(&mut io, length, &mut |_| Ok(()))?;
            read_array::<32>(&mut io)?;
            own[0] ^= 1;
            io.write_all(&[&own[..], &[SAME]].concat())
        };
        let wrong_down = |stream: &std::net::TcpStream| {
            let mut io = Bytes(stream);
            let [_kind] = read_array(&mut io)?;
            let (seed, length) = read_terms(&mut io)?;
            let own = send(&mut io::sink(), Content::new(seed, length), &mut |_| Ok(()))?;
            io.write_all(&vec![0; length as usize])?;
            io.write_all(&[&own[..], &[SAME]].concat())?;
            read_array::<32>(&mut io).map(drop)
        };
        let endpoint = Endpoint::start(wrong_up).unwrap();
        let client = TcpClient::connect(endpoint.address()).unwrap();
        let error = up(client.stream(), 7, 1000, &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let endpoint = Endpoint::start(wrong_down).unwrap();
        let client = TcpClient::connect(endpoint.address()).unwrap();
        let error = down(client.stream(), 7, 1000, &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_human_gets_back_what_was_said() {
        let endpoint = Endpoint::start(serve).unwrap();
        let mut client = TcpClient::connect(endpoint.address()).unwrap();
        client.send(b"hello, ").unwrap();
        client.send(b"you").unwrap();
        client.stream().end().unwrap();
        let mut back = String::new();
        client.stream().read_to_string(&mut back).unwrap();
        assert_eq!(back, "hello, you");
    }
}
