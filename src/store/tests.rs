use std::sync::Arc;

use chrono::{TimeZone, Utc};

use super::*;
use crate::{
    base::{Fault, Pii},
    call::{
        event::{CallChange, CallEvent, Ending},
        record::*,
    },
};

pub(crate) fn memory() -> Config {
    Config { data_dir: PathBuf::from("/nowhere"), url: "sqlite::memory:".into() }
}

fn on_disk(dir: &tempfile::TempDir) -> Config {
    Config { data_dir: dir.path().join("data"), url: String::new() }
}

pub(crate) fn plan() -> CallPlan {
    CallPlan {
        to: Some("+14155550123".parse().unwrap()),
        from: Some("+14155550100".parse().unwrap()),
        home: None,
        task: Pii::new("Ask for the opening hours.".into()),
        first_sentence: None,
        voice: "nat".into(),
        model: "base".into(),
        language: "en".into(),
        max_duration_secs: 300,
        wait_for_greeting: false,
        record: true,
        interruption_threshold_ms: None,
        transfer_to: None,
        voicemail_action: VoicemailAction::Hangup,
        voicemail_message: None,
        metadata: Some(serde_json::json!({ "order": 7 })),
        owner: None,
        price: None,
    }
}

fn event(call: CallId, second: u32, change: CallChange) -> CallEvent {
    CallEvent { call, at: Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, second).unwrap(), change }
}

fn created(call: CallId) -> CallEvent {
    event(call, 0, CallChange::Created { direction: CallDirection::Outbound, plan: Box::new(plan()) })
}

fn turn(speaker: Speaker, start_ms: u64, text: &str) -> CallChange {
    let latency = (speaker == Speaker::Agent).then(|| LatencySplit {
        endpoint_ms: 200,
        total_ms: 640,
        ..LatencySplit::default()
    });
    let turn = TurnRecord {
        speaker,
        text: Pii::new(text.into()),
        start_ms,
        end_ms: start_ms + 900,
        interrupted: false,
        latency,
    };
    CallChange::Turn { turn }
}

pub(crate) fn ended(status: CallStatus) -> CallChange {
    CallChange::Ended(Box::new(Ending {
        status,
        ended_by: EndedBy::Callee,
        fault: Some(Fault::Callee),
        reason: "the callee hung up".into(),
        length_secs: Some(12.5),
    }))
}

fn quality() -> CallQuality {
    let stream = |score| StreamQuality { score, loss: 0.0125, jitter_ms: 1.5 };
    CallQuality { round_trip_ms: Some(80.0), heard: Some(stream(4.21)), sent: None, encrypted: true }
}

fn line(trunk: &str, redirected_from: Option<&str>) -> CallChange {
    CallChange::Line {
        trunk: trunk.into(),
        redirected_from: redirected_from.map(|number| number.parse().unwrap()),
        verification: redirected_from.map(|_| Verification::PassedA),
    }
}

fn whole_call(call: CallId) -> Vec<CallEvent> {
    vec![
        created(call),
        event(call, 1, line("first", None)),
        event(call, 1, line("second", Some("+14155550177"))),
        event(call, 1, CallChange::Status { status: CallStatus::Ringing }),
        event(call, 2, CallChange::Answered { answered_by: AnsweredBy::Human }),
        event(call, 2, CallChange::Status { status: CallStatus::InProgress }),
        event(call, 3, CallChange::Voice { name: "amy".into() }),
        event(call, 3, CallChange::Live { speaker: Speaker::Caller, text: Pii::new("hel".into()) }),
        event(call, 4, turn(Speaker::Caller, 100, "hello?")),
        event(call, 5, turn(Speaker::Agent, 1_700, "When do you open?")),
        event(call, 14, ended(CallStatus::Completed)),
        event(call, 14, CallChange::Quality { quality: quality() }),
        event(call, 15, CallChange::Summary { text: Pii::new("They open at nine.".into()) }),
        event(call, 16, CallChange::Recording { file: format!("{call}.wav") }),
        event(call, 17, CallChange::Closed),
    ]
}

