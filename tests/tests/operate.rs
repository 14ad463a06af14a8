//! What an operator does with the program: the command line, its exit codes, its logs and its reloads.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Output, Stdio};

use portcullis_core::wire::kcp::fec::Shards;

use portcullis_peers::{Endpoint, KcpClient, KcpOptions, serve};
use portcullis_tests::kcp_raw::{ACK, PUSH, Segment, WASK, framed};
use portcullis_tests::shim::{Shim, Weather};
use portcullis_tests::{Gate, Setup, Site, binary, until};
use rustix::process::Signal;

fn said(arguments: &[&str]) -> Output {
    let folder = Site::new();
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(folder.folder()).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn the_command_line_has_one_code_for_what_is_wrong_with_it() {
    for (arguments, code, wanted) in [
        (&["--help"][..], 0, "Usage"),
        (&["--version"], 0, "portcullis 0."),
        (&["run", "--help"], 0, "--addresses-file"),
        (&[], 64, "Usage"),
        (&["runn"], 64, "run"),
        (&["run", "--config"], 64, "--config"),
        (&["run", "--no-such-thing"], 64, "--no-such-thing"),
        (&["run"], 78, "config/config.toml"),
        (&["run", "--config", "gone.toml"], 78, "gone.toml"),
        (&["check", "--config", "gone.toml"], 78, "gone.toml"),
        (&["schema"], 0, "$schema"),
    ] {
        let output = said(arguments);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
        assert!(text.contains(wanted), "{arguments:?}: {text}");
    }
}

#[test]
fn tickets_and_tokens_are_made_and_judged_from_the_command_line() {
    let site = Site::new();
    let do_it = |arguments: &[&str]| {
        let output = Command::new(binary()).args(arguments).current_dir(site.folder()).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned();
        (output.status.code().unwrap(), text)
    };
    assert_eq!(do_it(&["ticket", "keygen", "--out", "ticket.key"]).0, 0);
    let (code, ticket) = do_it(&["ticket", "mint", "--key-file", "ticket.key", "--target", "10.0.0.7:7000"]);
    assert!(code == 0 && ticket.starts_with("v1."), "{ticket}");
    let (code, content) = do_it(&["ticket", "open", "--key-file", "ticket.key", &ticket]);
    assert!(code == 0 && content.contains("10.0.0.7:7000"), "{content}");
    let (code, refusal) = do_it(&["ticket", "open", "--key-file", "ticket.key", &ticket[..ticket.len() - 2]]);
    assert!(code == 1 && refusal.starts_with("error: "), "{refusal}");
    site.write("jwt.key", "0123456789abcdef0123456789abcdef");
    let (code, token) = do_it(&["jwt", "mint", "--key-file", "jwt.key", "--upstream", "lobby"]);
    assert_eq!(code, 0, "{token}");
    assert_eq!(do_it(&["jwt", "verify", "--key-file", "jwt.key", &token]).0, 0);
    assert_eq!(do_it(&["jwt", "verify", "--key-file", "jwt.key", &format!("{token}x")]).0, 1);
    assert_eq!(do_it(&["jwt", "mint", "--key-file", "jwt.key"]).0, 64);
}

#[test]
fn every_address_that_cannot_be_bound_is_told_at_once() {
    let (one, two) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [one.local_addr().unwrap(), two.local_addr().unwrap()].map(|address| address.to_string());
    let text = Setup::new()
        .fixed("one", "tcp", &["127.0.0.1:1".parse().unwrap()], "")
        .text()
        .replace("bind = [\"127.0.0.1:0\"]", &format!("bind = [\"{}\", \"192.0.2.1:7000\"]", addresses[0]))
        .replace("bind = \"127.0.0.1:0\"", &format!("bind = \"{}\"", addresses[1]));
    let said = Gate::refused(&text).expect("it does not start");
    assert!(said.contains("exit status: 69"), "{said}");
    for address in [&*addresses[0], &*addresses[1], "192.0.2.1"] {
        assert!(said.contains(address), "{address} is not told: {said}");
    }
}

#[test]
fn what_a_config_names_and_cannot_be_had_ends_with_78_and_says_what_to_do() {
    let to_nowhere = |lines: &str| {
        let setup = Setup::new().fixed("in", "tcp", &["127.0.0.1:1".parse().unwrap()], "");
        Gate::refused(&setup.text().replace("[log]\n", lines)).expect("it does not start")
    };
    let said = to_nowhere("[log]\ninfo_file = \"/dev/null/a/info.log\"\n");
    assert!(said.contains("exit status: 78") && said.contains("/dev/null/a"), "{said}");
    let setup = Setup::new().fixed("in", "tcp", &["127.0.0.1:1".parse().unwrap()], "");
    let token = setup.text().replace("{folder}/admin.token", "/dev/null/admin.token");
    let said = Gate::refused(&token).expect("it does not start");
    assert!(said.contains("exit status: 78") && said.contains("token_file"), "{said}");
}

#[test]
fn log_files_are_made_split_by_level_and_reopened_on_demand() {
    let files = "[log]\ninfo_file = \"{folder}/log/a/info.log\"\nerror_file = \"{folder}/log/b/error.log\"\n";
    let setup = Setup::new().fixed("in", "tcp", &["127.0.0.1:1".parse().unwrap()], "");
    let text = setup.text().replace("[log]\n", files);
    let gate = Gate::start(&text);
    let folder = gate.site().folder().to_owned();
    let read = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
    until("the gateway says that it is ready", || read("log/a/info.log").contains(" INFO ready "));
    assert!(!gate.reload("broken"));
    until("the mistake is an error", || read("log/b/error.log").contains("config.toml:1:"));
    assert!(!read("log/a/info.log").contains("ERROR") && !read("log/b/error.log").contains("INFO"));
    assert_eq!(gate.log(), "", "nothing is left for stderr");
    fs::rename(folder.join("log"), folder.join("old")).unwrap();
    gate.signal(Signal::USR1);
    until("the files are made anew", || folder.join("log/b/error.log").exists());
    assert!(gate.reload(&text));
    until("lines go to the new file", || read("log/a/info.log").contains("in force"));
}

#[test]
fn a_reload_moves_the_log_the_admin_token_and_the_admin_listener() {
    let setup = Setup::new().fixed("in", "tcp", &["127.0.0.1:1".parse().unwrap()], "");
    let gate = Gate::start(&setup.text());
    let folder = gate.site().folder().to_owned();
    let mode = fs::metadata(folder.join("admin.token")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
    let json =
        setup.text().replace("[log]\n", "[log]\nformat = \"json\"\n").replace("admin.token", "other.token");
    assert!(gate.reload(&json));
    until("the log is JSON", || {
        gate.log().lines().last().is_some_and(|line| serde_json::from_str::<serde_json::Value>(line).is_ok())
    });
    assert!(folder.join("other.token").exists());
    assert_eq!(gate.ask("/api/v1/status").unwrap().0, 401);
    assert_eq!(gate.ask("/readyz").unwrap(), (200, "ready\n".into()));
    // A reload that asks for an address that is taken leaves everything as it is.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let other = json.replace("bind = \"127.0.0.1:0\"", &format!("bind = \"{address}\""));
    assert!(!gate.reload(&other));
    assert_eq!(gate.ask("/readyz").unwrap().0, 200);
    // Not by `reload`: it asks the old listener how it went.
    let without = json.replace("[admin]\n", "").replace("bind = \"127.0.0.1:0\"\n", "");
    let without: String = without
        .lines()
        .filter(|line| !line.contains("token_file"))
        .fold(String::new(), |text, line| text + line + "\n");
    gate.site().write("config.toml", &without);
    gate.signal(Signal::HUP);
    until("the admin listener is closed", || TcpStream::connect(gate.admin()).is_err());
}

#[test]
fn sessions_are_told_at_their_start_and_at_their_end() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let gate = Gate::start(&Setup::new().fixed("in", "tcp", &[endpoint.address()], "").text());
    let client = TcpStream::connect(gate.listener("in")).unwrap();
    let from = format!("client={}", client.local_addr().unwrap());
    let line = |what: &str| {
        gate.log().lines().find(|line| line.contains(what) && line.contains(&from)).map(String::from)
    };
    until("the start is told", || line("DEBUG session opened").is_some());
    drop(client);
    until("the end is told", || line("INFO session closed").is_some());
    let end = line("INFO session closed").unwrap();
    for field in
        [" session=", " listener=in ", " reason=client-ended ", " up=0 down=0 ", " opened_after=", " lasted="]
    {
        assert!(end.contains(field), "{field} is missing: {end}");
    }
    assert!(end.contains(&format!(" endpoint={} ", endpoint.address())), "{end}");
}

#[test]
fn what_kcp_carries_mends_and_refuses_is_on_the_page() {
    let endpoint = Endpoint::start(serve::echo).unwrap();
    let kcp = "kcp = { fec = [10, 3] }";
    let setup = Setup::new().fixed("in", "kcp", &[endpoint.address()], kcp).fixed(
        "quiet",
        "tcp",
        &[endpoint.address()],
        "",
    );
    let gate = Gate::start(&setup.text());
    let of = |name: &str, label: &str| {
        gate.metrics().sum(&format!("portcullis_kcp_{name}"), &["listener=\"in\"", label])
    };
    assert_eq!(of("datagrams_total", ""), 0.0);

    let shim = Shim::start(gate.listener("in"), Weather::losing(15), 7);
    let options = KcpOptions { code: Shards::new(10, 3).ok(), ..KcpOptions::default() };
    let client = KcpClient::connect(shim.address(), &options).unwrap();
    let sent: Vec<u8> = (0..400_000_u32).map(|at| (at % 251) as u8).collect();
    let mut received = vec![0; sent.len()];
    std::thread::scope(|scope| {
        scope.spawn(|| client.stream().write_all(&sent).unwrap());
        client.stream().read_exact(&mut received).unwrap();
    });
    assert!(received == sent);
    for (name, label) in [
        ("datagrams_total", "direction=\"in\""),
        ("datagrams_total", "direction=\"out\""),
        ("retransmits_total", ""),
        ("fec_recovered_total", ""),
        ("round_trip_seconds_count", ""),
    ] {
        assert!(of(name, label) >= 1.0, "{name} {label} in {}", gate.metrics().text());
    }
    assert_eq!(of("unproven", ""), 0.0, "what was heard is proven");

    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let out_of_band = [framed(0, &[0; 30])].map(|mut frame| {
        frame[4] = 0xf3;
        frame
    });
    for (reason, datagram) in [
        ("malformed", vec![7; 100]),
        ("no-opening", Segment::new(9, ACK, 0).bytes()),
        ("no-opening", Segment::new(9, PUSH, 32).bytes()),
        ("out-of-band", out_of_band[0].clone()),
    ] {
        let label = format!("reason=\"{reason}\"");
        let before = of("dropped_total", &label);
        stranger.send_to(&datagram, gate.listener("in")).unwrap();
        until(reason, || of("dropped_total", &label) > before);
    }
    stranger.send_to(&Segment::new(9, WASK, 0).bytes(), gate.listener("in")).unwrap();
    until("the question is answered", || of("answers_total", "") > 0.0);
    stranger.send_to(&Segment::push(9, 0, b"hello?").bytes(), gate.listener("in")).unwrap();
    until("somebody is unproven", || of("unproven", "") > 0.0);
    assert!(!gate.metrics().text().contains("kcp_datagrams_total{listener=\"quiet\""));
}
