//! The walls between the crates.

use crate::{none, output, pages, read, rust};

/// Each crate and what it may know of the others.
const EDGES: &[(&str, &[&str])] = &[
    ("portcullis-core", &[]),
    ("portcullis-sys", &[]),
    ("portcullis-proxy", &["portcullis-core", "portcullis-sys"]),
    ("portcullis-control", &["portcullis-core", "portcullis-proxy", "portcullis-sys"]),
    ("portcullis-peers", &["portcullis-core"]),
];

/// What must not be anywhere beneath a crate.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("portcullis-core", &["tokio", "mio", "socket2", "rustix", "axum", "hickory-resolver", "rand"]),
    ("portcullis-sys", &["tokio", "mio", "socket2", "serde"]),
    ("portcullis-proxy", &["tokio", "mio", "axum", "hyper", "hickory-resolver", "prometheus-client"]),
    ("portcullis-peers", &["tokio", "mio", "axum"]),
];

#[test]
fn crates_know_only_what_is_below_them() {
    let mut found = Vec::new();
    for (name, allowed) in EDGES {
        for below in beneath(name) {
            if below.starts_with("portcullis-") && below != *name && !allowed.contains(&below.as_str()) {
                found.push(format!("{name} uses {below}"));
            }
        }
    }
    none(&found, "a crate reaches over a wall:");
}

#[test]
fn the_data_plane_is_free_of_the_control_plane_s_dependencies() {
    let mut found = Vec::new();
    for (name, forbidden) in FORBIDDEN {
        let beneath = beneath(name);
        found.extend(
            forbidden
                .iter()
                .filter(|one| beneath.iter().any(|b| b == *one))
                .map(|one| format!("{name} uses {one}")),
        );
    }
    none(&found, "a dependency is in the wrong room:");
}

#[test]
fn unsafe_is_in_sys_only() {
    let openings = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "(unsafe_code"];
    let mut found = Vec::new();
    for page in rust().iter().filter(|p| !p.path.starts_with("crates/sys/src/") && !is_tidy(&p.path)) {
        for (number, line) in page.lines() {
            let code = line.split("//").next().unwrap_or_default();
            if openings.iter().any(|opening| code.contains(opening)) {
                found.push(format!("{}:{number}", page.path));
            }
        }
    }
    none(&found, "`unsafe` outside crates/sys:");
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let found: Vec<String> = pages()
        .iter()
        .filter(|page| page.ends_with("/Cargo.toml") && !page.path.starts_with("fuzz/"))
        .filter(|page| !page.text.contains("[lints]\nworkspace = true"))
        .map(|page| page.path.clone())
        .collect();
    none(&found, "a manifest without `[lints] workspace = true`:");
}

#[test]
fn versions_of_dependencies_are_named_once() {
    let mut found = Vec::new();
    for page in pages().iter().filter(|p| p.ends_with("/Cargo.toml") && !p.path.starts_with("fuzz/")) {
        for (number, line) in page.lines() {
            if line.contains("version = \"") || line.contains(" = \"1") || line.contains(" = \"0") {
                found.push(format!("{}:{number}: {line}", page.path));
            }
        }
    }
    none(&found, "a version outside `[workspace.dependencies]`:");
}

#[test]
fn every_dependency_of_the_workspace_is_used() {
    let manifest = read("Cargo.toml");
    let section =
        manifest.split("[workspace.dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    let manifests: Vec<String> =
        pages().into_iter().filter(|page| page.ends_with("/Cargo.toml")).map(|page| page.text).collect();
    let found: Vec<String> = section
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name))
        .filter(|name| !manifests.iter().any(|text| text.contains(&format!("\n{name}.workspace = true"))))
        .map(str::to_owned)
        .collect();
    none(&found, "a dependency that nobody takes:");
}

#[test]
fn the_library_half_starts_no_process_and_reads_no_environment() {
    let words = ["std::env::var", "env::var(", "process::Command"];
    let mut found = Vec::new();
    let rooms = ["crates/core/src/", "crates/sys/src/", "crates/proxy/src/"];
    for page in rust()
        .iter()
        .filter(|p| rooms.iter().any(|room| p.path.starts_with(room)) && !p.ends_with("tests.rs"))
    {
        // From the unit tests on, a file is outside this rule.
        let end = page.text.find("#[cfg(test)]").unwrap_or(page.text.len());
        if let Some(word) = words.iter().find(|word| page.text[..end].contains(**word)) {
            found.push(format!("{}: {word}", page.path));
        }
    }
    none(&found, "what depends on the process's surroundings comes in as an argument:");
}

#[test]
fn the_pure_half_asks_neither_clock_nor_chance_nor_disk() {
    let words =
        ["Instant::now", "SystemTime::now", "std::fs", "std::net::Tcp", "std::net::Udp", "thread::spawn"];
    let mut found = Vec::new();
    for page in rust().iter().filter(|p| p.path.starts_with("crates/core/src/") && !p.ends_with("tests.rs")) {
        let end = page.text.find("#[cfg(test)]").unwrap_or(page.text.len());
        for (number, line) in page.text[..end].lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = words.iter().find(|word| code.contains(**word)) {
                found.push(format!("{}:{}: {word}", page.path, number + 1));
            }
        }
    }
    none(&found, "core is pure; time, bytes and chance are arguments:");
}

#[test]
fn the_workspace_is_the_one_that_architecture_md_draws() {
    let manifest = read("Cargo.toml");
    assert!(
        manifest.contains("default-members = [\"crates/portcullis\"]"),
        "the README's first command needs it"
    );
    for (name, _) in EDGES {
        assert!(manifest.contains(&format!("{name} = {{ path = ")), "{name} is not in the workspace");
    }
}

/// This file and its neighbours name what they forbid.
pub(crate) fn is_tidy(path: &str) -> bool {
    path.starts_with("tests/tests/tidy")
}

/// The names of all packages that `package` is built from, itself included.
fn beneath(package: &str) -> Vec<String> {
    let tree = output(
        env!("CARGO"),
        &["tree", "--offline", "--locked", "-p", package, "-e", "normal", "--prefix", "none", "-f", "{p}"],
    );
    tree.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}
