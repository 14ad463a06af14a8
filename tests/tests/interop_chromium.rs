//! A real browser opens a WebSocket through the gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use portcullis_peers::{Endpoint, read_message};
use portcullis_tests::{Gate, Setup, Site, skip};

/// How long a browser may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

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
        let site = Site::new();
        let _browser = browse(&site, &serve_page(page));
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

/// Serves the page to whoever asks, and returns its address.
fn serve_page(page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or(0) == 0 {
                    break;
                }
                seen.extend(byte);
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
            write!(stream, "{head}Content-Length: {}\r\n\r\n{page}", page.len()).ok();
        }
    });
    url
}

/// A running browser; dropping it ends it and what it started.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends its own children when it is asked to, not when it is killed.
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        self.0.wait().ok();
    }
}

fn browse(site: &Site, url: &str) -> Browser {
    let started = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
        ])
        .arg(format!("--user-data-dir={}", site.folder().join("browser").display()))
        .arg("--remote-debugging-port=0")
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Browser(started.unwrap())
}
