//! API families: each file is one published API, its shapes on one side and one service call on the
//! other. No rule lives here.

pub mod blockrun;
mod call_answer;
mod sale;
pub mod stablephone;
pub mod x402phone;

use axum::{
    Json,
    extract::Request,
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use call_answer::CallAnswer;

use super::error::{ApiError, Cause};
use crate::{base::CallId, call::record::CallPlan, pay::gate::Answer, store::numbers::Lease};

/// Whose shapes an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    X402Phone,
    StablePhone,
    BlockRun,
}

impl Family {
    /// As leases and records name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Family::X402Phone => "x402phone",
            Family::StablePhone => "stablephone",
            Family::BlockRun => "blockrun",
        }
    }

    /// Whether any wallet may top up any number.
    pub fn renews_for_anyone(self) -> bool {
        self != Family::BlockRun
    }

    pub(super) fn refusal(self, error: &ApiError) -> Answer {
        let (status, body) = match self {
            Family::BlockRun => blockrun::refusal::of(error),
            Family::X402Phone | Family::StablePhone => error.rendered(),
        };
        Answer { status: status.as_u16(), body }
    }

    pub(super) fn call_placed(self, call: CallId, plan: &CallPlan, transaction: &str) -> Answer {
        ok(match self {
            Family::BlockRun => blockrun::call::placed(call, plan, transaction),
            Family::X402Phone | Family::StablePhone => sale::call_placed(call),
        })
    }

    pub(super) fn leased(self, lease: &Lease, transaction: &str) -> Answer {
        ok(match self {
            Family::BlockRun => blockrun::leased(lease, transaction),
            Family::X402Phone | Family::StablePhone => sale::leased(lease),
        })
    }

    pub(super) fn renewed(self, lease: &Lease, transaction: &str) -> Answer {
        ok(match self {
            Family::BlockRun => blockrun::renewed(lease, transaction),
            Family::X402Phone | Family::StablePhone => sale::leased(lease),
        })
    }
}

/// Middleware: an error that reaches a client of BlockRun's API has its shape, wherever it comes from: a
/// handler, a limit on time or size, a method that is not there.
pub(super) async fn reshape(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let Some(Cause(error)) = response.extensions_mut().remove::<Cause>() else { return response };
    if !path.starts_with(blockrun::ROOT) {
        return response;
    }
    let (status, body) = told(&path, &error);
    let mut shaped = (status, Json(body)).into_response();
    for (name, value) in response.headers() {
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH].contains(name) {
            shaped.headers_mut().append(name, value.clone());
        }
    }
    shaped
}

/// Status and body of an error, as the family that a path belongs to tells it.
pub(super) fn told(path: &str, error: &ApiError) -> (StatusCode, Value) {
    if path.starts_with(blockrun::ROOT) { blockrun::refusal::of(error) } else { error.rendered() }
}

fn ok(body: Value) -> Answer {
    Answer { status: 200, body }
}
