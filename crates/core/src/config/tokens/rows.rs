//! The keys of `tokens = { … }`.

use std::path::PathBuf;
use std::time::Duration;

use super::{Tokens, Voucher};
use crate::config::key::{Key, Maybe, Reader, Section};
use crate::config::kind::{Choice, Flag, List, Nested, Span, Text, free_text};
use crate::config::process::FILE;
use crate::config::route::LEEWAY_SPAN;
use crate::config::write::Writer;
use crate::config::{Jwt, Ticket};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

pub(in crate::config) const TOKENS: Nested<Tokens> = Nested { section: &SECTION, read, write };

static SECTION: Section = Section {
    path: "listener.tokens",
    doc: "Devices show a token that this gateway gave them; nothing of theirs goes on before that.",
    rows: &[
        &TOKEN_TTL,
        &ROTATE_AFTER,
        &REREGISTER_AFTER,
        &REGISTER_REQUIRES,
        &KEY_FILE,
        &AUDIENCE,
        &ISSUER,
        &LEEWAY,
        &ALLOW_PLAINTEXT,
    ],
    later: &[],
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
static REGISTER_REQUIRES: Maybe<Choice<Word>> = Maybe {
    name: "register_requires",
    kind: Choice { noun: "proof", words: &[("jwt", Word::Jwt), ("ticket", Word::Ticket)], later: &[] },
    absent: "nothing",
    doc: "what a registration must show besides, as `proof`",
};
/// What is shown, without how it is checked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Jwt,
    Ticket,
}
static KEY_FILE: Key<List<Text<PathBuf>>> = Key {
    name: "key_file",
    kind: List::or_one(FILE),
    default: Vec::new,
    doc: "files with the keys that it is checked with (jwt: PEM, JWK(S), or raw bytes for HS256; ticket: ticket keys); \
          required with `register_requires`",
};
static AUDIENCE: Key<List<Text<Box<str>>>> = Key {
    name: "audience",
    kind: List::or_one(free_text("string", "game")),
    default: Vec::new,
    doc: "accepted `aud` of the JWT; [] = not asked",
};
static ISSUER: Key<List<Text<Box<str>>>> = Key {
    name: "issuer",
    kind: List::or_one(free_text("string", "https://login.example")),
    default: Vec::new,
    doc: "accepted `iss` of the JWT; [] = not asked",
};
static LEEWAY: Key<Span> = Key {
    name: "leeway",
    kind: Span::from(Duration::ZERO, Duration::from_secs(3600)),
    default: || LEEWAY_SPAN,
    doc: "clock difference that is forgiven when the JWT or the ticket expires",
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
        register_requires: read_voucher(reader),
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

fn read_voucher(reader: &Reader<'_>) -> Option<Voucher> {
    let (key_files, leeway) = (reader.get(&KEY_FILE), reader.get(&LEEWAY));
    let (audience, issuer) = (reader.get(&AUDIENCE), reader.get(&ISSUER));
    let word = reader.find(&REGISTER_REQUIRES);
    if !reader.has(REGISTER_REQUIRES.name) {
        let hint = "take it out, or set `register_requires = \"jwt\"`";
        let idle = [KEY_FILE.name, AUDIENCE.name, ISSUER.name, LEEWAY.name];
        reader.refuse(&idle, "without `register_requires`", hint);
    }
    if word == Some(Word::Ticket) {
        let hint = "take it out, or set `register_requires = \"jwt\"`";
        reader.refuse(&[AUDIENCE.name, ISSUER.name], "with tickets", hint);
    }
    if word.is_some() && key_files.is_empty() && !reader.is_broken(&KEY_FILE) {
        let example = if word == Some(Word::Ticket) { "ticket.key" } else { "login.pem" };
        let hint = format!("add `key_file = \"{example}\"`: the keys that it is checked with");
        reader.error(REGISTER_REQUIRES.name, "`key_file` is missing, `register_requires` needs it", hint);
    }
    Some(match word? {
        Word::Jwt => Voucher::Jwt(Jwt { key_files, audience, issuer, leeway }),
        Word::Ticket => Voucher::Ticket(Ticket { key_files, leeway }),
    })
}

fn write(writer: &mut Writer<'_>, tokens: &Tokens) {
    writer.put(&TOKEN_TTL, &tokens.token_ttl);
    writer.put(&ROTATE_AFTER, &tokens.rotate_after);
    writer.put(&REREGISTER_AFTER, &tokens.reregister_after);
    match &tokens.register_requires {
        None => {}
        Some(Voucher::Jwt(jwt)) => {
            writer.put_maybe(&REGISTER_REQUIRES, &Word::Jwt, false);
            writer.put(&KEY_FILE, &jwt.key_files);
            writer.put(&AUDIENCE, &jwt.audience);
            writer.put(&ISSUER, &jwt.issuer);
            writer.put(&LEEWAY, &jwt.leeway);
        }
        Some(Voucher::Ticket(ticket)) => {
            writer.put_maybe(&REGISTER_REQUIRES, &Word::Ticket, false);
            writer.put(&KEY_FILE, &ticket.key_files);
            writer.put(&LEEWAY, &ticket.leeway);
        }
    }
    writer.put(&ALLOW_PLAINTEXT, &tokens.allow_plaintext);
}
