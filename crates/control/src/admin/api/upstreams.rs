//! Upstreams and their endpoints: what they are like, and what the operator wants of them.

use axum::extract::{Path, State};
use portcullis_core::config::UpstreamEndpoint;
use portcullis_core::endpoint::Endpoint;
use portcullis_core::name::UpstreamName;
use portcullis_core::upstream::{EndpointState, Standing, Upstream};
use portcullis_core::wheel::Tick;
use serde_json::{Value, json};

use super::fields::Fields;
use super::sessions::seconds;
use super::{Answer, Done, Refusal};
use crate::admin::Desk;

pub(super) async fn list(State(desk): State<Desk>, fields: Fields) -> Answer {
    fields.finish()?;
    let (snapshot, now) = (desk.facts.proxy.snapshot(), desk.facts.proxy.now());
    let upstreams: Vec<Value> = snapshot.upstreams().map(|upstream| shown(upstream, now)).collect();
    Ok(Done::told(json!({ "upstreams": upstreams })))
}

pub(super) async fn show(State(desk): State<Desk>, Path(name): Path<String>, fields: Fields) -> Answer {
    fields.finish()?;
    let (snapshot, now) = (desk.facts.proxy.snapshot(), desk.facts.proxy.now());
    let upstream = snapshot.upstream(&UpstreamName::from(&*name)).ok_or_else(|| no_upstream(&name))?;
    Ok(Done::told(shown(upstream, now)))
}

pub(super) async fn set(
    State(desk): State<Desk>,
    Path((name, address)): Path<(String, String)>,
    mut fields: Fields,
) -> Answer {
    let standing = match fields.parse::<String>("state", "state")? {
        Some(word) => Some(Standing::named(&word).ok_or_else(|| {
            let known = Standing::ALL.map(Standing::label).join(", ");
            Refusal::bad(format!("`state` is none of {known}"))
        })?),
        None => None,
    };
    let weight = match fields.take("weight") {
        None => None,
        Some(Value::Null) => Some(None),
        Some(weight) => Some(Some(checked(&weight)?)),
    };
    fields.finish()?;
    if standing.is_none() && weight.is_none() {
        return Err(Refusal::bad("say `state`, `weight` or both"));
    }
    let (snapshot, now) = (desk.facts.proxy.snapshot(), desk.facts.proxy.now());
    let upstream = snapshot.upstream(&UpstreamName::from(&*name)).ok_or_else(|| no_upstream(&name))?;
    let known = || Refusal::missing(format!("upstream `{name}` has no endpoint {address}"));
    let endpoint = address.parse::<Endpoint>().ok();
    let (settings, endpoint) =
        upstream.members().find(|(_, state)| endpoint.as_ref() == Some(&state.address)).ok_or_else(known)?;
    if let Some(standing) = standing {
        endpoint.set_standing(standing);
    }
    if let Some(weight) = weight {
        endpoint.set_weight(weight);
    }
    let did = format!("state {}, weight {}", endpoint.standing().label(), weight_of(settings, endpoint));
    Ok(Done::did(member(settings, endpoint, now), did))
}

/// A weight that may be set.
fn checked(weight: &Value) -> Result<u16, Refusal> {
    let most = EndpointState::MAX_WEIGHT;
    let number = weight.as_u64().and_then(|number| u16::try_from(number).ok());
    let number = number.filter(|number| *number <= most);
    number.ok_or_else(|| {
        Refusal::bad(format!("`weight` is a whole number from 0 to {most}, or null for the configured one"))
    })
}

fn no_upstream(name: &str) -> Refusal {
    Refusal::missing(format!("there is no upstream `{name}`"))
}

/// The weight that counts: the operator's, else the configured one.
fn weight_of(settings: &UpstreamEndpoint, endpoint: &EndpointState) -> u16 {
    endpoint.weight().unwrap_or(settings.weight)
}

fn shown(upstream: &Upstream, now: Tick) -> Value {
    let endpoints: Vec<Value> =
        upstream.members().map(|(settings, endpoint)| member(settings, endpoint, now)).collect();
    json!({ "name": upstream.settings.name.as_str(), "endpoints": endpoints })
}

fn member(settings: &UpstreamEndpoint, endpoint: &EndpointState, now: Tick) -> Value {
    let fitness = &endpoint.fitness;
    let counted = fitness.counted();
    json!({
        "address": endpoint.address.to_string(),
        "state": endpoint.standing().label(),
        "weight": weight_of(settings, endpoint),
        "configured_weight": settings.weight,
        "backup": settings.backup,
        "fit": fitness.is_fit(now),
        "sessions": endpoint.sessions(),
        "max_sessions": settings.max_sessions,
        "response": fitness.response().map(seconds),
        "probes": { "good": counted.good, "bad": counted.bad },
        "ejections": counted.ejections,
    })
}
