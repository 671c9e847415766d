//! The table.

use axum::http::Method;

use super::{Access, Asks, Field, Gives, Group, Kind, Offer};

const fn gives(fields: &'static [Field], example: &'static str) -> Gives {
    Gives { status: 200, fields, example }
}

/// What a call is asked for with. Lengths and patterns are those of the published schema.
const fn call(number: Kind) -> [Field; 13] {
    [
        Field::required("phone_number", number, "the number to call, E.164, such as +14155551234"),
        Field::optional("from", number, "the number to show; one that your wallet leases here"),
        Field::required(
            "task",
            Kind::TextOf(Some(1), Some(4000)),
            "instructions for the agent: what to say, what to find out, when to end the call",
        ),
        Field::optional("first_sentence", Kind::TextOf(None, Some(500)), "the agent's first words"),
        Field::optional(
            "voice",
            Kind::Text,
            "a voice of the list below, or one that the operator has installed",
        ),
        Field::optional("max_duration", Kind::Integer(1, 30), "minutes, 5 where it is absent"),
        Field::optional(
            "wait_for_greeting",
            Kind::Boolean,
            "let the callee speak first; false where it is absent",
        ),
        Field::optional("record", Kind::Boolean, "record the call; true where it is absent"),
        Field::optional(
            "model",
            Kind::Word(&["base", "turbo"]),
            "\"base\" where it is absent; the node may answer both with one model",
        ),
        Field::optional(
            "transfer_phone_number",
            Kind::E164,
            "who is dialled when the other side asks for a human; the two are then connected to the end of the call",
        ),
        Field::optional(
            "voicemail_action",
            Kind::Word(&["hangup", "leave_message", "ignore"]),
            "what to do where a machine answers; \"hangup\" where it is absent",
        ),
        Field::optional(
            "voicemail_message",
            Kind::TextOf(None, Some(500)),
            "what to leave on a machine; needed with \"leave_message\"",
        ),
        Field::optional(
            "metadata",
            Kind::Anything,
            "keys and values that come back with the call; at most 8192 bytes",
        ),
    ]
}

const CALL: &[Field] = &call(Kind::Nanp);
const X402_CALL: &[Field] = &call(Kind::E164);

const PLACED: Gives = gives(
    &[
        Field::required("success", Kind::True, ""),
        Field::required("call_id", Kind::Text, ""),
        Field::required("message", Kind::Text, ""),
    ],
    r#"{"success": true, "call_id": "call_…", "message": "Call initiated"}"#,
);

const CALL_TOLD: Gives = gives(
    &[],
    r#"{"success": true, "call_id": "call_…", "status": "completed", "completed": true, "to": "+14155551234", "from": null, "call_length": 1.42, "answered_by": "human", "summary": "…", "transcript": "…", "transcripts": [{"user": "assistant", "text": "…"}], "recording_url": null, "price": 0.54, "error_message": null, "created_at": "2026-01-02T03:04:05Z"}"#,
);

const CALL_MORE: &str = "The answer comes once the far end rings, or 12 seconds after a carrier has taken the \
                         call; the conversation goes on without you. A number \
                         on the do-not-call list gets 403: do not retry it.";

const CALL_STATUS_MORE: &str = "Poll until `completed` is true: the call is over, and `status` is one of completed, \
                                failed, no_answer, busy. A summary may follow within seconds.";

const NUMBER: &[Field] = &[
    Field::optional("area_code", Kind::AreaCode, "three digits, US or CA; any where it is absent"),
    Field::optional("country_code", Kind::WordOr(&["US", "CA"], "US"), "\"US\" where it is absent"),
];

const NUMBER_MORE: &str = "It is yours for 30 days, as the `from` of your calls. Top it up to keep it.";

const OF_NUMBER: &[Field] = &[Field::required("phone_number", Kind::Nanp, "E.164, such as +14155551234")];

const LEASED: Gives = gives(
    &[
        Field::required("success", Kind::True, ""),
        Field::required("phone_number", Kind::Text, ""),
        Field::required("expires_at", Kind::Text, ""),
    ],
    r#"{"success": true, "phone_number": "+14155551234", "expires_at": "2026-02-01T03:04:05Z"}"#,
);

const TOPUP_MORE: &str = "Counts from the current end, or from today where that has passed, however long ago, as long \
                          as nobody else leases the number. Top-ups stack, and anyone can top up any number.";

const NUMBERS: Gives = gives(
    &[],
    r#"{"success": true, "numbers": [{"phone_number": "+14155551234", "expires_at": "2026-02-01T03:04:05Z", "area_code": "415", "country_code": "US"}]}"#,
);

