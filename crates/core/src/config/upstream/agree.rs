//! Where the keys of an upstream do not go together, and what runs but may not be meant.

use super::{BALANCE, ENDPOINTS, HASH_ON, HEALTH, ON_DOWN, POOL, QUEUE, SLOW};
use crate::config::dial::{PROXY_PROTOCOL, SPEECH, Speech};
use crate::config::health::rows::TIMEOUT;
use crate::config::key::Reader;
use crate::config::kind::Kind as _;
use crate::config::pool::MIN_IDLE;
use crate::config::{Balance, Dial, OnDown, ProxyHeader, Queue, Upstream};

/// Can a connection to such an endpoint be open before it is known who it is for?
pub(in crate::config) fn is_poolable(dial: &Dial) -> bool {
    match Speech::of(dial) {
        Speech::Tcp | Speech::Tls => true,
        Speech::Kcp | Speech::Ws | Speech::Wss => false,
    }
}

/// Tells keys that do not go together.
pub(super) fn check(reader: &Reader<'_>, upstream: &Upstream) {
    for (index, endpoint) in upstream.endpoints.iter().enumerate() {
        let earlier = upstream.endpoints.iter().take(index).any(|other| other.address == endpoint.address);
        if earlier {
            let at = reader.item_at(ENDPOINTS.name, index);
            let hint = "name it once; `weight` gives it a larger share";
            reader.report.error(&at, format!("endpoint `{}` is there twice", endpoint.address), hint);
        }
    }
    if !matches!(upstream.balance, Balance::Hash(_)) && !reader.is_broken(&BALANCE) {
        let balance = BALANCE.kind.show(&upstream.balance);
        let hint = "take it out, or set `balance = \"hash\"`";
        reader.refuse(&[HASH_ON.name], &format!("with balance {balance}"), hint);
    }
    if !is_poolable(&upstream.dial) {
        let spoken = SPEECH.show(&Speech::of(&upstream.dial));
        let hint = "take it out; connections are kept with protocol \"tcp\" and \"tls\"";
        reader.refuse(&[POOL.name], &format!("with protocol {spoken}"), hint);
    } else if upstream.pool.min_idle > 0 && upstream.dial.proxy_protocol == ProxyHeader::V2 {
        let pool = reader.inside(POOL.name);
        let message = format!(
            "`min_idle` and `{} = \"v2\"` do not go together: a connection made in advance has no client to introduce",
            PROXY_PROTOCOL.name
        );
        pool.error(MIN_IDLE.name, message, "one or the other; `min_idle = 0` makes none in advance");
    }
}

/// Tells what runs but may not be meant.
pub(super) fn advise(reader: &Reader<'_>, upstream: &Upstream) {
    let endpoints = &upstream.endpoints;
    if upstream.health.is_none() && !reader.has(HEALTH.name) && upstream.on_down == OnDown::Close {
        let text = "`on_down = \"close\"` closes sessions when health finds their endpoint down, and nobody asks: \
                    add `health = {}`";
        reader.report.warn(&reader.at(ON_DOWN.name), text);
    }
    let backups = endpoints.iter().filter(|endpoint| endpoint.backup).count();
    if backups > 0 && backups == endpoints.len() {
        let text = "every endpoint is a backup, so that there is none which it stands in for; \
                    take `backup` out where sessions usually go";
        reader.report.warn(&reader.at(ENDPOINTS.name), text);
    } else if backups == 1 {
        let lone = endpoints.iter().position(|endpoint| endpoint.backup && endpoint.weight > 1);
        if let Some(index) = lone {
            let text = "`weight` of the only backup changes nothing: when it is used, it gets everything";
            reader.report.warn(&reader.item_at(ENDPOINTS.name, index), text);
        }
    }
    let waits = endpoints.iter().any(|endpoint| endpoint.max_sessions.is_some());
    if upstream.queue.size > 0
        && upstream.queue != Queue::default()
        && !waits
        && upstream.session_rate.is_none()
    {
        let text = "nobody waits in `queue`: endpoints are full only with `max_sessions` or `session_rate`";
        reader.report.warn(&reader.at(QUEUE.name), text);
    }
    let slow = upstream.slow_start;
    if endpoints.len() == 1 && slow != (SLOW.default)() && !slow.is_zero() {
        let text = "`slow_start` changes nothing with one endpoint: every session goes to it";
        reader.report.warn(&reader.at(SLOW.name), text);
    }
    if let Some(health) = upstream.health.as_ref().filter(|health| health.timeout > health.interval) {
        let text = format!(
            "a probe may take longer ({}) than the time until the next ({}): a dead endpoint is found later than \
             `interval` and `fall` say",
            crate::unit::show_duration(health.timeout),
            crate::unit::show_duration(health.interval)
        );
        reader.report.warn(&reader.inside(HEALTH.name).at(TIMEOUT.name), text);
    }
}
