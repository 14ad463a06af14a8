//! Config files as operators write them: good ones, broken ones with what they are told, and any bytes at all.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};

use portcullis_core::config::{self, Config, Flavour};
use proptest::prelude::*;

#[test]
fn every_broken_file_is_told_as_its_golden_text() {
    let broken = files("tests/config", "toml");
    assert!(broken.len() >= 20, "{} broken files", broken.len());
    for path in broken {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let errors = Config::parse(&text, &name, &env).expect_err(&name);
        same(&path.with_extension("txt"), &format!("{errors}\n"));
    }
}

#[test]
fn one_of_them_has_five_errors_told_at_once() {
    let text = std::fs::read_to_string(root().join("tests/config/five-at-once.toml")).unwrap();
    let errors = Config::parse(&text, "five-at-once.toml", &env).unwrap_err();
    assert_eq!(errors.0.len(), 5, "{errors}");
    let sections = ["log", "dns", "listener", "route", "upstream"];
    assert_eq!(
        errors.0.iter().map(|error| error.line).collect::<std::collections::BTreeSet<_>>().len(),
        sections.len()
    );
}

#[test]
fn every_example_parses() {
    let examples = [files("examples", "toml"), files("tests/config/good", "toml")].concat();
    assert!(examples.len() > 1);
    for path in examples.iter().chain([&root().join("config/config.toml")]) {
        let text = std::fs::read_to_string(path).unwrap();
        if let Err(errors) = Config::parse(&text, &path.display().to_string(), &env) {
            panic!("{errors}");
        }
    }
}

#[test]
fn convert_says_the_same_natively() {
    let seeds = [
        std::fs::read_to_string(root().join("config/config.toml")).unwrap(),
        "[tcpgate]".into(),
        "[kcpgate]".into(),
        "[kcpgate]\nzero_copy = true\nport = 7082\n[tcpgate]\n[common]\nkcp_reciprocity = false".into(),
        "[wsgate]\nzero_copy = true\nport = 80\ndial_timeout = 0.5\n[common]\ndial_retry = 7".into(),
        "[tcpgate]\nzero_copy = true\n[common]\nallow = ['10.0.0.0/8:*', '*.game.internal:7000']".into(),
        "[wsgate]\n[common]\nheader_identify = 'JWT'\njwt_key_file = 'k.pem'\nsuccess_resp_message = ''".into(),
        "[log]\ninfofilePath = '/a/$${b}\\c'\n[tcpgate]\n[admin]\n[limits]\nsessions = 5\n[dns]\ntimeout = '1s'\n\
         [drain]\ndelay = '5s'\n[common]\nsuccess_resp_message = 'JHt4fSIK'"
            .into(),
    ];
    for text in seeds {
        let seed = parse(&text);
        let native = seed.to_native().unwrap();
        let again = parse(&native);
        assert_eq!((seed.flavour, again.flavour), (Flavour::Seed, Flavour::Native));
        let again = Config { flavour: seed.flavour, warnings: seed.warnings.clone(), ..again };
        assert_eq!(again, seed, "{native}");
    }
}