async fn apply_all(store: &Store, events: &[CallEvent]) {
    for event in events {
        store.apply(event).await.unwrap();
    }
}

#[tokio::test]
async fn events_become_the_record() {
    let store = Store::open(&memory()).await.unwrap();
    let call = CallId::generate();
    apply_all(&store, &whole_call(call)).await;
    let record = store.call(call).await.unwrap().unwrap();
    assert_eq!(record.plan, plan());
    assert_eq!(record.status, CallStatus::Completed);
    assert_eq!(record.answered_by, Some(AnsweredBy::Human));
    assert_eq!((record.ended_by, record.fault), (Some(EndedBy::Callee), Some(Fault::Callee)));
    assert_eq!(record.length_secs, Some(12.5));
    assert_eq!(record.voice_used.as_deref(), Some("amy"));
    assert_eq!(record.concatenated_transcript(), "caller: hello?\nagent: When do you open?");
    assert_eq!(record.turns[1].latency.unwrap().total_ms, 640);
    assert_eq!(record.summary.unwrap().expose(), "They open at nine.");
    assert_eq!(record.quality, Some(quality()));
    assert_eq!(record.trunk.as_deref(), Some("second"));
    assert_eq!(record.redirected_from.unwrap().as_str(), "+14155550177");
    assert_eq!(record.verification, Some(Verification::PassedA));
    assert_eq!(record.recording, Some(format!("{call}.wav")));
    assert_eq!(record.ended_at.unwrap() - record.answered_at.unwrap(), chrono::TimeDelta::seconds(12));
}

#[tokio::test]
async fn applying_every_event_twice_changes_nothing() {
    let store = Store::open(&memory()).await.unwrap();
    let call = CallId::generate();
    let events = whole_call(call);
    apply_all(&store, &events).await;
    let once = store.call(call).await.unwrap();
    apply_all(&store, &events).await;
    assert_eq!(store.call(call).await.unwrap(), once);
}

#[tokio::test]
async fn the_first_ending_stands() {
    let store = Store::open(&memory()).await.unwrap();
    let call = CallId::generate();
    apply_all(
        &store,
        &[
            created(call),
            event(call, 9, ended(CallStatus::NoAnswer)),
            event(call, 10, ended(CallStatus::Completed)),
            event(call, 11, CallChange::Status { status: CallStatus::InProgress }),
        ],
    )
    .await;
    assert_eq!(store.call(call).await.unwrap().unwrap().status, CallStatus::NoAnswer);
}

#[tokio::test]
async fn an_event_of_an_unknown_call_is_an_error_and_leaves_nothing() {
    let store = Store::open(&memory()).await.unwrap();
    let call = CallId::generate();
    for change in [turn(Speaker::Agent, 0, "hi"), CallChange::Closed, ended(CallStatus::Failed)] {
        let result = store.apply(&event(call, 1, change)).await;
        assert!(matches!(result, Err(StoreError::UnknownCall(id)) if id == call), "{result:?}");
    }
    assert_eq!(store.call(call).await.unwrap(), None);
}

#[tokio::test]
async fn a_crash_mid_call_leaves_a_record_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (crashed, finished) = (CallId::generate(), CallId::generate());
    let store = Store::open(&on_disk(&dir)).await.unwrap();
    apply_all(&store, &whole_call(crashed)[..9]).await;
    apply_all(&store, &whole_call(finished)).await;
    // No close: what a killed process leaves is a database with its write-ahead log.
    drop(store);

    let store = Store::open(&on_disk(&dir)).await.unwrap();
    let now = Utc.with_ymd_and_hms(2026, 1, 2, 4, 0, 0).unwrap();
    assert_eq!(store.recover(now).await.unwrap(), 1);
    let snapshot = store.snapshot(crashed).await.unwrap().unwrap();
    assert!(snapshot.closed);
    let record = snapshot.record;
    assert_eq!((record.status, record.fault), (CallStatus::Failed, Some(Fault::Us)));
    assert_eq!(record.ended_by, Some(EndedBy::Node));
    assert_eq!(record.end_reason.as_deref(), Some("the node stopped during the call"));
    assert_eq!((record.ended_at, record.summary), (Some(now), None));
    assert_eq!(record.turns.len(), 1, "what was said before the crash is kept");
    assert_eq!(store.call(finished).await.unwrap().unwrap().status, CallStatus::Completed);
    assert_eq!(store.recover(now).await.unwrap(), 0, "a second recovery finds nothing");
}

