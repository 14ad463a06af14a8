//! How many sessions there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The process-wide count of sessions.
#[derive(Debug)]
pub(crate) struct Admission {
    live: AtomicU32,
    maximum: u32,
}

/// A session's claim on the session maximum.
#[derive(Debug)]
#[must_use = "the session is counted only while its permit lives"]
pub(crate) struct Permit {
    admission: Arc<Admission>,
}

impl Admission {
    pub(crate) fn new(maximum: u32) -> Self {
        Self { live: AtomicU32::new(0), maximum: maximum.max(1) }
    }

    pub(crate) fn live(&self) -> u32 {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn maximum(&self) -> u32 {
        self.maximum
    }

    /// Claims one session; `None` when the maximum is reached.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Permit> {
        let before = self.live.fetch_add(1, Ordering::Relaxed);
        if before >= self.maximum {
            self.live.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit { admission: Arc::clone(self) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admission.live.fetch_sub(1, Ordering::Relaxed);
    }
}
