//! Values made of other values.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use super::{Kind, Place};
use crate::config::key::{Reader, Section};
use crate::config::kind::quoted;
use crate::config::tree::{Node, Value};
use crate::config::write::Writer;

/// A list of values of one kind.
pub(in crate::config) struct List<K> {
    /// What each item is.
    pub(in crate::config) item: K,
    /// The fewest items.
    pub(in crate::config) min: usize,
    /// May an only item stand without brackets?
    pub(in crate::config) single: bool,
}

impl<K> List<K> {
    /// Any number of items in brackets.
    pub(in crate::config) const fn of(item: K) -> Self {
        Self { item, min: 0, single: false }
    }

    /// Any number of items; brackets may be left off around an only one.
    pub(in crate::config) const fn or_one(item: K) -> Self {
        Self { item, min: 0, single: true }
    }

    /// At least one item; brackets may be left off around an only one.
    pub(in crate::config) const fn some(item: K) -> Self {
        Self { item, min: 1, single: true }
    }
}

impl<K: Kind> Kind for List<K> {
    type Out = Vec<K::Out>;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<Self::Out> {
        let Value::List(items) = &node.value else {
            if self.single {
                return self.item.read(node, place).map(|item| vec![item]);
            }
            place.mistyped(node, "a list", "[…]");
            return None;
        };
        // Every item is read, so that each wrong one is told.
        let read: Vec<_> = items.iter().filter_map(|item| self.item.read(item, place)).collect();
        if read.len() != items.len() {
            return None;
        }
        if read.len() < self.min {
            let hint = format!("at least one {}", self.item.label());
            place.report.error(&node.at, format!("`{}` is empty", place.key), hint);
            return None;
        }
        Some(read)
    }

    fn show(&self, value: &Self::Out) -> String {
        let items: Vec<_> = value.iter().map(|item| self.item.show(item)).collect();
        format!("[{}]", items.join(", "))
    }

    fn label(&self) -> String {
        let kind = if self.single { "list (or one)" } else { "list" };
        format!("{kind} of {}", self.item.label())
    }

    fn schema(&self) -> Json {
        let item = self.item.schema();
        let list = json!({ "type": "array", "items": item.clone(), "minItems": self.min });
        if self.single { json!({ "oneOf": [item, list] }) } else { list }
    }

    fn section(&self) -> Option<&'static Section> {
        self.item.section()
    }
}

/// A table under a key: a section of its own.
pub(in crate::config) struct Nested<T> {
    /// Its keys.
    pub(in crate::config) section: &'static Section,
    /// Makes the thing of a table whose keys are known.
    pub(in crate::config) read: fn(&Reader<'_>) -> Option<T>,
    /// Writes the thing's keys.
    pub(in crate::config) write: fn(&mut Writer<'_>, &T),
}

impl<T> Kind for Nested<T> {
    type Out = T;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<T> {
        let Value::Table(table) = &node.value else {
            place.mistyped(node, "a table", "{ … }");
            return None;
        };
        let reader = Reader::open(table, &node.at, self.section, place.report);
        (self.read)(&reader)
    }

    fn show(&self, value: &T) -> String {
        Writer::inline(|writer| (self.write)(writer, value))
    }

    fn label(&self) -> String {
        format!("table, see `{}`", self.section.path)
    }

    fn schema(&self) -> Json {
        self.section.schema()
    }

    fn section(&self) -> Option<&'static Section> {
        Some(self.section)
    }
}

/// A table whose keys the operator chooses.
pub(in crate::config) struct Map<K> {
    /// What a key is, in a few words.
    pub(in crate::config) key: &'static str,
    /// What each value is.
    pub(in crate::config) item: K,
}

impl<K: Kind> Kind for Map<K> {
    type Out = Vec<(Box<str>, K::Out)>;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<Self::Out> {
        let Value::Table(table) = &node.value else {
            place.mistyped(node, "a table", "{ … }");
            return None;
        };
        let read: Vec<_> = table
            .0
            .iter()
            .filter_map(|entry| {
                let place = Place { key: &entry.key, report: place.report };
                Some((entry.key.as_str().into(), self.item.read(&entry.node, &place)?))
            })
            .collect();
        (read.len() == table.0.len()).then_some(read)
    }

    fn show(&self, value: &Self::Out) -> String {
        if value.is_empty() {
            return "{}".into();
        }
        let sorted: BTreeSet<String> = value
            .iter()
            .map(|(key, item)| format!("{} = {}", quoted_key(key), self.item.show(item)))
            .collect();
        format!("{{ {} }}", sorted.into_iter().collect::<Vec<_>>().join(", "))
    }

    fn label(&self) -> String {
        format!("table of {} to {}", self.key, self.item.label())
    }

    fn schema(&self) -> Json {
        json!({ "type": "object", "additionalProperties": self.item.schema() })
    }

    fn section(&self) -> Option<&'static Section> {
        self.item.section()
    }
}

/// Writes a key, with quotes where TOML needs them.
pub(in crate::config) fn quoted_key(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !key.is_empty() && key.bytes().all(bare) {
        return key.into();
    }
    // Keys know no variables, so `quoted`'s doubling is taken back.
    quoted(key).replace("$${", "${")
}
