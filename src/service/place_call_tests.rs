use chrono::TimeDelta;
use futures_util::future::BoxFuture;

use super::*;
use crate::{
    base::{E164, Wallet},
    call::{event::Ending, record::*},
    service::{
        HangUpError,
        policy::{self, Caps, Hours, Rate},
    },
    store::{
        self, Numbers,
        numbers::{
            Number,
            tests::{config, number},
        },
    },
};

/// Keeps the plans it is given, and refuses when told to.
#[derive(Default)]
struct FakeCalls {
    plans: parking_lot::Mutex<Vec<CallPlan>>,
    hung_up: parking_lot::Mutex<Vec<CallId>>,
    refusal: Option<PlaceError>,
}

impl Calls for FakeCalls {
    fn place(&self, plan: CallPlan) -> Result<CallId, PlaceError> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        self.plans.lock().push(plan);
        Ok(CallId::generate())
    }

    fn hang_up(&self, call: CallId) -> Result<(), HangUpError> {
        self.hung_up.lock().push(call);
        Ok(())
    }
}

async fn desk(calls: FakeCalls) -> (PlaceCall, Arc<FakeCalls>, Store) {
    desk_with(calls, Caps::default()).await
}

async fn desk_with(calls: FakeCalls, caps: Caps) -> (PlaceCall, Arc<FakeCalls>, Store) {
    let memory = store::Config { data_dir: "/nowhere".into(), url: "sqlite::memory:".into() };
    let store = Store::open(&memory).await.unwrap();
    let policy = Policy::new(policy::Config {
        allowed_prefixes: vec!["+1".into()],
        denied_prefixes: vec![],
        caller_ids: vec!["+14155550100".parse().unwrap()],
        hours: Hours::ANY,
        hours_strict: true,
        caps,
    });
    let voices: Vec<String> = ["nat", "josh", "maya"].map(String::from).into();
    let calls = Arc::new(calls);
    (PlaceCall::new(policy, Arc::new(voices), calls.clone(), store.clone()), calls, store)
}

fn request() -> CallRequest {
    CallRequest {
        phone_number: "+14155550123".into(),
        task: "Ask for the opening hours.".into(),
        ..CallRequest::default()
    }
}

fn now() -> DateTime<Utc> {
    "2027-01-05T17:00:00Z".parse().unwrap()
}

/// What the operator's request becomes.
async fn plan(place: &PlaceCall, request: CallRequest) -> Result<CallPlan, Vec<FieldError>> {
    plan_by(place, request, Caller::Operator).await
}

async fn plan_by(place: &PlaceCall, request: CallRequest, by: Caller) -> Result<CallPlan, Vec<FieldError>> {
    place.check(request, by, now()).await.map_err(fields)
}

fn fields(failure: PlaceFailure) -> Vec<FieldError> {
    match failure {
        PlaceFailure::Fields(errors) => errors,
        other => panic!("{other}"),
    }
}

fn alice() -> Wallet {
    "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913".parse().unwrap()
}

#[tokio::test]
async fn the_least_request_gets_the_published_defaults() {
    let plan = self::plan(&desk(FakeCalls::default()).await.0, request()).await.unwrap();
    assert_eq!((plan.voice.as_str(), plan.model.as_str(), plan.language.as_str()), ("nat", "base", "en"));
    assert_eq!(plan.max_duration_secs, 300);
    assert!(plan.record && !plan.wait_for_greeting);
    assert_eq!(plan.voicemail_action, VoicemailAction::Hangup);
}

