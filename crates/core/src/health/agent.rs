//! What an agent beside an endpoint says: HAProxy's agent-check protocol, one line of words.
//!
//! HAProxy configuration manual, 5.2 "agent-check": an ASCII line that ends with CR or LF; words parted by
//! spaces, tabs or commas: a percentage, `maxconn:` with a number, `ready drain maint`, and
//! `up down fail stopped`, the latter three with a reason behind `#`.

use crate::upstream::Standing;

/// The longest line that is read, in bytes.
pub const MAX_LINE: usize = 1024;

/// What one line says; what it is silent about stays as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// How much of its weight the endpoint wants, in percent, at most 100.
    pub percent: Option<u8>,
    /// The most sessions it wants; `Some(None)`: as configured (`maxconn:0`).
    pub max_sessions: Option<Option<u32>>,
    /// May it get sessions?
    pub standing: Option<Standing>,
    /// Is it up?
    pub is_up: Option<bool>,
    /// Why not, in the agent's words; printable ASCII.
    pub reason: Box<str>,
}

/// A line in the making. Memory: at most [`MAX_LINE`] bytes.
#[derive(Clone, Debug, Default)]
pub struct Line {
    seen: Vec<u8>,
}

impl Line {
    /// Takes what arrived; `Some` once the line is whole, or as long as one may be.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Option<Said> {
        let room = MAX_LINE - self.seen.len().min(MAX_LINE);
        self.seen.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let is_whole = self.seen.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
        (is_whole || self.seen.len() >= MAX_LINE).then(|| read(&self.seen))
    }

    /// The agent has ended the connection: what it said until then is its line.
    #[must_use]
    pub fn handle_end(&self) -> Said {
        read(&self.seen)
    }
}

/// Reads a line; whatever is no word of the protocol is passed over, as HAProxy does.
#[must_use]
pub fn read(line: &[u8]) -> Said {
    let end = line.iter().take(MAX_LINE).position(|byte| matches!(byte, b'\r' | b'\n'));
    let line = line.get(..end.unwrap_or(line.len().min(MAX_LINE))).unwrap_or_default();
    let (words, reason) = match line.iter().position(|byte| *byte == b'#') {
        Some(at) => line.split_at(at),
        None => (line, &[][..]),
    };
    let printable = reason.iter().skip(1).filter(|byte| (0x20..0x7f).contains(*byte));
    let reason: String = printable.map(|byte| char::from(*byte)).collect();
    let mut said = Said { reason: reason.trim().into(), ..Said::default() };
    for word in words.split(|byte| matches!(byte, b' ' | b'\t' | b',')) {
        let Ok(word) = std::str::from_utf8(word) else { continue };
        said.take(word);
    }
    said
}

impl Said {
    /// Did the line say anything?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { percent, max_sessions, standing, is_up, reason: _ } = self;
        percent.is_none() && max_sessions.is_none() && standing.is_none() && is_up.is_none()
    }

    fn take(&mut self, word: &str) {
        if let Some(percent) = word.strip_suffix('%').and_then(|number| number.parse::<u16>().ok()) {
            self.percent = Some(u8::try_from(percent.min(100)).unwrap_or(100));
        } else if let Some(most) = word.strip_prefix("maxconn:").and_then(|number| number.parse().ok()) {
            self.max_sessions = Some((most > 0).then_some(most));
        }
        match word.to_ascii_lowercase().as_str() {
            "ready" => self.standing = Some(Standing::Ready),
            "drain" => self.standing = Some(Standing::Drain),
            "maint" => self.standing = Some(Standing::Maint),
            "up" => self.is_up = Some(true),
            "down" | "fail" | "stopped" => self.is_up = Some(false),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_line_is_read_as_haproxy_reads_it() {
        let none = Said::default;
        let rows: [(&[u8], Said); 13] = [
            (b"", none()),
            (b"\n", none()),
            (b"75%\n", Said { percent: Some(75), ..none() }),
            (b"300%\r\n", Said { percent: Some(100), ..none() }),
            (b"maxconn:30\n", Said { max_sessions: Some(Some(30)), ..none() }),
            (b"maxconn:0\n", Said { max_sessions: Some(None), ..none() }),
            (b"drain\n", Said { standing: Some(Standing::Drain), ..none() }),
            (b"UP ready\n", Said { is_up: Some(true), standing: Some(Standing::Ready), ..none() }),
            (b"stopped\n50%", Said { is_up: Some(false), ..none() }),
            (
                b"up,50%\tmaxconn:7 maint\n",
                Said {
                    is_up: Some(true),
                    percent: Some(50),
                    max_sessions: Some(Some(7)),
                    standing: Some(Standing::Maint),
                    ..none()
                },
            ),
            (
                b"fail#disk is full\x07 up\n",
                Said { is_up: Some(false), reason: "disk is full up".into(), ..none() },
            ),
            (b"-5% maxconn:x upp \xff\xfe % maxconn:\n", none()),
            (b"99999999999999% maxconn:99999999999\n", none()),
        ];
        for (line, want) in rows {
            assert_eq!(read(line), want, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn an_agents_line_is_whole_with_its_end_however_it_is_cut() {
        let wire = b"up 75%\nrest";
        for cut in 0..wire.len() {
            let mut line = Line::default();
            let (first, second) = wire.split_at(cut);
            let said = line.handle_bytes(first).or_else(|| line.handle_bytes(second));
            assert_eq!(said, Some(read(wire)), "cut at {cut}");
        }
        let mut line = Line::default();
        assert_eq!(line.handle_bytes(b"drain"), None);
        assert_eq!(line.handle_end(), read(b"drain"));
        let mut endless = Line::default();
        let told = (0..).find(|_| endless.handle_bytes(&[b'x'; 100]).is_some());
        assert_eq!(told, Some(10), "1,024 bytes are enough");
    }

    #[test]
    fn a_line_without_end_is_read_to_its_bound_only() {
        let mut line = vec![b' '; MAX_LINE];
        line.extend_from_slice(b"down");
        assert!(read(&line).is_empty());
    }
}
