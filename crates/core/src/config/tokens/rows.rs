//! The keys of `tokens = { … }`.

use std::time::Duration;

use super::Tokens;
use crate::config::key::{Key, Reader, Section};
use crate::config::kind::{Flag, Nested, Span};
use crate::config::write::Writer;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

pub(in crate::config) const TOKENS: Nested<Tokens> = Nested { section: &SECTION, read, write };

static SECTION: Section = Section {
    path: "listener.tokens",
    doc: "Devices show a token that this gateway gave them; nothing of theirs goes on before that.",
    rows: &[&TOKEN_TTL, &ROTATE_AFTER, &REREGISTER_AFTER, &ALLOW_PLAINTEXT],
    later: &["register_requires", "key_file", "audience", "issuer", "leeway"],
};
static TOKEN_TTL: Key<Span> = Key {
    name: "token_ttl",
    kind: Span::from(SECOND, YEAR),
    default: || Tokens::default().token_ttl,
    doc: "how long a token is good",
};
static ROTATE_AFTER: Key<Span> = Key {
    name: "rotate_after",
    kind: Span::from(SECOND, YEAR),
    default: || Tokens::default().rotate_after,
    doc: "how old a token is, give or take a fifth, when a heartbeat's answer brings the next one",
};
static REREGISTER_AFTER: Key<Span> = Key {
    name: "reregister_after",
    kind: Span::from(SECOND, YEAR),
    default: || Tokens::default().reregister_after,
    doc: "so long unused, a device may be registered again",
};
pub(in crate::config) static ALLOW_PLAINTEXT: Key<Flag> = Key {
    name: "allow_plaintext",
    kind: Flag,
    default: || false,
    doc: "may tokens be sent where anybody on the way can read them: without TLS, and by kcp without \"aes-gcm\"?",
};

fn read(reader: &Reader<'_>) -> Option<Tokens> {
    let tokens = Tokens {
        token_ttl: reader.get(&TOKEN_TTL),
        rotate_after: reader.get(&ROTATE_AFTER),
        reregister_after: reader.get(&REREGISTER_AFTER),
        register_requires: None,
        allow_plaintext: reader.get(&ALLOW_PLAINTEXT),
    };
    // Drawn from a fifth less to a fifth more.
    if tokens.rotate_after + tokens.rotate_after / 5 >= tokens.token_ttl {
        let at = if reader.has(ROTATE_AFTER.name) { ROTATE_AFTER.name } else { TOKEN_TTL.name };
        let message =
            "`rotate_after` and a fifth of it reach `token_ttl`: tokens would end before the next one comes";
        reader.error(at, message, "rotate long before they end: 1h and 7d are usual");
    }
    Some(tokens)
}

fn write(writer: &mut Writer<'_>, tokens: &Tokens) {
    writer.put(&TOKEN_TTL, &tokens.token_ttl);
    writer.put(&ROTATE_AFTER, &tokens.rotate_after);
    writer.put(&REREGISTER_AFTER, &tokens.reregister_after);
    writer.put(&ALLOW_PLAINTEXT, &tokens.allow_plaintext);
}
