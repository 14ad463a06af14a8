//! The shape of files: one noun each, finished, and the same on every machine.

use crate::walls::is_tidy;
use crate::{none, pages, rust};

/// No source file is longer than this many lines.
const LONGEST: usize = 500;

/// Files that may be longer, and why. A row goes when its reason goes.
const LONGER: &[(&str, &str)] = &[];

#[test]
fn a_file_is_one_noun_and_can_be_read_in_one_sitting() {
    let endings = [".rs", ".go", ".ts", ".js", ".py", ".sh"];
    let mut found = Vec::new();
    for page in pages().iter().filter(|p| p.path == "check" || endings.iter().any(|e| p.ends_with(e))) {
        let lines = page.text.lines().count();
        let excused = LONGER.iter().any(|(path, _)| *path == page.path);
        if lines > LONGEST && !excused {
            found.push(format!("{}: {lines} lines", page.path));
        }
        if lines <= LONGEST && excused {
            found.push(format!("{}: {lines} lines need no exception any more", page.path));
        }
    }
    none(&found, "a file should be split:");
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let words: Vec<String> = [
        ("TO", "DO"),
        ("FIX", "ME"),
        ("XX", "X:"),
        ("#[ign", "ore"),
        ("to", "do!("),
        ("unimple", "mented!("),
    ]
    .iter()
    .map(|(a, b)| format!("{a}{b}"))
    .collect();
    let mut found = Vec::new();
    for page in pages().iter().filter(|p| !p.ends_with(".lock") && !p.path.starts_with("CONTRIBUTING")) {
        for (number, line) in page.lines() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{number}: {word}", page.path));
            }
        }
    }
    none(&found, "unfinished work:");
}

#[test]
fn modules_are_files_with_their_own_name() {
    let found: Vec<String> =
        rust().iter().filter(|page| page.ends_with("/mod.rs")).map(|page| page.path.clone()).collect();
    none(&found, "`foo.rs` beside `foo/`, not `foo/mod.rs`:");
}

#[test]
fn rooms_have_names() {
    let empty = ["util", "utils", "helper", "helpers", "common", "misc", "manager", "types"];
    let mut found = Vec::new();
    for page in rust() {
        let stem = page.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or_default();
        if empty.contains(&stem) {
            found.push(page.path.clone());
        }
    }
    none(&found, "a file whose name says nothing:");
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let places = [
        "/work/",
        "/root/",
        "static.crates.io",
        "pypi.org",
        "registry.npmjs",
        "deb.debian.org",
        "proxy.golang.org",
    ];
    let mut found = Vec::new();
    for page in pages().iter().filter(|p| !p.ends_with(".lock") && !is_tidy(&p.path)) {
        for (number, line) in page.lines() {
            if let Some(place) = places.iter().find(|place| line.contains(**place)) {
                found.push(format!("{}:{number}: {place}", page.path));
            }
        }
    }
    none(&found, "a path or a host that is not everyone's:");
}

#[test]
fn text_ends_with_one_newline_and_has_no_trailing_blanks() {
    let endings = [".rs", ".toml", ".md", ".go", ".ts", ".py", ".sh", ".svg"];
    let mut found = Vec::new();
    for page in
        pages().iter().filter(|p| endings.iter().any(|e| p.ends_with(e)) && !p.path.contains("/corpus/"))
    {
        if !page.text.is_empty() && (!page.text.ends_with('\n') || page.text.ends_with("\n\n")) {
            found.push(format!("{}: its end", page.path));
        }
        // Two blanks at the end of a Markdown line are a line break that nobody sees.
        found.extend(
            page.lines()
                .filter(|(_, line)| line.ends_with([' ', '\t', '\r']))
                .map(|(n, _)| format!("{}:{n}", page.path)),
        );
    }
    none(&found, "blanks that nobody sees:");
}
