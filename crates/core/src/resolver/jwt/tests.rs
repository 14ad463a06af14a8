#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use TokenFault as Fault;

mod keys;
use self::keys::{Signer, ec, ed, hmac, rsa, x509};

const NOW: u64 = 1_800_000_000;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)
}

fn claims() -> Value {
    json!({ "sub": "player-7", "exp": NOW + 60, "host": "10.0.0.7", "port": 7000 })
}

/// The claims with one of them changed; `null` takes it out.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    let object = claims.as_object_mut().unwrap();
    if value.is_null() {
        object.remove(name)
    } else {
        object.insert(name.into(), value)
    };
    claims
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn verify(signer: &Signer, token: &str) -> Result<Claims, Refusal> {
    Verifier::of_key_file(&signer.key_file).unwrap().verify(token, now())
}

#[test]
fn a_good_token_of_every_kind_of_key_is_accepted() {
    for signer in [hmac(), rsa(), ec("P-256"), ec("P-384"), ed()] {
        let token = signer.mint(&json!({ "alg": signer.algorithm, "typ": "JWT", "kid": "any" }), &claims());
        let claims = verify(signer, &token).unwrap_or_else(|error| panic!("{}: {error}", signer.algorithm));
        assert_eq!(claims.subject.as_deref(), Some("player-7"));
        assert_eq!(claims.target, NameTarget::Endpoint("10.0.0.7:7000".parse().unwrap()));
    }
}

#[test]
fn a_target_is_claimed_in_every_form_that_is_documented() {
    let rows = [
        (json!({ "host": "10.0.0.7", "port": 7000 }), Ok("10.0.0.7:7000")),
        (json!({ "host": "10.0.0.7", "port": "7000" }), Ok("10.0.0.7:7000")),
        (json!({ "host": "fd00::1", "port": 7000 }), Ok("[fd00::1]:7000")),
        (json!({ "host": "[fd00::1]", "port": 7000 }), Ok("[fd00::1]:7000")),
        (json!({ "host": "Lobby.internal", "port": 7000 }), Ok("lobby.internal:7000")),
        (json!({ "upstream": "lobby" }), Ok("lobby")),
        (json!({}), Err(())),
        (json!({ "host": "10.0.0.7" }), Err(())),
        (json!({ "port": 7000 }), Err(())),
        (json!({ "host": "10.0.0.7", "port": 0 }), Err(())),
        (json!({ "host": "10.0.0.7", "port": 65536 }), Err(())),
        (json!({ "host": "10.0.0.7", "port": -1 }), Err(())),
        (json!({ "host": "10.0.0.7", "port": 7000.5 }), Err(())),
        (json!({ "host": "10.0.0.7", "port": "+7000" }), Err(())),
        (json!({ "host": "10.0.0.7", "port": "0x50" }), Err(())),
        (json!({ "host": "10.0.0.7", "port": [7000] }), Err(())),
        (json!({ "host": "10.0.0.7", "port": null }), Err(())),
        (json!({ "host": 167772167, "port": 7000 }), Err(())),
        (json!({ "host": "10.7", "port": 7000 }), Err(())),
        (json!({ "host": "10.0.0.7:7000", "port": 7000 }), Err(())),
        (json!({ "host": "10.0.0.7 ", "port": 7000 }), Err(())),
        (json!({ "host": "", "port": 7000 }), Err(())),
        (json!({ "host": "10.0.0.7", "port": 7000, "upstream": "lobby" }), Err(())),
        (json!({ "upstream": 1 }), Err(())),
    ];
    for (mut claims, want) in rows {
        claims.as_object_mut().unwrap().insert("exp".into(), json!(NOW + 60));
        let token = hmac().mint(&json!({ "alg": "HS256" }), &claims);
        let got = verify(hmac(), &token).map(|claims| match claims.target {
            NameTarget::Endpoint(endpoint) => endpoint.to_string(),
            NameTarget::Upstream(name) => name.to_string(),
        });
        assert_eq!(got, want.map(String::from).map_err(|()| Fault::Claims.into()), "{claims}");
    }
}

