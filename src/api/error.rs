//! Every answer that is not a success, in the shape of most families:
//! `{"success": false, "error": {"code", "message", "field", "fix"}}`; where several fields are wrong,
//! `errors` lists them all, and where trying later helps, `retry_after` has the seconds, as the header has.
//! A response keeps its error ([`Cause`]), so that a family with another shape can tell it in its own
//! ([`family::reshape`](super::family::reshape)).

use std::sync::Arc;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::paid::challenge_response;
use crate::{
    base::{E164, Wallet},
    pay::{challenge::Challenge, siwx::SignInError},
    service::{
        AdminError, BuyFailure, CallerIdFailure, FieldError, HangUpError, LookUpFailure, PlaceError,
        PlaceFailure, RenewFailure, ReserveFailure, Verdict,
    },
    store::StoreError,
};

/// Seconds a client waits before it tries a busy node again.
const BUSY_SECS: u64 = 10;
/// Seconds until a payment that is being settled is asked about again: the node waits for it with the client.
const PENDING_SECS: u64 = 2;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// At least one.
    #[error("the request has {} wrong fields", .0.len())]
    Fields(Vec<FieldError>),
    #[error("the body is not what the route takes: {0}")]
    Body(String),
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("{problem}")]
    Unauthorized { problem: &'static str },
    #[error("no such {0}")]
    NotFound(&'static str),
    #[error("no such path")]
    NoRoute,
    #[error("no such path: this node sells nothing")]
    NothingSold,
    #[error("{0}")]
    PaymentMalformed(String),
    #[error("this payment was sent for another request")]
    PaymentReused,
    #[error("the payment is being settled")]
    PaymentPending,
    #[error("the payment was not taken: {detail}")]
    PaymentUnavailable { detail: String },
    /// The challenge to sign.
    #[error("sign in with your wallet")]
    SignIn(Box<Challenge>),
    #[error(transparent)]
    SignedWrong(#[from] SignInError),
    #[error("numbers are leased to wallets, and the operator's key has none")]
    NoWallet,
    #[error("the carrier refused the call: {reason}")]
    Carrier { reason: String },
    /// Nothing was asked for it and nothing paid.
    #[error(transparent)]
    NoneLeft(FieldError),
    /// Another wallet has the number, or is about to. Nothing was paid.
    #[error(transparent)]
    Taken(FieldError),
    #[error("this node has nobody to ask about {0}")]
    NobodyToAsk(&'static str),
    #[error("no such number is free any more")]
    NumberGone,
    #[error("the number belongs to another wallet")]
    WrongWallet { actual_owner: Wallet, owned: Vec<E164> },
    #[error(transparent)]
    CallerId(CallerIdFailure),
    /// Nothing was charged.
    #[error(transparent)]
    LookUp(#[from] LookUpFailure),
    #[error("this path does not take this method")]
    Method,
    #[error(transparent)]
    NotLive(#[from] HangUpError),
    #[error(transparent)]
    Unavailable(#[from] PlaceError),
    #[error(transparent)]
    Admin(#[from] AdminError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no answer within {secs} seconds")]
    Timeout { secs: u64 },
    #[error("a bug of this node ended the request")]
    Panic,
}

impl From<BuyFailure> for ApiError {
    fn from(failure: BuyFailure) -> Self {
        match failure {
            BuyFailure::Fields(errors) => ApiError::Fields(errors),
            BuyFailure::NoneLeft(error) => ApiError::NoneLeft(error),
            BuyFailure::Store(error) => ApiError::Store(error),
        }
    }
}

impl From<ReserveFailure> for ApiError {
    fn from(failure: ReserveFailure) -> Self {
        match failure {
            ReserveFailure::Store(error) => ApiError::Store(error),
            ReserveFailure::NoneLeft | ReserveFailure::HoldLost => ApiError::NumberGone,
        }
    }
}

impl From<RenewFailure> for ApiError {
    fn from(failure: RenewFailure) -> Self {
        match failure {
            RenewFailure::Field(error) => ApiError::Fields(vec![error]),
            RenewFailure::WrongWallet { actual_owner, owned } => {
                ApiError::WrongWallet { actual_owner, owned }
            }
            RenewFailure::Taken(error) => ApiError::Taken(error),
            RenewFailure::Store(error) => ApiError::Store(error),
        }
    }
}

impl From<CallerIdFailure> for ApiError {
    fn from(failure: CallerIdFailure) -> Self {
        match failure {
            CallerIdFailure::Field(error) => ApiError::Fields(vec![error]),
            CallerIdFailure::Store(error) => ApiError::Store(error),
            other => ApiError::CallerId(other),
        }
    }
}

impl From<PlaceFailure> for ApiError {
    fn from(failure: PlaceFailure) -> Self {
        match failure {
            PlaceFailure::Fields(errors) => ApiError::Fields(errors),
            PlaceFailure::Unavailable(error) => ApiError::Unavailable(error),
            PlaceFailure::Store(error) => ApiError::Store(error),
        }
    }
}

#[derive(Serialize)]
struct Answer {
    success: bool,
    error: Problem,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
}

#[derive(Serialize, Clone)]
struct Problem {
    code: &'static str,
    message: String,
    field: Option<String>,
    fix: Option<String>,
}

impl Problem {
    fn new(code: &'static str, message: impl ToString, fix: &str) -> Problem {
        let fix = Some(fix.to_owned()).filter(|fix| !fix.is_empty());
        Problem { code, message: message.to_string(), field: None, fix }
    }

    fn of_field(error: &FieldError) -> Problem {
        let code = error.verdict.code();
        let message = format!("`{}` {}", error.field, error.problem);
        Problem { code, message, field: Some(error.field.clone()), fix: Some(error.fix.clone()) }
    }
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            ApiError::Fields(errors) => match leading(errors).map(|error| error.verdict) {
                None | Some(Verdict::Invalid) => StatusCode::BAD_REQUEST,
                Some(Verdict::Refused | Verdict::DoNotCall | Verdict::OutsideHours) => StatusCode::FORBIDDEN,
                Some(Verdict::OnACall) => StatusCode::CONFLICT,
                Some(Verdict::TooOften) => StatusCode::TOO_MANY_REQUESTS,
            },
            ApiError::Body(_) | ApiError::Admin(AdminError::Request { .. }) => StatusCode::BAD_REQUEST,
            ApiError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            ApiError::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            ApiError::NotFound(_) | ApiError::NoRoute | ApiError::NothingSold => StatusCode::NOT_FOUND,
            ApiError::Method => StatusCode::METHOD_NOT_ALLOWED,
            ApiError::PaymentMalformed(_) => StatusCode::BAD_REQUEST,
            ApiError::NotLive(_)
            | ApiError::PaymentReused
            | ApiError::NoneLeft(_)
            | ApiError::Taken(_)
            | ApiError::NumberGone => StatusCode::CONFLICT,
            ApiError::PaymentPending | ApiError::PaymentUnavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            ApiError::SignIn(_) | ApiError::SignedWrong(_) => StatusCode::PAYMENT_REQUIRED,
            ApiError::CallerId(CallerIdFailure::Ambiguous { .. }) => StatusCode::BAD_REQUEST,
            ApiError::NoWallet | ApiError::WrongWallet { .. } | ApiError::CallerId(_) => {
                StatusCode::FORBIDDEN
            }
            ApiError::Carrier { .. } | ApiError::LookUp(LookUpFailure::NoAnswer) => StatusCode::BAD_GATEWAY,
            ApiError::NobodyToAsk(_) => StatusCode::NOT_IMPLEMENTED,
            ApiError::Unavailable(_) | ApiError::LookUp(LookUpFailure::Busy) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ApiError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            ApiError::Admin(AdminError::Failed(_))
            | ApiError::Store(_)
            | ApiError::LookUp(LookUpFailure::Store(_))
            | ApiError::Panic => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn problem(&self) -> Problem {
        match self {
            ApiError::Fields(errors) => first(errors),
            ApiError::Body(_) => Problem::new(
                "invalid_body",
                self,
                "send one JSON object with `Content-Type: application/json`",
            ),
            ApiError::TooLarge { .. } => Problem::new("body_too_large", self, "send a shorter body"),
            ApiError::Unauthorized { .. } => Problem::new(
                "unauthorized",
                self,
                "send `Authorization: Bearer <key>` with the operator's key",
            ),
            ApiError::NotFound(_) => Problem::new("not_found", self, ""),
            ApiError::NoRoute => {
                Problem::new("not_found", self, "see /openapi.json or /llms.txt for the paths of this node")
            }
            ApiError::NothingSold => {
                Problem::new("not_found", self, "its operator's agents use `Authorization: Bearer <key>`")
            }
            ApiError::PaymentMalformed(_) => {
                Problem::new("payment_malformed", self, "send what the 402 asks for, in base64")
            }
            ApiError::PaymentReused => {
                Problem::new("payment_reused", self, "sign a new payment for a new request")
            }
            ApiError::PaymentPending => Problem::new(
                "payment_pending",
                self,
                "send the same request with the same payment again; do not sign another",
            ),
            ApiError::PaymentUnavailable { .. } => {
                Problem::new("payment_unavailable", self, "nothing was charged; try again")
            }
            ApiError::SignIn(_) => Problem::new("sign_in", self, "sign the challenge"),
            ApiError::SignedWrong(error) => Problem::new(error.word(), error, "sign a new challenge"),
            ApiError::NoWallet => Problem::new(
                "no_wallet",
                self,
                "the operator's calls may show any number of `policy.caller_ids` without a lease",
            ),
            ApiError::Carrier { .. } => {
                Problem::new("carrier", self, "nothing was charged; check the number, or try again later")
            }
            ApiError::NoneLeft(error) => Problem { code: "none_left", ..Problem::of_field(error) },
            ApiError::Taken(error) => Problem { code: "taken", ..Problem::of_field(error) },
            ApiError::NobodyToAsk(_) => {
                Problem::new("not_configured", self, "ask another node; its operator names who knows")
            }
            ApiError::NumberGone => Problem::new("none_left", self, "nothing was charged; ask for another"),
            ApiError::WrongWallet { .. } => {
                Problem::new("wrong_wallet", self, "pay with the wallet that leases the number")
            }
            ApiError::CallerId(failure) => {
                Problem::new("from", failure, "name a number that this wallet leases in `from`")
            }
            ApiError::Method => {
                Problem::new("method_not_allowed", self, "use a method of the `Allow` header")
            }
            ApiError::NotLive(_) => Problem::new("not_live", self, "read the call to see how it ended"),
            ApiError::Unavailable(error) => unavailable(error),
            ApiError::Admin(AdminError::Request { field, problem, fix }) => {
                Problem::of_field(&FieldError::invalid(*field, problem, fix))
            }
            ApiError::Admin(AdminError::Failed(detail)) => Problem::new("not_applied", detail, ""),
            ApiError::Timeout { .. } => Problem::new("timeout", self, "try again"),
            ApiError::LookUp(LookUpFailure::Busy) => {
                Problem::new("at_capacity", self, "nothing was charged; try again in some seconds")
            }
            ApiError::LookUp(LookUpFailure::NoAnswer) => {
                Problem::new("provider", self, "nothing was charged; try again in some seconds")
            }
            // What a database says may quote a row.
            ApiError::Store(_) | ApiError::LookUp(LookUpFailure::Store(_)) => {
                Problem::new("store", "the store did not answer", "try again; the node's log has the cause")
            }
            ApiError::Panic => Problem::new("internal", self, "the node's log has the cause"),
        }
    }
}

/// A refusal stands before what is merely wrong: it decides the status.
fn leading(errors: &[FieldError]) -> Option<&FieldError> {
    errors.iter().find(|error| error.verdict != Verdict::Invalid).or(errors.first())
}

fn first(errors: &[FieldError]) -> Problem {
    match leading(errors) {
        Some(error) => Problem::of_field(error),
        None => Problem::new("invalid_field", "a field is wrong", ""),
    }
}

fn unavailable(error: &PlaceError) -> Problem {
    let (code, fix) = match error {
        PlaceError::AtCapacity { .. } => ("at_capacity", "try again when a call has ended"),
        PlaceError::Congested { .. } => ("too_many_at_once", "try again after `retry_after` seconds"),
        PlaceError::NoTrunk(_) => ("no_trunk", "try again; the operator sees the trunk's state in /health"),
        PlaceError::NoEngine(_) => {
            ("no_engine", "try again; the operator sees the engine's state in /health")
        }
        PlaceError::Stopping => ("stopping", "try again when the node is back"),
    };
    Problem::new(code, error, fix)
}

impl ApiError {
    /// Status and body, in the shape of most families.
    pub(super) fn rendered(&self) -> (StatusCode, serde_json::Value) {
        let errors = match self {
            ApiError::Fields(errors) if errors.len() > 1 => errors.iter().map(Problem::of_field).collect(),
            _ => Vec::new(),
        };
        let retry_after = self.retry_after();
        let answer = Answer { success: false, error: self.problem(), errors, retry_after };
        (self.status(), serde_json::to_value(answer).expect("an answer is plain data with text keys"))
    }

    /// Seconds after which the same request may do; none where only another one can.
    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            ApiError::Fields(errors) => {
                errors.iter().map(|error| error.retry_after).collect::<Option<Vec<_>>>()?.into_iter().max()
            }
            ApiError::Taken(error) => error.retry_after,
            ApiError::PaymentPending => Some(PENDING_SECS),
            ApiError::Unavailable(PlaceError::Congested { retry_after }) => Some(retry_after.as_secs() + 1),
            ApiError::Unavailable(_)
            | ApiError::PaymentUnavailable { .. }
            | ApiError::Carrier { .. }
            | ApiError::LookUp(LookUpFailure::Busy | LookUpFailure::NoAnswer) => Some(BUSY_SECS),
            _ => None,
        }
    }
}

/// The error of a response, among its extensions.
#[derive(Clone)]
pub(super) struct Cause(pub Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let ApiError::Store(error) = &self {
            tracing::error!(%error, "the store failed a request");
        }
        if let ApiError::SignIn(challenge) = &self {
            return challenge_response(challenge);
        }
        let (status, body) = self.rendered();
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        if matches!(self, ApiError::Unauthorized { .. }) {
            let challenge = HeaderValue::from_static("Bearer realm=\"callbox\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(Cause(Arc::new(self)));
        response
    }
}
