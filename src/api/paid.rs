//! Selling: what every paid route does around its own body.
//!
//! A request without a body is a probe and gets the challenge. A body is validated and checked by policy
//! first, by the route; only then does [`Purchase::sell`] ask for money or take it. The operator's own key
//! pays for everything.

use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::Utc;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{Api, auth, body, error::ApiError};
use crate::{
    base::{ClaimId, Wallet},
    pay::{
        self, Price,
        challenge::{self, Challenge},
        gate::{Answer, Spent, Work},
        mpp,
        network::Network,
        siwx::SignIn,
        tender::{Malformed, Tender},
        x402::{self, Receiver, Resource},
    },
    store::claims::NewClaim,
};

const NOTHING_SOLD: ApiError = ApiError::Unauthorized { problem: "this node sells nothing" };
/// Where a settled transaction is told to clients that look for it here.
const RECEIPT: HeaderName = HeaderName::from_static("x-payment-receipt");

/// A request to a paid route, read whole.
pub(super) struct Purchase {
    /// The route's pattern, not what was typed: it goes into the claim.
    path: String,
    body: Bytes,
    by_operator: bool,
    payment: Result<Option<Offered>, Malformed>,
}

/// A payment, and what it is bound to.
struct Offered {
    tender: Tender,
    /// Method and path.
    route: String,
    /// Hexadecimal.
    body_sha256: String,
}

impl Offered {
    fn read(
        headers: &HeaderMap,
        method: &Method,
        path: &str,
        body: &Bytes,
    ) -> Result<Option<Self>, Malformed> {
        let header = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
        let offered = |tender| Offered {
            tender,
            route: format!("{method} {path}"),
            body_sha256: hex::encode(Sha256::digest(body)),
        };
        Ok(Tender::read(header)?.map(offered))
    }
}

/// Who pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payer {
    /// Nobody yet: the request has no payment.
    Unknown,
    /// By their payment's own word until it is verified.
    Wallet(Wallet),
    Operator,
}

impl FromRequest<Api> for Purchase {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        if api.till.is_none() {
            auth::check_key(request.headers(), api)?;
        }
        let method = request.method().clone();
        let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
        let path = matched.unwrap_or_else(|| request.uri().path().to_owned());
        let headers = request.headers().clone();
        let body = body::read(request, api).await?;
        let payment = Offered::read(&headers, &method, &path, &body);
        Ok(Purchase { path, body, by_operator: auth::has_key(&headers, api), payment })
    }
}

impl Purchase {
    /// The answer that needs no look at the body: the price, for whoever only asks for it, and what a payment
    /// has bought before.
    pub async fn known(&self, api: &Api, price: &Price) -> Result<Option<Response>, ApiError> {
        if self.is_probe() {
            return self.ask(api, price).map(Some);
        }
        let Some(till) = api.till.as_ref().filter(|_| !self.by_operator) else { return Ok(None) };
        let Some(payment) = self.payment()? else { return Ok(None) };
        let Some(offer) = till.earlier(payment, price) else { return Ok(None) };
        let spent = till.gate.earlier(&offer).await?;
        let refuse = |reason: &str| self.refuse(api, till, price, &payment.tender, reason);
        spent.map(|spent| told(spent, &payment.tender, refuse)).transpose()
    }

    /// Whether only the price is asked for: the operator has none to ask.
    fn is_probe(&self) -> bool {
        self.body.is_empty() && !self.by_operator && matches!(self.payment, Ok(None))
    }

    pub fn object(&self) -> Result<Map<String, Value>, ApiError> {
        body::object(&self.body)
    }

    /// The body of a route that needs none of its fields: none at all is an empty one.
    pub fn object_if_any(&self) -> Result<Map<String, Value>, ApiError> {
        if self.body.is_empty() { Ok(Map::new()) } else { self.object() }
    }

