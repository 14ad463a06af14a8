//! How many sessions the process has room for.

/// The most sessions of one process, whatever the kernel lets it have.
const MOST: u64 = 4_000_000;

/// What a process holds besides sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The limit of open files in force.
    pub open_files: u64,
    /// Worker threads.
    pub workers: usize,
    /// Listening sockets.
    pub sockets: usize,
}

/// Returns how many sessions `needs` leaves room for; at least 1.
///
/// A session holds two files, its client's and its endpoint's. Kept back: 64 for the program itself (log
/// files, standard streams, reloads), 64 clients of the admin listener, 64 for name look-ups; 4 for each
/// worker's poller and doorbell; twice the listening sockets, because a reload holds the old and the new; and
/// for the pipes of splicing 128 per worker, but at most an eighth of all.
#[must_use]
pub fn sessions(needs: Needs) -> u32 {
    let workers = needs.workers as u64;
    let pipes = (128 * workers).min(needs.open_files / 8);
    let kept_back = 64 + 64 + 64 + 4 * workers + 2 * needs.sockets as u64 + pipes;
    let sessions = (needs.open_files.saturating_sub(kept_back) / 2).clamp(1, MOST);
    u32::try_from(sessions).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_take_two_files_each_of_what_is_left() {
        for (open_files, workers, sockets, want) in [
            (1024, 2, 3, 345),            // 1024 - 192 - 8 - 6 - 128 = 690
            (20_000, 2, 3, 9769),         // 20,000 - 192 - 8 - 6 - 256 = 19,538
            (1_048_576, 64, 10, 519_942), // 1,048,576 - 192 - 256 - 20 - 8192 = 1,039,916 (with rounding)
            (100, 2, 1, 1),
            (0, 0, 0, 1),
            (u64::MAX, 2, 3, 4_000_000),
        ] {
            let got = sessions(Needs { open_files, workers, sockets });
            let off = got.abs_diff(want);
            assert!(off <= want / 10_000, "{open_files} files: {got}, not {want}");
        }
    }
}
