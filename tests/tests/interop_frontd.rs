//! Clients of frontd and of funny/gateway, their addresses encrypted by OpenSSL: what they send is understood, and
//! what they are answered is what they know.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use portcullis_peers::{Endpoint, Key, Message, Upgrade, WsClient, serve};
use portcullis_tests::{Gate, Setup, Site, skip};

const PASSPHRASE: &str = "p0S8rX680*48";
/// Sooner than any refusal may come, and later than any may: `failure_delay` with what a busy machine adds.
const EARLIEST: Duration = Duration::from_millis(240);
const LATEST: Duration = Duration::from_secs(8);

#[test]
fn an_address_that_openssl_encrypted_leads_there_in_every_mode() {
    if !skip::have("an_address_that_openssl_encrypted_leads_there_in_every_mode", &["openssl"]) {
        return;
    }
    let (gate, echo) = (gate(), Endpoint::start(serve::echo).unwrap());
    for _ in 0..8 {
        let blob = encrypt(&echo.address().to_string());
        let line = STANDARD.encode(&blob);
        let binary = [&[0, u8::try_from(blob.len()).unwrap()][..], &blob].concat();
        for (listener, hello, success) in [
            ("frontd", format!("{line}\n").into_bytes(), ""),
            ("frontd", format!("{line}\r\n").into_bytes(), ""),
            ("frontd", binary, ""),
            ("funny", format!("{line}\n").into_bytes(), "200"),
        ] {
            // The first bytes of the stream share a segment with the hello.
            let mut client = connect(&gate, listener);
            client.write_all(&[&hello[..], b"first"].concat()).unwrap();
            assert_eq!(
                take(&mut client, success.len() + 5),
                [success.as_bytes(), b"first"].concat(),
                "{listener}"
            );
            client.write_all(&[0, b'\n', 0xff]).unwrap();
            assert_eq!(take(&mut client, 3), [0, b'\n', 0xff], "{listener}");
        }
        let upgrade = Upgrade { name: "X-Cipher-Origin", ..Key::Header(&line).into() };
        let mut client = WsClient::connect(gate.listener("web"), upgrade).unwrap();
        client.send(&Message::Binary(b"ok".to_vec())).unwrap();
        assert_eq!(client.read().unwrap(), Some(Message::Binary(b"ok".to_vec())));
    }
    gate.assert_clean();
}

#[test]
fn every_failure_of_an_encrypted_address_is_the_same_bytes_at_the_same_time() {
    if !skip::have("every_failure_of_an_encrypted_address_is_the_same_bytes_at_the_same_time", &["openssl"]) {
        return;
    }
    let gate = gate();
    let mut padding = encrypt("127.0.0.1:7000");
    *padding.last_mut().unwrap() ^= 1;
    let line = |blob: &[u8]| format!("{}\n", STANDARD.encode(blob));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hellos = [
        ("not base64", "*\n".to_owned()),
        ("http", "GET / HTTP/1.1\r\n".to_owned()),
        ("no salt", line(b"Salted__")),
        ("cut", line(&encrypt("127.0.0.1:7000")[..24])),
        ("wrong padding", line(&padding)),
        ("no address", line(&encrypt("127.0.0.1"))),
        ("forbidden", line(&encrypt("169.254.169.254:80"))),
        ("not allowed", line(&encrypt("192.0.2.1:7000"))),
        ("a closed port", line(&encrypt(&closed.to_string()))),
    ];
    for (listener, answer) in [("frontd", "4102"), ("funny", "502")] {
        for (what, hello) in &hellos {
            let mut client = connect(&gate, listener);
            let began = Instant::now();
            client.write_all(hello.as_bytes()).unwrap();
            let mut said = Vec::new();
            client.read_to_end(&mut said).unwrap();
            let took = began.elapsed();
            assert_eq!(String::from_utf8_lossy(&said), answer, "{listener}, {what}");
            assert!(took >= EARLIEST && took < LATEST, "{listener}, {what}: {took:?}");
        }
    }
    gate.assert_clean();
}

#[test]
fn such_a_route_is_warned_of_at_start_and_by_check() {
    let site = site();
    let config = setup().text().replace("{folder}", &site.folder().display().to_string());
    let path = site.write("config.toml", config);
    let output =
        Command::new(portcullis_tests::binary()).arg("check").arg("--config").arg(path).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("prove nothing") && told.contains("ticket"), "{told}");
    let log = gate().log();
    assert!(log.contains("prove nothing") && !log.contains(PASSPHRASE), "{log}");
}

fn setup() -> Setup {
    let route = "[route.sealed]\nresolver = \"frontd\"\nkey_file = \"{folder}/frontd.key\"\nallow = [\"127.0.0.1:*\"]";
    ["frontd", "funny"]
        .into_iter()
        .fold(Setup::new(), |setup, name| {
            let listener = format!(
                "[[listener]]\nname = \"{name}\"\nprotocol = \"tcp\"\nbind = [\"127.0.0.1:0\"]\nroute = \"sealed\"\nhello = \"{name}\""
            );
            setup.with(&listener)
        })
        .with(
            "[[listener]]\nname = \"web\"\nprotocol = \"ws\"\nbind = [\"127.0.0.1:0\"]\nroute = \"sealed\"\n\
             success_message = \"\"\nws = { header = \"X-Cipher-Origin\" }",
        )
        .with(route)
}

fn site() -> Site {
    let site = Site::new();
    site.write("frontd.key", format!("{PASSPHRASE}\n"));
    site
}

fn gate() -> Gate {
    site().start(&setup().text())
}

fn connect(gate: &Gate, listener: &str) -> TcpStream {
    let client = TcpStream::connect(gate.listener(listener)).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client
}

fn take(client: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    client.read_exact(&mut bytes).unwrap();
    bytes
}

/// Encrypts as the clients of those gateways are told to.
fn encrypt(address: &str) -> Vec<u8> {
    let mut openssl = Command::new("openssl")
        .args(["enc", "-aes-256-cbc", "-md", "md5", "-salt", "-pass"])
        .arg(format!("pass:{PASSPHRASE}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(address.as_bytes()).unwrap();
    let output = openssl.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"Salted__"), "{output:?}");
    output.stdout
}