#[tokio::test]
async fn each_wrong_field_is_named_with_its_fix() {
    let (place, _, _) = desk(FakeCalls::default()).await;
    type Spoil = fn(&mut CallRequest);
    let table: &[(&str, &str, Spoil)] = &[
        ("phone_number", "+14155550123", |r| r.phone_number = "4155550123".into()),
        ("task", "say what", |r| r.task = "  ".into()),
        ("task", "4000", |r| r.task = "é".repeat(4001)),
        ("from", "leave it out", |r| r.from = Some("+14155550101".into())),
        ("first_sentence", "500", |r| r.first_sentence = Some("x".repeat(501))),
        ("voice", "`josh`", |r| r.voice = Some("jsoh".into())),
        ("voice", "nat, josh, maya", |r| r.voice = Some("napoleon".into())),
        ("max_duration", "1 to 30", |r| r.max_duration = Some(0)),
        ("max_duration", "1 to 30", |r| r.max_duration = Some(31)),
        ("max_duration", "1 to 30", |r| r.max_duration = Some(i64::MIN)),
        ("model", "`turbo`", |r| r.model = Some("gpt".into())),
        ("language", "`en`", |r| r.language = Some("English".into())),
        ("interruption_threshold", "50 to 5000", |r| r.interruption_threshold = Some(1)),
        ("transfer_phone_number", "ordinary number", |r| {
            r.transfer_phone_number = Some("+19005550123".into());
        }),
        ("voicemail_action", "`leave_message`", |r| r.voicemail_action = Some("shout".into())),
        ("voicemail_message", "say what to leave", |r| r.voicemail_action = Some("leave_message".into())),
        ("voicemail_message", "500", |r| r.voicemail_message = Some("x".repeat(501))),
        ("metadata", "keys and values", |r| r.metadata = Some(serde_json::json!([1]))),
    ];
    for (field, fix, spoil) in table {
        let mut request = request();
        spoil(&mut request);
        let errors = plan(&place, request).await.unwrap_err();
        assert_eq!(errors.len(), 1, "{field}: {errors:?}");
        assert_eq!(&errors[0].field, field);
        assert!(errors[0].fix.contains(fix), "{field}: {}", errors[0].fix);
    }
}

#[tokio::test]
async fn limits_are_inclusive_and_count_characters() {
    let (place, _, _) = desk(FakeCalls::default()).await;
    let full = CallRequest {
        task: "é".repeat(4000),
        first_sentence: Some("é".repeat(500)),
        voice: Some("maya".into()),
        max_duration: Some(30),
        model: Some("turbo".into()),
        from: Some("+14155550100".into()),
        transfer_phone_number: Some("+14155550142".into()),
        voicemail_action: Some("leave_message".into()),
        voicemail_message: Some("Call us back.".into()),
        record: Some(false),
        ..request()
    };
    let plan = self::plan(&place, full).await.unwrap();
    assert_eq!(plan.max_duration_secs, 1800);
    assert_eq!(plan.voicemail_action, VoicemailAction::LeaveMessage);
    assert!(!plan.record && plan.transfer_to.is_some() && plan.from.is_some());
}

#[tokio::test]
async fn all_wrong_fields_are_told_at_once() {
    let (place, _, _) = desk(FakeCalls::default()).await;
    let wrong = CallRequest { phone_number: "+911".into(), max_duration: Some(99), ..CallRequest::default() };
    let errors = plan(&place, wrong).await.unwrap_err();
    let fields: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.verdict)).collect();
    assert_eq!(
        fields,
        [("phone_number", Verdict::Refused), ("task", Verdict::Invalid), ("max_duration", Verdict::Invalid),]
    );
}

#[tokio::test]
async fn a_placed_call_can_be_read_at_once() {
    let (place, calls, store) = desk(FakeCalls::default()).await;
    let plan = self::plan(&place, request()).await.unwrap();
    let id = place.place(plan).await.unwrap();
    assert_eq!(store.call(id).await.unwrap().unwrap().plan, calls.plans.lock()[0]);
}

#[tokio::test]
async fn a_full_node_keeps_no_record() {
    let full = PlaceError::AtCapacity { limit: 4 };
    let (place, _, store) = desk(FakeCalls { refusal: Some(full.clone()), ..FakeCalls::default() }).await;
    let refused = place.place(plan(&place, request()).await.unwrap()).await;
    assert!(matches!(refused, Err(PlaceFailure::Unavailable(error)) if error == full));
    assert!(store.calls(store::Page { limit: 9, before: None }).await.unwrap().is_empty());
}

