//! Every option of a call, in each family: what a request says is what the call is made with.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    support::{Answer, Node},
    till::{Wallet, buy, post_with, selling, stock},
};

const TASK: &str = "Ask for the opening hours.";
const NUMBER: &str = "+14155550199";

/// One family: where its calls are placed, the least body, what a call is made with where a body says no more, and
/// its options.
struct Family {
    path: &'static str,
    least: Value,
    plan: Value,
    /// Option, value, member of the plan, value of the plan.
    takes: Vec<(&'static str, Value, &'static str, Value)>,
    refuses: Vec<(&'static str, Value)>,
}

fn long(length: usize) -> Value {
    json!("x".repeat(length))
}

/// What x402phone and StablePhone share.
fn shared(path: &'static str) -> Family {
    Family {
        path,
        least: json!({ "phone_number": "+14155550123", "task": TASK }),
        plan: json!({
            "to": "+14155550123", "from": null, "task": TASK, "first_sentence": null, "voice": "nat",
            "model": "base", "language": "en", "max_duration_secs": 300, "wait_for_greeting": false,
            "record": true, "interruption_threshold_ms": null, "transfer_to": null,
            "voicemail_action": "hangup", "voicemail_message": null, "metadata": null, "price": "0.54",
        }),
        takes: vec![
            ("from", json!(NUMBER), "from", json!(NUMBER)),
            ("first_sentence", long(500), "first_sentence", long(500)),
            ("first_sentence", json!(""), "first_sentence", Value::Null),
            ("max_duration", json!(1), "max_duration_secs", json!(60)),
            ("max_duration", json!(30), "max_duration_secs", json!(1800)),
            ("max_duration", json!(12.0), "max_duration_secs", json!(720)),
            ("wait_for_greeting", json!(true), "wait_for_greeting", json!(true)),
            ("record", json!(false), "record", json!(false)),
            ("model", json!("base"), "model", json!("base")),
            ("model", json!("turbo"), "model", json!("turbo")),
            ("transfer_phone_number", json!("+14155550142"), "transfer_to", json!("+14155550142")),
            ("voicemail_action", json!("hangup"), "voicemail_action", json!("hangup")),
            ("voicemail_action", json!("ignore"), "voicemail_action", json!("ignore")),
            ("voicemail_message", long(500), "voicemail_message", long(500)),
            ("metadata", json!({ "a": [1, { "b": null }] }), "metadata", json!({ "a": [1, { "b": null }] })),
            ("metadata", json!({}), "metadata", json!({})),
        ],
        refuses: vec![
            ("from", json!("+1415")),
            ("first_sentence", long(501)),
            ("first_sentence", json!(5)),
            ("task", long(4001)),
            ("task", json!("")),
            ("voice", json!("jsoh")),
            ("voice", json!("")),
            ("max_duration", json!(0)),
            ("max_duration", json!(31)),
            ("max_duration", json!(-1)),
            ("max_duration", json!(2.5)),
            ("max_duration", json!("5")),
            ("wait_for_greeting", json!("yes")),
            ("record", json!(1)),
            ("model", json!("enhanced")),
            ("model", json!("Base")),
            ("transfer_phone_number", json!("415-555-0142")),
            ("voicemail_action", json!("wait")),
            ("voicemail_message", long(501)),
            ("metadata", json!([1])),
            ("metadata", json!("text")),
            ("metadata", json!({ "text": "x".repeat(8200) })),
            ("language", json!("en")),
            ("interruption_threshold", json!(100)),
            ("max_duraton", json!(5)),
        ],
    }
}

fn blockrun() -> Family {
    Family {
        path: "/api/v1/voice/call",
        least: json!({ "phone_number": "+14155550123", "task": TASK }),
        plan: json!({
            "to": "+14155550123", "from": NUMBER, "home": "carrier", "task": TASK, "first_sentence": null, "voice": "nat",
            "model": "base", "language": "en", "max_duration_secs": 300, "wait_for_greeting": false,
            "record": true, "interruption_threshold_ms": 100, "transfer_to": null,
            "voicemail_action": "hangup", "voicemail_message": null, "metadata": null, "price": "0.54",
        }),
        takes: vec![
            ("from", json!(NUMBER), "from", json!(NUMBER)),
            ("task", json!("Ask a man."), "task", json!("Ask a man.")),
            ("task", long(4000), "task", long(4000)),
            ("language", json!("es"), "language", json!("es")),
            ("language", json!("en-US"), "language", json!("en")),
            ("language", json!("zh_TW"), "language", json!("zh")),
            ("max_duration", json!(1), "max_duration_secs", json!(60)),
            ("max_duration", json!(30), "max_duration_secs", json!(1800)),
            ("first_sentence", json!("Hello!"), "first_sentence", json!("Hello!")),
            ("wait_for_greeting", json!(true), "wait_for_greeting", json!(true)),
            ("interruption_threshold", json!(50), "interruption_threshold_ms", json!(50)),
            ("interruption_threshold", json!(500), "interruption_threshold_ms", json!(500)),
            ("model", json!("turbo"), "model", json!("turbo")),
            ("model", json!("enhanced"), "model", json!("base")),
        ],
        refuses: vec![
            ("from", json!("415")),
            ("task", json!("Ask them.")),
            ("task", long(4001)),
            ("task", json!("")),
            ("voice", json!("jsoh")),
            ("language", json!("English")),
            ("language", json!("")),
            ("max_duration", json!(0)),
            ("max_duration", json!(31)),
            ("first_sentence", long(501)),
            ("wait_for_greeting", json!("no")),
            ("interruption_threshold", json!(49)),
            ("interruption_threshold", json!(501)),
            ("interruption_threshold", json!("100")),
            ("model", json!("big")),
            ("record", json!(true)),
            ("metadata", json!({})),
        ],
    }
}

impl Family {
    fn body(&self, option: &str, value: &Value) -> Value {
        let mut body = self.least.clone();
        body[option] = value.clone();
        body
    }

