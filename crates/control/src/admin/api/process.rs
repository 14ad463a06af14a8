//! The process as a whole: what it says of itself, its configuration, its limits, and taking its file anew.

use std::time::UNIX_EPOCH;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::fields::Fields;
use super::{Answer, Done, Refusal};
use crate::admin::Desk;
use crate::status::Readiness;

/// Asks for a reload; the answer comes when the configuration is in force, or is refused.
pub type Reload = oneshot::Sender<Result<(), ReloadErrors>>;

/// Why a configuration is refused: one line per error, without what stands in the file.
pub type ReloadErrors = Vec<String>;

pub(super) async fn status(State(desk): State<Desk>) -> Answer {
    let (status, traffic) = (&desk.facts.status, (desk.facts.traffic)());
    let (in_force, reloads, losses) = (status.in_force(), status.reloads(), desk.facts.log.losses());
    let listeners: Vec<_> = in_force
        .listeners
        .iter()
        .map(|(name, addr)| json!({ "name": name.as_str(), "address": addr.to_string() }))
        .collect();
    let last = reloads.last.map(|last| {
        let at = last.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        json!({ "at": at, "ok": last.errors.is_empty(), "errors": last.errors })
    });
    Ok(Done::told(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime": status.uptime(),
        "readiness": status.readiness().label(),
        "config": { "file": in_force.file.display().to_string(), "hash": format!("{:08x}", in_force.hash) },
        "listeners": listeners,
        "sessions": traffic.listeners.iter().map(|listener| listener.sessions).sum::<u64>(),
        "session_maximum": in_force.session_maximum,
        "reloads": { "ok": reloads.applied, "failed": reloads.refused, "last": last },
        "log": { "dropped": losses.dropped, "failed": losses.failed },
    })))
}

/// Every value in force, with `***` in place of what is secret.
pub(super) async fn config(State(desk): State<Desk>, fields: Fields) -> Answer {
    fields.finish()?;
    let in_force = desk.facts.status.in_force();
    Ok(Done::told(json!({
        "file": in_force.file.display().to_string(),
        "hash": format!("{:08x}", in_force.hash),
        "effective": &*in_force.effective,
    })))
}

/// Every limit in force, and how far it is used where that is counted.
pub(super) async fn limits(State(desk): State<Desk>, fields: Fields) -> Answer {
    fields.finish()?;
    let counts = desk.facts.proxy.counts();
    let snapshot = desk.facts.proxy.snapshot();
    let row = |owner: &str, scope: &str, name: &str, value: Value, level: Value| json!({ "owner": owner, "scope": scope, "name": name, "value": value, "level": level });
    let failed_dials = json!(snapshot.config.limits.failed_dials_per_minute);
    let mut limits = vec![
        row("process", "process", "sessions", counts.session_maximum.into(), counts.sessions.into()),
        row("process", "ip", "failed_dials_per_minute", failed_dials, Value::Null),
    ];
    let mut is_first = true;
    for listener in &counts.listeners {
        let Some(plan) = snapshot.listener(&listener.name) else { continue };
        // The process' limits are the same at every listener.
        let of_process = std::mem::take(&mut is_first);
        for limit in plan.entrance.limits().filter(|limit| of_process || limit.owner == "listener") {
            let owner = if limit.owner == "listener" { listener.name.as_str() } else { limit.owner };
            let counts_it = limit.scope == "listener" && limit.name == "sessions";
            let level = if counts_it { listener.sessions.into() } else { Value::Null };
            limits.push(row(owner, limit.scope, limit.name, limit.value.into(), level));
        }
    }
    let step = desk.facts.proxy.step();
    let overload = json!({ "step": step.number(), "meaning": step.meaning() });
    Ok(Done::told(json!({ "limits": limits, "overload": overload })))
}

pub(super) async fn reload(State(desk): State<Desk>, fields: Fields) -> Answer {
    fields.finish()?;
    if desk.facts.status.readiness() == Readiness::Draining {
        return Err(Refusal::new(StatusCode::CONFLICT, "no reload while draining"));
    }
    let (tell, told) = oneshot::channel();
    if desk.facts.reload.try_send(tell).is_err() {
        return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "a reload is under way; one at a time"));
    }
    match told.await {
        Ok(Ok(())) => {
            let hash = format!("{:08x}", desk.facts.status.in_force().hash);
            Ok(Done::did(json!({ "hash": hash }), format!("configuration {hash} is in force")))
        }
        Ok(Err(errors)) => {
            let error = "the new configuration is refused; nothing was changed";
            Err(Refusal { errors, ..Refusal::new(StatusCode::CONFLICT, error) })
        }
        Err(_) => Err(Refusal::new(StatusCode::CONFLICT, "no reload: the gateway is ending")),
    }
}