#[test]
fn time_audience_and_issuer_are_checked() {
    let rows = [
        (with("exp", json!(NOW - 59)), Ok(())),
        (with("exp", json!(NOW - 60)), Err(Fault::Expired)),
        (with("exp", json!(0)), Err(Fault::Expired)),
        (with("exp", json!(NOW as f64 + 0.5)), Ok(())),
        (with("exp", json!(null)), Err(Fault::Claims)),
        (with("nbf", json!(NOW + 60)), Ok(())),
        (with("nbf", json!(NOW + 61)), Err(Fault::NotYet)),
        (with("nbf", json!("now")), Err(Fault::Claims)),
        (with("aud", json!("lobby")), Ok(())),
        (with("aud", json!(["x", "gate"])), Ok(())),
        (with("aud", json!("x")), Err(Fault::Audience)),
        (with("aud", json!([])), Err(Fault::Audience)),
        (with("aud", json!(["gate", 1])), Err(Fault::Audience)),
        (with("aud", json!({ "gate": 1 })), Err(Fault::Audience)),
        (with("aud", json!(null)), Err(Fault::Audience)),
        (with("iss", json!("x")), Err(Fault::Issuer)),
        (with("iss", json!(["login"])), Err(Fault::Issuer)),
        (with("iss", json!(null)), Err(Fault::Issuer)),
    ];
    let verifier = Verifier::of_key_file(&hmac().key_file).unwrap();
    let verifier = verifier.expecting(vec!["gate".into(), "lobby".into()], vec!["login".into()]);
    for (mut claims, want) in rows {
        let object = claims.as_object_mut().unwrap();
        let about = |name: &str| want == Err(if name == "aud" { Fault::Audience } else { Fault::Issuer });
        for (name, value) in [("aud", "gate"), ("iss", "login")] {
            if !object.contains_key(name) && !about(name) {
                object.insert(name.into(), value.into());
            }
        }
        let token = hmac().mint(&json!({ "alg": "HS256" }), &claims);
        assert_eq!(verifier.verify(&token, now()).map(|_| ()), want.map_err(Refusal::Token), "{claims}");
    }
    let token = hmac().mint(&json!({ "alg": "HS256" }), &claims());
    let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(verifier.verify(&token, before_1970), Err(Fault::Expired.into()));
}

/// Seed defects L1, L2 and L2b by name: a port that is a number, base64url, and a signature that is checked.
#[test]
fn l1_l2_l2b_the_seeds_defects_in_tokens_are_not_ours() {
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    // L1: a number as the port, and every other shape of claims, has an outcome and no panic.
    assert!(verify(hmac(), &hmac().mint(&header, &with("port", json!(7083)))).is_ok());
    for odd in [with("port", json!("x")), with("host", json!(null)), json!([]), json!("text"), json!(1)] {
        assert_eq!(verify(hmac(), &hmac().mint(&header, &odd)), Err(Fault::Claims.into()), "{odd}");
    }
    let message = format!("{}.{}", base64(header.to_string()), base64("no json"));
    assert_eq!(verify(hmac(), &hmac().sign(&message)), Err(Fault::Claims.into()));
    // L2: base64url without padding is what tokens are; standard base64 is no token.
    let wide = hmac().mint(&header, &with("sub", json!("~~~???>>>")));
    assert!(wide.contains(['-', '_']) && verify(hmac(), &wide).is_ok());
    assert_eq!(verify(hmac(), &wide.replace('-', "+").replace('_', "/")), Err(Refusal::Malformed));
    // L2b: a wrong signature, none at all, and a time that is past.
    let signed = hmac().mint(&header, &claims());
    let unsigned = signed.rsplit_once('.').unwrap().0;
    assert_eq!(verify(hmac(), &format!("{unsigned}.{}", base64("garbage"))), Err(Fault::Signature.into()));
    assert_eq!(verify(hmac(), &format!("{unsigned}.")), Err(Fault::Signature.into()));
    assert_eq!(verify(hmac(), &hmac().mint(&header, &with("exp", json!(1)))), Err(Fault::Expired.into()));
}

/// What is forged, the key that must refuse it, and the token.
type Forged = (&'static str, &'static Signer, String);

/// Tokens that somebody without the private key could make, or that a careless reader would take.
fn forged() -> Vec<Forged> {
    [wrong_algorithms(), bad_headers_and_claims(), bad_json(), other_forms()].concat()
}