    pub fn payer(&self) -> Result<Payer, ApiError> {
        if self.by_operator {
            return Ok(Payer::Operator);
        }
        Ok(self.payment()?.map_or(Payer::Unknown, |paid| Payer::Wallet(paid.tender.payer().clone())))
    }

    /// Whose wallet a number is bought for. A request without a payment asks for the price, for nobody.
    pub fn buyer(&self) -> Result<Wallet, ApiError> {
        match self.payer()? {
            Payer::Wallet(wallet) => Ok(wallet),
            Payer::Unknown => Ok(Wallet::nobody()),
            Payer::Operator => Err(ApiError::NoWallet),
        }
    }

    /// The price, told to whoever does not know it.
    pub fn ask(&self, api: &Api, price: &Price) -> Result<Response, ApiError> {
        let till = api.till.as_ref().ok_or(NOTHING_SOLD)?;
        Ok(challenge_response(&self.challenge(api, till, price, challenge::PAYMENT_REQUIRED)))
    }

    fn challenge(&self, api: &Api, till: &Till, price: &Price, error: &str) -> Challenge {
        let url = format!("{}{}", api.config.base_url(), self.path);
        let resource = Resource { url, description: price.description.clone() };
        let challenge = Challenge::new(&till.requirements(price), &resource, error);
        match &till.mpp {
            Some(charges) => challenge.or_by_mpp(charges.challenge(price.amount, Utc::now())),
            None => challenge,
        }
    }

    /// Asks for the price, or takes it and does the work.
    pub async fn sell(self, api: &Api, price: Price, work: Box<dyn Work>) -> Result<Response, ApiError> {
        if self.by_operator {
            return Ok(give(work).await);
        }
        let till = api.till.as_ref().ok_or(NOTHING_SOLD)?;
        let Some(payment) = self.payment()? else { return self.ask(api, &price) };
        let refuse = |reason: &str| self.refuse(api, till, &price, &payment.tender, reason);
        let offer = match till.offer(payment, &price) {
            Ok(offer) => offer,
            Err(mismatch) => return Ok(refuse(&mismatch)),
        };
        told(till.gate.spend(offer, work).await?, &payment.tender, refuse)
    }

    /// The price again, with the reason in the protocol's own words.
    fn refuse(&self, api: &Api, till: &Till, price: &Price, tender: &Tender, reason: &str) -> Response {
        let challenge = self.challenge(api, till, price, reason);
        challenge_response(&match tender {
            Tender::X402(_) | Tender::Svm(_) => challenge,
            Tender::Mpp(_) => challenge.after_mpp(reason),
        })
    }

    fn payment(&self) -> Result<Option<&Offered>, ApiError> {
        match &self.payment {
            Ok(payment) => Ok(payment.as_ref()),
            Err(error) => Err(ApiError::PaymentMalformed(error.to_string())),
        }
    }
}

/// What a node that sells needs.
#[derive(Clone)]
pub struct Till {
    pub gate: pay::Gate,
    pub sign_in: SignIn,
    /// Where x402 is taken.
    pub receivers: Vec<Receiver>,
    /// Where MPP is taken, if it is.
    pub mpp: Option<mpp::Charges>,
    /// Seconds an authorisation is asked to be valid for.
    pub timeout_secs: u64,
}

impl Till {
    fn requirements(&self, price: &Price) -> Vec<x402::Requirement> {
        let requirement = |receiver: &Receiver| receiver.requirement(price.amount, self.timeout_secs);
        self.receivers.iter().filter_map(requirement).collect()
    }

