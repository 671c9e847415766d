use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};

use super::reachability::{Nobody, Provider as Kind, ReachError};
use super::*;
use crate::store::{
    self,
    lookups::{Presence, Reach},
};

const WAIT: Duration = Duration::from_secs(20);

fn number(text: &str) -> E164 {
    text.parse().unwrap()
}

fn nobody() -> carriers::Config {
    carriers::Config { url: String::new(), token: Pii::default(), timeout_secs: 1 }
}

async fn store() -> Store {
    let config = store::Config { data_dir: "unused".into(), url: "sqlite::memory:".into() };
    Store::open(&config).await.unwrap()
}

fn wallet(digit: char) -> Wallet {
    format!("0x{}", String::from(digit).repeat(40)).parse().unwrap()
}

/// Answers as it was told and counts.
#[derive(Default)]
struct Provider {
    fails: usize,
    asked: AtomicUsize,
}

impl Reachability for Provider {
    fn ask<'a>(&'a self, _: &'a E164) -> BoxFuture<'a, Result<Reach, ReachError>> {
        let answer = match self.asked.fetch_add(1, Ordering::SeqCst) {
            asked if asked < self.fails => Err(ReachError::Status(500)),
            _ => Ok(Reach { imessage: Presence::Available, facetime: Presence::Unavailable }),
        };
        std::future::ready(answer).boxed()
    }
}

async fn desk(provider: Arc<dyn Reachability>) -> LookUp {
    LookUp { pause: Duration::ZERO, ..LookUp::new(store().await, provider, vec![7; 32].into()) }
}

/// Pays for a number and gives the token.
async fn paid(desk: &LookUp, to: &str, by: &Wallet) -> String {
    let id = desk.open(&number(to), Utc::now()).await.unwrap();
    desk.begin(id, by, Utc::now()).await.unwrap().unwrap()
}

async fn settled(desk: &LookUp, token: &str, by: &Wallet) -> Status {
    let last = async {
        loop {
            match desk.status(token, Some(by), Utc::now()).await.unwrap() {
                Status::Pending => tokio::task::yield_now().await,
                status => return status,
            }
        }
    };
    tokio::time::timeout(WAIT, last).await.expect("the lookup ends")
}

#[tokio::test]
async fn one_answer_serves_all_wallets_for_an_hour() {
    let provider = Arc::new(Provider::default());
    let desk = desk(provider.clone()).await;
    let (one, other) = (wallet('1'), wallet('2'));
    let token = paid(&desk, "+14155550123", &one).await;
    let status = settled(&desk, &token, &one).await;
    let Status::Complete { found, line, .. } = &status else { panic!("{status:?}") };
    let reach = &found.reach;
    assert_eq!(*reach, Reach { imessage: Presence::Available, facetime: Presence::Unavailable });
    assert_eq!(line.as_ref().unwrap().country.as_ref().unwrap().iso2, "US");
    let second = paid(&desk, "+14155550123", &other).await;
    assert_eq!(settled(&desk, &second, &other).await, status);
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_token_is_its_wallets_alone() {
    let desk = desk(Arc::new(Nobody)).await;
    let token = paid(&desk, "+14155550123", &wallet('1')).await;
    let foreign = desk.status(&token, Some(&wallet('2')), Utc::now()).await;
    assert!(matches!(foreign, Err(StatusFailure::NotYours)));
    assert!(desk.status(&token, None, Utc::now()).await.is_ok(), "the operator reads all");
    let late = desk.status(&token, Some(&wallet('1')), Utc::now() + FRESH).await;
    assert!(matches!(late, Err(StatusFailure::Token(TokenError::Expired))));
}

#[tokio::test]
async fn an_error_is_tried_again_without_another_payment() {
    let desk = desk(Arc::new(Provider { fails: 2, ..Provider::default() })).await;
    let by = wallet('1');
    assert_eq!(desk.again(&number("+14155550123"), &by, Utc::now()).await.unwrap(), None, "unpaid");
    let token = paid(&desk, "+14155550123", &by).await;
    assert!(matches!(settled(&desk, &token, &by).await, Status::Failed(_)));
    let token = desk.again(&number("+14155550123"), &by, Utc::now()).await.unwrap().unwrap();
    assert!(matches!(settled(&desk, &token, &by).await, Status::Complete { .. }));
    let next_day = Utc::now() + TimeDelta::hours(2);
    assert_eq!(desk.again(&number("+14155550123"), &by, next_day).await.unwrap(), None);
}

#[tokio::test]
async fn a_paid_lookup_survives_a_restart() {
    let store = store().await;
    let id = store.open_lookup(&number("+14155550123"), Utc::now(), Utc::now()).await.unwrap();
    store.buy_lookup(id, &wallet('1'), Utc::now()).await.unwrap();
    let desk = LookUp::new(store, Arc::new(Nobody), vec![7; 32].into());
    let token = desk.tokens.issue(id, &wallet('1'), Utc::now());
    desk.resume();
    assert!(matches!(settled(&desk, &token, &wallet('1')).await, Status::Complete { .. }));
}

#[test]
fn numbers_that_nobody_has_are_refused() {
    for bad in ["", "4155550123", "+1415555012", "+11155550123", "+9991234567"] {
        assert!(LookUp::check("phone_number", bad).is_err(), "{bad}");
    }
    assert!(LookUp::check("phone_number", "+14155550123").is_ok());
}

/// A server on loopback; gives its base URL.
async fn serve(routes: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

fn provider(kind: Kind, url: &str) -> Arc<dyn Reachability> {
    let config = Config {
        provider: kind,
        url: url.into(),
        password: "p&ss word".to_owned().into(),
        timeout_secs: 10,
        carrier: nobody(),
    };
    config.build().unwrap()
}

async fn mac(
    State(facetime): State<Value>,
    Path(service): Path<String>,
    Query(of): Query<Value>,
) -> Response {
    if of["password"] != "p&ss word" {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "status": 401 }))).into_response();
    }
    if service == "facetime" && facetime.is_null() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let available = if service == "facetime" { facetime } else { json!(of["address"] == "+14155550123") };
    Json(json!({ "status": 200, "message": "Success", "data": { "available": available } })).into_response()
}

