//! The documentation speaks of things that exist, and of all that should be spoken of.

use std::collections::BTreeSet;
use std::path::Path;

use portcullis_core::config::Config;
use portcullis_core::outcome::Reason;

use crate::{Page, none, pages, read, root, rust};

#[test]
fn links_lead_somewhere() {
    let mut found = Vec::new();
    for page in markdown() {
        for (number, link) in links(&page) {
            if ["http://", "https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
            let target =
                if path.is_empty() { root().join(&page.path) } else { root().join(folder).join(path) };
            if !target.exists() {
                found.push(format!("{}:{number}: {link}", page.path));
            } else if !anchor.is_empty()
                && !anchors(&std::fs::read_to_string(target).unwrap()).contains(anchor)
            {
                found.push(format!("{}:{number}: {link} has no such heading", page.path));
            }
        }
    }
    none(&found, "a link that leads nowhere:");
}

#[test]
fn every_page_can_be_reached_from_the_readme() {
    let mut reached = BTreeSet::from(["README.md".to_owned()]);
    let pages = markdown();
    let mut open = vec!["README.md".to_owned()];
    while let Some(path) = open.pop() {
        let Some(page) = pages.iter().find(|page| page.path == path) else { continue };
        for (_, link) in links(page) {
            let file = link.split('#').next().unwrap_or_default();
            let joined = Path::new(&path).parent().unwrap_or(Path::new("")).join(file);
            let Ok(whole) = root().join(joined).canonicalize() else { continue };
            let Ok(inside) = whole.strip_prefix(root().canonicalize().unwrap()) else { continue };
            let inside = inside.to_string_lossy().into_owned();
            if reached.insert(inside.clone()) {
                open.push(inside);
            }
        }
    }
    let found: Vec<String> = pages
        .iter()
        .filter(|page| page.path.starts_with("docs/") || !page.path.contains('/'))
        .filter(|page| !reached.contains(&page.path))
        .map(|page| page.path.clone())
        .collect();
    none(&found, "a page that no link leads to:");
}

#[test]
fn places_that_the_architecture_names_exist() {
    let mut found = Vec::new();
    for page in markdown() {
        for (number, line) in page.lines() {
            for quoted in line.split('`').skip(1).step_by(2) {
                let rooms = ["crates/", "tests/", "docs/", "examples/", "bench/", "fuzz/"];
                let a_place = rooms.iter().any(|room| quoted.starts_with(room))
                    && !quoted.contains([' ', '*', '<', '{']);
                if a_place && !root().join(quoted).exists() {
                    found.push(format!("{}:{number}: {quoted}", page.path));
                }
            }
        }
    }
    none(&found, "a place that does not exist:");
}

#[test]
fn the_architecture_names_every_room() {
    let page = read("ARCHITECTURE.md");
    let mut found = Vec::new();
    for rust in rust() {
        let ["crates", _, "src", file] = rust.path.split('/').collect::<Vec<_>>()[..] else { continue };
        let room = file.trim_end_matches(".rs");
        // The command line has a file per command, which `--help` names.
        if !rust.path.starts_with("crates/portcullis/")
            && !["lib", "main", "tests"].contains(&room)
            && !page.contains(&format!("`{room}`"))
        {
            found.push(rust.path.clone());
        }
    }
    none(&found, "ARCHITECTURE.md does not name the room:");
}

#[test]
fn reasons_are_documented_with_what_they_mean() {
    let page = read("docs/operations.md");
    let found: Vec<String> = Reason::ALL
        .iter()
        .map(|reason| format!("| `{}` | {} |", reason.label(), reason.meaning()))
        .filter(|row| !page.contains(row.as_str()))
        .collect();
    none(&found, "docs/operations.md lacks the row:");
}

#[test]
fn defects_that_are_claimed_to_be_held_out_have_their_tests() {
    let tests: BTreeSet<String> = rust().iter().flat_map(|page| test_names(&page.text)).collect();
    let defects = defects();
    let mut found = Vec::new();
    for (prefix, besides) in &defects {
        // A row may also be held where the code is, under a name that says what it does.
        if besides.is_empty() && !tests.iter().any(|test| test.starts_with(prefix)) {
            found.push(format!("{prefix}: no test"));
        }
        found.extend(
            besides.iter().filter(|name| !tests.contains(*name)).map(|name| format!("{prefix}: {name}")),
        );
    }
    assert!(defects.len() > 40, "docs/defects.md has only {} rows", defects.len());
    none(&found, "docs/defects.md claims a test that is not there:");
}

#[test]
fn the_tests_that_the_security_notes_name_are_there() {
    let tests: BTreeSet<String> = rust().iter().flat_map(|page| test_names(&page.text)).collect();
    let page = read("docs/security.md");
    let rows = page.lines().filter(|line| line.starts_with("| A") || line.starts_with("| B"));
    let named =
        rows.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|name| name.matches('_').count() > 2);
    let missing: Vec<_> = named.filter(|name| !tests.contains(*name)).map(str::to_owned).collect();
    none(&missing, "docs/security.md names a test that is not there:");
}

