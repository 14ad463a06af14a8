//! Sessions: a page of them, one of them, and closing them.

use std::net::IpAddr;
use std::time::UNIX_EPOCH;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use ipnet::IpNet;
use portcullis_core::census::{Filter, Live};
use portcullis_core::limit::network::canonical;
use portcullis_core::name::{ListenerName, UpstreamName};
use portcullis_core::outcome::{Reason, SessionId};
use portcullis_proxy::{Act, Place, ProxyHandle};
use serde_json::{Value, json};

use super::fields::Fields;
use super::{Answer, Done, Refusal};
use crate::admin::Desk;
use crate::admin::round::{self, Order, Silent};

/// The most sessions on a page, and how many there are unless asked otherwise.
const PAGE: u32 = 1000;
const USUAL_PAGE: u32 = 100;

/// How many sessions are closed in a second unless asked otherwise, and at most.
const USUAL_RATE: u32 = 100;
const FASTEST: u32 = 100_000;

impl From<Silent> for Refusal {
    fn from(silent: Silent) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, silent.to_string())
    }
}

pub(super) async fn list(State(desk): State<Desk>, mut fields: Fields) -> Answer {
    let filter = filter(&mut fields)?;
    let most = fields.number("limit", 1, PAGE)?.unwrap_or(USUAL_PAGE);
    let from = match fields.take("after") {
        Some(cursor) => {
            place(&cursor, &desk.facts.proxy).ok_or_else(|| Refusal::bad("`after` is no `next` of a page"))?
        }
        None => Place::default(),
    };
    fields.finish()?;
    let page = round::page(&desk.facts.proxy, &filter, from, most).await?;
    let sessions: Vec<Value> = page.sessions.iter().map(shown).collect();
    let next = page.next.map(|place| format!("{}.{}", place.worker, place.slot));
    Ok(Done::told(json!({ "sessions": sessions, "next": next })))
}

pub(super) async fn show(State(desk): State<Desk>, Path(id): Path<String>, fields: Fields) -> Answer {
    fields.finish()?;
    let met = round::one(&desk.facts.proxy, &named(&id)?, Act::Tell).await?;
    match met.as_ref().and_then(|met| met.sessions.first()) {
        Some(live) => Ok(Done::told(shown(live))),
        None => Err(gone(&id)),
    }
}

pub(super) async fn close(State(desk): State<Desk>, Path(id): Path<String>, fields: Fields) -> Answer {
    fields.finish()?;
    let met = round::one(&desk.facts.proxy, &named(&id)?, Act::Close(Reason::Killed)).await?;
    match met {
        Some(_) => Ok(Done::did(json!({ "closing": 1 }), "a session is closed")),
        None => Err(gone(&id)),
    }
}

pub(super) async fn close_some(State(desk): State<Desk>, mut fields: Fields) -> Answer {
    let filter = filter(&mut fields)?;
    let rate = fields.number("rate", 1, FASTEST)?.unwrap_or(USUAL_RATE);
    let most = fields.number("most", 1, u32::MAX)?.unwrap_or(u32::MAX);
    let all = fields.flag("all")?;
    fields.finish()?;
    if all != filter.is_all() {
        let error = "say which sessions, or `\"all\": true`, and not both";
        return Err(Refusal::bad(error));
    }
    let count = round::count(&desk.facts.proxy, &filter).await?.min(most.into());
    let did = format!("at most {count} sessions are closed, {rate} a second; {}", words(&filter));
    let order = Order { filter, rate, most: u32::try_from(count).unwrap_or(u32::MAX) };
    if count > 0 && !desk.facts.orders.begin(order, desk.facts.proxy.clone(), desk.facts.log.clone()) {
        let error = "sessions are being closed already; one order at a time";
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, error));
    }
    let body = json!({ "closing": count, "rate": rate });
    Ok(Done { status: StatusCode::ACCEPTED, ..Done::did(body, did) })
}

/// Which sessions a request is about.
fn filter(fields: &mut Fields) -> Result<Filter, Refusal> {
    Ok(Filter {
        listener: fields.parse::<String>("listener", "name")?.map(|name| ListenerName::from(&*name)),
        client: network(fields, "client")?,
        upstream: fields.parse::<String>("upstream", "name")?.map(|name| UpstreamName::from(&*name)),
        endpoint: fields.parse("endpoint", "address with a port")?,
        ..Filter::default()
    })
}

/// Takes a network, or one address. IPv4 inside IPv6 is taken out.
pub(super) fn network(fields: &mut Fields, name: &str) -> Result<Option<IpNet>, Refusal> {
    let Some(text) = fields.parse::<String>(name, "network or address")? else { return Ok(None) };
    let address = || text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
    let network = text.parse::<IpNet>().or_else(|_| address());
    network
        .map(|network| Some(canonical(network.trunc())))
        .map_err(|_| Refusal::bad(format!("`{name}` is no network or address")))
}

/// What a filter means, for the log.
fn words(filter: &Filter) -> String {
    let parts = [
        filter.listener.as_ref().map(|listener| format!("listener {listener}")),
        filter.client.map(|client| format!("client {client}")),
        filter.upstream.as_ref().map(|upstream| format!("upstream {upstream}")),
        filter.endpoint.map(|endpoint| format!("endpoint {endpoint}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "all".into() } else { parts.join(", ") }
}

/// The one session of a number as the log writes it.
fn named(id: &str) -> Result<Filter, Refusal> {
    // `from_str_radix` takes a sign as well.
    let digits = id.len() <= 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u64::from_str_radix(id, 16).ok().filter(|_| digits);
    let session = number.ok_or_else(|| Refusal::bad("a session's id is up to 16 hexadecimal digits"))?;
    Ok(Filter { session: Some(SessionId(session)), ..Filter::default() })
}

fn gone(id: &str) -> Refusal {
    Refusal::missing(format!("there is no session {id}"))
}

/// The place that `next` of a page stands for.
fn place(cursor: &Value, proxy: &ProxyHandle) -> Option<Place> {
    let (worker, slot) = cursor.as_str()?.split_once('.')?;
    let place = Place { worker: worker.parse().ok()?, slot: slot.parse().ok()? };
    (usize::from(place.worker) < proxy.loads().len()).then_some(place)
}

fn shown(live: &Live) -> Value {
    let began = live.began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    json!({
        "id": live.session.to_string(),
        "listener": live.listener.as_str(),
        "client": live.client.to_string(),
        "state": live.stage.label(),
        "target": live.target,
        "upstream": live.upstream.as_ref().map(UpstreamName::as_str),
        "endpoint": live.endpoint.map(|endpoint| endpoint.to_string()),
        "identity": live.identity,
        "up_bytes": live.up_bytes,
        "down_bytes": live.down_bytes,
        "path": live.path.label(),
        "began": began,
        "age": seconds(live.age),
    })
}

/// Seconds with three decimals.
pub(super) fn seconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}
