//! Bans: which there are, another one, and lifting one.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use ipnet::IpNet;
use portcullis_core::limit::ban::{Ban, MAX_WHY};
use portcullis_core::unit::parse_duration;
use serde_json::{Value, json};

use super::fields::Fields;
use super::sessions::{network, seconds};
use super::{Answer, Done, Refusal};
use crate::admin::Desk;

/// The most bans on a page, and how many there are unless asked otherwise.
const PAGE: u32 = 1000;
const USUAL_PAGE: u32 = 100;

pub(super) async fn list(State(desk): State<Desk>, mut fields: Fields) -> Answer {
    let most = fields.number("limit", 1, PAGE)?.unwrap_or(USUAL_PAGE) as usize;
    let after = network(&mut fields, "after")?;
    fields.finish()?;
    // In order of their networks, so that a page can go on where another ended.
    let mut bans = desk.facts.proxy.bans().into_iter();
    let page: Vec<(Ban, Option<Duration>)> =
        bans.by_ref().filter(|(ban, _)| after.is_none_or(|after| ban.network > after)).take(most).collect();
    let next = page.last().filter(|_| bans.next().is_some()).map(|(ban, _)| ban.network.to_string());
    let shown: Vec<Value> = page.iter().map(|(ban, left)| shown(ban.network, *left, &ban.why)).collect();
    Ok(Done::told(json!({ "bans": shown, "next": next })))
}

pub(super) async fn add(State(desk): State<Desk>, mut fields: Fields) -> Answer {
    let network = needed(&mut fields)?;
    let lasts = match fields.parse::<String>("for", "time")? {
        Some(text) => {
            let hint = |_| {
                Refusal::bad("`for` is no time, as in \"10m\"; without it a ban lasts until it is lifted")
            };
            Some(parse_duration(&text).map_err(hint)?)
        }
        None => None,
    };
    let why = fields.parse::<String>("why", "text")?.unwrap_or_default();
    fields.finish()?;
    if network.prefix_len() == 0 {
        return Err(Refusal::bad(
            "that would keep everybody out; to take nobody more, drain or stop the gateway",
        ));
    }
    if why.len() > MAX_WHY {
        return Err(Refusal::bad(format!("`why` has more than {MAX_WHY} bytes")));
    }
    let full =
        |error: portcullis_core::limit::ban::TooMany| Refusal::new(StatusCode::CONFLICT, error.to_string());
    desk.facts.proxy.ban(network, lasts, &why).map_err(full)?;
    let time =
        lasts.map_or_else(|| "until it is lifted".to_owned(), |lasts| format!("for {} s", lasts.as_secs()));
    Ok(Done::did(shown(network, lasts, &why), format!("{network} is banned {time}: {why}")))
}

pub(super) async fn lift(State(desk): State<Desk>, mut fields: Fields) -> Answer {
    let network = needed(&mut fields)?;
    fields.finish()?;
    if desk.facts.proxy.lift_ban(network) {
        Ok(Done::did(json!({ "lifted": network.to_string() }), format!("the ban of {network} is lifted")))
    } else {
        Err(Refusal::missing(format!("there is no ban of {network}")))
    }
}

fn needed(fields: &mut Fields) -> Result<IpNet, Refusal> {
    network(fields, "network")?.ok_or_else(|| Refusal::bad("say which `network`, or address"))
}

fn shown(network: IpNet, left: Option<Duration>, why: &str) -> Value {
    json!({ "network": network.to_string(), "left": left.map(seconds), "why": why })
}
