//! StablePhone's published OpenAPI document (`contracts/stablephone.json`, its paths alone) against what this
//! node says it takes and gives, and against what it really does.

use axum::http::StatusCode;
use callbox::call::record::{CallStatus, Speaker};
use serde_json::{Value, json};

use crate::{
    schema::problems,
    support::{Node, answered, ended, least, turn},
    till::{Wallet, buy, get_with, post_with, read, selling, stock},
};

fn contract() -> Value {
    serde_json::from_str(include_str!("contracts/stablephone.json")).unwrap()
}

/// `/api/call/:id` there is `/api/call/{id}` here.
fn here(path: &str) -> String {
    path.replace(":id", "{id}")
}

fn of_json(content: &Value) -> &Value {
    &content["content"]["application/json"]["schema"]
}

/// Each operation of the contract with its path and method.
fn operations(contract: &Value) -> Vec<(String, String, Value)> {
    let paths = contract["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(|(method, operation)| (here(path), method.clone(), operation.clone()))
    });
    all.collect()
}

#[tokio::test]
async fn the_document_of_this_node_is_the_published_one() {
    let document = get_with(&selling(&[]).await, "/openapi.json", None).await.json;
    let contract = contract();
    assert_eq!(operations(&contract).len(), 7);
    for (path, method, published) in operations(&contract) {
        let what = format!("{method} {path}");
        let ours = &document["paths"][&path][&method];
        assert!(ours.is_object(), "{what} is not there");
        for name in ["operationId", "security", "requestBody"] {
            assert_eq!(ours[name], published[name], "{what}: {name}");
        }
        let price = &published["x-payment-info"]["price"];
        assert_eq!(ours["x-payment-info"]["price"], *price, "{what}");
        if price.is_object() {
            assert_eq!(ours["x-payment-info"]["protocols"][0], published["x-payment-info"]["protocols"][0]);
        }
        // What is accepted and answered later has a status of its own, which the contract has in words.
        let status = if path == "/api/lookup" { "202" } else { "200" };
        let (gives, published_gives) = (&ours["responses"][status], &published["responses"]["200"]);
        assert_eq!(of_json(gives), of_json(published_gives), "{what}");
        assert_eq!(ours["responses"]["402"], published["responses"]["402"], "{what}");
        for published in published["parameters"].as_array().into_iter().flatten() {
            let name = |parameter: &&Value| parameter["name"] == published["name"];
            let ours = ours["parameters"].as_array().unwrap().iter().find(name).expect("the parameter");
            for member in ["in", "schema", "required"] {
                assert_eq!(ours[member], published[member], "{what}: {member}");
            }
        }
    }
    assert_eq!(document["components"]["securitySchemes"], contract["components"]["securitySchemes"]);
}

/// What the contract says of a successful answer.
fn answer_schema(path: &str) -> Value {
    let schema = of_json(&contract()["paths"][path]["post"]["responses"]["200"]).clone();
    assert!(schema.is_object(), "the contract says nothing of {path}");
    schema
}

#[tokio::test]
async fn what_is_bought_is_told_as_the_published_schemas_say() {
    let (node, wallet) = (selling(&[]).await, Wallet::new());
    stock(&node, &["+14155550199"]).await;
    let number = buy(&node, &wallet, "/api/number", &json!({ "area_code": "415" })).await;
    let of_number = json!({ "phone_number": number.json["phone_number"] });
    let topup = buy(&node, &wallet, "/api/number/topup", &of_number).await;
    let mut asked = least();
    asked["from"] = number.json["phone_number"].clone();
    let call = buy(&node, &wallet, "/api/call", &asked).await;
    let lookup = buy(&node, &wallet, "/api/lookup", &json!({ "phone_number": "+14155550123" })).await;
    for (path, status, answer) in [
        ("/api/number", 200, &number),
        ("/api/number/topup", 200, &topup),
        ("/api/call", 200, &call),
        ("/api/lookup", 202, &lookup),
    ] {
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.json);
        let schema = answer_schema(path);
        assert_eq!(problems(&schema, &schema, &answer.json), Vec::<String>::new(), "{path}");
    }
}

/// The contract has no schemas for what is free; its guide names the members.
#[tokio::test]
async fn what_is_free_has_the_members_that_the_guide_names() {
    let (node, wallet) = (selling(&[]).await, Wallet::new());
    stock(&node, &["+14155550199"]).await;
    let number = buy(&node, &wallet, "/api/number", &json!({})).await.json["phone_number"].clone();
    let listed = read(&node, &wallet, "/api/numbers").await.json;
    let expires = &listed["numbers"][0]["expires_at"];
    assert!(expires.as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().is_ok());
    let expected = json!({
        "success": true,
        "numbers": [
            { "phone_number": number, "expires_at": expires, "area_code": "415", "country_code": "US" }
        ],
    });
    assert_eq!(listed, expected);

    let mut asked = least();
    asked["from"] = number.clone();
    let call = buy(&node, &wallet, "/api/call", &asked).await.json["call_id"].as_str().unwrap().to_owned();
    let mut changes = answered();
    changes.push(turn(Speaker::Caller, 100, "hello?"));
    changes.push(ended(CallStatus::Completed, "the callee hung up"));
    node.happen(call.parse().unwrap(), changes).await;
    let told = read(&node, &wallet, &format!("/api/call/{call}")).await.json;
    let text = json!({ "type": "string" });
    let perhaps = json!({ "type": ["string", "null"] });
    let schema = json!({
        "type": "object",
        "properties": {
            "status": { "enum": ["completed"] },
            "completed": { "const": true },
            "to": { "const": "+14155550123" },
            "from": { "const": number },
            "call_length": { "type": "number" },
            "answered_by": { "enum": ["human", "voicemail", "unknown"] },
            "summary": perhaps,
            "transcript": text,
            "transcripts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": { "user": { "enum": ["assistant", "user"] }, "text": text, "created_at": text },
                    "required": ["id", "user", "text", "created_at"],
                },
            },
            "recording_url": perhaps,
            "price": { "const": 0.54 },
            "error_message": { "type": "null" },
            "created_at": text,
            "direction": { "const": "outbound" },
        },
        "required": [
            "status", "completed", "to", "from", "call_length", "answered_by", "summary", "transcript", "transcripts",
            "recording_url", "price", "error_message", "created_at", "direction",
        ],
    });
    assert_eq!(problems(&schema, &schema, &told), Vec::<String>::new());
}