#[test]
fn every_key_of_tls_ws_endpoints_and_proxy_headers_is_written_as_it_was_read() {
    let head = |protocol: &str, more: &str| {
        format!(
            "[[listener]]\nname = '{protocol}'\nprotocol = '{protocol}'\nbind = 0\nroute = 'open'\n{more}\n"
        )
    };
    let pair = "certs = [{ cert = 'a.pem', key = 'a.key' }, { cert = 'b.pem', key = 'b.key' }]";
    let listeners = [
        head("tcp", "proxy_protocol = ['10.0.0.0/8', 'fd00::1']"),
        head(
            "tls",
            &format!(
                "tls = {{ {pair}, client_auth = 'required', client_ca = 'ca.pem', min_version = '1.3' }}"
            ),
        ),
        head(
            "wss",
            &format!(
                "tls = {{ {pair}, client_auth = 'optional', client_ca = 'ca.pem' }}\nws = {{ trusted_proxies = '10.0.0.1' }}"
            ),
        ),
    ];
    let ends = [
        "endpoint = 'tcp'\nproxy_protocol = 'v2'",
        "endpoint = 'tls'",
        "endpoint = 'tls'\ntls = { ca_file = 'ca.pem', server_name = 'a.b', cert = 'c.pem', key = 'c.key' }",
        "endpoint = 'tls'\ntls = { verify = false, server_name = '10.0.0.1' }",
        "endpoint = 'ws'\nws = { path = '/a?b=${A}', host = '[fd00::1]:80', forwarded = false }",
        "endpoint = 'wss'\ntls = { ca_file = 'ca.pem' }\nws = { host = 'a.b' }\nproxy_protocol = 'v2'",
    ];
    for end in ends {
        let route = format!("[route.open]\nallow = '10.0.0.0/8:*'\n{end}\n");
        let upstream = format!("[upstream.a]\nendpoints = [{{ address = 'b:1' }}]\n{end}\n");
        let text = format!("{}{route}{}", listeners.concat(), upstream.replace("endpoint =", "protocol ="));
        let first = parse(&text);
        for again in [first.to_native().unwrap(), config::effective(&text, "file", &env).unwrap()] {
            let second = Config { warnings: first.warnings.clone(), ..parse(&again) };
            assert_eq!(second, first, "{again}");
        }
    }
}

#[test]
fn every_key_of_an_upstream_is_written_as_it_was_read() {
    let ends =
        "endpoints = [{ address = 'a:1', weight = 7, max_sessions = 3 }, { address = 'b:1', backup = true }]";
    for lines in [
        "balance = 'hash'\nhash_on = 'client'\nmax_sessions = 9\nqueue = { size = 2, timeout = '1s' }",
        "balance = 'hash'\nmax_sessions = 3\nqueue = { size = 0 }\nsession_rate = { rate = '90/m', burst = 7 }",
        "balance = 'least-sessions'\npanic_threshold = 50\nslow_start = '0s'\nsession_rate = { rate = '5/m' }",
        "balance = 'least-response-time'\non_down = 'close'\nhealth = {}\neject = { failures = 0 }",
        "balance = 'random'\neject = { failures = 9, time = '1s', most = 100 }\npool = { min_idle = 3, max_age = '1m' }",
        "proxy_protocol = 'v2'\npool = { max_idle = 0 }\nhealth = { interval = '1s', rise = 1, fall = 1 }",
        "health = { timeout = '1s', agent = { port = 9, interval = '5s' } }",
        "health = { kind = 'frame' }",
        "health = { kind = 'frame', type_bytes = 2, heartbeat = 7, expect_reply = true, heartbeat_reply = 8 }",
        "health = { kind = 'http', path = '/up?${A}', host = 'a.b', status = '204' }",
        "health = { kind = 'http', status = '200-299' }",
        "protocol = 'tls'\nhealth = {}",
        "protocol = 'tls'\nhealth = { kind = 'tcp' }\npool = { min_idle = 32 }",
        "protocol = 'wss'\nhealth = { kind = 'http' }",
        "protocol = 'ws'\nhealth = {}",
        "protocol = 'kcp'\nhealth = {}",
        "protocol = 'kcp'\nhealth = { kind = 'frame' }",
    ] {
        written_as_read(&format!("{BALANCED}[upstream.u]\n{ends}\n{lines}\n"));
        let lone = "endpoints = [{ address = 'a:1' }]";
        written_as_read(&format!("{BALANCED}[upstream.u]\n{lone}\n{lines}\n"));
    }
}