const BLOCKRUN_CALL: &[Field] = &[
    Field::required("phone_number", Kind::E164, "the number to call; `to` is read as well"),
    Field::required("task", Kind::TextOf(Some(10), Some(4000)), "instructions for the agent"),
    Field::optional("from", Kind::E164, "a number that your wallet leases; needed where it leases several"),
    Field::optional("voice", Kind::Text, "a voice of the list below"),
    Field::optional("language", Kind::Text, "ISO 639-1, such as \"en\""),
    Field::optional("max_duration", Kind::Integer(1, 30), "minutes, 5 where it is absent"),
    Field::optional("first_sentence", Kind::TextOf(None, Some(500)), "the agent's first words"),
    Field::optional(
        "wait_for_greeting",
        Kind::Boolean,
        "let the callee speak first; false where it is absent",
    ),
    Field::optional(
        "interruption_threshold",
        Kind::Integer(50, 500),
        "milliseconds of speech that interrupt, 100 where it is absent",
    ),
    Field::optional(
        "model",
        Kind::Word(&["base", "enhanced", "turbo"]),
        "\"base\" where it is absent; the node may answer both with one model",
    ),
];

const BLOCKRUN_NUMBER: &[Field] = &[
    Field::optional("country", Kind::Country, "two letters, \"US\" where it is absent"),
    Field::optional("area_code", Kind::Text, "preferred; another one where none is left"),
];

const BLOCKRUN_OF_NUMBER: &[Field] =
    &[Field::required("phone_number", Kind::E164, "E.164; `phoneNumber` is read as well")];