#[tokio::test]
async fn pages_go_from_new_to_old_without_gaps() {
    let store = Store::open(&memory()).await.unwrap();
    let calls: Vec<CallId> = (0..5).map(|_| CallId::generate()).collect();
    for call in &calls {
        store.apply(&created(*call)).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut page = Page { limit: 2, before: None };
    loop {
        let records = store.calls(page).await.unwrap();
        let Some(last) = records.last() else { break };
        page.before = Some(last.id);
        seen.extend(records.iter().map(|record| record.id));
    }
    seen.reverse();
    assert_eq!(seen, calls);
}

#[tokio::test]
async fn only_recordings_of_calls_are_known() {
    let store = Store::open(&memory()).await.unwrap();
    let call = CallId::generate();
    apply_all(&store, &whole_call(call)).await;
    assert!(store.knows_recording(&format!("{call}.wav")).await.unwrap());
    assert!(!store.knows_recording("../callbox.db").await.unwrap());
}

#[tokio::test]
async fn recorder_writes_before_it_shows_and_drains_at_the_end() {
    let store = Store::open(&memory()).await.unwrap();
    let (events, feed, task) = recorder::spawn(store.clone());
    let mut heard = feed.listen();
    let call = CallId::generate();
    for event in whole_call(call) {
        events.send(event).await.unwrap();
    }
    let first: Arc<Recorded> = heard.recv().await.unwrap();
    assert_eq!(first.revision, Some(1));
    assert!(store.call(call).await.unwrap().is_some());
    drop(events);
    task.await.unwrap();
    assert!(store.snapshot(call).await.unwrap().unwrap().closed);
    let revisions: Vec<_> =
        std::iter::from_fn(|| heard.try_recv().ok()).map(|recorded| recorded.revision).collect();
    assert_eq!(revisions.iter().flatten().copied().collect::<Vec<_>>(), (2..=14).collect::<Vec<_>>());
    assert_eq!(revisions.iter().filter(|revision| revision.is_none()).count(), 1, "the live text");
}

#[tokio::test]
async fn recorder_waits_for_a_locked_database_and_then_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&on_disk(&dir)).await.unwrap();
    let mut lock = store.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::query("UPDATE calls SET closed = 1").execute(&mut *lock).await.unwrap();
    let (events, feed, task) = recorder::spawn(store.clone());
    let mut heard = feed.listen();
    let call = CallId::generate();
    events.send(created(call)).await.unwrap();
    lock.commit().await.unwrap();
    assert_eq!(heard.recv().await.unwrap().revision, Some(1));
    drop(events);
    task.await.unwrap();
}

#[tokio::test]
async fn an_event_that_cannot_be_stored_is_still_shown_and_blocks_nothing() {
    let store = Store::open(&memory()).await.unwrap();
    let (events, feed, task) = recorder::spawn(store);
    let mut heard = feed.listen();
    let (unknown, known) = (CallId::generate(), CallId::generate());
    events.send(event(unknown, 1, CallChange::Closed)).await.unwrap();
    events.send(created(known)).await.unwrap();
    assert_eq!(heard.recv().await.unwrap().revision, None);
    assert_eq!(heard.recv().await.unwrap().event.call, known);
    drop(events);
    task.await.unwrap();
}

#[tokio::test]
async fn the_database_holds_its_rules() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&on_disk(&dir)).await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&store.pool).await.unwrap();
    let keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&store.pool).await.unwrap();
    assert_eq!((mode.as_str(), keys), ("wal", 1));
}