    async fn placed(&self, node: &Node, wallet: &Wallet, body: &Value) -> Value {
        let answer = buy(node, wallet, self.path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{} {body}: {}", self.path, answer.json);
        let plan = node.calls.plans.lock().pop().expect("a call was placed");
        assert_eq!(plan.owner, Some(wallet.wallet()));
        let mut plan = serde_json::to_value(plan).unwrap();
        plan.as_object_mut().unwrap().remove("owner");
        plan
    }

    /// The error's field, by the family's shape.
    fn field(&self, answer: &Answer) -> Value {
        if self.path.starts_with("/api/v1/") {
            assert!(
                answer.json["error"].is_string() && answer.json["message"].is_string(),
                "{}",
                answer.json
            );
            return answer.json["field"].clone();
        }
        assert_eq!(answer.json["success"], false);
        answer.json["error"]["field"].clone()
    }
}

/// The voices that all three contracts name; the first is the default.
const VOICES: [&str; 7] = ["nat", "josh", "maya", "june", "paige", "derek", "florian"];

async fn options_of(mut family: Family) {
    assert_eq!(family.plan["voice"], VOICES[0]);
    family.takes.extend(VOICES.map(|voice| ("voice", json!(voice), "voice", json!(voice))));
    let (node, wallet) = (selling(&[]).await, Wallet::new());
    stock(&node, &[NUMBER]).await;
    buy(&node, &wallet, "/api/number", &json!({})).await;
    assert_eq!(family.placed(&node, &wallet, &family.least).await, family.plan, "the defaults");
    for (option, value, member, expected) in &family.takes {
        let mut plan = family.plan.clone();
        plan[*member] = expected.clone();
        if *member == "from" {
            // The trunk that the number was stocked with.
            plan["home"] = json!("carrier");
        }
        let placed = family.placed(&node, &wallet, &family.body(option, value)).await;
        assert_eq!(placed, plan, "{option}: {value}");
    }
    for (option, value) in &family.refuses {
        let body = family.body(option, value);
        let answer = post_with(&node, family.path, &body, None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{option}: {value}: {}", answer.json);
        assert_eq!(family.field(&answer), *option, "{}", answer.json);
    }
    assert!(node.calls.plans.lock().is_empty());
}

#[tokio::test]
async fn every_option_of_x402phone_reaches_the_call() {
    let mut family = shared("/api/x402/call");
    family.takes.push(("phone_number", json!("+14165550123"), "to", json!("+14165550123")));
    options_of(family).await;
}

#[tokio::test]
async fn every_option_of_stablephone_reaches_the_call() {
    let mut family = shared("/api/call");
    family.refuses.push(("phone_number", json!("+442079460123")));
    options_of(family).await;
}

#[tokio::test]
async fn every_option_of_blockrun_reaches_the_call() {
    options_of(blockrun()).await;
}

#[tokio::test]
async fn a_message_to_leave_and_the_wish_to_leave_it_go_together() {
    let (node, wallet) = (selling(&[]).await, Wallet::new());
    for path in ["/api/call", "/api/x402/call"] {
        let family = shared(path);
        let alone = family.body("voicemail_action", &json!("leave_message"));
        let refused = post_with(&node, path, &alone, None).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert_eq!(refused.json["error"]["field"], "voicemail_message");
        let mut both = alone;
        both["voicemail_message"] = "Call us back.".into();
        let plan = family.placed(&node, &wallet, &both).await;
        assert_eq!(
            (&plan["voicemail_action"], &plan["voicemail_message"]),
            (&json!("leave_message"), &json!("Call us back."))
        );
    }
}

/// The published clients' own names, and the documents' where both stand.
#[tokio::test]
async fn blockruns_clients_and_documents_name_a_number_otherwise() {
    let (node, wallet) = (selling(&[]).await, Wallet::new());
    stock(&node, &[NUMBER]).await;
    buy(&node, &wallet, "/api/v1/phone/numbers/buy", &json!({ "country": "US", "areaCode": "415" })).await;
    let family = blockrun();
    let plan = family.placed(&node, &wallet, &json!({ "to": "+14165550123", "task": TASK })).await;
    assert_eq!(plan["to"], "+14165550123");
    let both = json!({ "to": "+14165550123", "phone_number": "+14155550123", "task": TASK });
    assert_eq!(family.placed(&node, &wallet, &both).await["to"], "+14155550123");
}
