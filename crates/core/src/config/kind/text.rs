//! Values that are written as strings.

use serde_json::{Value as Json, json};

use super::{Kind, Place};
use crate::config::error::suggest;
use crate::config::tree::{Node, Value};

/// A string that stands for something: checked and made that thing at once.
pub(in crate::config) struct Text<T> {
    /// What it is, in a few words.
    pub(in crate::config) label: &'static str,
    /// A good value.
    pub(in crate::config) example: &'static str,
    /// Makes the thing, or tells what is wrong with the string.
    pub(in crate::config) parse: fn(&str) -> Result<T, String>,
    /// Writes the thing back.
    pub(in crate::config) show: fn(&T) -> String,
}

impl<T> Kind for Text<T> {
    type Out = T;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<T> {
        let Value::Text(text) = &node.value else {
            place.mistyped(node, "a string", &quoted(self.example));
            return None;
        };
        let told = |why: String| {
            let message = format!("`{}`: {why}", place.key);
            place.report.error(&node.at, message, format!("{}, as in {}", self.label, quoted(self.example)));
        };
        (self.parse)(text).map_err(told).ok()
    }

    fn show(&self, value: &T) -> String {
        quoted(&(self.show)(value))
    }

    fn label(&self) -> String {
        self.label.into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "examples": [self.example] })
    }
}

/// Any string at all.
pub(in crate::config) const fn free_text(label: &'static str, example: &'static str) -> Text<Box<str>> {
    Text { label, example, parse: |text| Ok(text.into()), show: |text| text.to_string() }
}

/// A name that the operator gives.
pub(in crate::config) const fn named<T: for<'a> From<&'a str> + std::fmt::Display>() -> Text<T> {
    Text { label: "name", example: "lobby", parse: |text| check_name(text).map(T::from), show: T::to_string }
}

/// Names stand in logs, labels of metrics and URLs of the admin API, hence their few characters.
pub(in crate::config) fn check_name(text: &str) -> Result<&str, String> {
    const LONGEST: usize = 64;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins || text.len() > LONGEST || !text.bytes().all(good) {
        let given = brief(text);
        return Err(format!("`{given}` is no name: letters, digits, `-`, `_`, `.`, at most {LONGEST}"));
    }
    Ok(text)
}

/// One word of a few.
pub(in crate::config) struct Choice<T: 'static> {
    /// What is chosen: `protocol`.
    pub(in crate::config) noun: &'static str,
    /// The words.
    pub(in crate::config) words: &'static [(&'static str, T)],
    /// Words that another version of the gateway understands.
    pub(in crate::config) later: &'static [&'static str],
}

impl<T: Copy + PartialEq + Sync> Kind for Choice<T> {
    type Out = T;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<T> {
        let Value::Text(text) = &node.value else {
            place.mistyped(node, "a string", &quoted(self.words.first().map_or("", |(word, _)| word)));
            return None;
        };
        let found = self.words.iter().find(|(word, _)| word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known = self.words.iter().map(|(word, _)| *word);
            if self.later.contains(&text.as_str()) {
                let hint = format!("in this version: {}", known.collect::<Vec<_>>().join(", "));
                place.report.error(&node.at, format!("{} `{text}` is not in this version", self.noun), hint);
            } else {
                let message = format!("unknown {} `{}`", self.noun, brief(text));
                place.report.error(&node.at, message, suggest(text, known));
            }
        }
        found
    }

    fn show(&self, value: &T) -> String {
        let word = self.words.iter().find(|(_, known)| known == value).map_or("", |(word, _)| word);
        quoted(word)
    }

    fn label(&self) -> String {
        let words: Vec<_> = self.words.iter().map(|(word, _)| quoted(word)).collect();
        words.join(" or ")
    }

    fn schema(&self) -> Json {
        let words: Vec<_> = self.words.iter().map(|(word, _)| *word).collect();
        json!({ "enum": words })
    }
}

/// Writes a string as TOML: basic, on one line.
pub(in crate::config) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    // A literal `${` would be taken for a variable when it is read again.
    out.replace("${", "$${")
}

/// Shortens what an operator wrote so that an error stays one readable line.
fn brief(text: &str) -> String {
    const SHOWN: usize = 40;
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut out: String = text.chars().take(SHOWN).map(clean).collect();
    if text.chars().count() > SHOWN {
        out.push('…');
    }
    out
}
