//! TLS with others: OpenSSL, HAProxy and Chromium on either side, and what testssl.sh thinks of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;

use portcullis_peers::{Endpoint, serve};
use portcullis_tests::browser::{Browser, PATIENCE, serve_files};
use portcullis_tests::foreign::Process;
use portcullis_tests::{Gate, Setup, Site, skip, within};

/// Makes `NAME.pem` and `NAME.key` by a CA of its own, `ca.pem`, and a stranger's `other.pem`.
const CERTIFICATES: &str = "set -e
new() { openssl req \"$@\" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes; }
new -x509 -keyout ca.key -out ca.pem -days 400 -subj /CN=test-ca
new -x509 -keyout other.key -out other.pem -days 400 -subj /CN=stranger
printf 'subjectAltName=DNS:gate.test,IP:127.0.0.1\\ncrlDistributionPoints=URI:http://ca.test/crl\\nbasicConstraints=CA:FALSE\\n' >ext
new -keyout own.key -out own.csr -subj /CN=gate.test
openssl x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 300 -extfile ext -out own.pem
cat own.pem own.key >both.pem
openssl x509 -in own.pem -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64 >own.spki";
const SHOWN: &str = "certs = [{ cert = \"{folder}/own.pem\", key = \"{folder}/own.key\" }]";
/// How long testssl.sh may take; on a busy machine it was seen to take one minute.
const SURVEY_SECONDS: &str = "400";

#[test]
fn openssl_reaches_a_tls_listener_in_either_version_and_resumes() {
    if !skip::have("openssl_reaches_a_tls_listener_in_either_version_and_resumes", &["openssl"]) {
        return;
    }
    let echo = Endpoint::start(serve::echo).unwrap();
    let site = site();
    let session = site.folder().join("session.pem");
    let gate = site
        .start(&Setup::new().fixed("in", "tls", &[echo.address()], &format!("tls = {{ {SHOWN} }}")).text());
    for version in ["-tls1_2", "-tls1_3"] {
        let first =
            Client::start(&gate, "in", &[version, "-sess_out", session.to_str().unwrap()]).echoed("ping");
        assert!(
            first.contains("New, TLSv1") && first.contains("Verify return code: 0 (ok)"),
            "{version}: {first}"
        );
        let second =
            Client::start(&gate, "in", &[version, "-sess_in", session.to_str().unwrap()]).echoed("again");
        assert!(second.contains("Reused, TLSv1"), "{version}: {second}");
    }
    let old = Client::start(&gate, "in", &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]).rest();
    assert!(!old.contains("New, TLSv1.1") && old.contains("Cipher is (NONE)"), "{old}");
}

#[test]
fn openssl_is_asked_for_its_certificate_where_one_is_required() {
    if !skip::have("openssl_is_asked_for_its_certificate_where_one_is_required", &["openssl"]) {
        return;
    }
    let echo = Endpoint::start(serve::echo).unwrap();
    let tls = format!("tls = {{ {SHOWN}, client_auth = \"required\", client_ca = \"{{folder}}/ca.pem\" }}");
    let gate = site().start(&Setup::new().fixed("in", "tls", &[echo.address()], &tls).text());
    let folder = gate.site().folder().to_path_buf();
    let file = |name: &str| folder.join(name).display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let (cert, key) = (file("own.pem"), file("own.key"));
        let told = Client::start(&gate, "in", &[version, "-cert", &cert, "-key", &key]).echoed("it is me");
        assert!(told.contains("Verify return code: 0 (ok)"), "{version}: {told}");
        let accepted = echo.accepted();
        let (cert, key) = (file("other.pem"), file("other.key"));
        for identity in [&[][..], &["-cert", cert.as_str(), "-key", key.as_str()]] {
            Client::start(&gate, "in", &[&[version][..], identity].concat()).rest();
            assert_eq!(echo.accepted(), accepted, "{version} {identity:?}");
        }
    }
}

