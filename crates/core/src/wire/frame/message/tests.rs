#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::time::{Duration, UNIX_EPOCH};

use super::*;

const TOKEN: &str = "0b6e5c0e-6a58-4f0e-9a54-1f6f3c7a2b11";

/// How each codec writes what clients and the gateway say: register, login, heartbeat, heartbeat with a new token,
/// token, login's answer, error.
const WRITTEN: [(FrameCodec, [&[u8]; 7]); 3] = [
    (
        FrameCodec::Json,
        [
            br#"{"client_id":"d-1","proof":"p"}"#,
            br#"{"client_id":"d-1","token":"t-1"}"#,
            br#"{"srvTime":"20261120205458"}"#,
            br#"{"srvTime":"20261120205458","token":"t-2","expires_at":7}"#,
            br#"{"token":"t-2","expires_at":7}"#,
            br#"{"expires_at":7}"#,
            br#"{"message":"error: request rate limit exceeded"}"#,
        ],
    ),
    (
        FrameCodec::Protobuf,
        [
            b"\x0a\x03d-1\x12\x01p",
            b"\x0a\x03d-1\x12\x03t-1",
            b"\x0a\x0e20261120205458",
            b"\x0a\x0e20261120205458\x12\x03t-2\x18\x07",
            b"\x0a\x03t-2\x10\x07",
            b"\x10\x07",
            b"\x0a\x22error: request rate limit exceeded",
        ],
    ),
    (
        FrameCodec::Xml,
        [
            b"<register><client_id>d-1</client_id><proof>p</proof></register>",
            b"<login><client_id>d-1</client_id><token>t-1</token></login>",
            b"<heartbeat-reply><srvTime>20261120205458</srvTime></heartbeat-reply>",
            b"<heartbeat-reply><srvTime>20261120205458</srvTime><token>t-2</token><expires_at>7</expires_at></heartbeat-reply>",
            b"<token-reply><token>t-2</token><expires_at>7</expires_at></token-reply>",
            b"<token-reply><expires_at>7</expires_at></token-reply>",
            b"<error><message>error: request rate limit exceeded</message></error>",
        ],
    ),
];

#[test]
fn every_codec_says_all_there_is_to_say() {
    let stamp = Stamp::from(UNIX_EPOCH + Duration::from_secs(1_795_208_098));
    let granted = Granted { token: "t-2", expires_at: 7 };
    for codec in CODECS {
        let [register, login, said @ ..] = written(codec.codec);
        let wanted = Register { client_id: "d-1".into(), proof: Some("p".into()) };
        assert_eq!((codec.register)(register), Ok(wanted), "{codec:?}");
        let wanted = Login { client_id: "d-1".into(), token: "t-1".into() };
        assert_eq!((codec.login)(login), Ok(wanted), "{codec:?}");
        let replies = [
            Reply::Heartbeat(stamp, None),
            Reply::Heartbeat(stamp, Some(granted)),
            Reply::Token(granted),
            Reply::LoggedIn { expires_at: 7 },
            Reply::Error(RATE_LIMITED),
        ];
        for (reply, want) in replies.iter().zip(said) {
            let mut to = b"behind ".to_vec();
            (codec.write)(reply, &mut to);
            assert_eq!(to, [b"behind ", want].concat(), "{codec:?} {reply:?}");
        }
    }
}

#[test]
fn every_codec_refuses_what_is_cut_too_long_or_not_its_own() {
    for codec in CODECS {
        let [register, login, ..] = written(codec.codec);
        for cut in 0..login.len() {
            assert!((codec.login)(&login[..cut]).is_err(), "{codec:?} cut at {cut}");
        }
        assert!((codec.login)(register).is_err() || codec.codec == FrameCodec::Protobuf, "{codec:?}");
        assert_eq!((codec.register)(b""), Err(Malformed), "{codec:?}");
        for other in CODECS.iter().filter(|other| other.codec != codec.codec) {
            assert!((other.register)(register).is_err(), "{codec:?} read as {other:?}");
        }
        let long = long(codec.codec, MESSAGE_MAX);
        assert!((codec.register)(&long).is_err(), "{codec:?}: {} bytes", long.len());
        assert!((codec.register)(&self::long(codec.codec, 1000)).is_ok(), "{codec:?}");
    }
}

