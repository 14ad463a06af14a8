//! A TOML document as a tree that knows where each value stands, with `${NAME}` already replaced.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::error::Report;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Byte range in the file.
    pub(super) at: Range<usize>,
    pub(super) value: Value,
}

/// What a key may hold.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Whole(i64),
    Float(f64),
    Flag(bool),
    Date,
    List(Vec<Node>),
    Table(Table),
    /// Its error is already told; readers pass over it in silence.
    Broken,
}

/// Keys in the file's order.
#[derive(Clone, Debug, Default)]
pub(super) struct Table(pub(super) Vec<Entry>);

/// A key, its place and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Range<usize>,
    pub(super) node: Node,
}

impl Table {
    /// Finds the value of a key.
    pub(super) fn find(&self, key: &str) -> Option<&Node> {
        self.0.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// Finds a value by the keys and list positions that lead to it.
    pub(super) fn walk(&self, path: &[String]) -> Option<&Node> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.find(first)?, |node, step| match &node.value {
            Value::Table(table) => table.find(step),
            Value::List(items) => items.get(step.parse::<usize>().ok()?),
            Value::Text(_)
            | Value::Whole(_)
            | Value::Float(_)
            | Value::Flag(_)
            | Value::Date
            | Value::Broken => None,
        })
    }
}

impl Value {
    /// Names the type as an operator would.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Whole(_) => "a number",
            Self::Float(_) => "a number with a fraction",
            Self::Flag(_) => "true or false",
            Self::Date => "a date",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Broken => "a broken value",
        }
    }
}

/// Reads the document. `None` when it is not TOML; then the report says where.
pub(super) fn read(report: &Report<'_>, env: &dyn Fn(&str) -> Option<String>) -> Option<Table> {
    match DeTable::parse(report.text) {
        Ok(document) => Some(table(document.get_ref(), &Grower { report, env })),
        Err(error) => {
            let at = error.span().unwrap_or(0..0);
            // Only the first line: the rest repeats the place.
            let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
            report.error(&at, message, "the file must be TOML, see https://toml.io");
            None
        }
    }
}

/// What growing a tree needs besides the document.
struct Grower<'a> {
    report: &'a Report<'a>,
    env: &'a dyn Fn(&str) -> Option<String>,
}

fn table(from: &DeTable<'_>, grower: &Grower<'_>) -> Table {
    let entry = |(key, value): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
        Entry { key: key.get_ref().to_string(), key_at: key.span(), node: node(value, grower) }
    };
    Table(from.iter().map(entry).collect())
}

fn node(from: &toml::Spanned<DeValue<'_>>, grower: &Grower<'_>) -> Node {
    let at = from.span();
    let value = match from.get_ref() {
        DeValue::String(text) => expand(text, &at, grower).map_or(Value::Broken, Value::Text),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).map_or_else(
            |_| {
                grower.report.error(&at, "the number is too large", "numbers here have at most 18 digits");
                Value::Broken
            },
            Value::Whole,
        ),
        DeValue::Float(number) => number.as_str().parse().map_or(Value::Broken, Value::Float),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, grower)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, grower)),
    };
    Node { at, value }
}

/// Replaces each `${NAME}` by the environment's value; `$${` stands for `${` itself.
fn expand(text: &str, at: &Range<usize>, grower: &Grower<'_>) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find("${") {
        let (head, tail) = rest.split_at(dollar);
        let inner = tail.strip_prefix("${").unwrap_or_default();
        rest = inner;
        if let Some(head) = head.strip_suffix('$') {
            out.push_str(head);
            out.push_str("${");
            continue;
        }
        out.push_str(head);
        let named = inner.split_once('}').filter(|(name, _)| is_variable(name));
        let Some((name, after)) = named else {
            let hint = "a variable is written `${NAME}`, a literal `${` as `$${`";
            grower.report.error(at, "`${` without a variable's name and `}`", hint);
            return None;
        };
        let Some(value) = (grower.env)(name) else {
            let hint = format!("set it in the environment, as in `{name}=… portcullis run`");
            grower.report.error(at, format!("environment variable `{name}` is not set"), hint);
            return None;
        };
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

fn is_variable(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.bytes().all(word) && !name.starts_with(|c: char| c.is_ascii_digit())
}