#[tokio::test]
async fn numbers_on_the_do_not_call_list_are_neither_called_nor_transferred_to() {
    let (place, calls, store) = desk(FakeCalls::default()).await;
    let checked = plan(&place, request()).await.unwrap();
    store.add_do_not_call(&"+14155550123".parse().unwrap(), "asked", now()).await.unwrap();
    let elsewhere = CallRequest {
        phone_number: "+14155550124".into(),
        transfer_phone_number: Some("+14155550123".into()),
        ..request()
    };
    for (request, field) in [(request(), "phone_number"), (elsewhere, "transfer_phone_number")] {
        let errors = plan(&place, request).await.unwrap_err();
        assert_eq!((errors[0].field.as_str(), errors[0].verdict), (field, Verdict::DoNotCall));
    }
    let late = fields(place.place(checked).await.unwrap_err());
    assert_eq!(late[0].verdict, Verdict::DoNotCall, "the list is read again when the call is placed");
    assert!(calls.plans.lock().is_empty());
}

/// Leases one number to everybody.
struct OneLease(E164);

impl CallerIds for OneLease {
    fn may_show<'a>(&'a self, _: &'a Wallet, number: &'a E164) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(*number == self.0))
    }

    fn is_leased<'a>(&'a self, number: &'a E164) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(*number == self.0))
    }
}

#[tokio::test]
async fn a_number_that_nobody_leases_is_refused_before_it_is_known_who_asks() {
    let (place, _, _) = desk(FakeCalls::default()).await;
    let place = place.with_caller_ids(Arc::new(OneLease("+14155550177".parse().unwrap())));
    let showing = |number: &str| CallRequest { from: Some(number.into()), ..request() };
    let denied = plan_by(&place, showing("+14155550100"), Caller::Unknown).await.unwrap_err();
    assert_eq!((denied[0].field.as_str(), denied[0].verdict), ("from", Verdict::Refused));
    assert!(plan_by(&place, showing("+14155550177"), Caller::Unknown).await.is_ok());
}

#[tokio::test]
async fn a_refusal_that_passes_says_when() {
    let rate = |hour| Rate { hour, day: 0 };
    let caps = Caps { live_per_callee: 1, destination: rate(2), ..Caps::default() };
    let (place, _, store) = desk_with(FakeCalls::default(), caps).await;
    let begun = Utc::now();
    let call = place.place(plan(&place, request()).await.unwrap()).await.unwrap();
    let wait = async |now| {
        let refused = fields(place.check(request(), Caller::Operator, now).await.unwrap_err());
        (refused[0].verdict, refused[0].retry_after.unwrap())
    };
    // Five minutes and the time that a telephone rings, from a moment that the test does not know exactly.
    let (verdict, seconds) = wait(begun).await;
    assert_eq!(verdict, Verdict::OnACall);
    assert!((360..=365).contains(&seconds), "{seconds}");

    let ending = Ending {
        status: CallStatus::Completed,
        ended_by: EndedBy::Callee,
        fault: None,
        reason: "the callee hung up".into(),
        length_secs: Some(3.0),
    };
    let end = async |call| {
        let change = CallChange::Ended(Box::new(ending.clone()));
        store.apply(&CallEvent { call, at: Utc::now(), change }).await.unwrap();
    };
    end(call).await;
    end(place.place(plan(&place, request()).await.unwrap()).await.unwrap()).await;
    let (verdict, seconds) = wait(begun + TimeDelta::minutes(10)).await;
    assert_eq!(verdict, Verdict::TooOften);
    assert!((3000..=3005).contains(&seconds), "fifty minutes: {seconds}");
    assert!(place.check(request(), Caller::Operator, begun + TimeDelta::minutes(61)).await.is_ok());
}

#[tokio::test]
async fn a_wallet_shows_only_numbers_that_it_leases() {
    let (place, _, _) = desk(FakeCalls::default()).await;
    let showing = |number: &str| CallRequest { from: Some(number.into()), ..request() };
    let by = || Caller::Wallet(alice());
    let denied = plan_by(&place, showing("+14155550100"), by()).await.unwrap_err();
    assert_eq!((denied[0].field.as_str(), denied[0].verdict), ("from", Verdict::Refused));
    let place = place.with_caller_ids(Arc::new(OneLease("+14155550177".parse().unwrap())));
    let plan = plan_by(&place, showing("+14155550177"), by()).await.unwrap();
    assert_eq!(plan.owner, Some(alice()));
    assert!(plan_by(&place, showing("+14155550100"), by()).await.is_err(), "the operator's are not its own");
    assert!(plan_by(&place, request(), by()).await.is_ok(), "the trunk's number needs no lease");
}

