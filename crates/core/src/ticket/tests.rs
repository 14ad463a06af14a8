#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// docs/ticket.md is the specification: its own vectors are tested.
const SPECIFICATION: &str = include_str!("../../../../docs/ticket.md");

const KEY_FILE: &str = "0a0b0c0d:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";

fn ring() -> KeyRing {
    KeyRing::parse(KEY_FILE).unwrap()
}

fn ticket() -> Ticket {
    Ticket {
        target: NameTarget::Endpoint("10.0.0.7:7000".parse().unwrap()),
        exp: 1_800_000_060,
        jti: "t-1".into(),
        ip: None,
        device: None,
        once: false,
    }
}

fn mint(ticket: &Ticket) -> String {
    ticket.seal(ring().first().unwrap(), [7; NONCE]).unwrap()
}

/// Seals any content, as a careless minting program might.
fn seal_raw(content: &str) -> String {
    let ring = ring();
    let key = ring.first().unwrap();
    let mut sealed = content.as_bytes().to_vec();
    let aad = Aad::from(associated(key.id()));
    key.key().seal_in_place_append_tag(Nonce::assume_unique_for_key([7; NONCE]), aad, &mut sealed).unwrap();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode([&key.id().0[..], &[7; NONCE], &sealed].concat()))
}

#[test]
fn the_specifications_vectors_open_and_are_minted_alike() {
    assert!(SPECIFICATION.contains(KEY_FILE));
    let vectors = SPECIFICATION.split("```vectors\n").nth(1).unwrap().split("```").next().unwrap();
    let vectors: Vec<Vec<&str>> =
        vectors.split("\n\n").map(|vector| vector.trim().lines().collect()).collect();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let [nonce, content, sealed] = vector[..] else { panic!("{vector:?}") };
        let (ticket, id) = Ticket::open(sealed, &ring()).unwrap();
        assert_eq!(id.to_string(), "0a0b0c0d");
        let nonce = u128::from_str_radix(nonce, 16).unwrap().to_be_bytes();
        let nonce = *nonce.last_chunk().unwrap();
        assert_eq!(ticket.seal(ring().first().unwrap(), nonce).unwrap(), sealed, "{content}");
        let want: serde_json::Value = serde_json::from_str(content).unwrap();
        assert_eq!(want["exp"], ticket.exp);
        assert_eq!(want["jti"], *ticket.jti);
        assert_eq!(want["once"] == true, ticket.once);
    }
}

#[test]
fn what_is_sealed_is_opened() {
    for changed in [
        ticket(),
        Ticket { target: NameTarget::Upstream("lobby".into()), ..ticket() },
        Ticket { ip: Some("2001:db8::1".parse().unwrap()), device: Some("Gerät 7".into()), ..ticket() },
        Ticket { once: true, exp: Ticket::MAX_EXP, jti: "-_".repeat(32).into(), ..ticket() },
    ] {
        assert_eq!(Ticket::open(&mint(&changed), &ring()).unwrap(), (changed, KeyId([10, 11, 12, 13])));
    }
}

#[test]
fn what_is_no_ticket_is_malformed() {
    let good = mint(&ticket());
    for text in [
        "",
        "v1.",
        "v1",
        &good[3..],
        &good.replacen("v1.", "V1.", 1),
        &good.replacen("v1.", "v2.", 1),
        &format!(" {good}"),
        &format!("{good}\n"),
        &format!("{good}="),
        &good.replacen("v1.", "v1..", 1),
        &format!("v1.{}", "A".repeat(42)),
        &format!("v1.{}", "A".repeat(MAX_LEN)),
        "v1.!!!!",
    ] {
        assert_eq!(Ticket::open(text, &ring()).unwrap_err(), TicketError::Malformed, "{text}");
    }
    let wide = Ticket { target: NameTarget::Upstream("u".repeat(MAX_LEN).as_str().into()), ..ticket() };
    assert_eq!(wide.seal(ring().first().unwrap(), [7; NONCE]), Err(TicketError::Malformed));
}

#[test]
fn a_ticket_opens_with_its_own_key_only() {
    let sealed = mint(&ticket());
    let other = "0a0b0c0d:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    assert_eq!(Ticket::open(&sealed, &KeyRing::parse(other).unwrap()), Err(TicketError::Sealed));
    let unknown = KEY_FILE.replace("0a0b0c0d:", "0a0b0c0e:");
    let refused = Ticket::open(&sealed, &KeyRing::parse(&unknown).unwrap());
    assert_eq!(refused, Err(TicketError::UnknownKey(KeyId([10, 11, 12, 13]))));
    // The same secret under another id: the id is part of what is sealed.
    let mut whole = URL_SAFE_NO_PAD.decode(&sealed[3..]).unwrap();
    whole[3] = 14;
    let moved = format!("v1.{}", URL_SAFE_NO_PAD.encode(whole));
    assert_eq!(Ticket::open(&moved, &KeyRing::parse(&unknown).unwrap()), Err(TicketError::Sealed));
    // Rotation: the old key behind the new one.
    let both = format!("# new\n11111111:{}\n\n{KEY_FILE}", "22".repeat(32));
    let both = KeyRing::parse(&both).unwrap();
    assert!(Ticket::open(&sealed, &both).is_ok());
    assert_eq!(both.first().unwrap().id().to_string(), "11111111");
}

