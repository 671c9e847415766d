//! A node that sells, with a facilitator on loopback that says yes to every payment; and a client's wallet.

use alloy::signers::{SignerSync, local::PrivateKeySigner};
use axum::{
    Json, Router,
    body::Body,
    http::{HeaderMap, Request},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use callbox::{
    base::E164,
    store::{
        Numbers,
        numbers::{Capability, Country, Number, area_code},
    },
};
use chrono::Utc;
use serde_json::{Value, json};
use siwx::SiwxMessage;

use crate::support::{Answer, Node};

pub const PAY_TO: &str = "0x00000000000000000000000000000000000000aa";

/// A node whose payments are on and whose calls ring at once; `set` is configuration over that.
pub async fn selling(set: &[(&str, &str)]) -> Node {
    let node = selling_unrung(set).await;
    node.ring();
    node
}

/// The same, but what becomes of its calls is the test's affair.
pub async fn selling_unrung(set: &[(&str, &str)]) -> Node {
    let networks = format!(
        r#"[{{ network = "base", rpc = "http://127.0.0.1:9", facilitator = "{}" }}]"#,
        facilitator().await
    );
    let mut all = vec![
        ("payments.mode", "on"),
        ("payments.pay_to", PAY_TO),
        ("payments.networks", networks.as_str()),
        ("http.public_url", "https://phone.example.com"),
    ];
    all.extend(set);
    Node::with(&all).await
}

/// A node that sells all there is: it has somebody to ask about carriers, though nobody is there.
pub async fn selling_all() -> Node {
    selling(&[("lookup.carrier.url", "http://127.0.0.1:9")]).await
}

async fn facilitator() -> String {
    let settle = async || Json(json!({ "success": true, "transaction": "0xabc", "network": "base" }));
    let routes = Router::new()
        .route("/verify", post(async || Json(json!({ "isValid": true }))))
        .route("/settle", post(settle));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

/// What an agent has.
pub struct Wallet(PrivateKeySigner);

impl Wallet {
    pub fn new() -> Wallet {
        Wallet(PrivateKeySigner::random())
    }

    pub fn address(&self) -> String {
        self.0.address().to_string()
    }

    /// As the node keeps it.
    pub fn wallet(&self) -> callbox::base::Wallet {
        self.address().parse().unwrap()
    }

    /// The value of `X-PAYMENT` for what a 402 asks.
    pub fn payment(&self, challenge: &Value) -> String {
        let accept = &challenge["accepts"][0];
        let payment = json!({
            "x402Version": 1,
            "scheme": "exact",
            "network": accept["network"],
            "payload": {
                // The facilitator looks at it, and this one says yes to all.
                "signature": format!("0x{}", "11".repeat(65)),
                "authorization": {
                    "from": self.0.address().to_string(),
                    "to": accept["payTo"],
                    "value": accept["maxAmountRequired"],
                    "validAfter": "0",
                    "validBefore": "99999999999",
                    "nonce": format!("0x{}", hex::encode(rand::random::<[u8; 32]>())),
                },
            },
        });
        STANDARD.encode(payment.to_string())
    }

    /// The value of `SIGN-IN-WITH-X` for a challenge.
    pub fn sign_in(&self, challenge: &Value) -> String {
        let mut info = challenge["extensions"]["sign-in-with-x"]["info"].clone();
        let text = |key: &str| info[key].as_str().unwrap().to_owned();
        let address = self.0.address().to_string();
        let message = SiwxMessage::new(text("domain"), &address, text("uri"), "8453", text("nonce"))
            .and_then(|message| message.with_issued_at_raw(&text("issuedAt")))
            .and_then(|message| message.with_statement(text("statement")))
            .and_then(|message| message.with_expiration_time_raw(&text("expirationTime")))
            .unwrap();
        let signed = message.to_sign_string(siwx_evm::CHAIN_NAME);
        info["signature"] = self.0.sign_message_sync(signed.as_bytes()).unwrap().to_string().into();
        info["address"] = address.into();
        STANDARD.encode(info.to_string())
    }
}

pub async fn post_with(node: &Node, path: &str, body: &Value, header: Option<(&str, &str)>) -> Answer {
    let mut request = Request::builder().method("POST").uri(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    Answer::of(node.send(request.body(Body::from(body.to_string())).unwrap()).await).await
}

pub async fn get_with(node: &Node, path: &str, header: Option<(&str, &str)>) -> Answer {
    let mut request = Request::builder().uri(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    Answer::of(node.send(request.body(Body::empty()).unwrap()).await).await
}

/// Numbers to lease.
pub async fn stock(node: &Node, numbers: &[&str]) {
    let number = |text: &&str| {
        let number: E164 = text.parse().unwrap();
        Number {
            country: Country::of(&number).unwrap(),
            area_code: area_code(&number).unwrap_or_default().to_owned(),
            number,
            trunk: "carrier".into(),
            capabilities: vec![Capability::Voice],
        }
    };
    let numbers: Vec<Number> = numbers.iter().map(number).collect();
    let config = callbox::node::config::Sources::default().load().unwrap().config.numbers;
    Numbers::new(node.books.store.clone(), config).import(&numbers, Utc::now()).await.unwrap();
}

/// Asks, pays, and asks again.
pub async fn buy(node: &Node, wallet: &Wallet, path: &str, body: &Value) -> Answer {
    let challenge = post_with(node, path, body, None).await;
    assert_eq!(challenge.status, 402, "{:?}", challenge.json);
    let payment = wallet.payment(&challenge.json);
    post_with(node, path, body, Some(("x-payment", &payment))).await
}

/// Reads what belongs to the wallet.
pub async fn read(node: &Node, wallet: &Wallet, path: &str) -> Answer {
    let challenge = get_with(node, path, None).await;
    assert_eq!(challenge.status, 402, "{:?}", challenge.json);
    get_with(node, path, Some(("sign-in-with-x", &wallet.sign_in(&challenge.json)))).await
}

pub fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}
