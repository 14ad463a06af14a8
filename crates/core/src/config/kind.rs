//! What a key may hold: one type per kind of value, which reads it, writes it and describes it.
//!
//! The parser, `convert`, `check --effective`, the JSON Schema and the reference all go through the
//! same value, so that they cannot drift apart.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a kind names the types it takes; every other one is wrong, also one to come"
)]

mod list;
mod text;

use std::marker::PhantomData;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::error::Report;
use super::key::Section;
use super::tree::{Node, Value};
use crate::unit;

pub(super) use list::quoted_key;
pub(super) use list::{List, Map, Nested};
pub(super) use text::{Choice, Text, check_name, free_text, named, quoted};

/// A kind of value.
pub(super) trait Kind: Sync {
    /// What the value becomes.
    type Out;
    /// Reads a value; `None` after telling the report why not.
    fn read(&self, node: &Node, place: &Place<'_>) -> Option<Self::Out>;
    /// Writes a value as TOML, on one line.
    fn show(&self, value: &Self::Out) -> String;
    /// Describes the kind in a few words.
    fn label(&self) -> String;
    /// Describes the kind as JSON Schema.
    fn schema(&self) -> Json;
    /// The section that a value of this kind is, if it is one.
    fn section(&self) -> Option<&'static Section> {
        None
    }
}

/// Where a value is being read.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The key's name.
    pub(super) key: &'a str,
    pub(super) report: &'a Report<'a>,
}

impl Place<'_> {
    /// Tells that the value's type is another than `wanted`.
    pub(super) fn mistyped(&self, node: &Node, wanted: &str, example: &str) {
        if !matches!(node.value, Value::Broken) {
            let message = format!("`{}` is {wanted}, not {}", self.key, node.value.noun());
            self.report.error(&node.at, message, format!("write `{} = {example}`", self.key));
        }
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Kind for Flag {
    type Out = bool;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<bool> {
        match node.value {
            Value::Flag(flag) => Some(flag),
            _ => {
                place.mistyped(node, "true or false", "true");
                None
            }
        }
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }

    fn label(&self) -> String {
        "true or false".into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "boolean" })
    }
}

/// A whole number between two bounds, both allowed.
pub(super) struct Whole<T> {
    min: T,
    max: T,
}

impl<T> Whole<T> {
    pub(super) const fn from(min: T, max: T) -> Self {
        Self { min, max }
    }
}

impl<T: Copy + Into<i64> + TryFrom<i64> + Sync> Kind for Whole<T> {
    type Out = T;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<T> {
        let Value::Whole(number) = node.value else {
            place.mistyped(node, "a whole number", &self.max.into().min(10).to_string());
            return None;
        };
        let inside = (self.min.into()..=self.max.into()).contains(&number);
        let value = T::try_from(number).ok().filter(|_| inside);
        if value.is_none() {
            let message = format!("`{} = {number}` is out of bounds", place.key);
            let hint = format!("from {} to {}", self.min.into(), self.max.into());
            place.report.error(&node.at, message, hint);
        }
        value
    }

    fn show(&self, value: &T) -> String {
        (*value).into().to_string()
    }

    fn label(&self) -> String {
        format!("number, {} to {}", self.min.into(), self.max.into())
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": self.min.into(), "maximum": self.max.into() })
    }
}

/// `"auto"`, or what another kind holds.
pub(super) struct Auto<K>(pub(super) K);

impl<K: Kind> Kind for Auto<K> {
    type Out = Option<K::Out>;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<Self::Out> {
        match &node.value {
            Value::Text(text) if text == "auto" => Some(None),
            Value::Text(_) => {
                let hint = format!("\"auto\" or a {}", self.0.label());
                place.report.error(&node.at, format!("`{}` is not understood", place.key), hint);
                None
            }
            _ => self.0.read(node, place).map(Some),
        }
    }

    fn show(&self, value: &Self::Out) -> String {
        value.as_ref().map_or_else(|| "\"auto\"".into(), |value| self.0.show(value))
    }

    fn label(&self) -> String {
        format!("\"auto\" or {}", self.0.label())
    }

    fn schema(&self) -> Json {
        json!({ "oneOf": [{ "const": "auto" }, self.0.schema()] })
    }
}

/// A duration such as `"10s"` between two bounds, both allowed.
pub(super) struct Span {
    min: Duration,
    max: Duration,
}

impl Span {
    pub(super) const fn from(min: Duration, max: Duration) -> Self {
        Self { min, max }
    }

    fn bounded(&self, value: Duration, node: &Node, place: &Place<'_>) -> Option<Duration> {
        if (self.min..=self.max).contains(&value) {
            return Some(value);
        }
        let message = format!("`{} = {}` is out of bounds", place.key, unit::show_duration(value));
        place.report.error(&node.at, message, self.bounds());
        None
    }

