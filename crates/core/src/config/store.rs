//! `[store]`: where what must outlive the process is kept.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::error::suggest;
use super::key::{Key, Reader, Section};
use super::kind::{Kind, Nested, Place, Text};
use super::process::FILE;
use super::tree::{Node, Value};
use super::write::Writer;

/// The file of the embedded store.
pub(super) const USUAL: &str = "/var/lib/portcullis/store.redb";
/// The word for it.
const EMBEDDED: &str = "embedded";
/// Stores that nodes share, which another version of the gateway speaks to.
const SHARED: [&str; 3] = ["etcd", "redis", "zookeeper"];

/// `[store]`, or a word for it.
pub(super) struct Store;

const NESTED: Nested<PathBuf> = Nested { section: &SECTION, read: |reader| Some(read(reader)), write };

static SECTION: Section = Section {
    path: "[store]",
    doc: "Where what must outlive the process is kept: device tokens, bans, what the operator said of endpoints. \
          `store = \"embedded\"` means the usual file.",
    rows: &[&STORE_FILE],
    later: &SHARED,
};
static STORE_FILE: Key<Text<PathBuf>> = Key {
    name: "file",
    kind: FILE,
    default: || USUAL.into(),
    doc: "the file of the embedded store; made when something must be kept",
};
pub(super) static STORE: Key<Store> = Key {
    name: "store",
    kind: Store,
    default: || USUAL.into(),
    doc: "where what must outlive the process is kept",
};

fn read(reader: &Reader<'_>) -> PathBuf {
    reader.get(&STORE_FILE)
}

/// Writes the section.
pub(super) fn write(writer: &mut Writer<'_>, file: &PathBuf) {
    writer.put(&STORE_FILE, file);
}

impl Kind for Store {
    type Out = PathBuf;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<PathBuf> {
        match &node.value {
            Value::Table(_) => NESTED.read(node, place),
            Value::Text(word) if word == EMBEDDED => Some(USUAL.into()),
            Value::Text(word) if SHARED.contains(&word.as_str()) => {
                let hint = format!("in this version: {EMBEDDED}");
                place.report.error(&node.at, format!("store `{word}` is not in this version"), hint);
                None
            }
            Value::Text(word) => {
                let hint = suggest(word, [EMBEDDED].into_iter());
                let message = format!("`{}` is no store that is known", place.key);
                place.report.error(&node.at, message, format!("{hint}; its file is `[{}] file`", place.key));
                None
            }
            Value::Whole(_)
            | Value::Float(_)
            | Value::Flag(_)
            | Value::Date
            | Value::List(_)
            | Value::Broken => {
                place.mistyped(
                    node,
                    "a table, or \"embedded\"",
                    "{ file = \"/var/lib/portcullis/store.redb\" }",
                );
                None
            }
        }
    }

    fn show(&self, value: &PathBuf) -> String {
        NESTED.show(value)
    }

    fn label(&self) -> String {
        format!("\"{EMBEDDED}\", or {}", NESTED.label())
    }

    fn schema(&self) -> Json {
        json!({ "oneOf": [{ "const": EMBEDDED }, NESTED.schema()] })
    }

    fn section(&self) -> Option<&'static Section> {
        NESTED.section()
    }
}
