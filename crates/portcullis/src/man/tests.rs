#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use clap::CommandFactory as _;

use super::*;
use crate::cli::Cli;

/// What is said of exit codes and signals, in the documents.
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");

#[test]
fn every_command_has_a_page_that_its_parent_leads_to() {
    let pages = pages(Cli::command()).unwrap();
    let names: Vec<&str> = pages.iter().map(|page| page.file.as_str()).collect();
    for wanted in [
        "portcullis.1",
        "portcullis-run.1",
        "portcullis-check.1",
        "portcullis-jwt-mint.1",
        "portcullis-man.1",
    ] {
        assert!(names.contains(&wanted), "{wanted} is not in {names:?}");
    }
    assert_eq!(names.first(), Some(&"portcullis.1"));
    for page in &pages {
        for other in &names {
            let link = other.replace(".1", "(1)").replace('-', "\\-");
            assert_eq!(page.text.contains(&link), page.file != **other, "{} and {link}", page.file);
        }
    }
}

#[test]
fn pages_are_whole_and_in_the_usual_order() {
    let full = [
        "NAME",
        "SYNOPSIS",
        "DESCRIPTION",
        "OPTIONS",
        "SUBCOMMANDS",
        "EXIT STATUS",
        "FILES",
        "ENVIRONMENT",
        "SIGNALS",
        "SEE ALSO",
    ];
    for page in pages(Cli::command()).unwrap() {
        let titles: Vec<String> = page
            .text
            .lines()
            .filter_map(|line| line.strip_prefix(".SH "))
            .map(|title| title.replace(['"', '\\'], ""))
            .collect();
        let wanted: Vec<&str> = match page.file.as_str() {
            "portcullis.1" => full.to_vec(),
            "portcullis-run.1" => full.iter().filter(|title| **title != "SUBCOMMANDS").copied().collect(),
            "portcullis-jwt.1"
            | "portcullis-ticket.1"
            | "portcullis-ctl.1"
            | "portcullis-ctl-sessions.1"
            | "portcullis-ctl-endpoint.1"
            | "portcullis-ctl-bans.1"
            | "portcullis-ctl-device.1" => {
                full.iter().filter(|t| !["FILES", "ENVIRONMENT", "SIGNALS"].contains(t)).copied().collect()
            }
            _ => vec!["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"],
        };
        assert_eq!(titles, wanted, "{}", page.file);
        assert!(page.text.contains(concat!("portcullis ", env!("CARGO_PKG_VERSION"))), "{}", page.file);
    }
}

#[test]
fn pages_say_of_codes_and_signals_what_the_documents_say() {
    let column = |heading: &str| -> Vec<&str> {
        let (_, after) = OPERATIONS.split_once(heading).unwrap();
        let rows = after.lines().skip_while(|line| !line.starts_with("|--")).skip(1);
        rows.map_while(|line| line.strip_prefix("| ")?.split(" | ").next()).collect()
    };
    let terms = |rows: &'static [Row]| -> Vec<&str> { rows.iter().map(|(term, _)| *term).collect() };
    assert_eq!(column("## Exit codes"), terms(EXIT_STATUS));
    assert_eq!(column("## Signals"), terms(SIGNALS));
}

#[test]
fn pages_are_written_into_a_folder_that_is_made() {
    let folder = std::env::temp_dir().join(format!("portcullis-man-{}", std::process::id()));
    let out = folder.join("man1");
    ManCommand { out: Some(out.clone()) }.run(Cli::command()).unwrap();
    let page = std::fs::read_to_string(out.join("portcullis.1")).unwrap();
    let error = ManCommand { out: Some(out.join("portcullis.1")) }.run(Cli::command()).unwrap_err();
    std::fs::remove_dir_all(folder).unwrap();
    assert!(page.starts_with(".ie"), "{page}");
    assert!(error.to_string().starts_with("cannot make "), "{error}");
}
