//! Kinds of value that only KCP has: a cipher, and the shards of forward error correction.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a kind names the types it takes; every other one is wrong, also one to come"
)]

use serde_json::{Value as Json, json};

use crate::config::error::suggest;
use crate::config::kind::{Kind, Place, quoted};
use crate::config::tree::{Node, Value};
use crate::wire::kcp::crypt::Cipher;

/// Names that kcptun and kcp-go have and we do not, with what to say of them.
const ELSEWHERE: &[(&str, &str)] = &[
    ("aes", "kcptun's `aes` is `aes-256` here"),
    ("aes-128-gcm", "kcptun's `aes-128-gcm` is `aes-gcm` here"),
    ("aes-gcm-128", "`aes-gcm` has the length of its key"),
    ("sm4", "sm4 is not spoken here"),
    ("twofish", "twofish is not spoken here"),
    ("blowfish", "blowfish is not spoken here: blocks of 8 bytes repeat"),
    ("cast5", "cast5 is not spoken here: blocks of 8 bytes repeat"),
    ("3des", "3des is not spoken here: blocks of 8 bytes repeat"),
    ("tea", "tea is not spoken here: it is broken"),
    ("xtea", "xtea is not spoken here: blocks of 8 bytes repeat"),
];

/// One of the ciphers.
pub(super) struct Ciphers;

impl Kind for Ciphers {
    type Out = Cipher;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<Cipher> {
        let Value::Text(text) = &node.value else {
            place.mistyped(node, "a string", &quoted(Cipher::Null.label()));
            return None;
        };
        let found = Cipher::from_label(text);
        if found.is_none() {
            let known = Cipher::ALL.iter().map(|cipher| cipher.label());
            let elsewhere = ELSEWHERE.iter().find(|(name, _)| name == text);
            let (message, hint) = match elsewhere {
                Some((_, why)) => {
                    ((*why).to_owned(), format!("known: {}", known.collect::<Vec<_>>().join(", ")))
                }
                None => ("unknown cipher".to_owned(), suggest(text, known)),
            };
            place.report.error(&node.at, format!("`{}`: {message}", place.key), hint);
        }
        found
    }

    fn show(&self, cipher: &Cipher) -> String {
        quoted(cipher.label())
    }

    fn label(&self) -> String {
        Cipher::ALL.iter().map(|cipher| quoted(cipher.label())).collect::<Vec<_>>().join(" or ")
    }

    fn schema(&self) -> Json {
        json!({ "enum": Cipher::ALL.iter().map(|cipher| cipher.label()).collect::<Vec<_>>() })
    }
}

/// `[data, parity]`, or `false`.
pub(super) struct Shards;

impl Kind for Shards {
    type Out = Option<(u8, u8)>;

    fn read(&self, node: &Node, place: &Place<'_>) -> Option<Self::Out> {
        let numbers = match &node.value {
            Value::Flag(false) => return Some(None),
            Value::List(items) if items.is_empty() => return Some(None),
            Value::List(items) => items.iter().map(|item| match item.value {
                Value::Whole(number) => u8::try_from(number).ok().filter(|number| *number > 0),
                _ => None,
            }),
            _ => {
                place.mistyped(node, "data and parity shards", "[10, 3]");
                return None;
            }
        };
        // The numbers stand in a field of 256 elements, one of which is zero.
        let good = match numbers.collect::<Option<Vec<u8>>>().as_deref() {
            Some([data, parity]) => data.checked_add(*parity).map(|_| (*data, *parity)),
            _ => None,
        };
        if good.is_none() {
            let hint =
                "data and parity, each at least 1 and at most 255 together, as in `[10, 3]`; `false` = off";
            place.report.error(&node.at, format!("`{}` is not understood", place.key), hint);
        }
        good.map(Some)
    }

    fn show(&self, value: &Self::Out) -> String {
        value.map_or_else(|| "false".into(), |(data, parity)| format!("[{data}, {parity}]"))
    }

    fn label(&self) -> String {
        "[data, parity], or false".into()
    }

    fn schema(&self) -> Json {
        let shard = json!({ "type": "integer", "minimum": 1, "maximum": 254 });
        json!({ "oneOf": [{ "const": false }, { "type": "array", "items": shard, "maxItems": 2 }] })
    }
}
