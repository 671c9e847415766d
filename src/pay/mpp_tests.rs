use mpp::protocol::core::{PaymentPayload, parse_www_authenticate};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PAYER: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";

pub fn terms() -> Terms {
    Terms {
        chain_id: 4217,
        currency: "0x20c0000000000000000000000000000000000000".parse().unwrap(),
        pay_to: "0x2222222222222222222222222222222222222222".parse().unwrap(),
        lifetime_secs: 300,
    }
}

pub fn charges() -> Charges {
    Charges::new("https://phone.example.com:8443/base", SECRET.to_owned().into(), terms()).unwrap()
}

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

fn now() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn issued() -> PaymentChallenge {
    issued_at(now())
}

/// A challenge for 0.54 dollars.
fn issued_at(now: DateTime<Utc>) -> PaymentChallenge {
    parse_www_authenticate(&charges().challenge(usd("0.54"), now)).unwrap()
}

/// What a client sends for a challenge.
fn sent(challenge: &PaymentChallenge, payload: PaymentPayload) -> Value {
    let source = format!("did:pkh:eip155:4217:{PAYER}");
    serde_json::to_value(PaymentCredential::with_source(challenge.to_echo(), source, payload)).unwrap()
}

/// The same, after `change` to its JSON.
fn paid(challenge: &PaymentChallenge, change: impl Fn(&mut Value)) -> Result<Credential, Malformed> {
    let mut json = sent(challenge, PaymentPayload::transaction("0x76c0"));
    change(&mut json);
    Credential::decode(&header(&json))
}

/// The claim of a challenge that was issued then and is paid so.
pub fn claimed(issued: DateTime<Utc>, payload: PaymentPayload) -> NewClaim {
    let credential = Credential::decode(&header(&sent(&issued_at(issued), payload))).unwrap();
    offer(&credential, "0.54").unwrap()
}

fn header(json: &Value) -> String {
    let token = Base64UrlJson::from_value(json).unwrap();
    format!("Payment {}", token.raw())
}

fn offer(credential: &Credential, price: &str) -> Result<NewClaim, Mismatch> {
    charges().offer(credential, usd(price), "POST /api/call".into(), "00".into())
}

#[test]
fn challenge_says_what_is_charged_and_comes_from_the_configured_host() {
    let challenge = issued();
    assert_eq!(challenge.realm, "phone.example.com:8443");
    assert_eq!((challenge.method.as_str(), challenge.intent.as_str()), ("tempo", "charge"));
    assert_eq!(challenge.expires.as_deref(), Some("2026-01-02T03:09:05.000Z"));
    assert_eq!(
        challenge.request.decode_value().unwrap(),
        json!({
            "amount": "540000",
            "currency": "0x20c0000000000000000000000000000000000000",
            "recipient": "0x2222222222222222222222222222222222222222",
            "methodDetails": { "chainId": 4217 },
        })
    );
}

#[test]
fn no_two_challenges_are_equal() {
    assert_ne!(issued().id, issued().id);
}

#[test]
fn paid_challenge_becomes_a_claim_of_its_own_id() {
    let challenge = issued();
    let claim = offer(&paid(&challenge, |_| {}).unwrap(), "0.54").unwrap();
    assert_eq!((claim.scheme.as_str(), claim.network.as_str()), ("mpp", "eip155:4217"));
    assert_eq!((claim.nonce, claim.payer.as_str()), (challenge.id, PAYER));
    assert_eq!((claim.amount, claim.valid_before), (usd("0.54"), now() + TimeDelta::seconds(300)));
}

#[test]
fn claim_gives_its_credential_back() {
    let credential = paid(&issued(), |_| {}).unwrap();
    let claim = offer(&credential, "0.54").unwrap();
    assert_eq!(Credential::offered(&claim).unwrap().json(), credential.json());
}