#[test]
fn openssl_as_an_endpoint_is_trusted_by_its_ca_and_refused_without() {
    if !skip::have("openssl_as_an_endpoint_is_trusted_by_its_ca_and_refused_without", &["openssl"]) {
        return;
    }
    let site = site();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut server = Command::new("openssl")
            .args([
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-rev",
                "-cert",
                "own.pem",
                "-key",
                "own.key",
                version,
            ])
            .current_dir(site.folder())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
        let _server = Process(server);
        let at = said.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
        let at: SocketAddr = at.parse().unwrap();
        let upstream = |name: &str, keys: &str| {
            format!(
                "[upstream.{name}]\nprotocol = \"tls\"\nendpoints = [{{ address = \"{at}\" }}]\ntls = {{ {keys} }}\n"
            )
        };
        let listener = |name: &str| {
            format!("hello = \"none\"\n[route.{name}]\nresolver = \"upstream\"\nupstreams = [\"{name}\"]\n")
        };
        let folder = site.folder().display().to_string();
        let setup = Setup::new()
            .listener("good", "tcp", &listener("good"))
            .with(&upstream("good", &format!("ca_file = \"{folder}/ca.pem\", server_name = \"gate.test\"")))
            .listener("stranger", "tcp", &listener("stranger"))
            .with(&upstream(
                "stranger",
                &format!("ca_file = \"{folder}/other.pem\", server_name = \"gate.test\""),
            ))
            .listener("name", "tcp", &listener("name"))
            .with(&upstream("name", &format!("ca_file = \"{folder}/ca.pem\", server_name = \"other.test\"")));
        let gate = Gate::start(&setup.text());
        assert_eq!(ask(gate.listener("good"), b"drawer\n"), b"reward\n", "{version}");
        for refused in ["stranger", "name"] {
            assert_eq!(ask(gate.listener(refused), b"drawer\n"), b"", "{version} {refused}");
        }
        let seen =
            within(PATIENCE, || (gate.log().matches("reason=dial-untrusted").count() == 2).then_some(()));
        assert!(seen.is_some(), "{version}: {}", gate.log());
    }
}

#[test]
fn haproxy_reaches_a_tls_listener_and_is_reached_as_a_tls_endpoint() {
    if !skip::have("haproxy_reaches_a_tls_listener_and_is_reached_as_a_tls_endpoint", &["haproxy", "openssl"])
    {
        return;
    }
    let echo = Endpoint::start(serve::echo).unwrap();
    let site = site();
    let folder = site.folder().display().to_string();
    let (front, back) = (free(), free());
    // The gateway stands between two HAProxies: one reaches it by TLS, the other is reached so.
    let setup = Setup::new()
        .listener(
            "in",
            "tls",
            &format!("tls = {{ {SHOWN} }}\nhello = \"none\"\n[route.in]\nresolver = \"upstream\"\nupstreams = [\"in\"]"),
        )
        .with(&format!(
            "[upstream.in]\nprotocol = \"tls\"\nendpoints = [{{ address = \"{back}\" }}]\n\
             tls = {{ ca_file = \"{folder}/ca.pem\", server_name = \"gate.test\" }}"
        ));
    let gate = site.start(&setup.text());
    let config = format!(
        "global\n  nbthread 1\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
         listen front\n  bind {front}\n  server s {} ssl verify required ca-file {folder}/ca.pem sni str(gate.test) verifyhost gate.test\n\
         listen back\n  bind {back} ssl crt {folder}/both.pem\n  server s {}\n",
        gate.listener("in"),
        echo.address()
    );
    let path = gate.site().write("haproxy.cfg", config);
    let haproxy =
        Command::new("haproxy").arg("-db").arg("-f").arg(path).stderr(Stdio::null()).spawn().unwrap();
    let _haproxy = Process(haproxy);
    let up = within(PATIENCE, || TcpStream::connect(front).ok());
    assert!(up.is_some(), "HAProxy does not listen");
    drop(up);
    let bytes: Vec<u8> = (0..3_000_001_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut client = TcpStream::connect(front).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut back = vec![0; bytes.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| (&client).write_all(&bytes).unwrap());
        (&client).read_exact(&mut back).unwrap();
    });
    assert!(back == bytes, "other bytes came back");
    client.write_all(b"end").unwrap();
    client.read_exact(&mut back[..3]).unwrap();
}

#[test]
fn chromium_reaches_a_wss_listener() {
    if !skip::have("chromium_reaches_a_wss_listener", &["chromium", "openssl"]) {
        return;
    }
    let (told, heard) = mpsc::sync_channel(4);
    let endpoint = Endpoint::start(move |mut stream: &TcpStream| {
        stream.write_all(b"from the endpoint")?;
        let mut said = [0; 5];
        stream.read_exact(&mut said)?;
        told.send(String::from_utf8_lossy(&said).into_owned()).ok();
        Ok(())
    })
    .unwrap();
    let setup = Setup::new().addressed("web", "wss", &["127.0.0.1:*"], &format!("tls = {{ {SHOWN} }}"));
    let gate = site().start(&setup.text());
    let (at, key) = (gate.listener("web"), endpoint.address());
    let page = format!(
        "<!doctype html><script>\n\
         const ws = new WebSocket('wss://{at}/', ['server-identify', btoa('{key}').replaceAll('=', '')]);\n\
         ws.onmessage = () => ws.send('heard');\n</script>"
    );
    let spki = std::fs::read_to_string(gate.site().folder().join("own.spki")).unwrap();
    let trusted = format!("--ignore-certificate-errors-spki-list={}", spki.trim());
    let _browser = Browser::open(&serve_files(vec![("index.html", page)]), &[&trusted]);
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "heard");
}

