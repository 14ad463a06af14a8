//! `./check` itself: what it sums up, and that it cannot pass when something failed.
//!
//! A stand-in for cargo plays the runners, so that each row takes a second or two.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may stop at the first surprise, and has to put a stand-in on the path"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the stand-in does for `cargo test`, what `check` must end with, and its exit status.
const ROWS: &[(&str, &str, i32)] = &[
    (
        "echo 'test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out'",
        "9 passed, 0 failed, 0 skipped",
        0,
    ),
    ("echo '5 passed, 0 failed, 2 skipped'", "15 passed, 0 failed, 6 skipped", 0),
    (
        "echo 'test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out'; exit 101",
        "9 passed, 6 failed, 0 skipped",
        1,
    ),
    // A runner that says it failed but leaves with 0.
    ("echo '1 passed, 1 failed'", "3 passed, 3 failed, 0 skipped", 1),
    // All runners die before they could count: one step, one failure.
    ("exit 101", "0 passed, 1 failed, 0 skipped", 1),
    // A test that skipped itself was counted as passed by its runner.
    (
        "echo 'test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out'; echo 'one: needs go' >>\"$PORTCULLIS_SKIPS\"",
        "6 passed, 0 failed, 3 skipped",
        0,
    ),
];

#[test]
fn every_runner_is_summed_and_a_failure_is_a_failure() {
    // All at once: what takes time here is waiting.
    let runs: Vec<_> = ROWS
        .iter()
        .enumerate()
        .map(|(index, (test, want, status))| {
            std::thread::spawn(move || {
                let output = check(
                    &format!("runner-{index}"),
                    &format!("[ \"$1\" = test ] || exit 0; {test}"),
                    &["--fast"],
                );
                assert_eq!(last_line(&output), *want, "{test}");
                assert_eq!(output.status.code(), Some(*status), "{test}");
            })
        })
        .collect();
    for run in runs {
        run.join().expect("the row holds");
    }
}

#[test]
fn a_lint_that_fails_does_not_hide_what_comes_after_it() {
    let output = check(
        "lint",
        "[ \"$1\" != clippy ] || exit 101; [ \"$1\" != test ] || echo '1 passed, 0 failed'",
        &["--fast"],
    );
    assert_eq!(last_line(&output), "3 passed, 1 failed, 0 skipped");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_unknown_argument_is_a_usage_error() {
    let output = check("usage", "exit 0", &["--quick"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("./check --fast"));
}

/// Runs `./check` from another folder, with `script` in the place of cargo.
fn check(name: &str, script: &str, arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("check-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    let cargo = folder.join("cargo");
    std::fs::write(&cargo, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&cargo, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    Command::new(root.join("check"))
        .args(arguments)
        .env("PATH", path)
        .env("TMPDIR", &folder)
        .current_dir("/")
        .output()
        .expect("`check` starts")
}

fn last_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}
