//! PROXY headers with those that everybody has: HAProxy in front of us and behind us, nginx behind us.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use portcullis_tests::foreign::Process;
use portcullis_tests::{Gate, Setup, Site, skip, within};

const PATIENCE: Duration = Duration::from_secs(20);
const LISTED: &str = "proxy_protocol = [\"127.0.0.0/8\"]";

#[test]
fn nginx_is_told_by_us_what_haproxy_has_told_us() {
    if !skip::have("nginx_is_told_by_us_what_haproxy_has_told_us", &["haproxy", "nginx"]) {
        return;
    }
    let site = Site::new();
    let (nginx, address) = nginx(&site);
    let direct = gate(address, "");
    let (local, remote, answer) = ask(direct.listener("in"));
    assert_eq!(answer, format!("{local} {}", remote.port()), "nginx behind us alone");
    let gate = gate(address, LISTED);
    for sends in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c",
        "send-proxy-v2 check check-send-proxy inter 50ms",
    ] {
        let (_haproxy, front) = haproxy(&site, "", &format!("{} {sends}", gate.listener("in")));
        let (local, _, answer) = ask(front);
        assert_eq!(answer, format!("{local} {}", front.port()), "{sends}");
    }
    gate.assert_clean();
    drop(nginx);
}

#[test]
fn haproxy_is_told_by_us_whom_we_serve() {
    if !skip::have("haproxy_is_told_by_us_whom_we_serve", &["haproxy"]) {
        return;
    }
    let site = Site::new();
    let end = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_haproxy, address) =
        haproxy(&site, "accept-proxy", &format!("{} send-proxy", end.local_addr().unwrap()));
    let gate = gate(address, "");
    let client = TcpStream::connect(gate.listener("in")).unwrap();
    let (from, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    (&client).write_all(b"first").unwrap();
    let want = format!("PROXY TCP4 {} {} {} {}\r\nfirst", from.ip(), to.ip(), from.port(), to.port());
    end.set_nonblocking(true).unwrap();
    let (mut server, _) = within(PATIENCE, || end.accept().ok()).expect("HAProxy connects");
    server.set_nonblocking(false).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut told = vec![0; want.len()];
    server.read_exact(&mut told).unwrap();
    assert_eq!(String::from_utf8_lossy(&told), want);
    drop((client, server));
    gate.assert_clean();
}

/// A gateway that tells one endpoint whom it serves.
fn gate(endpoint: SocketAddr, lines: &str) -> Gate {
    let setup = Setup::new()
        .listener("in", "tcp", &format!("hello = \"none\"\n{lines}"))
        .with("[route.in]\nresolver = \"upstream\"\nupstreams = [\"in\"]")
        .upstream("in", &[endpoint], "proxy_protocol = \"v2\"");
    Gate::start(&setup.text())
}

/// Sends a request; our own address, the one we reached, and the answer.
fn ask(to: SocketAddr) -> (SocketAddr, SocketAddr, String) {
    let mut client = TcpStream::connect(to).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    (client.local_addr().unwrap(), to, body.to_owned())
}

/// One that passes connections on, with words for how it listens and for its server.
fn haproxy(site: &Site, listens: &str, server: &str) -> (Process, SocketAddr) {
    let address = free_address();
    let text = format!(
        "global\n  nbthread 1\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  \
         timeout server 1m\nlisten l\n  bind {address} {listens}\n  server s {server}\n"
    );
    let config = site.write(&format!("haproxy-{}.cfg", address.port()), text);
    let mut command = Command::new("haproxy");
    (start(command.arg("-db").arg("-f").arg(config), address), address)
}

/// One that answers with the client it was told of, and the port that this client has reached.
fn nginx(site: &Site) -> (Process, SocketAddr) {
    let address = free_address();
    let folder = site.folder().display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("  {name}_temp_path {folder}/{name};\n"))
        .collect();
    let text = format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\n  \
         access_log off;\n{temporary}  server {{\n    listen {address} proxy_protocol;\n    location / {{\n      \
         return 200 \"$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_port\";\n    }}\n  }}\n}}\n"
    );
    let config = site.write("nginx.conf", text);
    let mut command = Command::new("nginx");
    (start(command.arg("-p").arg(site.folder()).arg("-c").arg(config), address), address)
}

/// Starts what listens on `address` and waits until it does.
fn start(command: &mut Command, address: SocketAddr) -> Process {
    let process = Process(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
    within(PATIENCE, || TcpStream::connect(address).ok()).expect("it listens");
    process
}

/// An address that nothing listens on: neither can tell which port a `0` became.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
