//! Writes sections back as TOML: the short form that `convert` prints, and every value for `check --effective`.

use super::error::Report;
use super::key::{Key, Maybe, Need};
use super::kind::{Kind, Nested};
use super::tree::{Node, Table};

/// Which keys are written.
pub(super) enum Style<'a> {
    /// Those that differ from their default.
    Short,
    /// All, each with a comment that tells whether it came from the file.
    Full {
        /// What the file said.
        tree: &'a Table,
        report: &'a Report<'a>,
        origin: Origin,
    },
}

/// How the comment of a key names the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// By the line.
    Line,
    /// As a whole, for its lines are of another form.
    File,
}

/// Text of a config in the making.
pub(super) struct Writer<'a> {
    out: String,
    style: Style<'a>,
    /// Keys and list positions of the table being written.
    path: Vec<String>,
    /// Put before each key: the key of the section being written, and a dot.
    prefix: String,
    /// Inside `{ … }`: keys are separated by commas.
    inline: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(style: Style<'a>) -> Self {
        Self { out: String::new(), style, path: Vec::new(), prefix: String::new(), inline: false }
    }

    /// Writes what `fill` writes as an inline table.
    pub(super) fn inline(fill: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut writer = Writer { inline: true, ..Writer::new(Style::Short) };
        fill(&mut writer);
        if writer.out.is_empty() { "{}".into() } else { format!("{{ {} }}", writer.out) }
    }

    /// Writes a table: its header, then what `fill` writes. Left out when nothing is written, unless it must be there.
    pub(super) fn table(&mut self, header: &str, path: &[&str], must: Must, fill: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.path, path.iter().map(|step| (*step).to_owned()).collect());
        let gap = if self.out.is_empty() { "" } else { "\n" };
        let start = self.out.len();
        self.out.push_str(&format!("{gap}{header}\n"));
        let head = self.out.len();
        fill(self);
        if self.out.len() == head && must == Must::IfFilled {
            self.out.truncate(start);
        }
        self.path = outer;
    }

    /// Writes a key that has a default.
    pub(super) fn put<K: Kind>(&mut self, key: &Key<K>, value: &K::Out) {
        let shown = key.kind.show(value);
        let same = shown == key.kind.show(&(key.default)());
        self.line(key.name, &shown, same);
    }

    /// Writes a key that must be there.
    pub(super) fn put_needed<K: Kind>(&mut self, key: &Need<K>, value: &K::Out) {
        self.line(key.name, &key.kind.show(value), false);
    }

    /// Writes a key that may be absent; `usual` tells that its absence means the same.
    pub(super) fn put_maybe<K: Kind>(&mut self, key: &Maybe<K>, value: &K::Out, usual: bool) {
        self.line(key.name, &key.kind.show(value), usual);
    }

    /// Writes a section under a key: inline in short form, dotted keys in full, for the comments.
    pub(super) fn put_nested<T>(&mut self, key: &Key<Nested<T>>, value: &T) {
        self.nested(key.name, &key.kind, value, Must::IfFilled);
    }

    /// Writes a section under a key that must be there, as [`Self::put_nested`] does.
    pub(super) fn put_nested_maybe<T>(&mut self, key: &Maybe<Nested<T>>, value: &T) {
        self.nested(key.name, &key.kind, value, Must::Always);
    }

    fn nested<T>(&mut self, name: &'static str, kind: &Nested<T>, value: &T, must: Must) {
        if matches!(self.style, Style::Short) {
            let shown = kind.show(value);
            self.line(name, &shown, shown == "{}" && must == Must::IfFilled);
            return;
        }
        self.path.push(name.to_owned());
        let outer = self.prefix.len();
        self.prefix.push_str(&format!("{name}."));
        (kind.write)(self, value);
        self.prefix.truncate(outer);
        self.path.pop();
    }

    /// Writes a key that stands for several others; in full, those are written in its place.
    pub(super) fn put_shorthand<K: Kind>(&mut self, key: &Key<K>, value: &K::Out) {
        if matches!(self.style, Style::Short) {
            self.put(key, value);
        }
    }

    /// Writes a key whose absence means what a shorthand says; `usual` tells that the shorthand, which is
    /// named with it, says the same.
    pub(super) fn put_spread<K: Kind>(
        &mut self,
        key: &Maybe<K>,
        value: &K::Out,
        (usual, shorthand): (bool, &str),
    ) {
        self.line_from(&[key.name, shorthand], &key.kind.show(value), usual);
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    fn line(&mut self, name: &str, shown: &str, usual: bool) {
        self.line_from(&[name], shown, usual);
    }

    /// Writes a line of the first name; in full, told to come from the first of the names that the file has.
    fn line_from(&mut self, names: &[&str], shown: &str, usual: bool) {
        let name = names.first().copied().unwrap_or_default();
        let Style::Full { tree, report, origin } = &self.style else {
            if !usual {
                let (gap, end) = match (self.inline, self.out.is_empty()) {
                    (false, _) => ("", "\n"),
                    (true, true) => ("", ""),
                    (true, false) => (", ", ""),
                };
                self.out.push_str(&format!("{gap}{name} = {shown}{end}"));
            }
            return;
        };
        let found = |named: &str| {
            let path: Vec<String> = self.path.iter().cloned().chain([named.to_owned()]).collect();
            tree.walk(&path)
        };
        let (shown, source) =
            match names.iter().copied().find_map(|named| Some((named == name, found(named)?))) {
                Some((own, node)) => {
                    let source = match origin {
                        Origin::Line => format!("line {}", report.line(node.at.start)),
                        Origin::File => "from the file".into(),
                    };
                    let written = written(node, report).filter(|_| own);
                    (written.unwrap_or(shown), source)
                }
                None => (shown, "default".into()),
            };
        let text = format!("{}{name} = {shown}", self.prefix);
        self.out.push_str(&format!("{text:<48} # {source}\n"));
    }
}

/// Must a table be written even if nothing is in it?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Must {
    /// Its presence says something.
    Always,
    /// Its keys say everything.
    IfFilled,
}

/// A value as the file has it, when that is the better thing to show: what a variable holds may be a secret.
fn written<'a>(node: &Node, report: &'a Report<'_>) -> Option<&'a str> {
    const HIDDEN: &str = "\"${…}\"";
    let source = report.text.get(node.at.clone())?;
    source.contains("${").then_some(if source.contains('\n') { HIDDEN } else { source })
}
