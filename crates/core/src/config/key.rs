//! Keys and the sections they stand in: the one table from which the parser, the JSON Schema and the
//! reference are made.

use std::ops::Range;

use serde_json::{Map, Value as Json, json};

use super::error::{Report, suggest};
use super::kind::{Kind, Place};
use super::tree::{Entry, Node, Table, Value};

/// A key that has a default.
pub(super) struct Key<K: Kind> {
    pub(super) name: &'static str,
    pub(super) kind: K,
    pub(super) default: fn() -> K::Out,
    /// What it means.
    pub(super) doc: &'static str,
}

/// A key that must be there.
pub(super) struct Need<K> {
    pub(super) name: &'static str,
    pub(super) kind: K,
    /// What it means.
    pub(super) doc: &'static str,
}

/// A key whose absence has a meaning of its own.
pub(super) struct Maybe<K> {
    pub(super) name: &'static str,
    pub(super) kind: K,
    /// What its absence means.
    pub(super) absent: &'static str,
    /// What it means.
    pub(super) doc: &'static str,
}

/// What stands in place of a key that is not written.
pub(super) enum Preset {
    /// This, as TOML.
    Value(String),
    /// Nothing can: it must be written.
    Needed,
    /// What the words say.
    Absent(&'static str),
}

/// A key as its section sees it.
pub(super) trait Row: Sync {
    fn name(&self) -> &'static str;
    fn doc(&self) -> &'static str;
    fn label(&self) -> String;
    fn preset(&self) -> Preset;
    fn schema(&self) -> Json;
    /// The section under the key, if there is one.
    fn section(&self) -> Option<&'static Section>;
}

impl<K: Kind> Row for Key<K> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> &'static str {
        self.doc
    }
    fn label(&self) -> String {
        self.kind.label()
    }
    fn preset(&self) -> Preset {
        Preset::Value(self.kind.show(&(self.default)()))
    }
    fn schema(&self) -> Json {
        self.kind.schema()
    }
    fn section(&self) -> Option<&'static Section> {
        self.kind.section()
    }
}

impl<K: Kind> Row for Need<K> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> &'static str {
        self.doc
    }
    fn label(&self) -> String {
        self.kind.label()
    }
    fn preset(&self) -> Preset {
        Preset::Needed
    }
    fn schema(&self) -> Json {
        self.kind.schema()
    }
    fn section(&self) -> Option<&'static Section> {
        self.kind.section()
    }
}

impl<K: Kind> Row for Maybe<K> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> &'static str {
        self.doc
    }
    fn label(&self) -> String {
        self.kind.label()
    }
    fn preset(&self) -> Preset {
        Preset::Absent(self.absent)
    }
    fn schema(&self) -> Json {
        self.kind.schema()
    }
    fn section(&self) -> Option<&'static Section> {
        self.kind.section()
    }
}

/// A section under a key of the whole file.
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) section: &'static Section,
    pub(super) shape: Shape,
}

/// How often a section may be there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// At most once: `[log]`.
    Once,
    /// Any number: `[[listener]]`.
    List,
    /// Once for each name: `[route.NAME]`.
    Named,
}

impl Row for Part {
    fn name(&self) -> &'static str {
        self.name
    }
    fn doc(&self) -> &'static str {
        self.section.doc
    }
    fn label(&self) -> String {
        format!("see `{}`", self.section.path)
    }
    fn preset(&self) -> Preset {
        Preset::Absent("the defaults of its keys")
    }
    fn schema(&self) -> Json {
        let section = self.section.schema();
        match self.shape {
            Shape::Once => section,
            Shape::List => json!({ "type": "array", "items": section }),
            Shape::Named => json!({ "type": "object", "additionalProperties": section }),
        }
    }
    fn section(&self) -> Option<&'static Section> {
        Some(self.section)
    }
}

/// A section of the file, and the name it has there.
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) name_at: Range<usize>,
    pub(super) reader: Reader<'a>,
}

/// A table of the config and the keys it may have.
pub(super) struct Section {
    /// As it is written in a file: `[log]`, `[[listener]]`.
    pub(super) path: &'static str,
    /// What it is about.
    pub(super) doc: &'static str,
    pub(super) rows: &'static [&'static dyn Row],
    /// Keys that another version of the gateway understands.
    pub(super) later: &'static [&'static str],
}

impl Section {
    /// Describes the section as JSON Schema.
    pub(super) fn schema(&self) -> Json {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for row in self.rows {
            let mut schema = row.schema();
            if let Json::Object(fields) = &mut schema {
                fields.insert("description".into(), row.doc().into());
                match row.preset() {
                    Preset::Value(toml) => {
                        fields.insert("default".into(), default_json(&toml));
                    }
                    Preset::Needed => required.push(row.name()),
                    Preset::Absent(_) => {}
                }
            }
            properties.insert(row.name().into(), schema);
        }
        json!({
            "type": "object",
            "description": self.doc,
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        })
    }
}

/// Turns the TOML of a default into JSON.
fn default_json(toml: &str) -> Json {
    let document = toml::from_str::<toml::Table>(&format!("value = {toml}"));
    let value = document.ok().and_then(|mut table| table.remove("value"));
    value.and_then(|value| serde_json::to_value(value).ok()).unwrap_or(Json::Null)
}

/// A table of a file being read as a section.
pub(super) struct Reader<'a> {
    pub(super) table: &'a Table,
    /// Where the table stands.
    pub(super) place: Range<usize>,
    pub(super) report: &'a Report<'a>,
}

