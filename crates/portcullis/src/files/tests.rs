#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_file_has_changed_when_it_holds_something_else() {
    let folder = Folder::new("holds");
    let path = folder.0.join("a.pem");
    fs::write(&path, "one").unwrap();
    let files = Files::default();
    let look = || files.changed([path.as_path()].into_iter());
    assert!(look().is_empty(), "never read");
    assert_eq!(files.read(&path).unwrap(), b"one");
    assert!(look().is_empty(), "as it was read");
    // Of the same length, and as old as before.
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "two").unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    assert_eq!(look(), [path.as_path()]);
    assert!(look().is_empty(), "told once");
    fs::write(&path, "two").unwrap();
    assert!(look().is_empty(), "written, but with the same");
    fs::remove_file(&path).unwrap();
    assert_eq!(look(), [path.as_path()], "gone");
    assert!(look().is_empty(), "still gone");
    fs::write(&path, "two").unwrap();
    assert_eq!(look(), [path.as_path()], "back");
}

#[test]
fn a_link_that_leads_elsewhere_is_a_change_wherever_on_the_way_it_is() {
    let folder = Folder::new("links");
    for (version, text) in [("v1", "one"), ("v2", "two")] {
        fs::create_dir(folder.0.join(version)).unwrap();
        fs::write(folder.0.join(version).join("tls.crt"), text).unwrap();
    }
    // As clusters mount secrets: tls.crt → ..data/tls.crt, ..data → v1.
    symlink("v1", folder.0.join("..data")).unwrap();
    let path = folder.0.join("tls.crt");
    symlink("..data/tls.crt", &path).unwrap();
    let files = Files::default();
    assert_eq!(files.read(&path).unwrap(), b"one");
    symlink("v2", folder.0.join("..next")).unwrap();
    fs::rename(folder.0.join("..next"), folder.0.join("..data")).unwrap();
    assert_eq!(files.changed([path.as_path()].into_iter()), [path.as_path()]);
    assert_eq!(files.read(&path).unwrap(), b"two");
}

#[test]
fn what_is_no_file_is_never_read_again_and_has_an_end() {
    let folder = Folder::new("kinds");
    let files = Files::default();
    assert!(files.read(Path::new("/dev/zero")).is_err(), "without an end");
    for path in [folder.0.as_path(), Path::new("/dev/null"), &folder.0.join("absent")] {
        assert!(files.read_again(path).is_err(), "{}", path.display());
    }
    assert_eq!(files.read(Path::new("/dev/null")).unwrap(), b"", "whatever can be read once");
    assert!(files.changed([Path::new("/dev/null"), Path::new("/dev/zero")].into_iter()).is_empty());
}

/// A folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("portcullis-files-{}-{name}", std::process::id()));
        fs::remove_dir_all(&folder).ok(); // left by one of this number that was killed
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