#[test]
fn a_name_stands_once_in_every_codec() {
    let twice: [(FrameCodec, &[u8]); 3] = [
        (FrameCodec::Json, br#"{"client_id":"a","client_id":"b"}"#),
        (FrameCodec::Protobuf, b"\x0a\x01a\x0a\x01b"),
        (FrameCodec::Xml, b"<register><client_id>a</client_id><client_id>b</client_id></register>"),
    ];
    for (codec, wire) in twice {
        assert_eq!((Codec::of(codec).register)(wire), Err(Malformed), "{codec:?}");
    }
}

#[test]
fn json_bombs_and_what_is_no_object_are_refused() {
    let deep = [&br#"{"client_id":"a","x":"#[..], &b"[".repeat(7000)].concat();
    let deep_closed =
        [&br#"{"client_id":"a","x":"#[..], &b"[".repeat(3000), &b"]".repeat(3000), b"}"].concat();
    for wire in [
        &deep[..],
        &deep_closed,
        br#"["a",null,null]"#,
        br#"  ["a"]"#,
        b"null",
        br#"{"client_id":7}"#,
        br#"{"client_id":"a"} x"#,
        b"{\"client_id\":\"\xff\"}",
        br#"{"client_id":"\ud800"}"#,
        br#"{"client_id":{"$ne":null}}"#,
    ] {
        let head = String::from_utf8_lossy(&wire[..wire.len().min(60)]);
        assert!((Codec::of(FrameCodec::Json).register)(wire).is_err(), "{head}");
    }
    for more in
        [&br#" {"later":{"a":[1]},"client_id":"a"} "#[..], br#"{"client_id":"[[[[[[[[[[[[[[[[[[[[\"[["}"#]
    {
        assert!((Codec::of(FrameCodec::Json).register)(more).is_ok());
    }
}

#[test]
fn xml_has_no_entities_and_nothing_else_that_stands_for_something() {
    let body = "<client_id>a</client_id>";
    for wire in [
        format!("<!DOCTYPE r [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><register>{body}</register>"),
        format!("<!DOCTYPE r SYSTEM \"file:///etc/passwd\"><register>{body}</register>"),
        "<register><client_id>&a;</client_id></register>".into(),
        "<register><client_id>&#97;</client_id></register>".into(),
        "<register><client_id>a&amp;b</client_id></register>".into(),
        "<register><client_id><![CDATA[a]]></client_id></register>".into(),
        "<register><client_id>a<!-- b --></client_id></register>".into(),
        "<register><client_id x=\"1\">a</client_id></register>".into(),
        format!("<register xmlns:x=\"urn:x\">{body}</register>"),
        "<register><client_id><b>a</b></client_id></register>".into(),
        format!("<?xml-stylesheet href=\"x\"?><register>{body}</register>"),
        format!("<register>{body}</login>"),
        format!("<register>{body}"),
        format!("<register>{body}</register>x"),
        format!("<register>{body}</register><register>{body}</register>"),
        format!("<login>{body}</login>"),
        format!("x<register>{body}</register>"),
        "<register>".repeat(800),
    ] {
        assert!((Codec::of(FrameCodec::Xml).register)(wire.as_bytes()).is_err(), "{wire}");
    }
    let said = format!("<?xml version=\"1.0\"?>\n<register>\n {body}<later>1</later><more/>\n</register>\n");
    let wanted = Register { client_id: "a".into(), proof: None };
    assert_eq!((Codec::of(FrameCodec::Xml).register)(said.as_bytes()), Ok(wanted));
}

#[test]
fn no_secret_is_printed() {
    let login = Login { client_id: "d-1".into(), token: TOKEN.into() };
    let register = Register { client_id: "d-1".into(), proof: Some(TOKEN.into()) };
    let reply = Reply::Token(Granted { token: TOKEN, expires_at: 1 });
    assert!(!format!("{login:?} {register:?} {reply:?}").contains(TOKEN));
}

fn written(codec: FrameCodec) -> [&'static [u8]; 7] {
    WRITTEN.iter().find(|(row, _)| *row == codec).map(|(_, written)| *written).unwrap()
}

/// A registration whose client_id has `count` bytes.
fn long(codec: FrameCodec, count: usize) -> Vec<u8> {
    let id = "a".repeat(count);
    match codec {
        FrameCodec::Json => format!("{{\"client_id\":\"{id}\"}}").into_bytes(),
        FrameCodec::Protobuf => {
            let prefix = [0x0a, (count & 0x7f) as u8 | 0x80, (count >> 7) as u8];
            [&prefix[..], id.as_bytes()].concat()
        }
        FrameCodec::Xml => format!("<register><client_id>{id}</client_id></register>").into_bytes(),
    }
}
