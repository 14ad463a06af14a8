#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn the_end_of_a_certificate_is_read_in_both_of_its_forms() {
    for (tag, text, want) in [
        (tag::UTC_TIME, "700101000000Z", Some(0)),
        (tag::UTC_TIME, "491231235959Z", Some(2_524_607_999)),
        (tag::UTC_TIME, "240229120000Z", Some(1_709_208_000)),
        (tag::UTC_TIME, "501231235959Z", None), // 1950
        (tag::TIME, "20500101000000Z", Some(2_524_608_000)),
        // RFC 5280 section 4.1.2.5: no well-defined end.
        (tag::TIME, "99991231235959Z", Some(253_402_300_799)),
        (tag::TIME, "00000101000000Z", None),
        (tag::TIME, "20500101000000", None),
        (tag::TIME, "20500101000000+0100", None),
        (tag::TIME, "2050010100000ßZ", None),
        (tag::TIME, "20501301000000Z", None),
        (tag::TIME, "20500100000000Z", None),
        (tag::UTC_TIME, "+50101000000Z", None),
        (tag::UTC_TIME, "", None),
        (tag::UTF8, "20500101000000Z", None),
    ] {
        let found = expires(&ending(tag, text)).map(|at| at.duration_since(UNIX_EPOCH).unwrap().as_secs());
        assert_eq!(found, want, "{text}");
    }
    assert_eq!(expires(b""), None);
}

/// What of a certificate leads to its end.
fn ending(tag: u8, text: &str) -> Vec<u8> {
    let validity = [wrap(tag::UTC_TIME, b"700101000000Z"), wrap(tag, text.as_bytes())].concat();
    let empty = wrap(tag::SEQUENCE, b"");
    let parts = [wrap(2, b"\x01"), empty.clone(), empty.clone(), wrap(tag::SEQUENCE, &validity), empty];
    wrap(tag::SEQUENCE, &wrap(tag::SEQUENCE, &parts.concat()))
}

fn wrap(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag, u8::try_from(value.len()).unwrap()], value].concat()
}
