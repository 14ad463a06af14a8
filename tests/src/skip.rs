//! What a test does when a foreign implementation it needs is not on this machine: say so, be counted, return.

use std::io::Write;
use std::process::Command;

/// Returns true when every one of `commands` can be started; otherwise files the skip and returns false.
///
/// `./check` counts the lines of the file that `PORTCULLIS_SKIPS` names, so that a run without peers cannot
/// pass for a run with them.
///
/// # Panics
/// With `CI=true`: unattended, a skip would hide for months that nothing is tested.
#[must_use]
pub fn have(test: &str, commands: &[&str]) -> bool {
    let missing: Vec<&str> = commands.iter().copied().filter(|command| !is_here(command)).collect();
    if missing.is_empty() {
        return true;
    }
    skip(test, &format!("needs {}", missing.join(", ")));
    false
}

/// Files that `test` did not run, and why.
///
/// # Panics
/// With `CI=true`, or when the file of skips cannot be written.
#[expect(clippy::disallowed_methods, clippy::expect_used, reason = "this is how tests and `check` meet")]
pub fn skip(test: &str, why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: {why}; `./check --peers` installs it");
    let line = format!("{test}: {why}\n");
    let Some(file) = std::env::var_os("PORTCULLIS_SKIPS") else {
        eprint!("skipped {line}");
        return;
    };
    let mut file = std::fs::OpenOptions::new().append(true).open(file).expect("check made the file of skips");
    // One write, so that tests that run at the same time do not mix their lines.
    file.write_all(line.as_bytes()).expect("the file of skips can be written");
}

/// Is `command` on the path?
fn is_here(command: &str) -> bool {
    Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", command])
        .status()
        .is_ok_and(|status| status.success())
}
