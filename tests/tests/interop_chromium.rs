//! A real browser opens a WebSocket through the gateway.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use portcullis_peers::{Endpoint, read_message};
use portcullis_tests::browser::{Browser, PATIENCE, serve_files};
use portcullis_tests::{Gate, Setup, skip};

#[test]
fn chromium_reaches_the_endpoint_it_names_by_sub_protocol_and_by_query() {
    if !skip::have("chromium_reaches_the_endpoint", &["chromium"]) {
        return;
    }
    let (told, heard) = mpsc::sync_channel(4);
    let endpoint = Endpoint::start(move |mut stream: &TcpStream| {
        stream.write_all(b"from the endpoint")?;
        while let Some(message) = read_message(&mut stream)? {
            told.send(String::from_utf8_lossy(&message).into_owned()).ok();
        }
        Ok(())
    })
    .unwrap();
    let lines = "ws = { framing_up = \"length-prefixed\" }";
    let gate = Gate::start(&Setup::new().addressed("web", "ws", &["127.0.0.1:*"], lines).text());
    let key = endpoint.address().to_string();
    for way in ["sub-protocol", "query"] {
        let page = page(gate.listener("web"), &key, way);
        let _browser = Browser::open(&serve_files(vec![("index.html", page)]), &[]);
        // The page sends the success message, what the endpoint said, and what was selected.
        let want =
            format!("{way}: ok, from the endpoint, {}", if way == "query" { "" } else { "server-identify" });
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), want);
    }
    assert_eq!(endpoint.accepted(), 2);
}

fn page(gate: SocketAddr, key: &str, way: &str) -> String {
    let open = match way {
        "query" => format!("new WebSocket('ws://{gate}/?server-identify=' + encodeURIComponent('{key}'))"),
        _ => format!(
            "new WebSocket('ws://{gate}/', ['server-identify', btoa('{key}').replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')])"
        ),
    };
    format!(
        "<!doctype html><script>\nconst ws = {open};\nws.binaryType = 'arraybuffer';\nlet ok, said = '';\n\
         ws.onmessage = (event) => {{\n  const text = new TextDecoder().decode(event.data);\n\
         if (ok === undefined) {{ ok = text; return; }}\n  said += text;\n\
         if (said === 'from the endpoint') ws.send('{way}: ' + ok + ', ' + said + ', ' + ws.protocol);\n}};\n</script>"
    )
}
