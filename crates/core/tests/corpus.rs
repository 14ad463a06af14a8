//! Replays the committed fuzz corpus: every input that once was of interest must go on holding its properties.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[allow(missing_docs, unreachable_pub, reason = "written for the fuzz crate, which is documented")]
#[path = "../../../fuzz/src/lib.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

#[test]
fn every_input_of_the_corpus_holds() {
    for (target, run) in fuzz::TARGETS {
        let mut inputs: Vec<PathBuf> = fs::read_dir(corpus().join(target))
            .unwrap_or_else(|error| panic!("fuzz/corpus/{target}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        inputs.sort();
        assert!(inputs.len() >= 5, "fuzz/corpus/{target} has only {} inputs", inputs.len());
        for input in inputs {
            let data = fs::read(&input).unwrap();
            let held = std::panic::catch_unwind(|| run(&data));
            assert!(held.is_ok(), "{} does not hold", input.display());
        }
    }
}

#[test]
fn every_target_is_built_and_every_corpus_has_one() {
    let named: BTreeSet<String> = fuzz::TARGETS.iter().map(|(target, _)| (*target).to_owned()).collect();
    let listed = |folder: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(corpus().parent().unwrap().join(folder)).unwrap();
        entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed("corpus"), named, "fuzz/corpus");
    assert_eq!(listed("fuzz_targets"), named, "fuzz/fuzz_targets");
    let manifest = fs::read_to_string(corpus().parent().unwrap().join("Cargo.toml")).unwrap();
    for target in named {
        assert!(
            manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")),
            "fuzz/Cargo.toml: {target}"
        );
    }
}

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}