    fn bounds(&self) -> String {
        format!("from {} to {}", unit::show_duration(self.min), unit::show_duration(self.max))
    }
}

impl Kind for Span {
    type Out = Duration;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<Duration> {
        match &node.value {
            Value::Text(text) => match unit::parse_duration(text) {
                Ok(value) => self.bounded(value, node, place),
                Err(error) => {
                    let message = format!("`{}` is not a duration", place.key);
                    place.report.error(&node.at, message, error.to_string());
                    None
                }
            },
            Value::Whole(number) => {
                let message = format!("`{}` is a duration, not a number", place.key);
                // Where so many seconds would be too long, milliseconds were meant.
                let seconds = u64::try_from(*number).map(Duration::from_secs);
                let unit = if seconds.is_ok_and(|seconds| seconds > self.max) { "ms" } else { "s" };
                let hint = format!("with its unit: `{} = \"{number}{unit}\"`", place.key);
                place.report.error(&node.at, message, hint);
                None
            }
            _ => {
                place.mistyped(node, "a duration", "\"10s\"");
                None
            }
        }
    }

    fn show(&self, value: &Duration) -> String {
        quoted(&unit::show_duration(*value))
    }

    fn label(&self) -> String {
        format!("duration, {}", self.bounds().trim_start_matches("from "))
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$|\\$\\{" })
    }
}

/// Seconds as the seed writes them: a bare number; the native form is understood too.
pub(super) struct Seconds(pub(super) Span);

impl Kind for Seconds {
    type Out = Duration;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<Duration> {
        let seconds = match node.value {
            Value::Whole(number) => u64::try_from(number).ok().map(Duration::from_secs),
            Value::Float(number) => Duration::try_from_secs_f64(number).ok(),
            _ => return self.0.read(node, place),
        };
        let Some(seconds) = seconds else {
            place.report.error(&node.at, format!("`{}` is not a duration", place.key), self.0.bounds());
            return None;
        };
        self.0.bounded(seconds, node, place)
    }

    fn show(&self, value: &Duration) -> String {
        let whole = value.subsec_nanos() == 0;
        if whole { value.as_secs().to_string() } else { value.as_secs_f64().to_string() }
    }

    fn label(&self) -> String {
        format!("seconds, {}", self.0.bounds().trim_start_matches("from "))
    }

    fn schema(&self) -> Json {
        json!({ "type": "number", "minimum": self.0.min.as_secs_f64(), "maximum": self.0.max.as_secs_f64() })
    }
}

/// A size such as `"4KiB"` between two bounds in bytes, both allowed.
pub(super) struct Size<T> {
    min: u64,
    max: u64,
    bare: bool,
    out: PhantomData<fn() -> T>,
}

impl<T> Size<T> {
    /// A size that needs its unit.
    pub(super) const fn from(min: u64, max: u64) -> Self {
        Self { min, max, bare: false, out: PhantomData }
    }

    /// A size whose key names the unit (`…_bytes`), so that a bare number does too.
    pub(super) const fn bytes(min: u64, max: u64) -> Self {
        Self { min, max, bare: true, out: PhantomData }
    }
}

impl<T: TryFrom<u64> + Copy + Into<u64>> Kind for Size<T> {
    type Out = T;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<T> {
        let size = match &node.value {
            Value::Text(text) => unit::parse_size(text).map_err(|error| error.to_string()),
            Value::Whole(number) if self.bare => u64::try_from(*number).map_err(|_| "not below zero".into()),
            Value::Whole(number) => Err(format!("with its unit: `{} = \"{number}B\"`", place.key)),
            _ => {
                place.mistyped(node, "a size", if self.bare { "4096" } else { "\"4KiB\"" });
                return None;
            }
        };
        let size = size
            .map_err(|hint| place.report.error(&node.at, format!("`{}` is not a size", place.key), hint))
            .ok()?;
        let value = T::try_from(size).ok().filter(|_| (self.min..=self.max).contains(&size));
        if value.is_none() {
            let message = format!("`{} = {}` is out of bounds", place.key, unit::show_size(size));
            let hint = format!("from {} to {}", unit::show_size(self.min), unit::show_size(self.max));
            place.report.error(&node.at, message, hint);
        }
        value
    }

    fn show(&self, value: &T) -> String {
        let bytes = (*value).into();
        if self.bare { bytes.to_string() } else { quoted(&unit::show_size(bytes)) }
    }

    fn label(&self) -> String {
        let kind = if self.bare { "number of bytes" } else { "size" };
        format!("{kind}, {} to {}", unit::show_size(self.min), unit::show_size(self.max))
    }

    fn schema(&self) -> Json {
        let text = json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$|\\$\\{" });
        if !self.bare {
            return text;
        }
        json!({ "oneOf": [{ "type": "integer", "minimum": self.min, "maximum": self.max }, text] })
    }
}
