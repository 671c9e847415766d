//! Errors in BlockRun's shape, `{"error": code, "message": …}` and what belongs to the code, and with its
//! statuses: 400, 403, 404, 429 for what may do later, 502 for what carriers and engines cannot do now.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    api::error::ApiError,
    service::{CallerIdFailure, LookUpFailure, PlaceError},
};

pub(in crate::api::family) fn of(error: &ApiError) -> (StatusCode, Value) {
    let (status, rendered) = error.rendered();
    let problem = &rendered["error"];
    let mut body = json!({ "error": problem["code"], "message": problem["message"] });
    let seconds = json!(error.retry_after());
    for (name, value) in [("field", &problem["field"]), ("fix", &problem["fix"]), ("retry_after", &seconds)] {
        if !value.is_null() {
            body[name] = value.clone();
        }
    }
    if let ApiError::CallerId(failure) = error {
        own_words(failure, &mut body);
    }
    if let ApiError::WrongWallet { actual_owner, owned } = error {
        body["actualOwner"] = json!(actual_owner);
        body["your_active_numbers"] = json!(owned);
    }
    (own_status(error).unwrap_or(status), body)
}

/// Where the contract has another status than this node's other APIs.
fn own_status(error: &ApiError) -> Option<StatusCode> {
    match error {
        // A callee who is on a call, a cap, all lines in use: later, it may do.
        ApiError::Fields(_) if error.retry_after().is_some() => Some(StatusCode::TOO_MANY_REQUESTS),
        ApiError::Unavailable(PlaceError::AtCapacity { .. } | PlaceError::Congested { .. })
        | ApiError::LookUp(LookUpFailure::Busy) => Some(StatusCode::TOO_MANY_REQUESTS),
        ApiError::Unavailable(_) | ApiError::NoneLeft(_) | ApiError::NumberGone => {
            Some(StatusCode::BAD_GATEWAY)
        }
        _ => None,
    }
}

fn own_words(failure: &CallerIdFailure, body: &mut Value) {
    match failure {
        CallerIdFailure::NoOwnedNumbers | CallerIdFailure::Expired { .. } => {
            body["error"] = "no_owned_numbers".into();
            body["code"] = "no_active_number".into();
            body["your_active_numbers"] = json!([]);
            body["fix"] = "buy a number with POST /api/v1/phone/numbers/buy".into();
        }
        CallerIdFailure::Ambiguous { owned } => {
            body["error"] = "ambiguous_from".into();
            body["your_active_numbers"] = json!(owned);
        }
        CallerIdFailure::WrongWallet { actual_owner, owned } => {
            body["error"] = "wrong_wallet".into();
            body["actualOwner"] = json!(actual_owner);
            body["your_active_numbers"] = json!(owned);
        }
        CallerIdFailure::Field(_) | CallerIdFailure::Store(_) => {}
    }
}