#[test]
fn every_limit_is_written_as_it_was_read() {
    let limits = "session_rate = { rate = '5000/s', burst = 10000 }, message_rate = { rate = '7/h' }, \
                  \
                  per_ip = { sessions = 200, session_rate = { rate = '20/s', burst = 40 } }, \
                  per_session = { message_rate = { rate = '3/s' } }";
    let process = "[limits]\nsessions = 7\nscope = 'node'\nper_ip = { sessions = 3 }\n\
                   per_session = { message_rate = { rate = '1/s' } }\nsession_rate = { rate = '5/s' }\n";
    for keys in [
        format!(
            "frames = {{}}\ntokens = {{ allow_plaintext = true }}\nlimits = {{ sessions = 9, {limits} }}"
        ),
        "limits = {}\nallow = ['10.0.0.0/8', 'fd00::1']\ndeny = '10.1.0.0/16'".into(),
    ] {
        let listener = BALANCED.replace("hello", &format!("{keys}\nhello"));
        written_as_read(&format!("{process}{listener}[upstream.u]\nendpoints = [{{ address = 'a:1' }}]"));
    }
}

#[test]
fn every_key_of_frames_tokens_and_store_is_written_as_it_was_read() {
    let tls = "tls = { certs = [{ cert = 'c', key = 'k' }] }";
    let sealed = "kcp = { crypt = 'aes-gcm', key_file = 'kcp.key' }";
    let rate = "message_rate = { rate = '50/s', burst = 100 }";
    for (protocol, keys) in [
        ("tcp", "frames = {}".to_owned()),
        ("tcp", format!("frames = {{ type_bytes = 2, codec = 'xml', {rate}, on_limit = 'delay' }}")),
        ("ws", "frames = { codec = 'protobuf' }".into()),
        ("kcp", "frames = { on_limit = 'close', heartbeat = 'required', heartbeat_misses = 9 }".into()),
        ("kcp", format!("{sealed}\nframes = {{ on_limit = 'delay', max_delay = '2s' }}\ntokens = {{}}")),
        ("tcp", "idle_timeout = '1h'\nframes = { heartbeat_interval = '1s', forward_heartbeats = true, forward_token = true }".into()),
        ("tcp", "frames = { types = { heartbeat = 0, error = 255 } }\ntokens = { allow_plaintext = true }".into()),
        (
            "tls",
            format!(
                "{tls}\nframes = {{ type_bytes = 2, types = {{ heartbeat = 1, heartbeat_reply = 2, register = 3, \
                 token = 4, login = 5, error = 6 }} }}\n\
                 tokens = {{ token_ttl = '1h', rotate_after = '1m', reregister_after = '2h' }}\n\
                 limits = {{ {rate}, per_session = {{ {rate} }} }}"
            ),
        ),
        ("wss", format!("{tls}\nframes = {{}}\ntokens = {{}}")),
    ] {
        let listener = BALANCED.replace("'tcp'", &format!("'{protocol}'"));
        let listener = listener.replace("hello", &format!("{keys}\nhello"));
        let upstream = "[upstream.u]\nendpoints = [{ address = 'a:1' }]\n";
        for store in ["", "store = 'embedded'\n", "store = { file = 'a/b.redb' }\n", "store.file = '${A}'\n"] {
            written_as_read(&format!("{store}{listener}{upstream}"));
        }
    }
}

/// A listener and its route to the upstream `u`.
const BALANCED: &str = "[[listener]]\nname = 'a'\nprotocol = 'tcp'\nbind = 0\nroute = 'r'\nhello = 'none'\n\
                        [route.r]\nupstreams = 'u'\n";

/// Reads `text`, writes it both ways, and reads that again.
fn written_as_read(text: &str) {
    let first = parse(text);
    for again in [first.to_native().unwrap(), config::effective(text, "file", &env).unwrap()] {
        let second = Config { warnings: first.warnings.clone(), ..parse(&again) };
        assert_eq!(second, first, "{again}");
    }
}

