//! The families of device tokens and their store.

use std::sync::atomic::{AtomicU64, Ordering};

use portcullis_core::token::Refusal;

use super::page::Page;
use super::{DEVICES, STORE_BUSY, STORE_COMMITS, STORE_FAILURES, TOKENS};
use crate::devices::GOOD;
use crate::store::Counters;

/// Adds the families of the store.
pub(super) fn write(page: &mut Page, store: &Counters) {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.family(TOKENS);
    for (action, count) in GOOD.iter().zip(&store.good) {
        page.sample(&[action, "ok"], read(count));
    }
    for (refusal, count) in Refusal::ALL.iter().zip(&store.refused) {
        page.sample(&["refused", refusal.label()], read(count));
    }
    page.family(DEVICES).sample(&[], read(&store.devices));
    page.family(STORE_COMMITS).sample(&[], read(&store.commits));
    page.family(STORE_FAILURES).sample(&[], read(&store.failures));
    page.family(STORE_BUSY).sample(&[], read(&store.busy));
}
