//! UTF-8 checked as it arrives, failing at the first byte that cannot be right.

/// Parts shorter than this are checked by the standard library: SIMD only pays for its start from here on.
const SIMD_FROM: usize = 64;

/// Where a text has come to: the start of a character that a read cut, if any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Utf8 {
    cut: [u8; 4],
    len: u8,
}

/// The text is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8 {
    /// Checks the next part; a character that it cuts is kept for the part after.
    pub(super) fn check(&mut self, mut bytes: &[u8]) -> Result<(), NotUtf8> {
        while self.len > 0 {
            let Some((&byte, rest)) = bytes.split_first() else { return Ok(()) };
            bytes = rest;
            self.cut[usize::from(self.len)] = byte;
            self.len += 1;
            match std::str::from_utf8(&self.cut[..usize::from(self.len)]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return Err(NotUtf8),
                // At most three bytes can still be the start of a character, so the array is never full here.
                Err(_) => {}
            }
        }
        let Some(tail) = whole_characters(bytes)? else { return Ok(()) };
        self.cut[..tail.len()].copy_from_slice(tail);
        // A start of a character is one to three bytes.
        self.len = tail.len() as u8;
        Ok(())
    }

    /// Ends the text: a character must not be cut here.
    pub(super) fn end(&mut self) -> Result<(), NotUtf8> {
        match std::mem::take(&mut self.len) {
            0 => Ok(()),
            _ => Err(NotUtf8),
        }
    }
}

/// Checks all whole characters; returns the start of one that is cut at the end.
fn whole_characters(bytes: &[u8]) -> Result<Option<&[u8]>, NotUtf8> {
    let (valid, wrong) = if bytes.len() < SIMD_FROM {
        match std::str::from_utf8(bytes) {
            Ok(_) => return Ok(None),
            Err(error) => (error.valid_up_to(), error.error_len()),
        }
    } else {
        match simdutf8::compat::from_utf8(bytes) {
            Ok(_) => return Ok(None),
            Err(error) => (error.valid_up_to(), error.error_len()),
        }
    };
    if wrong.is_some() { Err(NotUtf8) } else { Ok(Some(&bytes[valid..])) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    const LONG: &str = "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!! \u{1f600} \u{3bb}\u{3cc}\u{3b3}\u{3bf}\u{3c2} \
                        and enough more of it to be checked by the wide path \u{10ffff}";

    #[test]
    fn a_text_is_right_wherever_it_is_cut() {
        let bytes = LONG.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut utf8 = Utf8::default();
                for part in [&bytes[..first], &bytes[first..second], &bytes[second..]] {
                    assert_eq!(utf8.check(part), Ok(()), "cuts at {first} and {second}");
                }
                assert_eq!(utf8.end(), Ok(()), "cuts at {first} and {second}");
            }
        }
    }

    #[test]
    fn a_text_that_ends_inside_a_character_is_wrong() {
        for text in ["\u{b5}", "\u{20ac}", "\u{1f600}"] {
            for cut in 1..text.len() {
                let mut utf8 = Utf8::default();
                assert_eq!(utf8.check(&text.as_bytes()[..cut]), Ok(()));
                assert_eq!(utf8.end(), Err(NotUtf8), "{text} cut at {cut}");
            }
        }
    }

    #[test]
    fn wrong_bytes_are_told_at_the_first_of_them() {
        let rows: &[(&[u8], usize)] = &[
            (b"\x80", 0),
            (b"\xc0\xaf", 0),
            (b"\xc3\x28", 1),
            (b"\xe0\x80\xaf", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xf0\x9f\x28", 2),
            (b"\xf5\x80", 0),
            (b"\xff", 0),
        ];
        for filler in [0, SIMD_FROM] {
            for (bad, at) in rows {
                let text = [&vec![b'a'; filler][..], bad].concat();
                let mut utf8 = Utf8::default();
                assert_eq!(utf8.check(&text[..filler + at]), Ok(()), "{bad:?} up to {at}");
                assert_eq!(utf8.check(&text[filler + at..=filler + at]), Err(NotUtf8), "{bad:?} at {at}");
                assert_eq!(Utf8::default().check(&text), Err(NotUtf8), "{bad:?} whole");
            }
        }
    }
}