#[test]
fn effective_is_a_config_that_says_the_same() {
    let paths = [files("examples", "toml"), files("tests/config/good", "toml")].concat();
    for path in paths.iter().chain([&root().join("config/config.toml")]) {
        let text = std::fs::read_to_string(path).unwrap();
        let effective = config::effective(&text, "file", &env).unwrap();
        let (first, second) = (parse(&text), parse(&effective));
        let second = Config { flavour: first.flavour, warnings: first.warnings.clone(), ..second };
        assert_eq!(second, first, "{effective}");
        assert!(
            effective.contains("# default")
                && (effective.contains("# line ") || effective.contains("# from the file")),
            "{effective}"
        );
    }
}

#[test]
fn the_schema_is_the_one_in_docs() {
    let golden = root().join("docs/config.schema.json");
    same(&golden, &config::schema());
}

#[test]
fn the_reference_is_the_one_in_docs() {
    same(&root().join("docs/config.md"), &config::reference());
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,300}") {
        outcome(&text);
    }

    #[test]
    fn any_keys_together_are_written_as_they_were_read(
        process in some_of(OF_PROCESS),
        listener in some_of(OF_LISTENER),
        upstream in some_of(OF_UPSTREAM),
    ) {
        written_as_read(&format!(
            "[limits]\n{process}\n{}[upstream.u]\nendpoints = [{{ address = 'a:1' }}, {{ address = 'b:1', max_sessions = 2 }}]\n{upstream}",
            BALANCED.replace("hello", &format!("{listener}\nhello")),
        ));
    }

    #[test]
    fn no_shuffled_file_panics(lines in prop::collection::vec(line(), 0..24)) {
        outcome(&lines.join("\n"));
    }
}

/// Keys of `[limits]`, each good beside any others.
const OF_PROCESS: &[&str] = &[
    "sessions = 9",
    "failed_dials_per_minute = 0",
    "scope = 'node'",
    "session_rate = { rate = '5/h' }",
    "message_rate = { rate = '7/s', burst = 9 }",
    "per_ip = { session_rate = { rate = '20/s', burst = 40 } }",
];
/// Keys of a listener, each good beside any others.
const OF_LISTENER: &[&str] = &[
    "hello_timeout = '1s'",
    "open_timeout = '3s'",
    "idle_timeout = '2h'",
    "idle = 'either'",
    "zero_copy = false",
    "congestion = 'system'",
    "allow = '10.0.0.0/8'",
    "deny = ['10.1.0.0/16', '::1']",
    "limits = { sessions = 3, per_ip = { sessions = 2 } }",
    "proxy_protocol = '10.0.0.1'",
    "frames = { type_bytes = 2, on_limit = 'delay', types = { login = 9 } }",
];
/// Keys of an upstream, each good beside any others.
const OF_UPSTREAM: &[&str] = &[
    "balance = 'hash'",
    "connect_timeout = '1s'",
    "attempts = 7",
    "source = '10.0.0.1'",
    "max_sessions = 2",
    "session_rate = { rate = '9/m', burst = 2 }",
    "queue = { size = 7 }",
    "health = { kind = 'http', timeout = '1s', rise = 9, agent = { port = 7 } }",
    "eject = { failures = 3, most = 10 }",
    "panic_threshold = 50",
    "slow_start = '1m'",
    "on_down = 'close'",
    "pool = { min_idle = 2, max_age = '9s' }",
];

/// Some of the lines, in their order.
fn some_of(lines: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::subsequence(lines, 0..=lines.len()).prop_map(|some| some.join("\n"))
}

