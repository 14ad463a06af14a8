#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn durations_are_a_number_and_a_unit() {
    for (text, want) in [
        ("0s", Ok(0)),
        ("250ms", Ok(250)),
        ("10s", Ok(10_000)),
        ("5m", Ok(300_000)),
        ("1h", Ok(3_600_000)),
        ("7d", Ok(604_800_000)),
        ("", Err(UnitError::Duration)),
        ("10", Err(UnitError::Duration)),
        ("s", Err(UnitError::Duration)),
        ("-1s", Err(UnitError::Duration)),
        ("+1s", Err(UnitError::Duration)),
        ("1.5s", Err(UnitError::Duration)),
        ("1h30m", Err(UnitError::Duration)),
        ("10 s", Err(UnitError::Duration)),
        ("10S", Err(UnitError::Duration)),
        ("١s", Err(UnitError::Duration)),
        ("99999999999999999999s", Err(UnitError::TooLarge)),
        ("999999999999999999d", Err(UnitError::TooLarge)),
    ] {
        assert_eq!(parse_duration(text), want.map(Duration::from_millis), "{text:?}");
    }
}

#[test]
fn sizes_are_a_number_and_a_binary_unit() {
    for (text, want) in [
        ("0B", Ok(0)),
        ("512B", Ok(512)),
        ("4KiB", Ok(4096)),
        ("1MiB", Ok(1_048_576)),
        ("2GiB", Ok(2_147_483_648)),
        ("4KB", Err(UnitError::Size)),
        ("4k", Err(UnitError::Size)),
        ("4096", Err(UnitError::Size)),
        ("-4KiB", Err(UnitError::Size)),
        ("99999999999GiB", Err(UnitError::TooLarge)),
    ] {
        assert_eq!(parse_size(text), want, "{text:?}");
    }
}

#[test]
fn amounts_are_shown_as_they_are_written() {
    for text in ["0s", "1ms", "1500ms", "90s", "10m", "1h", "7d"] {
        assert_eq!(show_duration(parse_duration(text).unwrap()), text);
    }
    for text in ["0B", "1B", "1025B", "4KiB", "1MiB", "3GiB"] {
        assert_eq!(show_size(parse_size(text).unwrap()), text);
    }
    for text in ["5/s", "20/m", "1/h"] {
        assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
    }
}

#[test]
fn rates_are_a_count_and_a_unit() {
    for text in ["", "5", "5/", "/s", "0/s", "-5/s", "5/d", "5/sec", "5 /s", "1.5/s"] {
        assert_eq!(text.parse::<Rate>(), Err(UnitError::Rate), "{text:?}");
    }
    assert_eq!("5000000000/s".parse::<Rate>(), Err(UnitError::TooLarge));
    assert!(("30/m".parse::<Rate>().unwrap().per_second() - 0.5).abs() < 1e-9);
}

#[test]
fn rates_of_bytes_are_a_size_and_a_unit() {
    for text in ["1B/s", "10MiB/s", "1023B/m", "3GiB/h"] {
        assert_eq!(Rate::of_bytes(text).unwrap().show_bytes(), text);
    }
    for text in ["", "5/s", "10MiB", "10MiB/", "0B/s", "10MB/s", "1.5KiB/s", "1KiB/d", "-1B/s"] {
        assert_eq!(Rate::of_bytes(text), Err(UnitError::ByteRate), "{text:?}");
    }
    assert_eq!(Rate::of_bytes("4GiB/s"), Err(UnitError::TooLarge));
}
