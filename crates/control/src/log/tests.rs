//! The log as a whole: real files, a real full disk, and text from hell.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant, SystemTime};

use portcullis_core::config::{LogFormat, Rotate};
use portcullis_core::name::ListenerName;
use portcullis_core::outcome::{Ended, Path, Reason, SessionId};
use proptest::prelude::*;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("portcullis-log-{}-{nth}", std::process::id()));
        fs::remove_dir_all(&path).ok(); // left by one of this number that was killed
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _already_gone = fs::remove_dir_all(&self.0);
    }
}

fn to(file: PathBuf) -> config::Log {
    config::Log {
        format: LogFormat::Json,
        level: LogLevel::Info,
        info_file: Some(file),
        error_file: None,
        audit_file: None,
        rotate: Rotate { max_size: 100 << 20, max_age: Duration::from_secs(7 * 86_400), keep: 10 },
    }
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never saw: {what}");
        std::thread::yield_now();
    }
}

fn ended() -> Ended {
    Ended {
        session: SessionId(0x1f),
        listener: ListenerName::from("game-tcp"),
        client: "10.0.0.9:50000".parse().unwrap(),
        target: Some("lobby.game.internal:7000".into()),
        endpoint: Some("10.0.1.5:7000".parse().unwrap()),
        identity: Some("player 7".into()),
        reason: Reason::ClientEnded,
        up_bytes: 12,
        down_bytes: 3400,
        path: Path::Splice,
        began: SystemTime::UNIX_EPOCH,
        opened_after: Some(Duration::from_millis(3)),
        lasted: Duration::from_millis(61_005),
    }
}

#[test]
fn a_session_is_one_line_with_all_that_matters() {
    let entry = Entry::from(&ended());
    assert_eq!(entry.level(), LogLevel::Info);
    let mut line = String::new();
    Format::Text.write(&entry, &mut line);
    let (_time, rest) = line.split_once(' ').unwrap();
    assert_eq!(
        rest,
        "INFO session closed session=1f listener=game-tcp client=10.0.0.9:50000 \
         target=lobby.game.internal:7000 endpoint=10.0.1.5:7000 identity=\"player 7\" reason=client-ended \
         up=12 down=3400 path=splice opened_after=0.003 lasted=61.005\n"
    );
}

#[test]
fn a_clients_fault_is_never_more_than_info() {
    for reason in Reason::ALL {
        let entry = Entry::from(&Ended { reason: *reason, ..ended() });
        assert_eq!(entry.level(), LogLevel::Info, "{reason}");
    }
}

#[test]
fn errors_and_the_rest_go_to_their_files_and_missing_folders_are_made() {
    let folder = Folder::new();
    let config =
        config::Log { error_file: Some(folder.path("a/b/error.log")), ..to(folder.path("c/info.log")) };
    let (log, thread) = Log::start(&config).unwrap();
    log.tell(Entry::debug("too quiet"));
    log.tell(Entry::info("state changed"));
    log.tell(Entry::warn("look at this"));
    log.tell(Entry::error("cannot go on"));
    assert!(thread.finish(PATIENCE));
    let (info, error) = (folder.read("c/info.log"), folder.read("a/b/error.log"));
    assert_eq!(info.lines().count(), 2, "{info}");
    assert!(info.contains("state changed") && info.contains("look at this"), "{info}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("cannot go on"), "{error}");
    assert_eq!(log.losses(), Losses { dropped: 0, failed: 0 });
}

#[test]
fn a_log_file_that_cannot_be_made_refuses_the_start() {
    let folder = Folder::new();
    fs::write(folder.path("file"), "").unwrap();
    let error = Log::start(&to(folder.path("file/info.log"))).unwrap_err();
    assert!(matches!(&error, LogError::Folder { .. }), "{error}");
    fs::create_dir(folder.path("taken")).unwrap();
    let error = Log::start(&to(folder.path("taken"))).unwrap_err();
    assert!(matches!(&error, LogError::Open { .. }), "{error}");
    assert!(error.to_string().contains("taken"), "{error}");
}

#[test]
fn b14_a_full_disk_costs_lines_that_are_counted_and_never_time() {
    let (log, thread) = Log::start(&to("/dev/full".into())).unwrap();
    let begin = Instant::now();
    for _ in 0..1000 {
        log.tell(Entry::info("session closed"));
    }
    assert!(begin.elapsed() < PATIENCE, "telling does not wait for the disk");
    assert!(thread.finish(PATIENCE));
    let losses = log.losses();
    assert_eq!(losses.dropped + losses.failed, 1000, "every lost line is counted once: {losses:?}");
}

#[test]
fn b14_lines_are_whole_again_once_the_disk_has_room() {
    let folder = Folder::new();
    let link = folder.path("info.log");
    symlink("/dev/full", &link).unwrap();
    let (log, thread) = Log::start(&to(link.clone())).unwrap();
    log.tell(Entry::info("lost"));
    wait_for("the failed write", || log.losses().failed == 1);
    fs::remove_file(&link).unwrap();
    log.reopen();
    log.tell(Entry::info("kept"));
    assert!(thread.finish(PATIENCE));
    let written = folder.read("info.log");
    let messages: Vec<_> = written.lines().map(message).collect();
    assert_eq!(messages, ["kept", "log lines were lost"], "{written}");
    assert!(written.contains("\"failed\":1"), "{written}");
}

#[test]
fn a_queue_nobody_empties_drops_and_counts_and_never_blocks() {
    let folder = Folder::new();
    // A pipe without a reader's attention: the writer stands still inside `write`.
    let (reader, pipe) = std::io::pipe().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&pipe);
    symlink(format!("/proc/self/fd/{fd}"), folder.path("info.log")).unwrap();
    let (log, thread) = Log::start(&to(folder.path("info.log"))).unwrap();
    let told = QUEUE + 20_000;
    let begin = Instant::now();
    for _ in 0..told {
        log.tell(Entry::info("session closed").with("reason", "client-ended"));
    }
    assert!(begin.elapsed() < PATIENCE);
    assert!(log.losses().dropped > 0, "the queue is bounded");
    assert!(!thread.finish(Duration::from_millis(50)), "a stuck pipe does not hold the process");
    drop(pipe);
    drop(reader);
}

