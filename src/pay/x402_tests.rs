use chrono::TimeZone;

use super::*;
use crate::pay::network::NETWORKS;

const PAY_TO: &str = "0x2222222222222222222222222222222222222222";

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 22, 9, 0, 0).unwrap()
}

fn requirements() -> Vec<Requirement> {
    NETWORKS
        .iter()
        .map(|network| Requirement {
            network,
            pay_to: PAY_TO.parse().unwrap(),
            amount: "0.54".parse().unwrap(),
            timeout_secs: 300,
            fee_payer: None,
        })
        .collect()
}

fn payload() -> Value {
    json!({
        "signature": format!("0x{}", "ab".repeat(65)),
        "authorization": {
            "from": "0x1111111111111111111111111111111111111111",
            "to": PAY_TO,
            "value": "540000",
            "validAfter": (now().timestamp() - 600).to_string(),
            "validBefore": (now().timestamp() + 300).to_string(),
            "nonce": format!("0x{}", "01".repeat(32)),
        },
    })
}

fn v1() -> Value {
    json!({ "x402Version": 1, "scheme": "exact", "network": "base", "payload": payload() })
}

fn v2() -> Value {
    json!({ "x402Version": 2, "accepted": requirements()[0].v2(), "payload": payload() })
}

fn pays(sent: &Value) -> Result<&'static str, Mismatch> {
    Payment::decode(open(&encode(sent)).unwrap())
        .unwrap()
        .pays(&requirements(), now())
        .map(|r| r.network.name)
}

#[test]
fn both_versions_pay() {
    assert_eq!(pays(&v1()), Ok("base"));
    assert_eq!(pays(&v2()), Ok("base"));
}

#[test]
fn spelling_extra_and_extensions_do_not_matter() {
    let mut sent = v2();
    sent["accepted"]["asset"] = requirements()[0].network.asset_key().into();
    sent["accepted"]["extra"] = json!({ "anything": true });
    sent["extensions"] = json!({ "builder-code": { "info": {} } });
    assert_eq!(pays(&sent), Ok("base"));
}

#[test]
fn every_wrong_field_has_its_reason() {
    let table: &[(&str, Value, Mismatch)] = &[
        ("/payload/authorization/value", "540001".into(), Mismatch::Amount),
        ("/payload/authorization/value", "1".into(), Mismatch::Amount),
        (
            "/payload/authorization/to",
            "0x3333333333333333333333333333333333333333".into(),
            Mismatch::Recipient,
        ),
        ("/payload/authorization/validBefore", now().timestamp().to_string().into(), Mismatch::Expired),
        (
            "/payload/authorization/validAfter",
            (now().timestamp() + 1).to_string().into(),
            Mismatch::NotYetValid,
        ),
        ("/accepted/asset", "0x3333333333333333333333333333333333333333".into(), Mismatch::Asset),
        ("/accepted/payTo", "0x3333333333333333333333333333333333333333".into(), Mismatch::Recipient),
        ("/accepted/amount", "1".into(), Mismatch::Amount),
        ("/accepted/network", "eip155:1".into(), Mismatch::Network),
    ];
    for (pointer, value, reason) in table {
        let mut sent = v2();
        *sent.pointer_mut(pointer).unwrap() = value.clone();
        assert_eq!(pays(&sent), Err(*reason), "{pointer}");
    }
}

#[test]
fn what_is_no_payment_is_malformed() {
    let no = |value: Value| Payment::decode(value).is_err();
    assert!(open("not base64!").is_err());
    assert!(open(&"A".repeat(20_000)).is_err());
    assert!(open(&STANDARD.encode("{")).is_err());
    assert!(no(json!({})));
    assert!(no(json!({ "x402Version": 3, "accepted": v2()["accepted"], "payload": payload() })));
    assert!(no(json!({ "x402Version": 2, "payload": payload() })));
    for (pointer, value) in [
        ("/payload/authorization/nonce", json!("0x01")),
        ("/payload/authorization/value", json!("1e6")),
        ("/payload/authorization/value", json!(540000)),
        ("/payload/authorization/from", json!("me")),
        ("/payload/signature", json!("0xzz")),
        ("/scheme", json!("upto")),
    ] {
        let mut sent = v1();
        *sent.pointer_mut(pointer).unwrap() = value;
        assert!(no(sent), "{pointer}");
    }
}

#[test]
fn challenge_has_the_fields_clients_check() {
    let resource = Resource { url: "https://phone.example/api/call".into(), description: "A call".into() };
    let body = challenge_v1(&requirements(), &resource, "Payment required");
    assert_eq!(body["accepts"][0]["maxAmountRequired"], "540000");
    assert_eq!(body["accepts"][0]["extra"], json!({ "name": "USD Coin", "version": "2" }));
    // x402-fetch refuses a null here.
    assert!(body["accepts"][0].get("outputSchema").is_none());
    let header = challenge_v2(&requirements(), &resource, "Payment required");
    assert_eq!(header["accepts"][1]["network"], "eip155:84532");
    assert_eq!(header["resource"]["url"], "https://phone.example/api/call");
}

#[test]
fn times_beyond_all_clocks_are_late_not_errors() {
    let mut sent = v1();
    *sent.pointer_mut("/payload/authorization/validBefore").unwrap() = "9".repeat(78).into();
    assert_eq!(pays(&sent), Ok("base"));
}
