//! An upgrade means the same however it is cut, and nothing in it breaks out of the answer's lines.

use portcullis_core::wire::http_upgrade::client::AnswerReader;
use portcullis_core::wire::http_upgrade::{
    MAX_HEAD, Upgrade, UpgradeError, UpgradeReader, UpgradeRules, UpgradeStep,
};

/// `data`: the size of the parts, a byte of rules, then the wire.
pub fn run(data: &[u8]) {
    let Some((size, data)) = super::cut(data) else { return };
    let Some((choice, wire)) = data.split_first() else { return };
    let origins = ["https://play.example".into(), "none".into()];
    let paths = ["/ws".into()];
    let rules = UpgradeRules {
        header: "server-identify",
        query: choice & 1 == 0,
        origins: if choice & 2 == 0 { &[] } else { &origins },
        paths: if choice & 4 == 0 { &[] } else { &paths },
        max_key: 100,
    };
    let whole = read(wire, wire.len().max(1), &rules);
    assert_eq!(read(wire, size, &rules), whole, "in parts of {size}");
    if let Ok(Some((upgrade, response, surplus))) = whole {
        check(&upgrade, &response);
        assert!(wire.ends_with(&surplus) && wire.len() - surplus.len() <= MAX_HEAD);
    }
    // The same bytes as an answer to a client: whatever they are, they are read without a panic.
    let mut answer = AnswerReader::new([7; 16]);
    for part in wire.chunks(size) {
        if answer.handle_bytes(part).is_err() {
            break;
        }
    }
}

fn check(upgrade: &Upgrade, response: &[u8]) {
    if let Ok(Some(key)) = &upgrade.key {
        assert!(!key.is_empty() && key.len() <= 100 && !key.contains('\0'));
    }
    assert!(upgrade.path.starts_with('/') && !upgrade.path.contains(['?', '#', ' ']));
    let response = std::str::from_utf8(response).expect("the answer is text");
    assert!(response.starts_with("HTTP/1.1 101 ") && response.ends_with("\r\n\r\n"));
    let lines = response.split("\r\n").count();
    assert!((6..=7).contains(&lines), "{lines} lines: {response:?}");
    assert_eq!(response.matches(['\r', '\n']).count(), 2 * (lines - 1));
}

/// The upgrade, the answer and all that follows the head; `None` where it is not whole.
type Read = Option<(Upgrade, Vec<u8>, Vec<u8>)>;

fn read(wire: &[u8], size: usize, rules: &UpgradeRules<'_>) -> Result<Read, UpgradeError> {
    let mut reader = UpgradeReader::new();
    let mut at = 0;
    for part in wire.chunks(size) {
        at += part.len();
        match reader.handle_bytes(part, rules)? {
            UpgradeStep::NeedMore { at_most } => assert!((1..MAX_HEAD).contains(&at_most)),
            UpgradeStep::Done { upgrade, response, surplus } => {
                return Ok(Some((upgrade, response, [&surplus[..], &wire[at..]].concat())));
            }
        }
    }
    Ok(None)
}
