use super::*;
use crate::{
    call::record::CallDirection,
    service::{
        Policy,
        policy::{self, Caps},
    },
    store::{self, Store, tests::plan},
};

const OFFICE: &str = "+14155550142";

async fn desk(live_per_callee: u32) -> (TransferCall, Store) {
    let memory = store::Config { data_dir: "/nowhere".into(), url: "sqlite::memory:".into() };
    let store = Store::open(&memory).await.unwrap();
    let policy = Policy::new(policy::Config {
        allowed_prefixes: vec!["+1".into()],
        denied_prefixes: vec![],
        caller_ids: vec![],
        hours: "08:00-21:00".parse().unwrap(),
        hours_strict: false,
        caps: Caps { live_per_callee, ..Caps::default() },
    });
    (TransferCall::new(Gate::new(policy, store.clone())), store)
}

fn noon() -> DateTime<Utc> {
    "2027-01-05T20:00:00Z".parse().unwrap()
}

/// A live call that may be transferred to the office.
async fn live_call(store: &Store, to: &str) -> (CallId, CallPlan) {
    let plan = CallPlan { to: to.parse().ok(), transfer_to: OFFICE.parse().ok(), ..plan() };
    let call = CallId::generate();
    let change = CallChange::Created { direction: CallDirection::Outbound, plan: Box::new(plan.clone()) };
    store.apply(&CallEvent { call, at: noon(), change }).await.unwrap();
    (call, plan)
}

#[tokio::test]
async fn of_two_transfers_to_one_number_one_begins() {
    let (desk, store) = desk(1).await;
    let (one, plan) = live_call(&store, "+14155550123").await;
    let (two, _) = live_call(&store, "+14155550124").await;
    let began = tokio::join!(desk.may_begin(one, &plan, noon()), desk.may_begin(two, &plan, noon()));
    assert!(began.0.unwrap() ^ began.1.unwrap());
    for call in [one, two] {
        let change = CallChange::Transfer { status: TransferStatus::Busy };
        store.apply(&CallEvent { call, at: noon(), change }).await.unwrap();
    }
    assert!(desk.may_begin(two, &plan, noon()).await.unwrap(), "nobody is on the phone there any more");
    let record = store.call(two).await.unwrap().unwrap();
    assert_eq!(record.transfer, Some(TransferStatus::Ringing));
}

#[tokio::test]
async fn the_rules_hold_at_the_time_of_the_transfer() {
    let (desk, store) = desk(0).await;
    let (call, plan) = live_call(&store, "+14155550123").await;
    let night = "2027-01-05T11:00:00Z".parse().unwrap();
    assert!(!desk.may_begin(call, &plan, night).await.unwrap(), "it is three in the morning there");
    store.add_do_not_call(&OFFICE.parse().unwrap(), "asked", noon()).await.unwrap();
    assert!(!desk.may_begin(call, &plan, noon()).await.unwrap());
    store.close().await;
    assert!(desk.may_begin(call, &plan, noon()).await.is_err());
}