#[test]
fn sigusr1_opens_the_file_by_its_name() {
    let folder = Folder::new();
    let (log, thread) = Log::start(&to(folder.path("logs/info.log"))).unwrap();
    log.tell(Entry::info("before"));
    wait_for("the first line", || folder.read("logs/info.log").contains("before"));
    fs::rename(folder.path("logs"), folder.path("old")).unwrap();
    log.reopen();
    log.tell(Entry::info("after"));
    assert!(thread.finish(PATIENCE));
    assert_eq!(folder.read("old/info.log").lines().map(message).collect::<Vec<_>>(), ["before"]);
    assert_eq!(folder.read("logs/info.log").lines().map(message).collect::<Vec<_>>(), ["after"]);
}

#[test]
fn a_folder_that_was_taken_away_is_counted_and_the_old_file_goes_on() {
    let folder = Folder::new();
    let (log, thread) = Log::start(&to(folder.path("logs/info.log"))).unwrap();
    log.tell(Entry::info("before"));
    wait_for("the first line", || folder.read("logs/info.log").contains("before"));
    fs::rename(folder.path("logs"), folder.path("old")).unwrap();
    fs::write(folder.path("logs"), "in the way").unwrap();
    log.reopen();
    log.tell(Entry::info("after"));
    assert!(thread.finish(PATIENCE));
    assert_eq!(log.losses(), Losses { dropped: 0, failed: 1 });
    let old = folder.read("old/info.log");
    assert_eq!(old.lines().map(message).collect::<Vec<_>>(), ["before", "after", "log lines were lost"]);
}

#[test]
fn files_rotate_by_size_and_only_so_many_stay() {
    let folder = Folder::new();
    let rotate = Rotate { max_size: 200, max_age: Duration::MAX, keep: 3 };
    let (log, thread) = Log::start(&config::Log { rotate, ..to(folder.path("info.log")) }).unwrap();
    for nth in 0..20_u64 {
        log.tell(Entry::info("line").with("nth", nth));
    }
    assert!(thread.finish(PATIENCE));
    let names = ["info.log.3", "info.log.2", "info.log.1", "info.log"];
    let files: Vec<_> = names.iter().map(|name| folder.read(name)).collect();
    for (name, text) in names.iter().zip(&files) {
        assert!(!text.is_empty() && text.len() <= 200, "{name}: {} bytes", text.len());
    }
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), names.len());
    let numbers: Vec<u64> = files
        .concat()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["nth"].as_u64().unwrap())
        .collect();
    let last: Vec<u64> = (20 - numbers.len() as u64..20).collect();
    assert_eq!(numbers, last, "in order, nothing lost in between");
    assert_eq!(log.losses(), Losses { dropped: 0, failed: 0 });
}

#[test]
fn files_rotate_by_age() {
    let folder = Folder::new();
    let path = folder.path("info.log");
    let day = Duration::from_secs(86_400);
    let rotate = Rotate { max_size: 1 << 30, max_age: 7 * day, keep: 1 };
    let now = SystemTime::now();
    let mut file = File::open(&path, rotate, now).unwrap();
    for (at, text) in [(now, "one\n"), (now + 6 * day, "two\n"), (now + 8 * day, "three\n")] {
        file.rotate_for(text.len(), at).unwrap();
        file.append(text.as_bytes()).unwrap();
    }
    assert_eq!(folder.read("info.log.1"), "one\ntwo\n");
    assert_eq!(folder.read("info.log"), "three\n");
}