async fn bluebubbles(facetime: Value) -> Arc<dyn Reachability> {
    let routes = Router::new().route("/api/v1/handle/availability/{service}", get(mac)).with_state(facetime);
    provider(Kind::BlueBubbles, &format!("{}/", serve(routes).await))
}

#[tokio::test]
async fn bluebubbles_tells_both_services() {
    let mac = bluebubbles(json!(false)).await;
    let known = mac.ask(&number("+14155550123")).await.unwrap();
    assert_eq!(known, Reach { imessage: Presence::Available, facetime: Presence::Unavailable });
    let other = mac.ask(&number("+14155550124")).await.unwrap();
    assert_eq!(other.imessage, Presence::Unavailable);
}

#[tokio::test]
async fn bluebubbles_without_facetime_leaves_it_unknown() {
    let reach = bluebubbles(Value::Null).await.ask(&number("+14155550123")).await.unwrap();
    assert_eq!(reach, Reach { imessage: Presence::Available, facetime: Presence::Unknown });
}

#[tokio::test]
async fn errors_of_a_provider_hold_no_number_and_no_password() {
    let refusing = serve(Router::new()).await;
    let error = provider(Kind::BlueBubbles, &refusing).ask(&number("+14155550123")).await.unwrap_err();
    assert_eq!(error, ReachError::Status(404));
    let gone = provider(Kind::BlueBubbles, "http://127.0.0.1:1").ask(&number("+14155550123")).await;
    let told = gone.unwrap_err().to_string();
    assert!(!told.contains("4155550123") && !told.contains("p&ss") && !told.contains("p%26ss"), "{told}");
}

#[tokio::test]
async fn any_program_may_tell_over_http() {
    let answer = async |headers: HeaderMap, Json(body): Json<Value>| {
        assert_eq!(headers["authorization"], "Bearer p&ss word");
        Json(match body["phone_number"].as_str() {
            Some("+14155550123") => json!({ "imessage": "available", "facetime": false }),
            Some("+14155550124") => json!({ "imessage": null }),
            _ => json!({ "imessage": "perhaps" }),
        })
    };
    let url = serve(Router::new().route("/look", post(answer))).await;
    let program = provider(Kind::Http, &format!("{url}/look"));
    let told = program.ask(&number("+14155550123")).await.unwrap();
    assert_eq!(told, Reach { imessage: Presence::Available, facetime: Presence::Unavailable });
    assert_eq!(program.ask(&number("+14155550124")).await.unwrap(), Reach::UNKNOWN);
    assert_eq!(program.ask(&number("+14155550125")).await, Err(ReachError::Malformed));
}

#[test]
fn a_provider_needs_an_address() {
    let config = Config {
        provider: Kind::Http,
        url: "mac.local".into(),
        password: Pii::default(),
        timeout_secs: 1,
        carrier: nobody(),
    };
    assert!(config.build().is_err());
}
