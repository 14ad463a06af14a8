//! What runs but may not be meant.

use super::parse;

#[test]
fn what_runs_but_may_not_be_meant_is_warned_of() {
    let (listener, open) = (LISTENER, OPEN);
    let rows = [
        (format!("{listener}{open}attempts = 9"), "`open_timeout` (10s) ends before 9 attempts of 3s do"),
        (
            format!("{listener}idle_timeout = '5s'\n{open}"),
            "`ping_interval` (20s) is not below `idle_timeout` (5s)",
        ),
        (format!("{listener}{open}[admin]\nbind = '0.0.0.0:9909'"), "reachable from other machines"),
        (format!("{listener}[route.r]\nallow = 'no-more-private'"), "no more private than their client"),
        (
            format!(
                "{listener}ws = {{ query = true }}\n[route.r]\nresolver = 'ticket'\nkey_file = 'k'\n{}",
                &open[10..]
            ),
            "credentials into URLs",
        ),
        (
            format!("{listener}proxy_protocol = ['10.0.0.0/8', '::/0']\n{open}"),
            "`proxy_protocol` trusts everyone (::/0)",
        ),
        (
            format!("{listener}ws = {{ trusted_proxies = '0.0.0.0/0' }}\n{open}"),
            "`trusted_proxies` trusts everyone",
        ),
        (
            format!("{listener}allow = ['10.1.0.0/16', '10.2.0.1']\ndeny = '10.0.0.0/8'\n{open}"),
            "nobody is let in",
        ),
        (format!("{listener}{open}endpoint = 'wss'\ntls = {{ verify = false }}"), "are not verified"),
        (
            format!(
                "{listener}{open}[upstream.u]\nprotocol = 'tls'\nendpoints = [{{ address = '10.0.0.1:1' }}]\ntls.verify = false"
            ),
            "are not verified",
        ),
        (
            format!(
                "{}hello = 'sni'\n[route.r]\nresolver = 'ticket'\nkey_file = 'k'\n{}",
                listener.replace("'ws'", "'tcp'"),
                &open[10..]
            ),
            "passes in clear",
        ),
    ];
    for (text, want) in rows {
        warned(&text, want);
    }
}

#[test]
fn keys_of_an_upstream_that_do_nothing_are_warned_of() {
    let lone = "endpoints = [{ address = '10.0.0.1:1' }]";
    let head = format!("{LISTENER}{OPEN}[upstream.u]\n");
    let rows = [
        (format!("{head}on_down = 'close'\n{lone}"), "add `health = {}`"),
        (format!("{head}queue = {{ size = 7 }}\n{lone}"), "nobody waits in `queue`"),
        (format!("{head}slow_start = '5s'\n{lone}"), "changes nothing with one endpoint"),
        (format!("{head}health = {{ timeout = '5s' }}\n{lone}"), "a probe may take longer (5s)"),
        (format!("{head}{}", lone.replace(" }", ", backup = true }")), "every endpoint is a backup"),
        (
            format!(
                "{head}endpoints = [{{ address = 'a:1' }}, {{ address = 'b:1', backup = true, weight = 2 }}]"
            ),
            "`weight` of the only backup",
        ),
    ];
    for (text, want) in rows {
        warned(&text, want);
    }
}

#[test]
fn what_frame_mode_and_tokens_lose_is_warned_of() {
    let head = LISTENER.replace("'ws'", "'tcp'");
    let tail = "hello = 'none'\n[route.r]\nupstreams = 'u'\n[upstream.u]\nendpoints = [{ address = '10.0.0.1:1' }]\n";
    let tls = head.replace("'tcp'", "'tls'") + "tls = { certs = [{ cert = 'c', key = 'k' }] }\n";
    let rows = [
        (
            format!("{head}frames = {{ heartbeat_interval = '1m' }}\n{tail}"),
            "`heartbeat_interval` (1m) is not below `idle_timeout` (1m)",
        ),
        (
            format!("{head}idle_timeout = '9s'\nframes = {{}}\n{tail}"),
            "`heartbeat_interval` (30s) is not below `idle_timeout` (9s)",
        ),
        (
            format!("{head}frames = {{}}\ntokens = {{ allow_plaintext = true }}\n{tail}"),
            "DEVICE TOKENS PASS IN CLEAR",
        ),
        (
            format!("{tls}frames = {{ forward_heartbeats = true }}\ntokens = {{}}\n{tail}"),
            "no answer brings a new token",
        ),
        (format!("{head}{tail}[limits]\nmessage_rate = {{ rate = '5/s' }}"), "no listener has `frames`"),
    ];
    for (text, want) in rows {
        warned(&text, want);
    }
}

const LISTENER: &str = "[[listener]]\nname = 'a'\nprotocol = 'ws'\nbind = 80\nroute = 'r'\n";
const OPEN: &str = "[route.r]\nallow = '10.0.0.0/8:*'\n";

/// Reads a file that runs, with one thing to look at.
fn warned(text: &str, want: &str) {
    let warnings = parse(text).unwrap_or_else(|errors| panic!("{errors}\n{text}")).warnings;
    assert!(
        matches!(&warnings[..], [one] if one.text.contains(want) && one.at.is_some()),
        "{want}: {warnings:?}"
    );
}
