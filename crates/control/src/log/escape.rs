//! Text from strangers, made harmless: one line stays one line, and looks like what it is.

/// The most bytes of one field as written, without its quotes.
pub(super) const FIELD_MAX: usize = 256;

/// Stands for what was cut off.
const CUT: char = '…';

/// Appends `text` as a JSON string: quotes, escapes, at most [`FIELD_MAX`] bytes between the quotes.
///
/// Besides what JSON demands, everything is escaped that a terminal acts upon or that changes how its
/// neighbours look: C1 controls, bidirectional marks, zero-width characters, line separators.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    fill(text, out);
    out.push('"');
}

/// Appends `text` bare when no reader could take it for anything else, quoted otherwise.
pub(super) fn bare_or_quote(text: &str, out: &mut String) {
    let bare = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'=');
    if !text.is_empty() && text.len() <= FIELD_MAX && text.bytes().all(bare) {
        out.push_str(text);
    } else {
        quote(text, out);
    }
}

/// Appends the escaped characters of `text` as far as they fit.
fn fill(text: &str, out: &mut String) {
    let begin = out.len();
    // Where the line was while there was still room for the mark of a cut.
    let mut safe = begin;
    for symbol in text.chars() {
        escape(symbol, out);
        let used = out.len() - begin;
        if used > FIELD_MAX {
            out.truncate(safe);
            out.push(CUT);
            return;
        }
        if used <= FIELD_MAX - CUT.len_utf8() {
            safe = out.len();
        }
    }
}

/// Appends one character, escaped if need be.
fn escape(symbol: char, out: &mut String) {
    match symbol {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ if is_odd(symbol) => {
            let mut units = [0; 2];
            for unit in symbol.encode_utf16(&mut units) {
                out.push_str("\\u");
                for shift in [12, 8, 4, 0] {
                    let digit = u32::from(*unit >> shift & 0xf);
                    out.push(char::from_digit(digit, 16).unwrap_or('0'));
                }
            }
        }
        _ => out.push(symbol),
    }
}

/// Does `symbol` move the cursor, turn the writing round, or show nothing at all?
fn is_odd(symbol: char) -> bool {
    symbol.is_control()
        || matches!(symbol,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
            | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    fn quoted(text: &str) -> String {
        let mut out = String::new();
        quote(text, &mut out);
        out
    }

    #[test]
    fn what_could_deceive_a_reader_is_escaped() {
        for (text, want) in [
            ("plain", r#""plain""#),
            ("two\nlines\r\n", r#""two\nlines\r\n""#),
            ("\u{1b}[2Jgone", r#""\u001b[2Jgone""#),
            ("\u{9b}31m", r#""\u009b31m""#),
            ("a\u{202e}b", r#""a\u202eb""#),
            ("a\u{2066}b\u{2069}", r#""a\u2066b\u2069""#),
            ("a\u{2028}b", r#""a\u2028b""#),
            ("zero\u{200b}width\u{feff}", r#""zero\u200bwidth\ufeff""#),
            ("\u{e0041}", r#""\udb40\udc41""#),
            ("\0\u{7f}", r#""\u0000\u007f""#),
            (r#"say "hi" \o/"#, r#""say \"hi\" \\o/""#),
            ("你好", r#""你好""#),
        ] {
            assert_eq!(quoted(text), want, "{text:?}");
        }
    }

    #[test]
    fn a_field_is_never_longer_than_its_bound() {
        for unit in ["a", "é", "你", "😀", "\n", "\u{1b}", "\u{e0041}"] {
            for count in [1, 42, 84, 85, 127, 128, 255, 256, 257, 1000] {
                let text = unit.repeat(count);
                let line = quoted(&text);
                assert!(line.len() <= FIELD_MAX + 2, "{unit:?} × {count}: {} bytes", line.len());
                let read: String = serde_json::from_str(&line).unwrap();
                match read.strip_suffix(CUT) {
                    Some(start) => assert!(text.starts_with(start), "{unit:?} × {count}"),
                    None => assert_eq!(read, text, "{unit:?} × {count}"),
                }
            }
        }
    }

    #[test]
    fn only_simple_words_stay_bare() {
        for (text, want) in [
            ("10.0.0.1:7000", "10.0.0.1:7000"),
            ("[::1]:7000", "[::1]:7000"),
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("a=b", r#""a=b""#),
            ("é", r#""é""#),
        ] {
            let mut out = String::new();
            bare_or_quote(text, &mut out);
            assert_eq!(out, want, "{text:?}");
        }
    }
}
