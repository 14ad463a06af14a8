//! What is wrong in a config, told with its place, its line and what to write instead.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use super::{SECRET, Warning};

#[cfg(test)]
mod tests;

/// The longest part of a source line that an error repeats, in characters.
const LINE_SHOWN: usize = 160;

/// One thing wrong in a config file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file as it was named to the parser.
    pub file: Box<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: Box<str>,
    /// The line of the file, without control characters.
    pub source_line: Box<str>,
    /// What to write instead.
    pub hint: Box<str>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        let gap = if self.source_line.is_empty() { "" } else { "  " };
        writeln!(f, "   |{gap}{}", self.source_line)?;
        write!(f, "   = {}", self.hint)
    }
}

/// Everything wrong in a config file, in the file's order. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Where errors and warnings of one file are gathered while it is read.
pub(super) struct Report<'a> {
    /// The file's content.
    pub(super) text: &'a str,
    file: &'a str,
    errors: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<Warning>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str, file: &'a str) -> Self {
        Self { text, file, errors: RefCell::default(), warnings: RefCell::default() }
    }

    /// Notes an error at a byte range of the file.
    pub(super) fn error(&self, at: &Range<usize>, message: impl Into<Box<str>>, hint: impl Into<Box<str>>) {
        let (line, column, source_line) = self.locate(at.start);
        let error = ConfigError {
            file: self.file.into(),
            line,
            column,
            message: message.into(),
            source_line,
            hint: hint.into(),
        };
        let mut errors = self.errors.borrow_mut();
        if !errors.contains(&error) {
            errors.push(error);
        }
    }

    /// Notes something that runs but deserves a word.
    pub(super) fn warn(&self, at: &Range<usize>, text: impl Into<Box<str>>) {
        let (line, column, _) = self.locate(at.start);
        let at = Some(format!("{}:{line}:{column}", self.file).into());
        self.warnings.borrow_mut().push(Warning { at, text: text.into() });
    }

    /// Returns the line (from 1) of a byte offset.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.locate(offset).0
    }

    /// Ends the gathering: the warnings when nothing was wrong, else every error in the file's order.
    pub(super) fn finish(self) -> Result<Vec<Warning>, ConfigErrors> {
        let mut errors = self.errors.into_inner();
        if errors.is_empty() {
            return Ok(self.warnings.into_inner());
        }
        errors.sort_by_key(|error| (error.line, error.column));
        Err(ConfigErrors(errors))
    }

    /// Returns line, column and the line's text for a byte offset; offsets past the end are the end.
    fn locate(&self, offset: usize) -> (usize, usize, Box<str>) {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let (before, after) = self.text.split_at(offset);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).map_or(0, |head| head.chars().count()) + 1;
        let end = after.find('\n').map_or(self.text.len(), |newline| offset + newline);
        let shown = veiled(self.text.get(start..end).unwrap_or_default().trim_end());
        // A config may hold bytes that would steer the terminal it is shown on.
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        (line, column, shown.chars().take(LINE_SHOWN).map(clean).collect())
    }
}

/// A line of a file without the secrets in it, which errors would carry into logs: the strings behind `key =`
/// and `raw_key =`, but for variables. Goes by the text alone, for a file with errors has no better form.
fn veiled(line: &str) -> String {
    const WORD: &str = "key";
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find(WORD) {
        let (head, tail) = rest.split_at(at + WORD.len());
        out.push_str(head);
        rest = tail;
        let before = head.strip_suffix(WORD).unwrap_or_default();
        let before = before.strip_suffix("raw_").unwrap_or(before);
        let begins = !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        let value = tail.trim_start_matches(['"', '\'']).trim_start().strip_prefix('=').map(str::trim_start);
        let Some(value) = value.filter(|value| begins && value.starts_with(['"', '\''])) else { continue };
        let (quote, inner) = value.split_at(1);
        let (mut end, mut escaped) = (inner.len(), false);
        for (index, c) in inner.char_indices() {
            if !escaped && quote.starts_with(c) {
                end = index;
                break;
            }
            escaped = c == '\\' && quote == "\"" && !escaped;
        }
        let (secret, after) = inner.split_at(end);
        let shown =
            if secret.starts_with("${") && secret.find('}') == Some(end - 1) { secret } else { SECRET };
        out.push_str(tail.get(..tail.len() - inner.len()).unwrap_or_default());
        out.push_str(shown);
        rest = after;
    }
    out + rest
}

/// Writes `known: a, b, c — did you mean `b`?`; the list only when it is short or nothing is near.
pub(super) fn suggest<'a>(given: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    const SHORT_LIST: usize = 12;
    let near = nearest(given, known.clone());
    let list = || known.clone().collect::<Vec<_>>().join(", ");
    match near {
        Some(near) if known.clone().count() > SHORT_LIST => format!("did you mean `{near}`?"),
        Some(near) => format!("known: {} — did you mean `{near}`?", list()),
        None if known.clone().next().is_none() => "there is none".into(),
        None => format!("known: {}", list()),
    }
}

/// Returns the known word that the operator most likely meant, if any is near.
pub(super) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Half a word typed right is worth a suggestion even when its end is another word's.
    const SHARED_START: usize = 5;
    // Beyond this the table of `distance` is not worth its time, and no known word is near.
    const LONGEST: usize = 64;
    if given.len() > LONGEST {
        return None;
    }
    let given = given.to_ascii_lowercase().replace('_', "-");
    let score = |word: &str| {
        let word = word.to_ascii_lowercase().replace('_', "-");
        let far = distance(&given, &word);
        let shared = given.bytes().zip(word.bytes()).take_while(|(a, b)| a == b).count();
        let near = far * 3 <= given.len().max(word.len()) || far <= 1 || shared >= SHARED_START;
        near.then_some(far)
    };
    known.filter_map(|word| Some((score(word)?, word))).min_by_key(|(far, _)| *far).map(|(_, word)| word)
}

/// Counts the characters to insert, remove, replace or swap to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(from != to);
            let mut best = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i - 1] == *to && b[j - 1] == *from {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
