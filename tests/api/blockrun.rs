//! BlockRun's own answers, errors and statuses.

use axum::{
    Json, Router,
    http::StatusCode,
    routing::{get, post},
};
use callbox::{
    base::CallId,
    call::{
        event::{CallChange, Ending},
        record::{AnsweredBy, CallStatus, EndedBy, Speaker},
    },
    service::PlaceError,
};
use serde_json::{Value, json};

use crate::{
    schema::problems,
    support::{Node, answered, turn},
    till::{Wallet, buy, get_with, header, post_with, selling, stock},
};

const BUY: &str = "/api/v1/phone/numbers/buy";
const LIST: &str = "/api/v1/phone/numbers/list";
const CALL: &str = "/api/v1/voice/call";

fn asked() -> Value {
    json!({ "to": "+14155550123", "task": "Ask for the opening hours." })
}

/// The members of an answer, each with a type or a value, and no others.
fn is_exactly(answer: &Value, members: &[(&str, Value)]) {
    let properties: serde_json::Map<String, Value> =
        members.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let required: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    assert_eq!(problems(&schema, &schema, answer), Vec::<String>::new(), "{answer}");
}

fn text() -> Value {
    json!({ "type": "string" })
}

#[tokio::test]
async fn answers_have_the_members_of_the_contract_and_of_its_clients() {
    let (node, wallet) = (selling(&[]).await, Wallet::new());
    stock(&node, &["+14155550199"]).await;
    let me = json!({ "const": wallet.wallet() });
    let transaction = json!({ "const": "0xabc" });
    let number = json!({ "const": "+14155550199" });
    let bought = buy(&node, &wallet, BUY, &json!({ "country": "US", "area_code": "212" })).await;
    is_exactly(
        &bought.json,
        &[
            ("phone_number", number.clone()),
            ("country", json!({ "const": "US" })),
            ("owner_wallet", me.clone()),
            ("chain", json!({ "const": "base" })),
            ("expires_at", text()),
            ("message", text()),
            ("transaction", transaction.clone()),
        ],
    );
    assert_eq!(header(&bought.headers, "x-payment-receipt"), "0xabc");
    let listed = buy(&node, &wallet, LIST, &json!({})).await.json;
    is_exactly(
        &listed,
        &[
            ("wallet", me),
            ("count", json!({ "const": 1 })),
            ("numbers", json!({ "type": "array" })),
            ("transaction", transaction.clone()),
        ],
    );
    is_exactly(
        &listed["numbers"][0],
        &[
            ("phone_number", number.clone()),
            ("country", json!({ "const": "US" })),
            ("chain", json!({ "const": "base" })),
            ("expires_at", text()),
            ("days_remaining", json!({ "type": "integer", "minimum": 29, "maximum": 30 })),
            ("active", json!({ "const": true })),
        ],
    );
    let called = buy(&node, &wallet, CALL, &asked()).await.json;
    is_exactly(
        &called,
        &[
            ("call_id", text()),
            ("from", number),
            ("to", json!({ "const": "+14155550123" })),
            ("status", json!({ "const": "started" })),
            ("expected_duration_minutes", json!({ "const": 5 })),
            ("poll_url", text()),
            ("message", text()),
            ("transaction", transaction),
        ],
    );
}

async fn told(node: &Node, call: CallId) -> Value {
    let answer = get_with(node, &format!("{CALL}/{call}"), None).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.json
}

fn ended_by(status: CallStatus, ended_by: EndedBy) -> CallChange {
    let length_secs = (status == CallStatus::Completed).then_some(85.2);
    let reason = "the reason".to_owned();
    CallChange::Ended(Box::new(Ending { status, ended_by, fault: None, reason, length_secs }))
}

#[tokio::test]
async fn a_call_is_told_in_the_contracts_words() {
    let node = Node::new().await;
    let call = node.place().await;
    let queued = told(&node, call).await;
    assert_eq!((&queued["status"], &queued["ended_by"]), (&json!("started"), &json!("IN_PROGRESS")));
    let mut changes = answered();
    changes.push(turn(Speaker::Agent, 100, "Hi Andy."));
    changes.push(turn(Speaker::Caller, 1_700, "Oh hey."));
    changes.push(ended_by(CallStatus::Completed, EndedBy::Callee));
    changes.push(CallChange::Recording { file: "a.wav".into() });
    node.happen(call, changes).await;
    let over = told(&node, call).await;
    let transcript =
        json!([{ "role": "assistant", "text": "Hi Andy." }, { "role": "user", "text": "Oh hey." }]);
    for (member, value) in [
        ("call_id", json!(call)),
        ("from", Value::Null),
        ("to", json!("+14155550123")),
        ("status", json!("completed")),
        ("answered_by", json!("human")),
        ("call_length", json!(1.42)),
        ("call_ended_by", json!("USER")),
        ("ended_by", json!("USER")),
        ("summary", Value::Null),
        ("transcript", transcript),
        ("recording_url", json!("http://127.0.0.1:8402/recordings/a.wav")),
    ] {
        assert_eq!(over[member], value, "{member}");
    }
    assert!(over["ended_by_reason"].as_str().unwrap().contains("hung up"));
}

