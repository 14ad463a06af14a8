//! Devices: forgetting one.

use axum::extract::State;
use axum::http::StatusCode;
use portcullis_core::token::ClientId;
use serde_json::json;

use super::fields::Fields;
use super::{Answer, Done, Refusal};
use crate::admin::Desk;
use crate::store;

pub(super) async fn forget(State(desk): State<Desk>, mut fields: Fields) -> Answer {
    let text = fields.parse::<String>("client_id", "text")?;
    fields.finish()?;
    let text = text.ok_or_else(|| Refusal::bad("say which `client_id`"))?;
    let client_id = ClientId::parse(&text).ok_or_else(|| Refusal::bad("`client_id` names no device"))?;
    if !store::is_needed(&desk.facts.proxy.snapshot().config) {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "no listener has `tokens`: devices are not known here",
        ));
    }
    match desk.facts.store.forget(client_id, &desk.facts.proxy).await {
        Ok(true) => Ok(Done::did(json!({ "forgotten": text }), format!("device {text} is forgotten"))),
        Ok(false) => Err(Refusal::missing("no device goes by that `client_id`")),
        Err(error) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}
