//! Datagrams on their way to the kernel: gathered during a turn, equal ones in a row as one train.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use portcullis_core::wire::kcp::outbox::Outbox;
use portcullis_sys::datagram::{Datagrams, Local, Outgoing, TRAIN_BYTES, TRAIN_DATAGRAMS};

/// What may wait for room in the kernel, in bytes; what is beyond is lost, as on any full link.
const WAITING: usize = 4 << 20;
/// The arena keeps its room for the next turn only up to this size, in bytes.
const KEPT: usize = 1 << 20;

/// What waits to be sent on one socket, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Post {
    out: Outbox,
    trains: Vec<Train>,
    sent: usize,
}

/// Where datagrams go, and which of our addresses they come from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Course {
    pub(crate) to: Option<SocketAddr>,
    pub(crate) from: Option<Local>,
}

/// Datagrams of one length in a row, the last one perhaps shorter.
#[derive(Clone, Debug)]
struct Train {
    course: Course,
    bytes: Range<usize>,
    segment: usize,
    count: usize,
}

impl Post {
    /// Lets `write` append finished datagrams, which go to one peer, and returns how many those were.
    pub(crate) fn gather(&mut self, course: Course, write: impl FnOnce(&mut Outbox)) -> usize {
        let first = self.out.len();
        write(&mut self.out);
        let mut open: Option<Train> = None;
        for index in first..self.out.len() {
            let place = self.out.range(index);
            let length = place.len();
            match &mut open {
                Some(train) if train.takes(length) => {
                    train.bytes.end = place.end;
                    train.count += 1;
                }
                _ => {
                    let next = Train { course, bytes: place, segment: length, count: 1 };
                    self.trains.extend(open.replace(next));
                }
            }
        }
        self.trains.extend(open);
        self.out.len() - first
    }

    /// Sends what was gathered as far as the kernel has room; the rest waits, or is lost where it would be too
    /// much. Returns how many trains were lost.
    pub(crate) fn flush(&mut self, socket: &Datagrams) -> u64 {
        // What an unconnected socket refuses is skipped as lost; it has no error of its own.
        self.send(socket, WAITING).unwrap_or(0)
    }

    /// Is there anything that the kernel had no room for?
    pub(crate) fn waits(&self) -> bool {
        !self.trains.is_empty()
    }

    /// Sends what was gathered and keeps nothing: the next one to gather has another socket. Returns how many
    /// trains were lost for want of room.
    ///
    /// # Errors
    /// What the network says of the peer of a connected socket.
    pub(crate) fn empty(&mut self, socket: &Datagrams) -> io::Result<u64> {
        self.send(socket, 0)
    }

    fn send(&mut self, socket: &Datagrams, waiting_room: usize) -> io::Result<u64> {
        if self.trains.is_empty() {
            return Ok(0);
        }
        let bytes = self.out.bytes();
        let waiting: Vec<_> = self.trains[self.sent..].iter().map(|train| train.outgoing(bytes)).collect();
        let sent = socket.send(&waiting);
        let left = sent.as_ref().map_or(0, |taken| waiting.len() - taken);
        if left > 0 && bytes.len() <= waiting_room {
            self.sent = self.trains.len() - left;
            return Ok(0);
        }
        self.forget();
        sent.map(|_| left as u64)
    }

    fn forget(&mut self) {
        if self.out.bytes().len() > KEPT {
            self.out = Outbox::default();
        }
        self.out.clear();
        self.trains.clear();
        self.sent = 0;
    }
}

impl Train {
    /// May a datagram of `length` bytes go behind? All but the last are of one length.
    fn takes(&self, length: usize) -> bool {
        let even = self.bytes.len() == self.segment * self.count;
        even && length <= self.segment
            && self.count < TRAIN_DATAGRAMS
            && self.bytes.len() + length <= TRAIN_BYTES
    }

    fn outgoing<'b>(&self, bytes: &'b [u8]) -> Outgoing<'b> {
        let segment = (self.count > 1).then(|| u16::try_from(self.segment).unwrap_or(u16::MAX));
        let Course { to, from } = self.course;
        Outgoing { to, from, bytes: &bytes[self.bytes.clone()], segment }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn post(lengths: &[usize]) -> Post {
        let mut post = Post::default();
        let count = post.gather(Course::default(), |out| {
            for length in lengths {
                out.begin(*length);
                out.finish();
            }
        });
        assert_eq!(count, lengths.len());
        post
    }

    #[test]
    fn equal_datagrams_in_a_row_and_one_shorter_behind_them_are_a_train() {
        let shapes = |lengths: &[usize]| {
            let post = post(lengths);
            post.trains.iter().map(|train| (train.segment, train.count)).collect::<Vec<_>>()
        };
        assert_eq!(shapes(&[9, 9, 9]), [(9, 3)]);
        assert_eq!(shapes(&[9, 9, 4, 9]), [(9, 3), (9, 1)]);
        assert_eq!(shapes(&[4, 9]), [(4, 1), (9, 1)]);
        assert_eq!(shapes(&[9, 4, 4]), [(9, 2), (4, 1)]);
        assert_eq!(shapes(&[1; 130]), [(1, 64), (1, 64), (1, 2)]);
        assert_eq!(shapes(&[1350; 60]), [(1350, 48), (1350, 12)]);
    }

    #[test]
    fn what_two_peers_get_is_never_one_train() {
        let mut post = post(&[5, 5]);
        post.gather(Course::default(), |out| {
            out.begin(5);
            out.finish();
        });
        assert_eq!(post.trains.len(), 2);
    }

    #[test]
    fn everything_arrives_and_the_arena_is_empty_again() {
        let sockets = Datagrams::bind_group((std::net::Ipv4Addr::LOCALHOST, 0).into(), 1).unwrap();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let mut post = Post::default();
        let to = Course { to: Some(peer.local_addr().unwrap()), from: None };
        post.gather(to, |out| {
            for byte in [b"aaa", b"bbb", b"ccc"] {
                out.begin(0);
                out.push(byte);
                out.finish();
            }
        });
        assert_eq!(post.flush(&sockets[0]), 0);
        let mut buffer = [0; 16];
        for want in [b"aaa", b"bbb", b"ccc"] {
            let count = peer.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], want);
        }
        assert!(post.trains.is_empty() && post.out.is_empty());
    }
}