impl<'a> Reader<'a> {
    /// Starts reading; keys that the section does not have are told at once.
    pub(super) fn open(
        table: &'a Table,
        at: &Range<usize>,
        section: &Section,
        report: &'a Report<'a>,
    ) -> Self {
        for entry in &table.0 {
            let key = entry.key.as_str();
            let names = section.rows.iter().map(|row| row.name());
            if section.later.contains(&key) {
                let hint = "take it out; this gateway would not heed it";
                report.error(&entry.key_at, format!("`{key}` is not in this version"), hint);
            } else if !names.clone().any(|name| name == key) {
                let hint = suggest(key, names);
                let key: String = key.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                report.error(&entry.key_at, format!("unknown key `{key}` in {}", section.path), hint);
            }
        }
        Self { table, place: at.clone(), report }
    }

    /// An empty section.
    pub(super) fn empty(report: &'a Report<'a>) -> Self {
        static EMPTY: Table = Table(Vec::new());
        Reader { table: &EMPTY, place: 0..0, report }
    }

    /// Reads a key that has a default.
    pub(super) fn get<K: Kind>(&self, key: &Key<K>) -> K::Out {
        self.value(key.name, &key.kind).unwrap_or_else(key.default)
    }

    /// Reads a key that must be there; `None` after telling that it is not, or is wrong.
    pub(super) fn need<K: Kind>(&self, key: &Need<K>) -> Option<K::Out> {
        if !self.has(key.name) {
            let hint = format!("`{} = …` ({}): {}", key.name, key.kind.label(), key.doc);
            self.report.error(&self.place, format!("`{}` is missing", key.name), hint);
        }
        self.value(key.name, &key.kind)
    }

    /// Reads a key that may be absent.
    pub(super) fn find<K: Kind>(&self, key: &Maybe<K>) -> Option<K::Out> {
        self.value(key.name, &key.kind)
    }

    /// Reads a section that may be there once; an absent one is empty.
    pub(super) fn part(&self, part: &Part) -> Reader<'a> {
        let found = self.table.find(part.name).and_then(|node| self.open_part(node, part));
        found.unwrap_or(Reader { place: self.place.clone(), ..Reader::empty(self.report) })
    }

    /// The table under a key, for what its keys must agree on with others; empty when there is none. What is wrong
    /// with it by itself, reading the key tells.
    pub(super) fn inside(&self, name: &str) -> Reader<'a> {
        match self.table.find(name) {
            Some(Node { at, value: Value::Table(table) }) => {
                Reader { table, place: at.clone(), report: self.report }
            }
            Some(_) | None => Reader { place: self.place.clone(), ..Reader::empty(self.report) },
        }
    }

    /// Reads a section that may be there any number of times.
    pub(super) fn list(&self, part: &Part) -> Vec<Reader<'a>> {
        let Some(node) = self.table.find(part.name) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            self.misplaced(node, part);
            return Vec::new();
        };
        items.iter().filter_map(|item| self.open_part(item, part)).collect()
    }

    /// Reads a section that may be there once for each name.
    pub(super) fn named(&self, part: &Part) -> Vec<Named<'a>> {
        let Some(node) = self.table.find(part.name) else { return Vec::new() };
        let Value::Table(table) = &node.value else {
            self.misplaced(node, part);
            return Vec::new();
        };
        let named = |entry: &'a Entry| {
            let reader = self.open_part(&entry.node, part)?;
            Some(Named { name: &entry.key, name_at: entry.key_at.clone(), reader })
        };
        table.0.iter().filter_map(named).collect()
    }

    fn open_part(&self, node: &'a Node, part: &Part) -> Option<Reader<'a>> {
        let Value::Table(table) = &node.value else {
            self.misplaced(node, part);
            return None;
        };
        Some(Reader::open(table, &node.at, part.section, self.report))
    }

    fn misplaced(&self, node: &Node, part: &Part) {
        let message = format!("`{}` is a section, not {}", part.name, node.value.noun());
        self.report.error(&node.at, message, format!("write it as `{}`", part.section.path));
    }

    /// Is the key written?
    pub(super) fn has(&self, name: &str) -> bool {
        self.node(name).is_some()
    }

    /// Is the key written, but not so that it can be read?
    pub(super) fn is_broken<K: Kind>(&self, key: &Key<K>) -> bool {
        self.has(key.name) && self.value(key.name, &key.kind).is_none()
    }

    /// Where the key's value stands; the section's place when it is not written.
    pub(super) fn at(&self, name: &str) -> Range<usize> {
        self.node(name).map_or_else(|| self.place.clone(), |node| node.at.clone())
    }

    /// Where the `index`th item of the key's list stands; the value's place when it is no list.
    pub(super) fn item_at(&self, name: &str, index: usize) -> Range<usize> {
        match self.node(name).map(|node| &node.value) {
            Some(Value::List(items)) => items.get(index).map(|item| item.at.clone()),
            _ => None,
        }
        .unwrap_or_else(|| self.at(name))
    }

    /// Tells an error at a key's value.
    pub(super) fn error(&self, name: &str, message: impl Into<Box<str>>, hint: impl Into<Box<str>>) {
        self.report.error(&self.at(name), message, hint);
    }

    /// Tells that keys stand where they have no effect.
    pub(super) fn refuse(&self, names: &[&str], why: &str, hint: &str) {
        for name in names.iter().filter(|name| self.has(name)) {
            self.error(name, format!("`{name}` has no effect {why}"), hint);
        }
    }

    fn node(&self, name: &str) -> Option<&Node> {
        self.table.find(name)
    }

    fn value<K: Kind>(&self, name: &str, kind: &K) -> Option<K::Out> {
        kind.read(self.node(name)?, &Place { key: name, report: self.report })
    }
}
