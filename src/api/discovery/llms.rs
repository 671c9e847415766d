//! `/llms.txt`: the same in words, for language models.

use std::{fmt::Write, sync::LazyLock};

use super::Shop;
use crate::{
    api::offers::{Access, Asks, Group, OFFERS, Offer, field::Field},
    models::Catalog,
};

const PAYING: &str = r#"
## Paying

Send the request without a payment, and the answer is 402 with the price: x402 version 2 in the header
`PAYMENT-REQUIRED`, version 1 in the body. Sign one of what it `accepts` and send the same request again with the
header `PAYMENT-SIGNATURE` (version 2) or `X-PAYMENT` (version 1). Any x402 client does this by itself.
Where the 402 has `WWW-Authenticate: Payment`, MPP's Tempo charge is taken too, as `Authorization: Payment`.

- A body is checked before money is asked for: what is wrong or not allowed is refused unpaid.
- A payment buys one request. The same payment with the same request gives the same answer again; after a timeout or
  a 503, repeat it and do not sign another.
- What cannot be done is not charged: a call that no carrier takes or that is refused before it rings, a number that is
  gone.
- A call that nobody answers, or that a machine answers, is a call and is charged.

Where it says SIWX, the 402 has a challenge in `extensions["sign-in-with-x"]`: sign it with the wallet that paid and
send it as the header `SIGN-IN-WITH-X`. It is free, counts for five minutes and is used once.
"#;

const KEYED: &str = r#"
Nothing is sold on this node. Send `Authorization: Bearer <key>` with the operator's key.
"#;

const FLOW: &str = r#"
## Typical flow

1. POST /api/call: 402 Payment Required
2. Pay with an x402 client
3. Keep the `call_id`
4. GET /api/call/{call_id} every few seconds, signed in with the same wallet, until `completed` is true
5. Read the transcript and the summary

To call from a number of your own, buy it with POST /api/number and name it as `from`.
"#;

const KEYED_FLOW: &str = r#"
## Typical flow

1. POST /api/call, and keep the `call_id`
2. GET /api/call/{call_id} every few seconds until `completed` is true
3. Read the transcript and the summary
"#;

const RULES: &str = r#"
## Who is called

The agent first says that it is an AI. Emergency and crisis lines, premium-rate numbers and numbers on the
do-not-call list are never called; by default people are called between 08:00 and 21:00 on every clock of the place
that their number belongs to, and no number too often. A refusal names the field, the reason and what to do:
{"success": false, "error": {"code", "message", "field", "fix"}}. With `do_not_call` or `refused`, do not try again; with
`outside_hours`, `on_a_call` or `too_often`, try after as many seconds as `retry_after` and the header `Retry-After`
say.
"#;

/// Markdown.
pub(super) fn text(shop: &Shop) -> String {
    let mut page = format!("# Callbox\n\n{}\n\nBase URL: {}\n", shop.phrase(), shop.base);
    page.push_str(if shop.is_open() { PAYING } else { KEYED });
    for group in Group::ALL {
        let offers: Vec<&Offer> =
            OFFERS.iter().filter(|offer| offer.group == group && shop.shows(offer)).collect();
        if !offers.is_empty() {
            let _ = write!(page, "\n## {}\n\n{}\n", group.name(), group.about());
        }
        offers.into_iter().for_each(|offer| describe(shop, offer, &mut page));
    }
    page.push_str(if shop.is_open() { FLOW } else { KEYED_FLOW });
    voices(&mut page);
    page.push_str(RULES);
    page.push_str("\n## Discovery\n\n- GET /openapi.json: schemas\n- GET /llms.txt: this page\n");
    if shop.is_open() {
        page.push_str("- GET /.well-known/x402: the addresses of all that is paid for\n");
    }
    page
}

fn describe(shop: &Shop, offer: &Offer, page: &mut String) {
    // Writing to a `String` cannot fail.
    let _ =
        write!(page, "\n### {}\n\n{} {} ({})\n", offer.what, offer.method, offer.path, terms(shop, offer));
    if !offer.more.is_empty() {
        let _ = write!(page, "\n{}\n", offer.more);
    }
    if offer.id == "lookup" && !shop.api.look_up.knows_reach() {
        page.push_str(
            "\nThis node has nobody to ask about iMessage and FaceTime: both are always \"unknown\".\n",
        );
    }
    if offer.id == "phone_lookup" && !shop.api.look_up.knows_carriers() {
        page.push_str("\nThis node has nobody to ask about carriers: they are always \"unknown\".\n");
    }
    match &offer.asks {
        Asks::Nothing | Asks::Path | Asks::Body([]) => {}
        Asks::Query(fields) => list("Query", fields, page),
        Asks::Body(fields) => list("Body (JSON)", fields, page),
    }
    if let Some(example) = offer.example() {
        let _ = write!(page, "\nExample: {example}\n");
    }
    let status = if offer.gives.status == 200 { String::new() } else { format!(" ({})", offer.gives.status) };
    let _ = write!(page, "\nResponse{status}: {}\n", offer.gives.example);
}

fn terms(shop: &Shop, offer: &Offer) -> String {
    match offer.access {
        Access::Open => "free".to_owned(),
        Access::Operator => "the operator's key".to_owned(),
        _ if !shop.is_open() => "the operator's key".to_owned(),
        Access::Wallet => "SIWX, free".to_owned(),
        Access::Paid(_) => shop.price(offer).map(|price| format!("${price}")).unwrap_or_default(),
    }
}

/// The presets; what else is installed is the operator's to tell.
fn voices(page: &mut String) {
    static LIST: LazyLock<String> = LazyLock::new(|| {
        // The catalogue that is built in can be read: `models` tests it.
        let presets = Catalog::load(None).map(|catalog| catalog.voice_presets).unwrap_or_default();
        presets.iter().map(|preset| format!("- {}: {}\n", preset.name, preset.description)).collect()
    });
    let _ = write!(page, "\n## Voices\n\n{}", *LIST);
}

fn list(title: &str, fields: &[Field], page: &mut String) {
    let _ = write!(page, "\n{title}:\n");
    for field in fields {
        let optional = if field.required { "" } else { " (optional)" };
        let _ = writeln!(page, "- {}{optional}: {}", field.name, field.about);
    }
}
