//! The passphrase in a file.

/// The longest one in bytes: a longer file is another than was meant.
pub(crate) const MAX: usize = 1024;

/// Returns the passphrase in a file of these bytes; `None` when it is empty, too long or no text.
pub(crate) fn parse(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    // An editor ends the last line, and nobody sees it.
    let text = text.strip_suffix('\n').unwrap_or(&text).trim_end_matches('\r');
    (1..=MAX).contains(&text.len()).then(|| text.to_owned())
}
