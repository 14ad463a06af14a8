//! Chromium without a window: pages for it, and what it shows.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::Site;

/// How long a browser may take to start and to load a page on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running browser; dropping it ends it and what it started.
#[derive(Debug)]
pub struct Browser {
    process: Child,
    site: Site,
}

impl Browser {
    /// Opens a page in a browser of its own, with further arguments.
    #[must_use]
    pub fn open(url: &str, arguments: &[&str]) -> Self {
        let site = Site::new();
        let started = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
            ])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--no-proxy-server", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", site.folder().display()))
            .args(arguments)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self { process: started.unwrap(), site }
    }

    /// The title of the page that it shows, once it shows one: a page tells by it how far it is.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        let ports = fs::read_to_string(self.site.folder().join("DevToolsActivePort")).ok()?;
        let port = ports.lines().next()?.parse().ok()?;
        let mut stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET /json/list HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        let body = read_answer(BufReader::new(stream)).ok()?;
        let targets: serde_json::Value = serde_json::from_slice(&body).ok()?;
        let page = targets.as_array()?.iter().find(|target| target["type"] == "page")?;
        page["title"].as_str().map(str::to_owned)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends its own children when it is asked to, not when it is killed.
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        self.process.wait().ok();
    }
}

/// The body of an answer; the browser keeps the connection open behind it.
fn read_answer(mut from: impl BufRead) -> io::Result<Vec<u8>> {
    let (mut length, mut line) = (0, String::new());
    while from.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    let mut body = Vec::new();
    from.take(length).read_to_end(&mut body)?;
    Ok(body)
}

/// Serves files by their names to whoever asks, the first of them to all who ask for another, and returns where.
#[must_use]
pub fn serve_files(files: Vec<(&'static str, String)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A browser that closes early has what it wanted.
            stream.and_then(|stream| answer(stream, &files)).ok();
        }
    });
    url
}

fn answer(mut stream: TcpStream, files: &[(&'static str, String)]) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Ok(());
        }
        seen.extend(byte);
    }
    let asked = String::from_utf8_lossy(&seen);
    let path = asked.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let (name, text) = files.iter().find(|(name, _)| *name == path).unwrap_or(&files[0]);
    let kind = if name.ends_with(".js") { "text/javascript" } else { "text/html" };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Length: {}\r\n\r\n{text}", text.len())
}
