//! What the kernel says of this process, as Prometheus' own clients tell it. What cannot be read is left out.

use std::fs;

use super::page::Page;
use super::{CPU, MAX_FDS, OPEN_FDS, RSS, START, THREADS, unix};
use crate::status::Status;

/// Clock ticks per second in `/proc`: part of the kernel's interface, whatever it runs at inside.
const USER_HZ: f64 = 100.0;

/// Adds the families of the process.
pub(super) fn write(page: &mut Page, status: &Status) {
    page.family(CPU);
    if let Some(seconds) = cpu_seconds() {
        page.fraction(&[], seconds);
    }
    page.family(OPEN_FDS);
    if let Ok(folder) = fs::read_dir("/proc/self/fd") {
        // The one that reads the folder is among them.
        page.sample(&[], (folder.count() as u64).saturating_sub(1));
    }
    page.family(MAX_FDS);
    if let Some(limit) = number_after("/proc/self/limits", "Max open files") {
        page.sample(&[], limit);
    }
    page.family(RSS);
    if let Some(kib) = number_after("/proc/self/status", "VmRSS:") {
        page.sample(&[], kib * 1024);
    }
    page.family(THREADS);
    if let Some(threads) = number_after("/proc/self/status", "Threads:") {
        page.sample(&[], threads);
    }
    page.family(START).sample(&[], unix(status.began()));
}

/// Returns the first number of the line of `file` that begins with `label`.
fn number_after(file: &str, label: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Returns user and system time, fields 14 and 15 of `proc(5)`'s `stat`.
fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, field 2, may hold anything; it ends at the last parenthesis.
    let mut rest = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u32, u32) = (rest.next()?.parse().ok()?, rest.next()?.parse().ok()?);
    Some((f64::from(user) + f64::from(system)) / USER_HZ)
}