#[test]
fn changed_challenge_is_not_this_nodes() {
    let other =
        PaymentChallenge::with_secret_key("x", "phone.example.com", "tempo", "charge", issued().request);
    for (field, value) in [
        ("id", "AAAA".to_owned()),
        ("realm", "other.example.com".to_owned()),
        ("intent", "session".to_owned()),
        ("method", "stripe".to_owned()),
        ("expires", "2030-01-02T03:09:05.000Z".to_owned()),
        ("opaque", "e30".to_owned()),
        ("request", other.request.raw().replace('e', "f")),
        ("digest", "sha-256=:AAAA:".to_owned()),
    ] {
        let credential = paid(&issued(), |json| json["challenge"][field] = value.clone().into());
        // What is no challenge at all is malformed; no change is ever taken.
        if let Ok(credential) = credential {
            assert_eq!(offer(&credential, "0.54"), Err(Mismatch::NotIssued), "{field}");
        }
    }
}

#[test]
fn challenge_for_another_price_pays_nothing_and_is_known_as_what_it_paid() {
    let credential = paid(&issued(), |_| {}).unwrap();
    assert_eq!(offer(&credential, "20.00"), Err(Mismatch::OtherCharge));
    let (paid, body) = (offer(&credential, "0.54").unwrap(), "00".to_owned());
    let now = charges().earlier(&credential, usd("20.00"), paid.route.clone(), body).unwrap();
    assert_eq!((now.nonce, now.payer, now.proof), (paid.nonce, paid.payer, paid.proof));
}

#[test]
fn challenge_from_before_the_recipient_changed_pays_nothing() {
    let terms = Terms { pay_to: "0x3333333333333333333333333333333333333333".parse().unwrap(), ..terms() };
    let changed = Charges::new("https://phone.example.com:8443", SECRET.to_owned().into(), terms).unwrap();
    let credential = paid(&issued(), |_| {}).unwrap();
    let claim = changed.offer(&credential, usd("0.54"), String::new(), String::new());
    assert_eq!(claim, Err(Mismatch::OtherCharge));
}

#[test]
fn credential_without_payer_transaction_or_expiry_is_malformed() {
    let hash = |data: &str| json!({ "type": "hash", "hash": data });
    let changes: [(&str, Value); 8] = [
        ("/source", "did:key:abc".into()),
        ("/source", "did:pkh:eip155:4217:EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v".into()),
        ("/payload", json!({ "type": "transaction", "signature": "" })),
        ("/payload", json!({ "type": "transaction", "signature": "0xzz" })),
        ("/payload", json!({ "type": "proof", "signature": "0x00" })),
        ("/payload", hash("0x00")),
        ("/payload", Value::Null),
        ("/challenge/expires", "soon".into()),
    ];
    for (field, value) in changes {
        let read = paid(&issued(), |json| *json.pointer_mut(field).unwrap() = value.clone());
        assert!(read.is_err(), "{field}: {value}");
    }
    for junk in ["Payment", "Payment ", "Payment !", "Payment e30", "Payment bnVsbA"] {
        assert!(Credential::decode(junk).is_err(), "{junk}");
    }
}

#[test]
fn scheme_tells_payments_from_keys() {
    assert!(Credential::is_one("Payment abc") && Credential::is_one("payment abc"));
    assert!(
        !Credential::is_one("Bearer cbx_key") && !Credential::is_one("Payment") && !Credential::is_one("")
    );
}

#[test]
fn realm_that_no_header_can_carry_and_short_secrets_are_refused() {
    let secret = |text: &str| Pii::new(text.to_owned());
    assert_eq!(Charges::new("https://a\"b/", secret(SECRET), terms()).err(), Some(Unusable::Realm));
    assert_eq!(Charges::new("https:///", secret(SECRET), terms()).err(), Some(Unusable::Realm));
    assert_eq!(Charges::new("https://a", secret("short"), terms()).err(), Some(Unusable::Secret));
}

#[test]
fn credential_is_not_printed() {
    let printed = format!("{:?}", paid(&issued(), |_| {}).unwrap());
    assert!(!printed.contains("0x76c0"), "{printed}");
}

#[test]
fn receipt_names_the_transaction() {
    let receipt = mpp::protocol::core::parse_receipt(&receipt("0xabc")).unwrap();
    assert_eq!((receipt.reference.as_str(), receipt.is_success()), ("0xabc", true));
}
