//! What a probe says to an endpoint, and which answer is good: pure, however the answer is cut.

use std::ops::RangeInclusive;

use crate::config::{Probe, TypeBytes};
use crate::wire::frame::{self, Decoder, Event};

/// The longest status line that is read, in bytes; the fields behind it are not looked at.
const MAX_STATUS_LINE: usize = 512;
/// What is read of frames before the answer, in bytes: an endpoint may push something first, but not for ever.
const MAX_BEFORE_REPLY: usize = 256 * 1024;

/// An exchange on an open connection.
#[derive(Clone, Debug)]
pub struct Exchange {
    words: Vec<u8>,
    wants: Wants,
}

/// What is waited for.
#[derive(Clone, Debug)]
enum Wants {
    /// That nothing ends.
    Silence,
    /// A frame of that type.
    Reply { decoder: Decoder, kind: u16, left: usize },
    /// A status line with one of these codes.
    Status { seen: Vec<u8>, good: RangeInclusive<u16> },
}

/// What an answer has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is not decided yet.
    NeedMore,
    /// It is what was wanted.
    Good,
    /// It is not, and why.
    Bad(Wrong),
}

/// What is wrong with an endpoint that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It ended the connection before it was to.
    #[error("it closed the connection")]
    Closed,
    /// It answered with that status.
    #[error("status {0}")]
    Status(u16),
    /// What it answered is no HTTP/1.
    #[error("it does not speak HTTP/1")]
    NotHttp,
    /// It sent much, and no answer.
    #[error("it sent much, and no reply to the heartbeat")]
    NoReply,
}

