//! The table of keys made readable: JSON Schema for editors, Markdown for people.

use std::fmt::Write;

use serde_json::json;

use super::key::{Preset, Row, Section, Shape};
use super::{native, seed};

/// Returns the JSON Schema (draft 2020-12) of the native form, one object over many lines.
///
/// It knows types, bounds, words and defaults; what keys must agree on with each other only the parser tells.
#[must_use]
pub fn schema() -> String {
    let mut schema = native::SECTION.schema();
    if let Some(fields) = schema.as_object_mut() {
        fields.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        fields.insert("title".into(), json!("Portcullis"));
    }
    format!("{schema:#}\n")
}

/// Returns the reference of every key in both forms, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(HEAD);
    let mut told = Vec::new();
    sections(&mut out, &mut told, &native::SECTION);
    out.push_str(SEED);
    let own = [&seed::LOG, &seed::TCPGATE, &seed::KCPGATE, &seed::WSGATE, &seed::COMMON];
    for part in own {
        debug_assert!(part.shape == Shape::Once, "the seed's sections stand alone");
        sections(&mut out, &mut told, part.section);
    }
    out
}

const HEAD: &str = "\
# The config file

Made from the table of keys that the parser reads by; a test holds the two equal. `portcullis schema` prints
the same as JSON Schema for editors, `portcullis check` tells every error of a file at once, and
`portcullis check --effective` prints every value in force.

* Durations are a whole number and a unit: `\"250ms\"`, `\"10s\"`, `\"5m\"`, `\"1h\"`, `\"7d\"`.
* Sizes are a whole number and a unit: `\"512B\"`, `\"4KiB\"`, `\"1MiB\"`, `\"1GiB\"`.
* Any string may hold `${NAME}`, the value of an environment variable, which must be set; `$${` is a literal `${`.
* Secrets stand outside the file: keys that need one name a file (`key_file`, `token_file`) or a variable
  (`key = \"${KCP_KEY}\"`). What `portcullis` prints of a file has `***` in their place.
* Paths are relative to the working directory.
* Names of listeners, routes and upstreams have letters, digits, `-`, `_` and `.`, at most 64.
* Unknown keys are errors. So are keys that have no effect where they stand.
";

const SEED: &str = "
# The form of the seed

A file with any of `[tcpgate]`, `[kcpgate]`, `[wsgate]`, `[common]` is read in this form. Every section and key
may be absent: an absent gate is off. Bare numbers are seconds. `[admin]`, `[limits]`, `[dns]` and `[drain]` may be
added as above; `[[listener]]`, `[route.NAME]` and `[upstream.NAME]` may not. `portcullis convert` prints the same
as a native file. What a gate does not say is as in the native form, but for these: `zero_copy` is off, ws messages
reach the endpoint length-prefixed, `open_timeout` is at least `dial_timeout` times `dial_retry`, and kcp has
`fec = [10, 3]`, `mtu = 1400` and `stream = false`, with clients and with endpoints.
";

/// Writes a section that was not written before, then those under its keys; one that has the keys of another only
/// says whose.
fn sections(out: &mut String, told: &mut Vec<&'static Section>, section: &'static Section) {
    if told.iter().any(|earlier| std::ptr::eq(*earlier, section)) {
        return;
    }
    let (parts, keys): (Vec<&&dyn Row>, Vec<&&dyn Row>) =
        section.rows.iter().partition(|row| row.label().starts_with("see `"));
    let title = section.path.trim_matches(|c| c == '[' || c == ']');
    let title = if parts.is_empty() { format!("`{title}`") } else { "The file itself".into() };
    out.push_str(&format!("\n## {title}\n\n{}\n", section.doc));
    if let Some(twin) = told.iter().find(|twin| std::ptr::eq(twin.rows, section.rows)) {
        out.push_str(&format!("\nIts keys are those of `{}`.\n", twin.path));
        told.push(section);
        return;
    }
    told.push(section);
    out.push_str("\n| key | value | default | meaning |\n|---|---|---|---|\n");
    for row in &keys {
        let preset = match row.preset() {
            Preset::Value(toml) if toml.len() > 60 => "those of its keys".into(),
            Preset::Value(toml) => format!("`{toml}`"),
            Preset::Needed => "**must be given**".into(),
            Preset::Absent(words) => words.into(),
        };
        let cells = [row.label(), preset, row.doc().to_owned()].map(|cell| cell.replace('|', "\\|"));
        // Writing to a string cannot fail.
        _ = writeln!(out, "| `{}` | {} |", row.name(), cells.join(" | "));
    }
    for below in keys.iter().chain(&parts).filter_map(|row| row.section()) {
        sections(out, told, below);
    }
}