fn wrong_algorithms() -> Vec<Forged> {
    let mut all = Vec::new();
    let payload = base64(claims().to_string());
    // No signature wanted.
    for none in ["none", "None", "NONE", "nOnE", "", "HS256 ", " HS256", "hs256", "HS256\u{0}", "null"] {
        for signature in ["", "AAAA"] {
            let header = base64(json!({ "alg": none, "typ": "JWT" }).to_string());
            all.push(("alg of no key", hmac(), format!("{header}.{payload}.{signature}")));
        }
    }
    // The public key as an HMAC secret, in each form in which it is known.
    for signer in [rsa(), ec("P-256"), ec("P-384"), ed()] {
        let trimmed = signer.key_file.trim_ascii_end().to_vec();
        for secret in [signer.key_file.clone(), trimmed, x509(signer), vec![]] {
            for label in ["HS256", "HS384", "HS512"] {
                let token = keys::hmac_with(&secret, label).mint(&json!({ "alg": label }), &claims());
                all.push(("public key as a secret", signer, token));
            }
        }
    }
    // The right key under another algorithm of its family, or of another.
    for (signer, label) in
        [(rsa(), "RS384"), (rsa(), "RS512"), (rsa(), "PS256"), (hmac(), "HS384"), (hmac(), "HS512")]
    {
        all.push((
            "algorithm not pinned",
            signer,
            signer.mint_as(label, &json!({ "alg": label }), &claims()),
        ));
    }
    // Signatures that fit nothing, or that a broken check would take (r = s = 0).
    for (signer, len) in [(ec("P-256"), 64), (ec("P-384"), 96), (ed(), 64), (rsa(), 256)] {
        for byte in [0, 0xff] {
            let header = base64(json!({ "alg": signer.algorithm }).to_string());
            all.push((
                "signature of one byte",
                signer,
                format!("{header}.{payload}.{}", base64(vec![byte; len])),
            ));
        }
    }
    all
}

/// Good signatures under a header, or over claims, that must not be accepted.
fn bad_headers_and_claims() -> Vec<Forged> {
    let mut all = Vec::new();
    let header = |value: Value| (value, claims());
    for (what, (header, claims)) in [
        ("crit", header(json!({ "alg": "HS256", "crit": ["exp"] }))),
        ("crit, empty", header(json!({ "alg": "HS256", "crit": [] }))),
        ("crit of something unknown", header(json!({ "alg": "HS256", "crit": ["x"], "x": 1 }))),
        ("unencoded payload", header(json!({ "alg": "HS256", "b64": false }))),
        ("compressed", header(json!({ "alg": "HS256", "zip": "DEF" }))),
        ("kid is a path", header(json!({ "alg": "HS256", "kid": "../../dev/null" }))),
        ("kid is a query", header(json!({ "alg": "HS256", "kid": "x' UNION SELECT 'k' --" }))),
        ("kid is empty", header(json!({ "alg": "HS256", "kid": "" }))),
        ("kid is a number", header(json!({ "alg": "HS256", "kid": 1 }))),
        ("kid is null", header(json!({ "alg": "HS256", "kid": null }))),
        ("kid is long", header(json!({ "alg": "HS256", "kid": "k".repeat(65) }))),
        ("alg is an array", header(json!({ "alg": ["HS256"] }))),
        ("alg is a number", header(json!({ "alg": 256 }))),
        ("no alg", header(json!({ "typ": "JWT" }))),
        ("exp is text", (json!({ "alg": "HS256" }), with("exp", json!((NOW + 60).to_string())))),
        ("exp is far", (json!({ "alg": "HS256" }), with("exp", json!(1e300)))),
        ("exp is in milliseconds", (json!({ "alg": "HS256" }), with("exp", json!((NOW + 60) * 1000)))),
        ("exp is negative", (json!({ "alg": "HS256" }), with("exp", json!(-1)))),
        ("exp is true", (json!({ "alg": "HS256" }), with("exp", json!(true)))),
        ("sub is a number", (json!({ "alg": "HS256" }), with("sub", json!(7)))),
        ("sub breaks the line", (json!({ "alg": "HS256" }), with("sub", json!("a\nb")))),
        ("sub is long", (json!({ "alg": "HS256" }), with("sub", json!("s".repeat(129))))),
        ("sub is empty", (json!({ "alg": "HS256" }), with("sub", json!("")))),
    ] {
        all.push((what, hmac(), hmac().mint(&header, &claims)));
    }
    all
}

