//! What comes in from outside: its licences, its sources, and only one crypto provider.

use crate::{none, output, read};

/// Licences of which at least one must be among a package's choices, for each part of its expression.
const LICENCES: &[&str] = &[
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Zlib",
];

/// Packages that must not be built, and why.
const BANNED: &[(&str, &str)] = &[
    ("ring", "one crypto provider: aws-lc-rs"),
    ("openssl", "one crypto provider: aws-lc-rs"),
    ("openssl-sys", "one crypto provider: aws-lc-rs"),
    ("native-tls", "one TLS library: rustls"),
    ("instant", "unmaintained; std has it"),
];

#[test]
fn licences_are_on_the_list() {
    let mut found = Vec::new();
    for (package, licence) in built() {
        if !package.starts_with("portcullis") && !permits(&licence) {
            found.push(format!("{package}: {licence}"));
        }
    }
    none(&found, "a licence that is not on the list (deny.toml, tests/tests/tidy/outside.rs):");
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    for (expression, want) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("MIT OR GPL-3.0-only", true),
        ("MIT/Apache-2.0", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR GPL-2.0-only) AND ISC", true),
        ("ISC AND (GPL-2.0-only OR LGPL-2.1-or-later)", false),
        ("Apache-2.0 WITH LLVM-exception OR MIT", true),
        ("", false),
    ] {
        assert_eq!(permits(expression), want, "{expression}");
    }
}

#[test]
fn nothing_banned_is_built() {
    let built = built();
    let found: Vec<String> = BANNED
        .iter()
        .filter(|(name, _)| built.iter().any(|(package, _)| package == name))
        .map(|(name, why)| format!("{name}: {why}"))
        .collect();
    none(&found, "a banned package:");
}

#[test]
fn sources_are_the_registry_only() {
    let found: Vec<String> = read("Cargo.lock")
        .lines()
        .filter(|line| line.starts_with("source = "))
        .filter(|line| !line.contains("\"registry+https://github.com/rust-lang/crates.io-index\""))
        .map(str::to_owned)
        .collect();
    none(&found, "a source other than the registry:");
}

#[test]
fn deny_toml_says_the_same() {
    let deny = read("deny.toml");
    let section = deny.split("[licenses]").nth(1).and_then(|rest| rest.split("confidence").next()).unwrap();
    let listed: Vec<&str> = section.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(listed, LICENCES);
    for (name, _) in BANNED {
        assert!(deny.contains(&format!("crate = \"{name}\"")), "deny.toml does not ban {name}");
    }
}

/// Every package that is built for this platform, tests included, with its licence expression.
fn built() -> Vec<(String, String)> {
    let tree = output(
        env!("CARGO"),
        &["tree", "--offline", "--locked", "--workspace", "-e", "all", "--prefix", "none", "-f", "{p}|{l}|"],
    );
    let built: Vec<(String, String)> = tree
        .lines()
        .filter_map(|line| {
            let (package, rest) = line.split_once('|')?;
            let (licence, _repeated) = rest.split_once('|')?;
            Some((package.split_whitespace().next()?.to_owned(), licence.to_owned()))
        })
        .collect();
    assert!(built.len() > 50, "cargo names only {} packages", built.len());
    built
}

/// Does an SPDX expression let us choose from the list? `AND` binds tighter than `OR`; old manifests write `/`.
fn permits(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let answer = any_of(&words, &mut at);
    answer && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize) -> bool {
    let mut answer = all_of(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        // Not `||`: the right side must be read even when the left side has decided.
        answer |= all_of(words, at);
    }
    answer
}

fn all_of(words: &[&str], at: &mut usize) -> bool {
    let mut answer = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        answer &= one(words, at);
    }
    answer
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let answer = any_of(words, at);
        *at += 1;
        return answer;
    }
    if words.get(*at) == Some(&"WITH") {
        let whole = format!("{word} WITH {}", words.get(*at + 1).copied().unwrap_or_default());
        *at += 2;
        return LICENCES.contains(&whole.as_str());
    }
    LICENCES.contains(word)
}
