//! Many cases in one test: all are run, all are told, and one that failed fails the test.

use std::fmt::Write as _;
use std::sync::Mutex;

/// What each case came to.
#[derive(Debug, Default)]
pub struct Table {
    rows: Mutex<Vec<(String, String, Result<(), String>)>>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Files a case of a peer: passed, or what it failed with.
    pub fn file(&self, peer: &str, case: &str, outcome: Result<(), String>) {
        self.rows.lock().unwrap().push((peer.into(), case.into(), outcome));
    }

    /// Prints the table.
    ///
    /// # Panics
    /// When a case failed, or when there are not as many as there must be.
    pub fn finish(self, cases: usize) {
        let mut rows = self.rows.into_inner().unwrap();
        rows.sort();
        let mut text = String::new();
        for (peer, case, outcome) in &rows {
            let outcome =
                outcome.as_ref().map_or_else(|error| format!("FAILED: {error}"), |()| "passed".into());
            writeln!(text, "{peer:<10} {case:<58} {outcome}").unwrap();
        }
        let failed = rows.iter().filter(|(.., outcome)| outcome.is_err()).count();
        eprintln!("{text}{} passed, {failed} failed", rows.len() - failed);
        assert!(failed == 0, "{failed} of {} cases failed", rows.len());
        assert_eq!(rows.len(), cases, "cases");
    }
}