    pub fn networks(&self) -> impl Iterator<Item = &'static Network> {
        self.receivers.iter().map(|receiver| receiver.network)
    }

    /// The claim that a payment had if it was sent before, whether or not it pays the price now.
    fn earlier(&self, payment: &Offered, price: &Price) -> Option<NewClaim> {
        let Offered { tender, route, body_sha256 } = payment;
        match tender {
            Tender::X402(payment) => {
                let requirement = self.sought(&payment.network, payment.authorization.to.clone(), price)?;
                Some(x402::offer(payment, &requirement, route.clone(), body_sha256.clone()))
            }
            Tender::Svm(payment) => {
                let requirement = self.sought(&payment.network, payment.payer.clone(), price)?;
                Some(payment.offer(&requirement, route.clone(), body_sha256.clone(), Utc::now()))
            }
            Tender::Mpp(credential) => {
                let charges = self.mpp.as_ref()?;
                charges.earlier(credential, price.amount, route.clone(), body_sha256.clone()).ok()
            }
        }
    }

    /// A claim is found by its network and its authorisation; to whom it was paid does not count.
    fn sought(&self, network: &str, pay_to: Wallet, price: &Price) -> Option<x402::Requirement> {
        let network = Network::find(network)?;
        let (amount, timeout_secs) = (price.amount, self.timeout_secs);
        Some(x402::Requirement { network, pay_to, amount, timeout_secs, fee_payer: None })
    }

    /// The claim of a payment that pays the price exactly; else what is wrong with it.
    fn offer(&self, payment: &Offered, price: &Price) -> Result<NewClaim, String> {
        let (route, body) = (payment.route.clone(), payment.body_sha256.clone());
        match (&payment.tender, &self.mpp) {
            (Tender::X402(payment), _) => {
                let requirements = self.requirements(price);
                let paid = payment.pays(&requirements, Utc::now()).map_err(|error| error.to_string())?;
                Ok(x402::offer(payment, paid, route, body))
            }
            (Tender::Svm(payment), _) => {
                let requirements = self.requirements(price);
                let paid = payment.pays(&requirements).map_err(|error| error.to_string())?;
                Ok(payment.offer(paid, route, body, Utc::now()))
            }
            (Tender::Mpp(credential), Some(charges)) => {
                charges.offer(credential, price.amount, route, body).map_err(|error| error.to_string())
            }
            (Tender::Mpp(_), None) => Err("this node takes no payments by MPP".into()),
        }
    }
}

/// For the operator, who pays nobody.
async fn give(mut work: Box<dyn Work>) -> Response {
    let done = match work.reserve(ClaimId::generate()).await {
        Ok(_) => work.deliver("").await,
        Err(answer) => Err(answer),
    };
    respond(done.unwrap_or_else(|answer| answer))
}

/// A refusal that says when to try again says so in the header as well.
pub(super) fn respond(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let retry_after = answer.body["retry_after"].as_u64().filter(|_| !status.is_success());
    let mut response = (status, Json(answer.body)).into_response();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn told(spent: Spent, tender: &Tender, ask: impl Fn(&str) -> Response) -> Result<Response, ApiError> {
    match spent {
        Spent::Delivered { answer, transaction } => Ok(receipt(answer, tender, &transaction)),
        Spent::Refused { reason } => Ok(ask(&reason)),
        Spent::NotDone { answer } => Ok(respond(answer)),
        Spent::Foreign => Err(ApiError::PaymentReused),
        Spent::Pending => Err(ApiError::PaymentPending),
        Spent::Unavailable { detail } => Err(ApiError::PaymentUnavailable { detail }),
    }
}

fn receipt(answer: Answer, tender: &Tender, transaction: &str) -> Response {
    let mut response = respond(answer);
    let (name, value) = tender.receipt(transaction);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    for (name, value) in [(HeaderName::from_static(name), value), (RECEIPT, transaction.to_owned())] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    response
}

pub(super) fn challenge_response(challenge: &Challenge) -> Response {
    let mut response = (StatusCode::PAYMENT_REQUIRED, Json(&challenge.body)).into_response();
    for (name, value) in &challenge.headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    let exposed = HeaderValue::from_static(
        "PAYMENT-REQUIRED, PAYMENT-RESPONSE, X-PAYMENT-RESPONSE, WWW-Authenticate, Payment-Receipt",
    );
    response.headers_mut().insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    response
}