#[tokio::test]
async fn every_ending_has_its_word() {
    use CallStatus::*;
    let node = Node::new().await;
    let machine = CallChange::Answered { answered_by: AnsweredBy::Voicemail };
    for (changes, status, word) in [
        (vec![ended_by(Completed, EndedBy::Callee)], "completed", "USER"),
        (vec![ended_by(Completed, EndedBy::Agent)], "completed", "ASSISTANT"),
        (vec![ended_by(Completed, EndedBy::Client)], "completed", "ASSISTANT"),
        (vec![ended_by(Completed, EndedBy::Limit)], "completed", "TIMEOUT"),
        (vec![ended_by(NoAnswer, EndedBy::Carrier)], "no_answer", "NO_ANSWER"),
        (vec![ended_by(Busy, EndedBy::Callee)], "busy", "BUSY"),
        (vec![machine, ended_by(Completed, EndedBy::Voicemail)], "completed", "VOICEMAIL"),
        (vec![ended_by(Failed, EndedBy::Carrier)], "failed", "ERROR"),
        (vec![ended_by(Failed, EndedBy::Node)], "failed", "ERROR"),
    ] {
        let call = node.place().await;
        node.happen(call, changes).await;
        let over = told(&node, call).await;
        assert_eq!((&over["status"], &over["ended_by"]), (&json!(status), &json!(word)));
    }
}

