//! The operator's routes: list, watch and end calls, change models, reload.

use std::convert::Infallible;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    response::{
        Sse,
        sse::{Event, KeepAlive},
    },
};
use chrono::{DateTime, Utc};
use futures_util::{Stream, stream};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Api,
    body::{Fields, JsonObject},
    error::ApiError,
    family::CallAnswer,
};
use crate::{
    base::CallId,
    call::event::CallChange,
    service::{FieldError, Update, WatchCall},
    store::Page,
};

const PAGE: u32 = 50;

/// `GET /api/calls?limit=50&before=call_…`: newest first, without transcripts.
pub(super) async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Json<Value>, ApiError> {
    let page = page(query.as_deref().unwrap_or_default())?;
    let records = api.read.calls(page).await?;
    let full = records.len() == page.limit as usize;
    let next = records.last().filter(|_| full).map(|record| record.id);
    let base = api.config.base_url();
    let calls: Vec<_> = records.into_iter().map(|record| CallAnswer::new(record, &base)).collect();
    Ok(Json(json!({ "success": true, "calls": calls, "next_before": next })))
}

fn page(query: &str) -> Result<Page, ApiError> {
    let mut page = Page { limit: PAGE, before: None };
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        let wrong = |problem: &str, fix: &str| ApiError::Fields(vec![FieldError::invalid(key, problem, fix)]);
        match key {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=200).contains(limit));
                page.limit = limit.ok_or_else(|| wrong("is not a number of calls", "use 1 to 200"))?;
            }
            "before" => {
                let id =
                    value.parse().map_err(|_| wrong("is not a call id", "use `next_before` of a page"))?;
                page.before = Some(id);
            }
            _ => return Err(wrong("is not a parameter of this list", "use `limit` and `before`")),
        }
    }
    Ok(page)
}

/// `POST /api/call/{id}/hangup`
pub(super) async fn hang_up(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let id = call_id(&id)?;
    if api.read.call(id).await?.is_none() {
        return Err(ApiError::NotFound("call"));
    }
    api.calls.hang_up(id)?;
    Ok(Json(json!({ "success": true, "call_id": id, "message": "Hanging up" })))
}

/// An id that cannot be one is an id of no call.
pub(super) fn call_id(text: &str) -> Result<CallId, ApiError> {
    text.parse().map_err(|_| ApiError::NotFound("call"))
}

/// `GET /api/call/{id}/events`, server-sent events: `call` with the whole call, then `change` for each
/// change. The stream ends when nothing more will come.
pub(super) async fn events(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let watch = api.read.watch(call_id(&id)?).await?.ok_or(ApiError::NotFound("call"))?;
    let base = api.config.base_url();
    let events = stream::unfold((watch, base), async |(mut watch, base)| {
        let event = next_event(&mut watch, &base).await?;
        Some((Ok(event), (watch, base)))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

async fn next_event(watch: &mut WatchCall, base: &str) -> Option<Event> {
    let update = match watch.next().await {
        Ok(update) => update?,
        Err(error) => {
            tracing::error!(%error, "a live view ended early");
            return None;
        }
    };
    let event = match update {
        Update::State(record) => Event::default().event("call").json_data(CallAnswer::new(*record, base)),
        Update::Change(recorded) => {
            let change = Change { at: recorded.event.at, change: &recorded.event.change };
            Event::default().event("change").json_data(change)
        }
    };
    event.inspect_err(|error| tracing::error!(%error, "a change of a call has no JSON")).ok()
}

#[derive(Serialize)]
struct Change<'a> {
    at: DateTime<Utc>,
    #[serde(flatten)]
    change: &'a CallChange,
}

/// `POST /admin/models/use` with `{"kind": "llm", "name": "…"}`
pub(super) async fn use_model(
    State(api): State<Api>,
    JsonObject(body): JsonObject,
) -> Result<Json<Value>, ApiError> {
    let mut fields = Fields::new(body, &["kind", "name"]);
    let (kind, name) = (fields.required_text("kind"), fields.required_text("name"));
    fields.finish()?;
    api.admin.use_model(&kind, &name).await?;
    Ok(Json(json!({ "success": true, "kind": kind, "name": name })))
}

/// `POST /admin/reload`
pub(super) async fn reload(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let changed = api.admin.reload().await?;
    Ok(Json(json!({ "success": true, "changed": changed })))
}