impl Exchange {
    /// The exchange of a probe; `None`: nothing is said once the connection is open. `host` is the endpoint as
    /// `host:port`.
    #[must_use]
    pub fn of(probe: &Probe, host: &str) -> Option<Self> {
        match probe {
            Probe::Connect | Probe::Tls => None,
            Probe::Frame { frames, expect_reply } => {
                let (mut words, width) = (Vec::new(), frames.type_bytes);
                frame::push(&mut words, width, (frame::WITHOUT_TOKEN, frames.types.heartbeat), b"{}");
                let wants =
                    if *expect_reply { reply(width, frames.types.heartbeat_reply) } else { Wants::Silence };
                Some(Self { words, wants })
            }
            Probe::Http { path, host: named, status } => {
                let host = named.as_deref().unwrap_or(host);
                // RFC 9112 section 3.2: a request of HTTP/1.1 has a Host field.
                let words = format!(
                    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: portcullis\r\nAccept: */*\r\n\
                     Connection: close\r\n\r\n"
                );
                let wants = Wants::Status { seen: Vec::new(), good: status.clone() };
                Some(Self { words: words.into_bytes(), wants })
            }
        }
    }

    /// What is said first.
    #[must_use]
    pub fn words(&self) -> &[u8] {
        &self.words
    }

    /// Is it good when nothing has ended after a second?
    #[must_use]
    pub fn wants_silence(&self) -> bool {
        matches!(self.wants, Wants::Silence)
    }

    /// Takes what arrived.
    pub fn handle_bytes(&mut self, mut bytes: &[u8]) -> Answer {
        match &mut self.wants {
            Wants::Silence => Answer::NeedMore, // it may say what it likes
            Wants::Reply { decoder, kind, left } => {
                *left = left.saturating_sub(bytes.len());
                while let Some(event) = decoder.next(&mut bytes) {
                    if matches!(event, Event::Header(header) if header.kind == *kind) {
                        return Answer::Good;
                    }
                }
                if *left == 0 { Answer::Bad(Wrong::NoReply) } else { Answer::NeedMore }
            }
            Wants::Status { seen, good } => {
                let room = MAX_STATUS_LINE - seen.len().min(MAX_STATUS_LINE);
                seen.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                match seen.iter().position(|byte| *byte == b'\n') {
                    None if seen.len() < MAX_STATUS_LINE => Answer::NeedMore,
                    None => Answer::Bad(Wrong::NotHttp),
                    Some(end) => judge(seen.get(..end).unwrap_or_default(), good),
                }
            }
        }
    }

    /// The endpoint has ended the connection before the answer was whole.
    #[must_use]
    pub fn handle_end(&self) -> Answer {
        Answer::Bad(Wrong::Closed)
    }
}

fn reply(width: TypeBytes, kind: u16) -> Wants {
    Wants::Reply { decoder: Decoder::of_endpoint(width), kind, left: MAX_BEFORE_REPLY }
}

/// RFC 9112 section 4: `HTTP/1.` a digit, a space, three digits, and a space or the end.
fn judge(line: &[u8], good: &RangeInclusive<u16>) -> Answer {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', a, b, c, rest @ ..] = line else {
        return Answer::Bad(Wrong::NotHttp);
    };
    let digits = [minor, a, b, c].into_iter().all(u8::is_ascii_digit);
    if !digits || !(rest.is_empty() || rest.starts_with(b" ")) {
        return Answer::Bad(Wrong::NotHttp);
    }
    let status = [a, b, c].into_iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
    if good.contains(&status) { Answer::Good } else { Answer::Bad(Wrong::Status(status)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::{FrameTypes, Frames};

    fn http(host: Option<&str>) -> Exchange {
        let probe = Probe::Http { path: "/up?x=1".into(), host: host.map(Into::into), status: 200..=399 };
        Exchange::of(&probe, "10.0.0.1:80").unwrap()
    }

    fn frames(width: TypeBytes, expect_reply: bool) -> Exchange {
        let frames = Frames { type_bytes: width, types: FrameTypes::usual(width), ..Frames::default() };
        Exchange::of(&Probe::Frame { frames: Box::new(frames), expect_reply }, "10.0.0.1:80").unwrap()
    }

    /// What it says to bytes that come in two pieces, and then to an end.
    fn answer(mut exchange: Exchange, bytes: &[u8], cut: usize) -> Answer {
        let (first, second) = bytes.split_at(cut);
        for piece in [first, second] {
            let answer = exchange.handle_bytes(piece);
            if answer != Answer::NeedMore {
                return answer;
            }
        }
        exchange.handle_end()
    }

    #[test]
    fn a_request_names_its_host_and_ends_its_connection() {
        let words = "GET /up?x=1 HTTP/1.1\r\nHost: 10.0.0.1:80\r\nUser-Agent: portcullis\r\nAccept: */*\r\n\
                     Connection: close\r\n\r\n";
        assert_eq!(http(None).words(), words.as_bytes());
        let named = words.replace("10.0.0.1:80", "game.example");
        assert_eq!(http(Some("game.example")).words(), named.as_bytes());
    }

    #[test]
    fn a_status_line_is_judged_however_it_is_cut() {
        let rows: [(&[u8], Answer); 12] = [
            (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", Answer::Good),
            (b"HTTP/1.0 204\r\n", Answer::Good),
            (b"HTTP/1.1 399 \n", Answer::Good),
            (b"HTTP/1.1 503 Service Unavailable\r\n", Answer::Bad(Wrong::Status(503))),
            (b"HTTP/1.1 100 Continue\r\n", Answer::Bad(Wrong::Status(100))),
            (b"HTTP/2.0 200 OK\r\n", Answer::Bad(Wrong::NotHttp)),
            (b"HTTP/1.1 2000\r\n", Answer::Bad(Wrong::NotHttp)),
            (b"HTTP/1.1 20x\r\n", Answer::Bad(Wrong::NotHttp)),
            (b"SSH-2.0-OpenSSH\r\n", Answer::Bad(Wrong::NotHttp)),
            (b"\n", Answer::Bad(Wrong::NotHttp)),
            (b"HTTP/1.1 200 OK", Answer::Bad(Wrong::Closed)),
            (b"", Answer::Bad(Wrong::Closed)),
        ];
        for (bytes, want) in rows {
            for cut in 0..=bytes.len() {
                assert_eq!(answer(http(None), bytes, cut), want, "{} cut at {cut}", bytes.escape_ascii());
            }
        }
        assert_eq!(answer(http(None), &[b'H'; 10_000], 3), Answer::Bad(Wrong::NotHttp));
    }

    #[test]
    fn a_heartbeat_is_written_in_either_width() {
        assert_eq!(frames(TypeBytes::One, false).words(), b"\x01\x01\x00\x02{}");
        assert_eq!(frames(TypeBytes::Two, true).words(), b"\x01\x03\xe8\x00\x02{}");
        assert!(frames(TypeBytes::One, false).wants_silence());
    }

    #[test]
    fn the_reply_to_a_heartbeat_is_found_behind_other_frames_however_it_is_cut() {
        let wire = b"\x01\x14\x00\x03abc\x02\x14\x00\x00\x01\x02\x00\x02{}";
        for cut in 0..=wire.len() {
            assert_eq!(answer(frames(TypeBytes::One, true), wire, cut), Answer::Good, "cut at {cut}");
        }
        let other = b"\x01\x14\x00\x03abc";
        assert_eq!(answer(frames(TypeBytes::One, true), other, 2), Answer::Bad(Wrong::Closed));
        let mut endless = frames(TypeBytes::One, true);
        let told = (0..1000).map(|_| endless.handle_bytes(&[0; 1024])).find(|told| *told != Answer::NeedMore);
        assert_eq!(told, Some(Answer::Bad(Wrong::NoReply)));
    }

    #[test]
    fn an_endpoint_may_say_what_it_likes_where_only_its_end_counts() {
        let mut exchange = frames(TypeBytes::One, false);
        assert_eq!(exchange.handle_bytes(&[0xff; 5000]), Answer::NeedMore);
        assert_eq!(exchange.handle_end(), Answer::Bad(Wrong::Closed));
    }

    #[test]
    fn nothing_is_said_where_a_connection_is_enough() {
        assert!(Exchange::of(&Probe::Connect, "x:1").is_none());
        assert!(Exchange::of(&Probe::Tls, "x:1").is_none());
    }
}