#[test]
fn testssl_finds_nothing_above_low() {
    if !skip::have("testssl_finds_nothing_above_low", &["testssl", "timeout", "openssl"]) {
        return;
    }
    let echo = Endpoint::start(serve::echo).unwrap();
    let tls = format!("tls = {{ {SHOWN} }}");
    let setup = Setup::new().fixed("tls", "tls", &[echo.address()], &tls).addressed(
        "wss",
        "wss",
        &["127.0.0.1:*"],
        &tls,
    );
    let gate = site().start(&setup.text());
    // Protocols, what the server prefers, and known vulnerabilities; nothing is fetched from anywhere.
    let surveys = ["tls", "wss"].map(|listener| {
        Command::new("timeout")
            .args([
                SURVEY_SECONDS,
                "testssl",
                "--quiet",
                "--color",
                "0",
                "--warnings",
                "off",
                "--ip",
                "one",
                "-p",
                "-S",
                "-U",
            ])
            .args(["--add-ca", "ca.pem", "--jsonfile", &format!("{listener}.json")])
            .arg(gate.listener(listener).to_string())
            .current_dir(gate.site().folder())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(|survey| (listener, Process(survey)))
            .unwrap()
    });
    for (listener, mut survey) in surveys {
        survey.0.wait().unwrap();
        let text = std::fs::read(gate.site().folder().join(format!("{listener}.json"))).unwrap();
        let findings: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let findings = findings.as_array().unwrap();
        let of =
            |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        for asked in ["TLS1_2", "TLS1_3", "SSLv3", "heartbleed", "ROBOT", "LUCKY13", "cert_chain_of_trust"] {
            assert!(
                findings.iter().any(|finding| of(finding, "id").starts_with(asked)),
                "{listener}: no {asked}"
            );
        }
        let grave: Vec<String> = findings
            .iter()
            .filter(|finding| matches!(&*of(finding, "severity"), "MEDIUM" | "HIGH" | "CRITICAL" | "FATAL"))
            .map(|finding| {
                format!("{} {}: {}", of(finding, "severity"), of(finding, "id"), of(finding, "finding"))
            })
            .collect();
        assert!(grave.is_empty(), "{listener}: {grave:#?}");
    }
}

/// A running `openssl s_client`.
struct Client {
    process: Process,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Client {
    fn start(gate: &Gate, listener: &str, arguments: &[&str]) -> Self {
        let mut process: Child = Command::new("openssl")
            .args(["s_client", "-connect", &gate.listener(listener).to_string(), "-servername", "gate.test"])
            .args(["-CAfile", "ca.pem", "-verify_return_error", "-verify_hostname", "gate.test"])
            .args(arguments)
            .current_dir(gate.site().folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take(), process.stdout.take().unwrap());
        Self { process: Process(process), input, output }
    }

    /// Has a word echoed, ends, and returns all that was said.
    fn echoed(mut self, word: &str) -> String {
        // What is typed goes to the endpoint once hands are shaken.
        writeln!(self.input.as_ref().unwrap(), "<{word}>").unwrap();
        let mut seen = Vec::new();
        let wanted = format!("<{word}>\n");
        while !String::from_utf8_lossy(&seen).contains(&wanted) {
            let mut byte = [0];
            assert_eq!(self.output.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
        }
        String::from_utf8_lossy(&seen).into_owned() + &self.rest()
    }

    /// Ends, and returns what was said.
    fn rest(mut self) -> String {
        self.input.take();
        let mut rest = Vec::new();
        self.output.read_to_end(&mut rest).unwrap();
        self.process.0.wait().unwrap();
        String::from_utf8_lossy(&rest).into_owned()
    }
}

/// Asks a question, ends, and returns what came; how the connection ended is not told.
fn ask(to: SocketAddr, question: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // One that is refused may be gone before it has asked.
    stream.write_all(question).ok();
    let mut answer = vec![0; question.len()];
    let mut got = 0;
    while got < answer.len() {
        match stream.read(&mut answer[got..]) {
            Ok(0) => break,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => panic!("no answer"),
            Err(_) => break,
            Ok(read) => got += read,
        }
    }
    answer.truncate(got);
    answer
}

fn site() -> Site {
    let site = Site::new();
    let folder: &Path = site.folder();
    let made = Command::new("sh").args(["-c", CERTIFICATES]).current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    site
}

/// An address that nothing listens on, for a program that cannot say which port a `0` became.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