#[test]
fn tests_named_after_a_defect_have_their_row() {
    let defects = defects();
    let mut found = Vec::new();
    for page in rust().iter().filter(|page| page.path.starts_with("tests/tests/")) {
        for name in test_names(&page.text) {
            let id = name.split('_').next().unwrap_or_default();
            let digits = id.trim_start_matches(['l', 's', 'a', 'b']).trim_end_matches('b');
            let an_id = id.len() - digits.len() <= 2
                && digits.len() == 2
                && digits.bytes().all(|b| b.is_ascii_digit());
            if an_id && !defects.iter().any(|(prefix, _)| name.starts_with(prefix)) {
                found.push(format!("{}: {name}", page.path));
            }
        }
    }
    none(&found, "docs/defects.md lacks a row for:");
}

#[test]
fn the_readme_begins_with_the_two_commands() {
    for path in ["README.md", "README.zh.md"] {
        let commands = code(&read(path));
        assert_eq!(commands.first().map(String::as_str), Some("cargo run --release -- demo\n"), "{path}");
        assert_eq!(commands.get(1).map(String::as_str), Some("./check\n"), "{path}");
    }
    let examples = read("crates/peers/Cargo.toml");
    for command in code(&read("README.md")) {
        if let Some((_, rest)) = command.split_once("--example ") {
            let name = rest.split_whitespace().next().unwrap();
            assert!(examples.contains(&format!("name = \"{name}\"")), "no example {name}");
        }
    }
}

#[test]
fn configurations_that_the_documentation_shows_are_sound() {
    let mut found = Vec::new();
    let mut shown = vec![("config/config.toml".to_owned(), read("config/config.toml"))];
    for page in markdown() {
        let blocks = page.text.split("\n```toml\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
        shown.extend(blocks.map(|(block, _)| (page.path.clone(), block.to_owned())));
    }
    assert!(shown.len() >= 3, "the README shows one, in each language");
    for (path, text) in shown {
        // A page may also show a few lines of one; a whole one has a listener.
        let whole = text.contains("[[listener]]") || text.contains("[common]");
        if let (true, Err(errors)) = (whole, Config::parse(&text, &path, &|_| None)) {
            found.push(errors.to_string());
        }
    }
    none(&found, "a configuration that would be refused:");
}

#[test]
fn the_readme_says_the_same_in_both_languages() {
    let (english, chinese) = (read("README.md"), read("README.zh.md"));
    assert_eq!(code(&english), code(&chinese), "the code blocks");
    let shape = |text: &str| -> Vec<usize> {
        outside_code(text)
            .filter(|line| line.starts_with('#'))
            .map(|line| line.chars().take_while(|c| *c == '#').count())
            .collect()
    };
    assert_eq!(shape(&english), shape(&chinese), "the headings");
    let rows = |text: &str| outside_code(text).filter(|line| line.starts_with('|')).count();
    assert_eq!(rows(&english), rows(&chinese), "the rows of the tables");
    let targets = |text: &str, path: &str| -> BTreeSet<String> {
        links(&Page { path: path.into(), text: text.into() })
            .into_iter()
            .map(|(_, link)| link)
            .filter(|l| !l.starts_with("README"))
            .collect()
    };
    assert_eq!(targets(&english, "README.md"), targets(&chinese, "README.zh.md"), "the links");
}

#[test]
fn the_changelog_knows_the_version() {
    let manifest = read("Cargo.toml");
    let version =
        manifest.lines().find_map(|line| line.strip_prefix("version = \"")).unwrap().trim_end_matches('"');
    assert!(read("CHANGELOG.md").contains(&format!("## [{version}]")), "no entry for {version}");
}

/// The rows of docs/defects.md: what their tests' names begin with (`l06_`), and the tests named besides.
fn defects() -> Vec<(String, Vec<String>)> {
    let page = read("docs/defects.md");
    let mut rows = Vec::new();
    for line in page.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, _, besides] = cells[..] else { panic!("docs/defects.md: {line}") };
        let digits: String = id.chars().filter(char::is_ascii_digit).collect();
        if digits.is_empty() {
            continue;
        }
        let (kind, tail) = id.split_once(&digits).unwrap();
        let prefix = format!("{}{digits:0>2}{tail}_", kind.to_lowercase());
        rows.push((prefix, besides.split('`').skip(1).step_by(2).map(str::to_owned).collect()));
    }
    rows
}

/// Every Markdown page.
fn markdown() -> Vec<Page> {
    pages().into_iter().filter(|page| page.ends_with(".md")).collect()
}

/// The targets of a page's links and pictures, with their lines; code blocks and quoted code have none.
fn links(page: &Page) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut in_code = false;
    for (number, line) in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let Some((link, tail)) = after.split_once(')') else { break };
            links.push((number, link.to_owned()));
            rest = tail;
        }
    }
    links
}

/// The anchors that headings get: lower case, blanks to hyphens, other marks dropped.
fn anchors(text: &str) -> BTreeSet<String> {
    outside_code(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            title
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

fn outside_code(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// The code blocks of a page.
fn code(text: &str) -> Vec<String> {
    text.split("\n```")
        .skip(1)
        .step_by(2)
        .map(|block| block.split_once('\n').map_or("", |(_, code)| code).to_owned() + "\n")
        .collect()
}

/// The names of the functions that follow a `#[test]`.
fn test_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut a_test = false;
    for line in text.lines().map(str::trim_start) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            a_test = true;
        } else if let Some(rest) = line.strip_prefix("fn ").or_else(|| line.strip_prefix("async fn ")) {
            if a_test {
                names.push(rest.split(['(', '<']).next().unwrap_or_default().to_owned());
            }
            a_test = false;
        }
    }
    names
}
