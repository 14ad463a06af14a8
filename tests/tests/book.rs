//! The configurations that the documentation shows, each read by `portcullis check` beside the files it names.
//!
//! A block that begins with "```toml" is a whole file, or a piece that one becomes of by what it leaves out: a route
//! without a listener gets one, and so does an upstream that is only named.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_tests::{Site, binary};
use rcgen::{CertificateParams, KeyPair};

#[test]
fn every_configuration_of_the_documentation_passes_the_check() {
    let site = site();
    let blocks = blocks();
    assert!(blocks.len() >= 10, "only {} configurations", blocks.len());
    let mut wrong = String::new();
    for (page, block) in blocks {
        let file = site.write("shown.toml", whole(&block));
        let check =
            Command::new(binary()).arg("check").arg("--config").arg(file).current_dir(site.folder()).output();
        let check = check.unwrap();
        if !check.status.success() {
            let told = String::from_utf8_lossy(&check.stderr);
            writeln!(wrong, "{}\n{block}\n{told}", page.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "a configuration that would be refused:\n{wrong}");
}

#[test]
fn a_piece_becomes_whole_and_a_mistake_in_it_is_still_one() {
    let piece = "[route.a]\nresolver = \"ticket\"\nkey_file = \"tickets.key\"\nupstreams = [\"lobby\"]";
    for (block, sound) in [(piece.to_owned(), true), (piece.replace("key_file", "keyfile"), false)] {
        let site = site();
        let file = site.write("shown.toml", whole(&block));
        let mut check = Command::new(binary());
        let check = check.arg("check").arg("--config").arg(file).current_dir(site.folder()).output().unwrap();
        assert_eq!(check.status.success(), sound, "{}", String::from_utf8_lossy(&check.stderr));
    }
}

/// The files that the pages name.
fn site() -> Site {
    let site = Site::new();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    for name in ["web.pem", "ca.pem", "devices-ca.pem"] {
        site.write(name, certificate.pem());
    }
    site.write("web.key", key.serialize_pem());
    site.write("jwt.pem", key.public_key_pem());
    site.write("tickets.key", format!("0a0b0c0d:{}\n", "1f".repeat(32)));
    for name in ["kcp.key", "frontd.key"] {
        site.write(name, "it's a secrect\n");
    }
    site
}

/// Every block of TOML in the README and in docs/, with the page it is on.
fn blocks() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut pages = vec![root.join("README.md")];
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    let blocks = pages.into_iter().flat_map(|page| {
        let text = std::fs::read_to_string(&page).unwrap();
        let blocks = text.split("\n```toml\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
        blocks.map(|(block, _)| (page.clone(), block.to_owned())).collect::<Vec<_>>()
    });
    blocks.collect()
}

/// What a block says, and what it needs besides.
fn whole(block: &str) -> String {
    let mut text = block.to_owned() + "\n";
    let named = |line: &str, section: &str| {
        let name = line.strip_prefix(section)?.strip_suffix(']')?;
        (!name.contains('.')).then(|| name.to_owned())
    };
    if !block.contains("[[listener]]") {
        for route in block.lines().filter_map(|line| named(line, "[route.")) {
            write!(
                text,
                "[[listener]]\nname = \"{route}\"\nprotocol = \"tcp\"\nbind = [\"[::]:7082\"]\nroute = \"{route}\"\n"
            )
            .unwrap();
        }
    }
    let lists = block.lines().filter_map(|line| line.strip_prefix("upstreams = [")?.split(']').next());
    for upstream in lists.flat_map(|list| list.split(", ")).map(|name| name.trim_matches('"')) {
        if !text.contains(&format!("[upstream.{upstream}]")) {
            write!(text, "[upstream.{upstream}]\nendpoints = [{{ address = \"10.0.1.5:7083\" }}]\n").unwrap();
        }
    }
    text
}