/// Lines that stand in configs, most of them in the wrong place.
fn line() -> impl Strategy<Value = String> {
    let words = |list: &'static str| prop::sample::select(list.split_whitespace().collect::<Vec<_>>());
    let heads = words(
        "[log] [dns] [admin] [limits] [store] [drain] [[listener]] [listener] [listener.ws] [listener.kcp] [route.a] [route.\"\"] [[route]] \
         [route.a.dns] [route.a.kcp] [listener.tls] [route.a.tls] [route.a.ws] [upstream.a.tls] \
         [upstream.a.ws] [upstream.a] [upstream.a.kcp] [upstream.a.health] [upstream.a.pool] [listener.frames] \
         [listener.tokens] [listener.limits] [limits.per_ip] [tcpgate] [kcpgate] [wsgate] [common]",
    );
    let keys = words(
        "name protocol bind hello route resolver allow upstreams endpoints ws idle_timeout workers names dns key_file \
         rotate success_message port dial_timeout header_identify listener kcp endpoint preset interval window \
         send_window crypt key raw_key fec probe open_rate tls certs cert client_auth \
         client_ca min_version verify ca_file server_name path host forwarded proxy_protocol trusted_proxies \
         balance hash_on health eject kind agent status type_bytes types heartbeat dispatch pipeline on_limit codec \
         allow_plaintext session_rate message_rate up_rate per_ip per_session sessions scope store file \
         max_sessions backup queue size pool min_idle max_age deny keepalive user_timeout frames tokens limits",
    );
    let values = words(
        "1 -1 0 1e400 nan 0xffffffffffffffffff true [] {} [{}] [[]] 1979-05-27 'a' 'tcp' 'ws' 'kcp' 'none' 'jwt' 'address' \
         'fast' 'xor' 'aes-128' 'tls' 'wss' 'sni' 'v2' '1.3' 'required' '/a' '10.0.0.0/8' {certs=[{cert='c',key='k'}]} {verify=false} [10,3] {preset='fast3'} {crypt='xor',key='k'} \
         '10s' '${A}' '${' '$${' \"\\u0000\" '127.0.0.1:0' ['a'] {a='x'} {a={upstream='b'}} [{address='a:1'}] \
         '10.0.0.0/8:*' 'ä' 'hash' 'client' 'request' 'delay' 'frame' 'http' '204' 2 300 {rate='5/s'} {rate='1KiB/s',burst='1B'} \
         {kind='http'} {port=1} {heartbeat=2} {size=0} {sessions=1} 'embedded' 'cluster' 'node' '1KiB/h'",
    );
    prop_oneof![
        heads.prop_map(str::to_owned),
        (keys, values).prop_map(|(key, value)| format!("{key} = {value}"))
    ]
}

/// Reads `text`: a good config is written and read again as itself, a bad one has errors with places in the file.
fn outcome(text: &str) {
    match Config::parse(text, "any", &env) {
        Ok(config) => {
            let native = config.to_native().unwrap_or_default();
            drop(config::effective(text, "any", &env).unwrap());
            if !native.is_empty() {
                let again = parse(&native);
                let again = Config { flavour: config.flavour, warnings: config.warnings.clone(), ..again };
                assert_eq!(again, config, "{native}");
            }
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            let lines = text.lines().count() + 1;
            assert!(errors.0.iter().all(|error| (1..=lines).contains(&error.line)), "{errors}");
        }
    }
}

fn parse(text: &str) -> Config {
    Config::parse(text, "file", &env).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// Compares with a golden file; `UPDATE_GOLDEN=1` writes it.
#[expect(clippy::disallowed_methods, reason = "how whoever changes a message says that it is meant")]
fn same(golden: &Path, found: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden, found).unwrap();
    }
    let wanted = std::fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(found, wanted, "{} differs; UPDATE_GOLDEN=1 writes it", golden.display());
}

fn env(name: &str) -> Option<String> {
    (name == "A").then(|| "a".into())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|has| has == ending));
    found.sort();
    found
}

#[test]
fn depth_and_length_cost_no_stack() {
    let deep = 200_000;
    for text in [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("a = {}", "{a=".repeat(deep)),
        format!("{}a = 1", "a.".repeat(deep)),
        format!("[{}a]", "a.".repeat(deep)),
        format!("a = '{}'", "${A}".repeat(deep)),
        "x".repeat(deep),
        "[tcpgate]\n".repeat(100),
    ] {
        outcome(&text);
    }
}