#[tokio::test]
async fn of_two_requests_for_one_callee_one_is_placed() {
    let caps = Caps { live_per_callee: 1, ..Caps::default() };
    let (place, calls, store) = desk_with(FakeCalls::default(), caps).await;
    let plan = self::plan(&place, request()).await.unwrap();
    let (one, two) = tokio::join!(place.place(plan.clone()), place.place(plan.clone()));
    let (placed, refused) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_eq!(fields(refused.unwrap_err())[0].verdict, Verdict::OnACall);
    assert_eq!(calls.plans.lock().len(), 1);

    let ending = Ending {
        status: CallStatus::Completed,
        ended_by: EndedBy::Callee,
        fault: None,
        reason: "the callee hung up".into(),
        length_secs: Some(3.0),
    };
    let change = CallChange::Ended(Box::new(ending));
    store.apply(&CallEvent { call: placed.unwrap(), at: Utc::now(), change }).await.unwrap();
    place.place(plan).await.unwrap();
}

#[tokio::test]
async fn a_wallet_at_its_cap_is_refused_and_others_are_not() {
    let caps = Caps { wallet: Rate { hour: 2, day: 0 }, ..Caps::default() };
    let (place, _, _) = desk_with(FakeCalls::default(), caps).await;
    let checked = place.check(request(), Caller::Wallet(alice()), Utc::now()).await.unwrap();
    let results = futures_util::future::join_all((0..4).map(|_| place.place(checked.clone()))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 2);
    let again = place.check(request(), Caller::Wallet(alice()), Utc::now()).await;
    assert_eq!(fields(again.unwrap_err())[0].verdict, Verdict::TooOften);
    let later = Utc::now() + TimeDelta::minutes(61);
    assert!(place.check(request(), Caller::Wallet(alice()), later).await.is_ok());
    assert!(place.check(request(), Caller::Operator, Utc::now()).await.is_ok());
}

#[tokio::test]
async fn a_node_without_its_store_places_nothing() {
    let (place, calls, store) = desk(FakeCalls::default()).await;
    let plan = self::plan(&place, request()).await.unwrap();
    store.close().await;
    assert!(matches!(place.place(plan).await, Err(PlaceFailure::Store(_))));
    assert!(calls.plans.lock().is_empty());
}

#[tokio::test]
async fn an_explanation_asks_the_nodes_memory_too() {
    let caps = Caps { live_per_callee: 1, ..Caps::default() };
    let (place, _, store) = desk_with(FakeCalls::default(), caps).await;
    place.place(plan(&place, request()).await.unwrap()).await.unwrap();
    store.add_do_not_call(&"+14155550123".parse().unwrap(), "asked", now()).await.unwrap();
    let by = Caller::Wallet(alice());
    let findings = place.gate().explain("+14155550123", Some("+14155550100"), &by, Utc::now()).await.unwrap();
    let refused: Vec<_> = findings.iter().filter(|f| f.ruling.is_err()).map(|f| f.rule).collect();
    assert_eq!(refused, ["do-not-call list", "one call at a time", "caller id"]);
}

#[tokio::test]
async fn a_number_of_the_stock_is_placed_with_the_trunk_that_carries_it() {
    let (place, calls, store) = desk(FakeCalls::default()).await;
    let stock = Number { trunk: "second".into(), ..number("+14155550100") };
    Numbers::new(store.clone(), config()).import(&[stock], now()).await.unwrap();
    let shows = CallRequest { from: Some("+14155550100".into()), ..request() };
    for request in [shows, request()] {
        place.place(plan(&place, request).await.unwrap()).await.unwrap();
    }
    let homes: Vec<_> = calls.plans.lock().iter().map(|plan| plan.home.clone()).collect();
    assert_eq!(homes, [Some("second".into()), None]);
}