#[tokio::test]
async fn caller_ids_are_refused_in_the_contracts_words_and_unpaid() {
    let (node, wallet, other) = (selling(&[]).await, Wallet::new(), Wallet::new());
    stock(&node, &["+14155550190", "+14155550191", "+14155550192"]).await;
    let with_from = |from: &str| {
        let mut body = asked();
        body["from"] = from.into();
        body
    };
    let none = buy(&node, &wallet, CALL, &asked()).await;
    assert_eq!((none.status, &none.json["error"]), (StatusCode::FORBIDDEN, &json!("no_owned_numbers")));
    assert!(none.json["fix"].as_str().unwrap().contains(BUY));

    let own = async |wallet: &Wallet| {
        buy(&node, wallet, BUY, &json!({})).await.json["phone_number"].as_str().unwrap().to_owned()
    };
    let (first, theirs) = (own(&wallet).await, own(&other).await);
    let foreign = buy(&node, &wallet, CALL, &with_from(&theirs)).await;
    assert_eq!((foreign.status, &foreign.json["error"]), (StatusCode::FORBIDDEN, &json!("wrong_wallet")));
    assert_eq!(foreign.json["your_active_numbers"], json!([first]));
    let second = own(&wallet).await;
    let several = buy(&node, &wallet, CALL, &asked()).await;
    assert_eq!((several.status, &several.json["error"]), (StatusCode::BAD_REQUEST, &json!("ambiguous_from")));
    let mut numbers = vec![first.clone(), second];
    numbers.sort_unstable();
    let mut told: Vec<&str> =
        several.json["your_active_numbers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    told.sort_unstable();
    assert_eq!(told, numbers);
    // While nobody has paid: a number that nobody leases can be nobody's.
    let nobodys = post_with(&node, CALL, &with_from("+14155550188"), None).await;
    assert_eq!((nobodys.status, &nobodys.json["error"]), (StatusCode::FORBIDDEN, &json!("wrong_wallet")));
    assert_eq!(node.books.store.settled_claims().await.unwrap().len(), 3, "the numbers alone");
    assert_eq!(buy(&node, &wallet, CALL, &with_from(&first)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn statuses_are_those_of_the_contract() {
    let (node, wallet) = (selling(&[("policy.caps.live_per_callee", "1")]).await, Wallet::new());
    stock(&node, &["+14155550199"]).await;
    buy(&node, &wallet, BUY, &json!({})).await;
    for (refusal, status) in [
        (PlaceError::AtCapacity { limit: 4 }, StatusCode::TOO_MANY_REQUESTS),
        (PlaceError::NoTrunk("not registered".into()), StatusCode::BAD_GATEWAY),
        (PlaceError::NoEngine("llm".into()), StatusCode::BAD_GATEWAY),
    ] {
        *node.calls.refusal.lock() = Some(refusal);
        let answer = buy(&node, &wallet, CALL, &asked()).await;
        assert_eq!(answer.status, status, "{}", answer.json);
        assert_eq!(header(&answer.headers, "retry-after"), "10");
    }
    *node.calls.refusal.lock() = None;
    let sold_out = post_with(&node, BUY, &json!({}), None).await;
    assert_eq!((sold_out.status, &sold_out.json["error"]), (StatusCode::BAD_GATEWAY, &json!("none_left")));
    assert_eq!(header(&sold_out.headers, "retry-after"), "", "nobody knows when");
    assert_eq!(buy(&node, &wallet, CALL, &asked()).await.status, StatusCode::OK);
    let busy = post_with(&node, CALL, &asked(), None).await;
    assert_eq!((busy.status, &busy.json["error"]), (StatusCode::TOO_MANY_REQUESTS, &json!("on_a_call")));
    let seconds: u64 = header(&busy.headers, "retry-after").parse().unwrap();
    assert!((300..=360).contains(&seconds), "five minutes and its ringing: {seconds}");

    let unknown = get_with(&node, &format!("{CALL}/call_00000000000070008000000000000000"), None).await;
    assert_eq!((unknown.status, &unknown.json["error"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let nowhere = get_with(&node, "/api/v1/phone/nothing", None).await;
    assert_eq!((nowhere.status, &nowhere.json["error"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    assert!(nowhere.json["discovery"]["llms"].is_string());
    let method = get_with(&node, CALL, None).await;
    assert_eq!(
        (method.status, &method.json["error"]),
        (StatusCode::METHOD_NOT_ALLOWED, &json!("method_not_allowed"))
    );
    assert_eq!(header(&method.headers, "allow"), "POST");
}

/// A program that knows carriers.
async fn carriers(answer: Value) -> String {
    let routes = Router::new()
        .route("/", post(async move |Json(_): Json<Value>| Json(answer)))
        .route("/broken", get(async || ()).post(async || StatusCode::INTERNAL_SERVER_ERROR));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

const LOOKUP: &str = "/api/v1/phone/lookup";
const FRAUD: &str = "/api/v1/phone/lookup/fraud";

fn of_number() -> Value {
    json!({ "phoneNumber": "+14155550123" })
}

#[tokio::test]
async fn signs_of_fraud_are_not_sold_where_nobody_knows_them() {
    let node = selling(&[]).await;
    for body in ["", "{}", &of_number().to_string()] {
        let request = axum::http::Request::builder().method("POST").uri(FRAUD);
        let answer = node.send(request.body(axum::body::Body::from(body.to_owned())).unwrap()).await;
        let answer = crate::support::Answer::of(answer).await;
        assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{body}");
        assert_eq!(answer.json["error"], "not_configured");
    }
    for page in ["/openapi.json", "/llms.txt", "/.well-known/x402"] {
        let page = get_with(&node, page, None).await.bytes;
        assert!(!String::from_utf8(page).unwrap().contains(FRAUD));
    }
    let page = String::from_utf8(get_with(&node, "/llms.txt", None).await.bytes).unwrap();
    assert!(page.contains("nobody to ask about carriers"));
}

#[tokio::test]
async fn signs_of_fraud_are_what_the_operators_program_says() {
    let url = carriers(json!({
        "carrier": { "name": "Example Mobile", "type": "mobile", "mobile_country_code": "310" },
        "sim_swap": { "last_at": "2026-01-02T03:04:05Z", "in_period": true, "period": "PT24H" },
    }))
    .await;
    let (node, wallet) = (selling(&[("lookup.carrier.url", &url)]).await, Wallet::new());
    let told = buy(&node, &wallet, FRAUD, &of_number()).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.json);
    assert_eq!(told.json["carrier"]["name"], "Example Mobile");
    assert_eq!(told.json["line_type_intelligence"]["type"], "mobile");
    assert_eq!(told.json["national_format"], "(415) 555-0123");
    assert_eq!(told.json["sim_swap"]["status"], "swapped");
    assert_eq!(told.json["sim_swap"]["last_sim_swap"]["last_sim_swap_date"], "2026-01-02T03:04:05Z");
    let unknown = json!({ "status": "unknown", "call_forwarding_enabled": null });
    assert_eq!(told.json["call_forwarding"], unknown);
    assert_eq!(told.json["transaction"], "0xabc");
    assert_eq!(node.books.store.settled_claims().await.unwrap()[0].offer.amount, "0.05".parse().unwrap());
    let resources = get_with(&node, "/.well-known/x402", None).await.json["resources"].to_string();
    assert!(resources.contains(FRAUD));

    // StablePhone's lookup has a place for the carrier as well.
    let token = buy(&node, &wallet, "/api/lookup", &json!({ "phone_number": "+14155550123" })).await.json;
    let path = format!("/api/lookup/status?token={}", token["token"].as_str().unwrap());
    let looked_up = crate::lookup::completed(&node, &wallet, &path).await.json;
    assert_eq!(looked_up["carrier"], json!({ "carrier": "Example Mobile", "number_type": "mobile" }));

    let plain = buy(&node, &wallet, LOOKUP, &of_number()).await.json;
    assert_eq!((&plain["carrier"]["name"], &plain["sim_swap"]), (&json!("Example Mobile"), &Value::Null));
}

#[tokio::test]
async fn a_program_that_does_not_answer_costs_nothing() {
    let url = format!("{}broken", carriers(json!({})).await);
    let (node, wallet) = (selling(&[("lookup.carrier.url", &url)]).await, Wallet::new());
    for path in [LOOKUP, FRAUD] {
        let answer = buy(&node, &wallet, path, &of_number()).await;
        assert_eq!((answer.status, &answer.json["error"]), (StatusCode::BAD_GATEWAY, &json!("provider")));
        assert_eq!(header(&answer.headers, "retry-after"), "10");
    }
    assert!(node.books.store.settled_claims().await.unwrap().is_empty());
}
