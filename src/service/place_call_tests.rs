use parking_lot::Mutex;

use super::*;
use crate::{
    service::{HangUpError, Verdict, policy},
    store,
};

/// Keeps the plans it is given, and refuses when told to.
#[derive(Default)]
struct FakeCalls {
    plans: Mutex<Vec<CallPlan>>,
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

    fn hang_up(&self, _: CallId) -> Result<(), HangUpError> {
        Err(HangUpError)
    }
}

async fn desk(calls: FakeCalls) -> (PlaceCall, Arc<FakeCalls>, Store) {
    let memory = store::Config { data_dir: "/nowhere".into(), url: "sqlite::memory:".into() };
    let store = Store::open(&memory).await.unwrap();
    let policy = Policy::new(policy::Config {
        allowed_prefixes: vec!["+1".into()],
        denied_prefixes: vec![],
        caller_ids: vec!["+14155550100".parse().unwrap()],
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

#[tokio::test]
async fn the_least_request_gets_the_published_defaults() {
    let plan = desk(FakeCalls::default()).await.0.plan(request()).unwrap();
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
        let errors = place.plan(request).unwrap_err();
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
    let plan = place.plan(full).unwrap();
    assert_eq!(plan.max_duration_secs, 1800);
    assert_eq!(plan.voicemail_action, VoicemailAction::LeaveMessage);
    assert!(!plan.record && plan.transfer_to.is_some() && plan.from.is_some());
}

#[tokio::test]
async fn all_wrong_fields_are_told_at_once() {
    let (place, _, _) = desk(FakeCalls::default()).await;
    let wrong = CallRequest { phone_number: "+911".into(), max_duration: Some(99), ..CallRequest::default() };
    let errors = place.plan(wrong).unwrap_err();
    let fields: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.verdict)).collect();
    assert_eq!(
        fields,
        [("phone_number", Verdict::Refused), ("task", Verdict::Invalid), ("max_duration", Verdict::Invalid),]
    );
}

#[tokio::test]
async fn a_placed_call_can_be_read_at_once() {
    let (place, calls, store) = desk(FakeCalls::default()).await;
    let id = place.place(request()).await.unwrap();
    assert_eq!(store.call(id).await.unwrap().unwrap().plan, calls.plans.lock()[0]);
}

#[tokio::test]
async fn a_full_node_keeps_no_record() {
    let full = PlaceError::AtCapacity { limit: 4 };
    let (place, _, store) = desk(FakeCalls { refusal: Some(full.clone()), ..FakeCalls::default() }).await;
    assert_eq!(place.place(request()).await, Err(PlaceFailure::Unavailable(full)));
    assert!(store.calls(store::Page { limit: 9, before: None }).await.unwrap().is_empty());
}