/// Every route under `/api`, in the order of the router.
pub const OFFERS: &[Offer] = &[
    Offer {
        method: Method::POST,
        path: "/api/call",
        group: Group::StablePhone,
        id: "call",
        what: "Make an AI phone call",
        more: CALL_MORE,
        access: Access::Paid(|prices| prices.stablephone.call),
        asks: Asks::Body(CALL),
        gives: PLACED,
    },
    Offer {
        method: Method::GET,
        path: "/api/call/{id}",
        group: Group::StablePhone,
        id: "call_status",
        what: "Get the status and transcript of a call",
        more: CALL_STATUS_MORE,
        access: Access::Wallet,
        asks: Asks::Path,
        gives: CALL_TOLD,
    },
    Offer {
        method: Method::POST,
        path: "/api/number",
        group: Group::StablePhone,
        id: "number",
        what: "Buy a phone number",
        more: NUMBER_MORE,
        access: Access::Paid(|prices| prices.stablephone.number),
        asks: Asks::Body(NUMBER),
        gives: LEASED,
    },
    Offer {
        method: Method::POST,
        path: "/api/number/topup",
        group: Group::StablePhone,
        id: "number_topup",
        what: "Extend a phone number by 30 days",
        more: TOPUP_MORE,
        access: Access::Paid(|prices| prices.stablephone.topup),
        asks: Asks::Body(OF_NUMBER),
        gives: LEASED,
    },
    Offer {
        method: Method::GET,
        path: "/api/numbers",
        group: Group::StablePhone,
        id: "numbers",
        what: "List the phone numbers of the wallet that signs in",
        more: "",
        access: Access::Wallet,
        asks: Asks::Nothing,
        gives: NUMBERS,
    },
    Offer {
        method: Method::POST,
        path: "/api/lookup",
        group: Group::StablePhone,
        id: "lookup",
        what: "Look up whether a phone number has iMessage and FaceTime, its kind and its country",
        more: "Gives a token to poll with, good for 60 minutes. Within the hour the same wallet is not charged again \
               for the same number: the payment it sends is not taken.",
        access: Access::Paid(|prices| prices.stablephone.lookup),
        asks: Asks::Body(OF_NUMBER),
        gives: Gives {
            status: 202,
            fields: &[Field::required("token", Kind::Text, "")],
            example: r#"{"token": "<jwt>"}"#,
        },
    },
    Offer {
        method: Method::GET,
        path: "/api/lookup/status",
        group: Group::StablePhone,
        id: "lookup_status",
        what: "Poll a lookup",
        more: "Every 3 to 5 seconds while `status` is \"pending\"; then it is \"complete\" or \"error\". `imessage` and \
               `facetime` are \"available\", \"unavailable\" or \"unknown\": nobody can say.",
        access: Access::Wallet,
        asks: Asks::Query(&[Field::required("token", Kind::TextOf(Some(1), None), "what the lookup gave")]),
        gives: gives(
            &[],
            r#"{"status": "complete", "phone_number": "+14155551234", "imessage": "available", "facetime": "unknown", "carrier": {"carrier": "unknown", "number_type": "landline_or_mobile"}, "country": {"name": "United States", "iso2": "US", "flag": "🇺🇸"}, "checked_at": "2026-02-20"}"#,
        ),
    },
    Offer {
        method: Method::POST,
        path: "/api/x402/call",
        group: Group::X402Phone,
        id: "x402_call",
        what: "Make an AI phone call",
        more: CALL_MORE,
        access: Access::Paid(|prices| prices.x402phone.call),
        asks: Asks::Body(X402_CALL),
        gives: PLACED,
    },
    Offer {
        method: Method::GET,
        path: "/api/x402/call/{id}",
        group: Group::X402Phone,
        id: "x402_call_status",
        what: "Get the status and transcript of a call",
        more: CALL_STATUS_MORE,
        access: Access::Open,
        asks: Asks::Path,
        gives: CALL_TOLD,
    },
    Offer {
        method: Method::POST,
        path: "/api/x402/number",
        group: Group::X402Phone,
        id: "x402_number",
        what: "Buy a phone number",
        more: NUMBER_MORE,
        access: Access::Paid(|prices| prices.x402phone.number),
        asks: Asks::Body(NUMBER),
        gives: LEASED,
    },
    Offer {
        method: Method::POST,
        path: "/api/x402/number/topup",
        group: Group::X402Phone,
        id: "x402_number_topup",
        what: "Extend a phone number by 30 days",
        more: TOPUP_MORE,
        access: Access::Paid(|prices| prices.x402phone.topup),
        asks: Asks::Body(OF_NUMBER),
        gives: LEASED,
    },
    Offer {
        method: Method::GET,
        path: "/api/x402/numbers",
        group: Group::X402Phone,
        id: "x402_numbers",
        what: "List the phone numbers of a wallet",
        more: "",
        access: Access::Open,
        asks: Asks::Query(&[Field::required("wallet", Kind::Wallet, "the wallet's address, 0x…")]),
        gives: NUMBERS,
    },
    Offer {
        method: Method::POST,
        path: "/api/v1/phone/numbers/buy",
        group: Group::BlockRun,
        id: "phone_numbers_buy",
        what: "Lease a phone number for 30 days",
        more: "",
        access: Access::Paid(|prices| prices.blockrun.buy),
        asks: Asks::Body(BLOCKRUN_NUMBER),
        gives: gives(
            &[],
            r#"{"phone_number": "+14155551234", "country": "US", "owner_wallet": "0x…", "chain": "base", "expires_at": "2026-02-01T03:04:05Z", "message": "…", "transaction": "0x…"}"#,
        ),
    },
    Offer {
        method: Method::POST,
        path: "/api/v1/phone/numbers/renew",
        group: Group::BlockRun,
        id: "phone_numbers_renew",
        what: "Extend a phone number by 30 days",
        more: "Only the wallet that leases it.",
        access: Access::Paid(|prices| prices.blockrun.renew),
        asks: Asks::Body(BLOCKRUN_OF_NUMBER),
        gives: gives(
            &[],
            r#"{"phone_number": "+14155551234", "expires_at": "2026-03-03T03:04:05Z", "transaction": "0x…"}"#,
        ),
    },
    Offer {
        method: Method::POST,
        path: "/api/v1/phone/numbers/list",
        group: Group::BlockRun,
        id: "phone_numbers_list",
        what: "List the phone numbers of the wallet that pays",
        more: "",
        access: Access::Paid(|prices| prices.blockrun.list),
        asks: Asks::Body(&[]),
        gives: gives(
            &[],
            r#"{"wallet": "0x…", "count": 1, "numbers": [{"phone_number": "+14155551234", "country": "US", "chain": "base", "expires_at": "2026-02-01T03:04:05Z", "days_remaining": 28, "active": true}], "transaction": "0x…"}"#,
        ),
    },
    Offer {
        method: Method::POST,
        path: "/api/v1/phone/numbers/release",
        group: Group::BlockRun,
        id: "phone_numbers_release",
        what: "Give a phone number back",
        more: "The payment of nothing says whose it is.",
        access: Access::Paid(|_| crate::base::Usd::ZERO),
        asks: Asks::Body(BLOCKRUN_OF_NUMBER),
        gives: gives(&[], r#"{"phone_number": "+14155551234", "released": true, "transaction": "0x…"}"#),
    },
    Offer {
        method: Method::POST,
        path: "/api/v1/phone/lookup",
        group: Group::BlockRun,
        id: "phone_lookup",
        what: "Look up the kind, the country and the carrier of a phone number",
        more: "Kind and country are those of the numbering plan; what nobody could say is \"unknown\".",
        access: Access::Paid(|prices| prices.blockrun.lookup),
        asks: Asks::Body(BLOCKRUN_OF_NUMBER),
        gives: gives(
            &[],
            r#"{"phone_number": "+14155551234", "calling_country_code": "1", "country_code": "US", "national_format": "(415) 555-1234", "valid": true, "line_type_intelligence": {"type": "landline_or_mobile", "carrier_name": "unknown", "mobile_country_code": null, "mobile_network_code": null}, "carrier": {"name": "unknown", "type": "landline_or_mobile", "mobile_country_code": null, "mobile_network_code": null}, "caller_name": null, "sim_swap": null, "call_forwarding": null, "transaction": "0x…"}"#,
        ),
    },
    Offer {
        method: Method::POST,
        path: "/api/v1/phone/lookup/fraud",
        group: Group::BlockRun,
        id: "phone_lookup_fraud",
        what: "Look up the carrier of a phone number and signs of fraud",
        more: "Whether its SIM was swapped lately, and whether its calls are forwarded; what nobody could say is \
               \"unknown\".",
        access: Access::Paid(|prices| prices.blockrun.lookup_fraud),
        asks: Asks::Body(BLOCKRUN_OF_NUMBER),
        gives: gives(
            &[],
            r#"{"phone_number": "+14155551234", "country_code": "US", "valid": true, "line_type_intelligence": {"type": "mobile", "carrier_name": "…"}, "carrier": {"name": "…", "type": "mobile"}, "sim_swap": {"status": "not_swapped", "last_sim_swap": {"last_sim_swap_date": null, "swapped_in_period": false, "swapped_period": "PT24H"}}, "call_forwarding": {"status": "unknown", "call_forwarding_enabled": null}, "transaction": "0x…"}"#,
        ),
    },
    Offer {
        method: Method::POST,
        path: "/api/v1/voice/call",
        group: Group::BlockRun,
        id: "voice_call",
        what: "Make an AI phone call of up to 30 minutes",
        more: "From a number that the wallet leases; where it leases one alone, that one is shown.",
        access: Access::Paid(|prices| prices.blockrun.call),
        asks: Asks::Body(BLOCKRUN_CALL),
        gives: gives(
            &[],
            r#"{"call_id": "call_…", "from": "+14155551234", "to": "+12133610872", "status": "started", "expected_duration_minutes": 5, "poll_url": "/api/v1/voice/call/call_…", "transaction": "0x…"}"#,
        ),
    },
    Offer {
        method: Method::GET,
        path: "/api/v1/voice/call/{id}",
        group: Group::BlockRun,
        id: "voice_call_status",
        what: "Get the status and transcript of a call",
        more: "`ended_by` says why it ended: USER, ASSISTANT, TIMEOUT, NO_ANSWER, BUSY, VOICEMAIL, ERROR, or IN_PROGRESS.",
        access: Access::Open,
        asks: Asks::Path,
        gives: gives(
            &[],
            r#"{"call_id": "call_…", "from": "+14155551234", "to": "+12133610872", "status": "completed", "answered_by": "human", "call_length": 1.42, "ended_by": "USER", "ended_by_reason": "…", "summary": "…", "transcript": [{"role": "assistant", "text": "…"}], "recording_url": null}"#,
        ),
    },
    Offer {
        method: Method::GET,
        path: "/api/calls",
        group: Group::Operator,
        id: "calls",
        what: "List calls, newest first, without transcripts",
        more: "",
        access: Access::Operator,
        asks: Asks::Query(&[
            Field::optional("limit", Kind::Integer(1, 200), "50 where it is absent"),
            Field::optional("before", Kind::Text, "`next_before` of the page before"),
        ]),
        gives: gives(&[], r#"{"success": true, "calls": [], "next_before": null}"#),
    },
    Offer {
        method: Method::GET,
        path: "/api/call/{id}/events",
        group: Group::Operator,
        id: "call_events",
        what: "Watch a call",
        more: "Server-sent events: `call` with the whole call, then a `change` for each change.",
        access: Access::Operator,
        asks: Asks::Path,
        gives: gives(&[], "{}"),
    },
    Offer {
        method: Method::POST,
        path: "/api/call/{id}/hangup",
        group: Group::Operator,
        id: "call_hangup",
        what: "End a live call",
        more: "",
        access: Access::Operator,
        asks: Asks::Path,
        gives: gives(&[], r#"{"success": true, "call_id": "call_…", "message": "Hanging up"}"#),
    },
];