/// JSON that two readers read differently, under a good signature.
fn bad_json() -> Vec<Forged> {
    let mut all = Vec::new();
    let good = json!({ "alg": "HS256" }).to_string();
    for (what, header, claims) in [
        ("alg twice", r#"{"alg":"HS256","alg":"HS256"}"#, claims().to_string()),
        ("alg none first", r#"{"alg":"none","alg":"HS256"}"#, claims().to_string()),
        ("exp twice", &*good, format!(r#"{{"exp":1,{}"#, &claims().to_string()[1..])),
        ("host twice", &*good, format!(r#"{{"host":"127.0.0.1",{}"#, &claims().to_string()[1..])),
        (
            "twice, with an escape",
            &*good,
            format!(r#"{{"\u0068ost":"127.0.0.1",{}"#, &claims().to_string()[1..]),
        ),
        ("twice, deep inside", &*good, format!(r#"{{"a":[{{"b":1,"b":2}}],{}"#, &claims().to_string()[1..])),
        ("exp is NaN", &*good, r#"{"exp":NaN,"host":"10.0.0.7","port":7000}"#.into()),
        ("exp is Infinity", &*good, r#"{"exp":1e999,"host":"10.0.0.7","port":7000}"#.into()),
        ("text behind", &*good, format!("{}x", claims())),
        ("a comment", &*good, format!("/**/{}", claims())),
        ("deep", &*good, format!("{}{}", "[".repeat(2000), "]".repeat(2000))),
        ("a mark before", &*good, format!("\u{feff}{}", claims())),
    ] {
        all.push((what, hmac(), hmac().sign(&format!("{}.{}", base64(header), base64(claims)))));
    }
    all
}

/// What is not the compact form, around a good token.
fn other_forms() -> Vec<Forged> {
    let mut all = Vec::new();
    let token = hmac().mint(&json!({ "alg": "HS256" }), &claims());
    let [head, body, sign] = token.split('.').collect::<Vec<_>>()[..] else { panic!("three parts") };
    for changed in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        format!("{head}.{body}"),
        format!("{head}.{body}.{sign}."),
        format!(".{head}.{body}.{sign}"),
        format!("{head}.{body}.{sign}.{sign}.{sign}"),
        format!("{head}..{sign}"),
        format!(".{body}.{sign}"),
        format!("{head}.{body}.{sign}="),
        format!("{head}=.{body}.{sign}"),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("Bearer {token}"),
        format!("{head}.{body}.{}", &sign[..sign.len() - 1]),
        format!("{head}.{body}.{sign}A"),
        format!("{head}.{body}.{}", sign.repeat(2)),
        format!("{body}.{head}.{sign}"),
        format!("{head}.{body}.{}", base64([0; 32])),
        token.to_uppercase(),
        format!("{token}{}", "A".repeat(MAX_LEN)),
    ] {
        all.push(("another form", hmac(), changed));
    }
    all
}

#[test]
fn every_forged_token_is_refused() {
    let all = forged();
    assert!(all.len() >= 120, "{}", all.len());
    for (what, signer, token) in all {
        let verdict = verify(signer, &token);
        assert!(verdict.is_err(), "{what}: accepted {token}");
    }
}

#[test]
fn a_token_at_the_limit_is_read_and_one_beyond_is_not() {
    let header = json!({ "alg": "HS256" });
    let sized = |pad: usize| hmac().mint(&header, &with("pad", json!("x".repeat(pad))));
    let pad = (0..4096).rev().find(|pad| sized(*pad).len() <= MAX_LEN).unwrap();
    assert!(verify(hmac(), &sized(pad)).is_ok());
    assert_eq!(verify(hmac(), &sized(pad + 3)), Err(Fault::TooLong.into()));
}

proptest! {
    #[test]
    fn one_flipped_bit_is_refused(kind in 0_usize..5, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let signer = [hmac(), rsa(), ec("P-256"), ec("P-384"), ed()][kind];
        let mut token = signer.mint(&json!({ "alg": signer.algorithm }), &claims()).into_bytes();
        let at = at.index(token.len());
        token[at] ^= 1 << bit;
        if let Ok(token) = String::from_utf8(token) {
            prop_assert!(verify(signer, &token).is_err(), "bit {} of byte {}: {}", bit, at, token);
        }
    }

    #[test]
    fn no_text_is_a_token(text in "[-A-Za-z0-9_.{}\":, ]{0,200}") {
        prop_assert!(verify(hmac(), &text).is_err());
    }
}
