#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use super::embedded::{Embedded, Space};
use super::*;

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("portcullis-store-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("below/store.redb")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.0);
    }
}

fn never(_: &[u8]) -> bool {
    false
}

fn put(file: &mut Embedded, key: &str, value: Option<&str>) -> u64 {
    let mut batch = file.begin().unwrap();
    batch.put(Space::Device, key, value.map(|value| value.as_bytes().into())).unwrap();
    file.commit(batch, &never).unwrap()
}

fn value(file: &Embedded, key: &str) -> Option<String> {
    let found = file.begin().unwrap().get(Space::Device, key).unwrap();
    found.map(|value| String::from_utf8(value).unwrap())
}

fn why<T>(result: Result<T, StoreError>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn what_was_committed_is_there_after_the_file_was_closed() {
    let folder = Folder::make();
    let mut file = Embedded::open(&folder.file()).unwrap();
    assert_eq!(put(&mut file, "a", Some("1")), 1);
    assert_eq!(put(&mut file, "b", Some("2")), 2);
    assert_eq!(put(&mut file, "a", None), 1);
    drop(file);
    let file = Embedded::open(&folder.file()).unwrap();
    assert_eq!((value(&file, "a"), value(&file, "b").as_deref()), (None, Some("2")));
}

#[test]
fn a_batch_sees_what_it_has_changed_and_others_do_not_before_it_is_committed() {
    let folder = Folder::make();
    let mut file = Embedded::open(&folder.file()).unwrap();
    put(&mut file, "a", Some("1"));
    let mut batch = file.begin().unwrap();
    batch.put(Space::Device, "a", Some((*b"2").into())).unwrap();
    assert_eq!(batch.get(Space::Device, "a").unwrap().as_deref(), Some(&b"2"[..]));
    assert_eq!(value(&file, "a").as_deref(), Some("1"));
    drop(batch);
    assert_eq!(value(&file, "a").as_deref(), Some("1"));
}

#[test]
fn nobody_but_its_owner_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::make();
    let _file = Embedded::open(&folder.file()).unwrap();
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_another_has_open_is_refused_and_says_so() {
    let folder = Folder::make();
    let _first = Embedded::open(&folder.file()).unwrap();
    assert!(why(Embedded::open(&folder.file())).contains("in use by another process"));
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let folder = Folder::make();
    fs::create_dir_all(folder.file().parent().unwrap()).unwrap();
    let junk = b"this is somebody's diary\n".repeat(400);
    fs::write(folder.file(), &junk).unwrap();
    let told = why(Embedded::open(&folder.file()));
    assert!(told.contains("set another `[store] file`"), "{told}");
    assert_eq!(fs::read(folder.file()).unwrap(), junk);
}

#[test]
fn a_store_of_another_version_is_refused() {
    let folder = Folder::make();
    drop(Embedded::open(&folder.file()).unwrap());
    let base = redb::Database::create(folder.file()).unwrap();
    let writing = base.begin_write().unwrap();
    let table: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("about");
    writing.open_table(table).unwrap().insert("schema", &b"2"[..]).unwrap();
    writing.commit().unwrap();
    drop(base);
    let told = why(Embedded::open(&folder.file()));
    assert!(told.contains("another version"), "{told}");
}

#[test]
fn a_folder_that_cannot_be_made_is_told_with_its_file() {
    let folder = Folder::make();
    fs::write(folder.0.join("below"), b"a file").unwrap();
    let told = why(Embedded::open(&folder.file()));
    assert!(told.contains("folder cannot be made") && told.contains("store.redb"), "{told}");
}

#[test]
fn keys_and_values_are_bounded() {
    let folder = Folder::make();
    let file = Embedded::open(&folder.file()).unwrap();
    let mut batch = file.begin().unwrap();
    let long = "x".repeat(513);
    assert_eq!(batch.put(Space::Ban, &long, Some((*b"1").into())), Err(StoreError::Full));
    assert_eq!(batch.put(Space::Ban, "a", Some(vec![0; 8193].into())), Err(StoreError::Full));
    assert_eq!(batch.put(Space::Ban, "a", Some(vec![0; 8192].into())), Ok(()));
}

#[test]
fn devices_that_nobody_would_miss_are_swept_out_a_few_at_a_time() {
    let folder = Folder::make();
    let mut file = Embedded::open(&folder.file()).unwrap();
    let mut batch = file.begin().unwrap();
    for number in 0..100 {
        let value = if number % 2 == 0 { "over" } else { "live" };
        batch.put(Space::Device, &format!("{number:03}"), Some(value.as_bytes().into())).unwrap();
    }
    file.commit(batch, &never).unwrap();
    let mut left = 100;
    for _ in 0..40 {
        let mut batch = file.begin().unwrap();
        batch.put(Space::Ban, "x", Some((*b"1").into())).unwrap();
        let now = file.commit(batch, &|value| value == b"over").unwrap();
        assert!(left - now <= 8, "{left} to {now}");
        left = now;
    }
    assert_eq!(left, 50);
    assert_eq!((value(&file, "000"), value(&file, "001").as_deref()), (None, Some("live")));
}

fn started(folder: &Folder) -> (Store, StoreThread) {
    let log = config::Log {
        format: config::LogFormat::Text,
        level: config::LogLevel::Info,
        info_file: Some(folder.0.join("log")),
        error_file: None,
        audit_file: None,
        rotate: config::Rotate { max_size: 1 << 20, max_age: Duration::from_secs(3600), keep: 1 },
    };
    let (log, _thread) = Log::start(&log).unwrap();
    Store::start(&folder.file(), log).unwrap()
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

#[test]
fn a_store_that_nobody_writes_to_makes_no_file() {
    let folder = Folder::make();
    let (store, thread) = started(&folder);
    assert_eq!(wait(store.all(Space::Ban)), Ok(Vec::new()));
    thread.finish();
    assert!(!folder.file().exists());
}

#[test]
fn bans_and_standings_outlive_the_process() {
    let folder = Folder::make();
    let kept = |endpoint: &str, standing, weight| KeptStanding {
        upstream: "lobby".into(),
        endpoint: endpoint.parse().unwrap(),
        standing,
        weight,
    };
    let (first, second) =
        (kept("10.0.0.1:7000", Standing::Drain, None), kept("[::1]:7000", Standing::Ready, Some(0)));
    let (store, thread) = started(&folder);
    wait(async {
        store.put(Space::Ban, "192.0.2.0/24", Some(b"until")).await.unwrap();
        store.put_standing(&first).await.unwrap();
        store.put_standing(&second).await.unwrap();
        store.put_standing(&kept("game.internal:7000", Standing::Maint, Some(256))).await.unwrap();
        store.put_standing(&kept("game.internal:7000", Standing::Ready, None)).await.unwrap();
    });
    thread.finish();
    let (store, thread) = started(&folder);
    assert_eq!(wait(store.all(Space::Ban)), Ok(vec![("192.0.2.0/24".into(), b"until".to_vec())]));
    assert_eq!(wait(store.standings()), Ok(vec![first, second]));
    thread.finish();
}

#[test]
fn a_store_that_cannot_be_opened_says_so_to_everyone_and_is_tried_again() {
    let folder = Folder::make();
    let other = Embedded::open(&folder.file()).unwrap();
    let (store, thread) = started(&folder);
    let told = why(store.open());
    assert!(told.contains("in use by another process"), "{told}");
    let told = why(wait(store.put(Space::Ban, "a", Some(b"1"))));
    assert!(told.contains("a moment ago"), "{told}");
    assert_eq!(store.counters().failures.load(Ordering::Relaxed), 1);
    drop(other);
    assert_eq!(store.open(), Ok(()));
    assert_eq!(wait(store.put(Space::Ban, "a", Some(b"1"))), Ok(()));
    thread.finish();
}