#[test]
fn a_content_out_of_bounds_is_refused() {
    let rows = [
        ("", "EOF"),
        ("[]", "expected"),
        (r#"{"exp":1,"jti":"a"}"#, "exactly one of"),
        (r#"{"target":"10.0.0.7:7000","upstream":"lobby","exp":1,"jti":"a"}"#, "exactly one of"),
        (r#"{"upstream":"","exp":1,"jti":"a"}"#, "exactly one of"),
        (r#"{"target":"10.7:7000","exp":1,"jti":"a"}"#, "neither an IPv4 address"),
        (r#"{"target":"10.0.0.7","exp":1,"jti":"a"}"#, "has no port"),
        (r#"{"target":7000,"exp":1,"jti":"a"}"#, "expected"),
        (r#"{"upstream":"lobby","jti":"a"}"#, "missing field `exp`"),
        (r#"{"upstream":"lobby","exp":1}"#, "missing field `jti`"),
        (r#"{"upstream":"lobby","exp":"1","jti":"a"}"#, "expected u64"),
        (r#"{"upstream":"lobby","exp":1.5,"jti":"a"}"#, "expected u64"),
        (r#"{"upstream":"lobby","exp":-1,"jti":"a"}"#, "expected u64"),
        (r#"{"upstream":"lobby","exp":1800000060000,"jti":"a"}"#, "counts seconds"),
        (r#"{"upstream":"lobby","exp":1,"jti":""}"#, "`jti` is"),
        (r#"{"upstream":"lobby","exp":1,"jti":"a b"}"#, "`jti` is"),
        (r#"{"upstream":"lobby","exp":1,"jti":"a","ip":"10.7"}"#, "IP address"),
        (r#"{"upstream":"lobby","exp":1,"jti":"a","ip":"10.0.0.0/8"}"#, "IP address"),
        (r#"{"upstream":"lobby","exp":1,"jti":"a","device":""}"#, "`device` is"),
        (r#"{"upstream":"lobby","exp":1,"jti":"a","device":"a\nb"}"#, "`device` is"),
        (r#"{"upstream":"lobby","exp":1,"jti":"a","once":1}"#, "expected a boolean"),
        (r#"{"upstream":"lobby","exp":1,"jti":"a","nbf":5}"#, "unknown field"),
        (r#"{"upstream":"lobby","exp":1,"exp":2,"jti":"a"}"#, "duplicate field"),
        (r#"{"upstream":"lobby","exp":1,"jti":"a"}{}"#, "trailing characters"),
    ];
    for (content, want) in rows {
        match Ticket::open(&seal_raw(content), &ring()) {
            // Nothing sealed at all is shorter than any ticket.
            Err(TicketError::Malformed) => assert_eq!(content, ""),
            Err(TicketError::Content(why)) => assert!(why.contains(want), "{content}: {why}"),
            other => panic!("{content}: {other:?}"),
        }
    }
}

#[test]
fn a_key_file_is_read_strictly_and_never_shown() {
    let key = "ab".repeat(32);
    let rows = [
        (String::new(), KeyRingError::Empty),
        ("# only a comment\n".into(), KeyRingError::Empty),
        (key.clone(), KeyRingError::Line { line: 1 }),
        (format!("0a0b0c0d:{key}\n0a0b0c0e:{}", &key[2..]), KeyRingError::Line { line: 2 }),
        (format!("0a0b0c0d:{key}00"), KeyRingError::Line { line: 1 }),
        (format!("0a0b0c:{key}"), KeyRingError::Line { line: 1 }),
        (format!("0a0b0c0d :{key}"), KeyRingError::Line { line: 1 }),
        (format!("0a0b0c0d:{}", key.replace('a', "g")), KeyRingError::Line { line: 1 }),
        (format!("0a0b0c0d:{}", key.replace("ab", "+b")), KeyRingError::Line { line: 1 }),
        (
            format!("0a0b0c0d:{key}\n\n0A0B0C0D:{key}"),
            KeyRingError::Twice { line: 3, id: KeyId([10, 11, 12, 13]) },
        ),
        ((0..65).map(|id| format!("{id:08x}:{key}\n")).collect(), KeyRingError::TooMany),
    ];
    for (text, want) in rows {
        let error = KeyRing::parse(&text).unwrap_err();
        assert!(!error.to_string().contains("abab"), "{error}");
        assert_eq!(error, want, "{text}");
    }
    let shown = format!("{:?}", KeyRing::parse(&format!("0a0b0c0d:{key}")).unwrap());
    assert!(shown.contains("***") && !shown.contains("ab") && !shown.contains("171"), "{shown}");
}

proptest! {
    #[test]
    fn one_flipped_bit_is_refused(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut text = mint(&ticket()).into_bytes();
        let at = at.index(text.len());
        text[at] ^= 1 << bit;
        if let Ok(text) = String::from_utf8(text) {
            prop_assert!(Ticket::open(&text, &ring()).is_err(), "bit {} of byte {}: {}", bit, at, text);
        }
    }
}