#[test]
fn a_rotation_that_fails_keeps_the_lines() {
    let folder = Folder::new();
    let rotate = Rotate { max_size: 100, max_age: Duration::MAX, keep: 1 };
    // A folder that is not empty cannot be renamed over.
    fs::create_dir_all(folder.path("info.log.1/full")).unwrap();
    let (log, thread) = Log::start(&config::Log { rotate, ..to(folder.path("info.log")) }).unwrap();
    for _ in 0..10 {
        log.tell(Entry::info("line"));
    }
    assert!(thread.finish(PATIENCE));
    assert_eq!(log.losses(), Losses { dropped: 0, failed: 1 }, "tried once, not at every line");
    assert_eq!(folder.read("info.log").lines().filter(|line| message(line) == "line").count(), 10);
}

#[test]
fn a_new_config_moves_level_format_and_file() {
    let folder = Folder::new();
    let (log, thread) = Log::start(&to(folder.path("one.log"))).unwrap();
    log.tell(Entry::info("first"));
    wait_for("the first line", || folder.read("one.log").contains("first"));
    let text = config::Log { format: LogFormat::Text, level: LogLevel::Debug, ..to(folder.path("two.log")) };
    log.configure(&text).unwrap();
    log.tell(Entry::debug("second"));
    assert!(log.configure(&to("/dev/null/no.log".into())).is_err());
    log.tell(Entry::debug("third"));
    assert!(thread.finish(PATIENCE));
    assert_eq!(folder.read("one.log").lines().count(), 1);
    let two = folder.read("two.log");
    assert!(
        two.lines().count() == 2 && two.contains("DEBUG second\n") && two.contains("DEBUG third\n"),
        "{two}"
    );
}

#[test]
fn a26_a_flood_of_one_warning_is_told_ten_times_and_counted() {
    let folder = Folder::new();
    let (log, thread) = Log::start(&to(folder.path("info.log"))).unwrap();
    for _ in 0..1000 {
        log.tell(Entry::warn("no file descriptor left"));
    }
    for _ in 0..30 {
        log.tell(Entry::error("config error").every_time());
    }
    assert!(thread.finish(PATIENCE));
    let written = folder.read("info.log");
    let count = |text: &str| written.lines().filter(|line| message(line) == text).count();
    assert_eq!((count("no file descriptor left"), count("config error")), (10, 30));
    assert!(written.contains("\"suppressed\":990"), "{written}");
}

/// The message of a JSON line.
fn message(line: &str) -> String {
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    line["message"].as_str().unwrap().to_owned()
}

/// Reads the fields of a text line the way a log shipper does.
fn fields_of_text(line: &str) -> Vec<(String, String)> {
    let (_head, mut rest) = line.split_once("event ").expect("the message");
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let (key, value) = rest.split_once('=').expect("a key");
        let (value, after) = if value.starts_with('"') {
            let mut values = serde_json::Deserializer::from_str(value).into_iter::<String>();
            let text = values.next().expect("a value").expect("a JSON string");
            let end = values.byte_offset();
            (text, &value[end..])
        } else {
            let end = value.find(' ').unwrap_or(value.len());
            (value[..end].to_owned(), &value[end..])
        };
        fields.push((key.to_owned(), value));
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    fields
}

fn nasty() -> impl Strategy<Value = String> {
    let bits = prop_oneof![
        any::<String>(),
        "[\\x00-\\x1f\\x7f\"\\\\= ]{0,300}",
        "[\u{202a}-\u{202e}\u{2066}-\u{2069}\u{2028}\u{2029}\u{9b}\u{feff}a]{0,300}",
        Just("\r\n2026-01-01T00:00:00.000Z ERROR forged".to_owned()),
    ];
    proptest::collection::vec(bits, 0..4).prop_map(|bits| bits.concat())
}

proptest! {
    #[test]
    fn a26_any_text_is_exactly_one_parseable_line(one in nasty(), two in nasty()) {
        let entry = Entry::info("event").with("one", one.as_str()).with("two", two.as_str());
        for format in [Format::Text, Format::Json] {
            let mut line = String::new();
            format.write(&entry, &mut line);
            let body = line.strip_suffix('\n').expect("an end");
            prop_assert!(body.chars().all(|symbol| !symbol.is_control()), "{body:?}");
            let bidi = |symbol| matches!(symbol, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            prop_assert!(!body.contains(bidi), "{body:?}");
            prop_assert!(line.len() < 2 * (256 + 16) + 100, "{} bytes", line.len());
            let fields = match format {
                Format::Text => fields_of_text(body),
                Format::Json => {
                    let value: serde_json::Value = serde_json::from_str(body).expect("JSON");
                    prop_assert_eq!(&value["message"], "event");
                    ["one", "two"].map(|key| (key.to_owned(), value[key].as_str().unwrap().to_owned())).to_vec()
                }
            };
            prop_assert_eq!(fields.len(), 2);
            for ((key, read), (want_key, want)) in fields.iter().zip([("one", &one), ("two", &two)]) {
                prop_assert_eq!(key, want_key);
                match read.strip_suffix('…') {
                    Some(start) if read != want => prop_assert!(want.starts_with(start)),
                    _ => prop_assert_eq!(read, want),
                }
            }
        }
    }
}