/// Requests that the published schema takes are asked to pay, and those that it does not take are told what is
/// wrong: the schema itself says which is which.
#[tokio::test]
async fn the_published_request_schemas_decide_what_is_asked_to_pay() {
    let node = selling(&[("policy.allowed_prefixes", r#"["+1", "+44"]"#)]).await;
    stock(&node, &["+14155550199"]).await;
    buy(&node, &Wallet::new(), "/api/number", &json!({})).await;
    stock(&node, &["+14155550198", "+16045550199"]).await;
    let contract = contract();
    let with = |field: &str, value: Value| {
        let mut body = least();
        body[field] = value;
        body
    };
    let long = |length: usize| json!("x".repeat(length));
    let calls = [
        least(),
        json!({}),
        json!({ "phone_number": "+14155550123" }),
        json!({ "task": "Ask for the opening hours." }),
        with("phone_number", json!("4155550123")),
        with("phone_number", json!("+442079460123")),
        with("phone_number", json!(14_155_550_123_u64)),
        with("from", json!("+14155550199")),
        with("from", json!("+442079460123")),
        with("task", long(1)),
        with("task", long(4000)),
        with("task", long(4001)),
        with("task", json!("")),
        with("first_sentence", long(500)),
        with("first_sentence", long(501)),
        with("voice", json!("josh")),
        with("voice", json!(1)),
        with("max_duration", json!(1)),
        with("max_duration", json!(30)),
        with("max_duration", json!(0)),
        with("max_duration", json!(31)),
        with("max_duration", json!(2.5)),
        with("max_duration", json!("5")),
        with("wait_for_greeting", json!(true)),
        with("wait_for_greeting", json!("true")),
        with("record", json!(false)),
        with("record", json!(0)),
        with("model", json!("turbo")),
        with("model", json!("enhanced")),
        with("transfer_phone_number", json!("+14155550142")),
        with("transfer_phone_number", json!("415-555-0142")),
        with("voicemail_action", json!("ignore")),
        with("voicemail_action", json!("wait")),
        with("voicemail_message", long(500)),
        with("voicemail_message", long(501)),
        with("metadata", json!({ "order": 7, "deep": { "a": [] } })),
        with("metadata", json!([])),
        with("metadata", json!("x")),
        with("language", json!("en")),
        with("phone", json!("+14155550123")),
    ];
    let numbers = [
        json!({}),
        json!({ "country_code": "CA" }),
        json!({ "area_code": "604", "country_code": "CA" }),
        json!({ "area_code": "41" }),
        json!({ "area_code": 415 }),
        json!({ "area_code": "4155" }),
        json!({ "country_code": "DE" }),
        json!({ "country_code": "USA" }),
        json!({ "country": "CA" }),
    ];
    let of_number = |number: &str| json!({ "phone_number": number });
    let topups = [
        of_number("+14155550199"),
        of_number("+442079460123"),
        json!({}),
        json!({ "number": "+14155550199" }),
    ];
    let lookups = [of_number("+14155550123"), of_number("+442079460123"), of_number("555"), json!({})];
    let all = [
        ("/api/call", calls.as_slice()),
        ("/api/number", &numbers),
        ("/api/number/topup", &topups),
        ("/api/lookup", &lookups),
    ];
    for (path, bodies) in all {
        let schema = of_json(&contract["paths"][path]["post"]["requestBody"]);
        for body in bodies {
            let answer = post_with(&node, path, body, None).await;
            let expected = match problems(schema, schema, body).as_slice() {
                [] => StatusCode::PAYMENT_REQUIRED,
                _ => StatusCode::BAD_REQUEST,
            };
            assert_eq!(answer.status, expected, "{path} {body}: {}", answer.json);
            if expected == StatusCode::BAD_REQUEST {
                assert_eq!(answer.json["success"], false);
                assert!(answer.json["error"]["field"].is_string(), "{path} {body}: {}", answer.json);
            }
        }
    }
}

/// Where this node is stricter than the schema, it says so before it asks to pay.
#[tokio::test]
async fn what_the_schema_takes_and_no_call_can_do_is_told_unpaid() {
    let node = selling(&[]).await;
    for (field, value) in [
        ("task", json!("   ")),
        ("voice", json!("nobody")),
        ("voicemail_action", json!("leave_message")),
        ("metadata", json!({ "text": "x".repeat(9000) })),
        ("phone_number", json!("+11234567890")),
    ] {
        let mut body = least();
        body[field] = value;
        let answer = post_with(&node, "/api/call", &body, None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{field}: {}", answer.json);
        let named = if field == "voicemail_action" { "voicemail_message" } else { field };
        assert_eq!(answer.json["error"]["field"], named);
    }
    let operators = Node::new().await.post("/api/call", json!({ "task": "x" })).await;
    assert_eq!(operators.status, StatusCode::BAD_REQUEST);
}
