//! What a reviewer should not have to look for: the walls between the crates, what comes in from outside,
//! the shape of the files, and that the documentation speaks of things that exist.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may stop at the first surprise, and has to ask cargo where it is"
)]

#[path = "tidy/docs.rs"]
mod docs;
#[path = "tidy/outside.rs"]
mod outside;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/walls.rs"]
mod walls;

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the repository is.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").to_path_buf()
}

/// The text of a file of the repository.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A text file that belongs to the repository: committed, or new and not ignored.
struct Page {
    path: String,
    text: String,
}

impl Page {
    fn ends_with(&self, ending: &str) -> bool {
        self.path.ends_with(ending)
    }

    /// The file's lines with their numbers from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Every text file of the repository.
fn pages() -> Vec<Page> {
    let names = output("git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut pages: Vec<Page> = names
        .split_terminator('\0')
        // A file that was removed but not yet committed is still listed; one that is not UTF-8 is not text.
        .filter_map(|path| {
            let text = std::fs::read_to_string(root().join(path)).ok()?;
            Some(Page { path: path.to_owned(), text })
        })
        .collect();
    pages.sort_by(|a, b| a.path.cmp(&b.path));
    pages.dedup_by(|a, b| a.path == b.path);
    assert!(pages.len() > 40, "git names only {} files of the repository", pages.len());
    pages
}

/// Every Rust file of the repository.
fn rust() -> Vec<Page> {
    pages().into_iter().filter(|page| page.ends_with(".rs")).collect()
}

/// What a command prints, run at the root of the repository.
fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("the output is text")
}

/// Fails with all findings at once.
fn none(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}\n  {}", findings.join("\n  "));
}
