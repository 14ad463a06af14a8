//! `[log]`: where lines go and when files are put aside.

use std::path::PathBuf;
use std::time::Duration;

use super::key::{Key, Reader, Section};
use super::kind::{Choice, Nested, Size, Span, Text, Whole};
use super::write::Writer;
use super::{Log, LogFormat, LogLevel, Rotate};

/// An hour would already be odd; a minute is what tests and demonstrations use.
const YOUNGEST: Duration = Duration::from_secs(60);
const OLDEST: Duration = Duration::from_secs(3650 * 24 * 3600);
/// 7 days.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
const MAX_SIZE: u64 = 100 << 20;
const KEEP: u16 = 10;

pub(super) static SECTION: Section = Section {
    path: "[log]",
    doc: "Where log lines go. Missing folders are made; paths are relative to the working directory.",
    rows: &[&FORMAT, &LEVEL, &INFO_FILE, &ERROR_FILE, &AUDIT_FILE, &ROTATE],
    later: &[],
};
static FORMAT: Key<Choice<LogFormat>> = Key {
    name: "format",
    kind: Choice {
        noun: "log format",
        words: &[("text", LogFormat::Text), ("json", LogFormat::Json)],
        later: &[],
    },
    default: || LogFormat::Text,
    doc: "how a line is written",
};
static LEVEL: Key<Choice<LogLevel>> = Key {
    name: "level",
    kind: Choice {
        noun: "log level",
        words: &[
            ("trace", LogLevel::Trace),
            ("debug", LogLevel::Debug),
            ("info", LogLevel::Info),
            ("warn", LogLevel::Warn),
            ("error", LogLevel::Error),
        ],
        later: &[],
    },
    default: || LogLevel::Info,
    doc: "the least severe level that is written",
};
static INFO_FILE: Key<Text<Option<PathBuf>>> = Key {
    name: "info_file",
    kind: PATH_OR_NONE,
    default: || None,
    doc: "file for lines below ERROR; \"\" = stderr",
};
static ERROR_FILE: Key<Text<Option<PathBuf>>> = Key {
    name: "error_file",
    kind: PATH_OR_NONE,
    default: || None,
    doc: "file for lines of ERROR; \"\" = where the others go",
};
static AUDIT_FILE: Key<Text<Option<PathBuf>>> = Key {
    name: "audit_file",
    kind: PATH_OR_NONE,
    default: || None,
    doc: "file for the audit, a JSON line for each decision about a device token and each change by an operator; \"\" = with the other lines",
};
static ROTATE: Key<Nested<Rotate>> = Key {
    name: "rotate",
    kind: Nested { section: &ROTATE_SECTION, read: read_rotate, write: write_rotate },
    default: || Rotate { max_size: MAX_SIZE, max_age: MAX_AGE, keep: KEEP },
    doc: "when a file is put aside",
};
static ROTATE_SECTION: Section = Section {
    path: "log.rotate",
    doc: "When a log file is put aside.",
    rows: &[&ROTATE_SIZE, &ROTATE_AGE, &ROTATE_KEEP],
    later: &[],
};
static ROTATE_SIZE: Key<Size<u64>> = Key {
    name: "max_size",
    kind: Size::from(1 << 10, 1 << 40),
    default: || MAX_SIZE,
    doc: "a file is put aside before it would grow past this",
};
static ROTATE_AGE: Key<Span> = Key {
    name: "max_age",
    kind: Span::from(YOUNGEST, OLDEST),
    default: || MAX_AGE,
    doc: "a file is put aside when it is this old",
};
static ROTATE_KEEP: Key<Whole<u16>> =
    Key { name: "keep", kind: Whole::from(0, 10_000), default: || KEEP, doc: "how many old files stay" };

const PATH_OR_NONE: Text<Option<PathBuf>> = Text {
    label: "path",
    example: "log/info.log",
    parse: |text| Ok(Some(text).filter(|text| !text.is_empty()).map(PathBuf::from)),
    show: |path| path.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
};

pub(super) fn read(reader: &Reader<'_>) -> Log {
    Log {
        format: reader.get(&FORMAT),
        level: reader.get(&LEVEL),
        info_file: reader.get(&INFO_FILE),
        error_file: reader.get(&ERROR_FILE),
        audit_file: reader.get(&AUDIT_FILE),
        rotate: reader.get(&ROTATE),
    }
}

pub(super) fn write(writer: &mut Writer<'_>, log: &Log) {
    writer.put(&FORMAT, &log.format);
    writer.put(&LEVEL, &log.level);
    writer.put(&INFO_FILE, &log.info_file);
    writer.put(&ERROR_FILE, &log.error_file);
    writer.put(&AUDIT_FILE, &log.audit_file);
    writer.put_nested(&ROTATE, &log.rotate);
}

/// The log of a file that has no `[log]`, or only says where lines go.
pub(super) fn to(info_file: Option<PathBuf>, error_file: Option<PathBuf>) -> Log {
    Log {
        format: (FORMAT.default)(),
        level: (LEVEL.default)(),
        info_file,
        error_file,
        audit_file: None,
        rotate: (ROTATE.default)(),
    }
}

fn read_rotate(reader: &Reader<'_>) -> Option<Rotate> {
    Some(Rotate {
        max_size: reader.get(&ROTATE_SIZE),
        max_age: reader.get(&ROTATE_AGE),
        keep: reader.get(&ROTATE_KEEP),
    })
}

fn write_rotate(writer: &mut Writer<'_>, rotate: &Rotate) {
    writer.put(&ROTATE_SIZE, &rotate.max_size);
    writer.put(&ROTATE_AGE, &rotate.max_age);
    writer.put(&ROTATE_KEEP, &rotate.keep);
}
