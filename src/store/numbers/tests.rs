//! Buying, and what is in stock.

mod order;
mod races;
mod terms;

use chrono::TimeZone;
use tempfile::TempDir;

use super::*;
use crate::store::{self, tests::memory};

pub(crate) const ALICE: &str = "0xa11ce00000000000000000000000000000000001";
pub(crate) const BOB: &str = "0xb0b0000000000000000000000000000000000002";
pub(crate) const ONE: &str = "+14155550100";

pub(crate) fn config() -> Config {
    Config {
        lease_days: NonZeroU16::new(30).unwrap(),
        grace_days: 7,
        hold_secs: NonZeroU32::new(180).unwrap(),
    }
}

pub(crate) fn wallet(text: &str) -> Wallet {
    text.parse().unwrap()
}

/// Seconds after some moment.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap() + TimeDelta::seconds(seconds)
}

pub(crate) fn day(days: i64) -> DateTime<Utc> {
    at(days * 86_400)
}

pub(crate) fn number(text: &str) -> Number {
    let number: E164 = text.parse().unwrap();
    Number {
        country: Country::of(&number).unwrap(),
        area_code: area_code(&number).unwrap_or_default().to_owned(),
        number,
        trunk: "carrier".into(),
        capabilities: vec![Capability::Voice],
    }
}

pub(crate) async fn stocked(texts: &[&str]) -> Numbers {
    let numbers = Numbers::new(Store::open(&memory()).await.unwrap(), config());
    let entries: Vec<Number> = texts.iter().map(|text| number(text)).collect();
    numbers.import(&entries, day(0)).await.unwrap();
    numbers
}

/// Two nodes' worth of connections on one file, so that not only the pool keeps buyers apart; and the folder
/// that it is in.
pub(crate) async fn two_sellers() -> (TempDir, [Numbers; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = store::Config { data_dir: dir.path().join("data"), url: String::new() };
    let stores = [Store::open(&on_disk).await.unwrap(), Store::open(&on_disk).await.unwrap()];
    (dir, stores.map(|store| Numbers::new(store, config())))
}

fn us(area: Area) -> Criteria {
    Criteria { country: "US".parse().unwrap(), area }
}

pub(crate) fn any() -> Criteria {
    us(Area::Any)
}

pub(crate) async fn bought(numbers: &Numbers, claim: &str, owner: &str, now: DateTime<Utc>) -> Lease {
    numbers.hold(&any(), claim, now).await.unwrap();
    numbers.lease(claim, &wallet(owner), "x402phone", now).await.unwrap()
}

#[tokio::test]
async fn a_purchase_is_a_hold_and_then_a_lease_of_one_term() {
    let numbers = stocked(&[ONE]).await;
    let hold = numbers.hold(&any(), "pay-1", at(0)).await.unwrap();
    assert_eq!(hold, Hold { claim: "pay-1".into(), number: ONE.parse().unwrap() });
    let lease = numbers.lease("pay-1", &wallet(ALICE), "blockrun", at(60)).await.unwrap();
    assert_eq!((lease.starts_at, lease.expires_at), (at(60), at(60) + TimeDelta::days(30)));
    assert_eq!((lease.number.as_str(), lease.country.as_str(), lease.area_code.as_str()), (ONE, "US", "415"));
    assert_eq!((lease.owner, lease.family.as_str()), (wallet(ALICE), "blockrun"));
    assert!(numbers.is_owner(&wallet(ALICE), &hold.number, day(29)).await.unwrap());
    assert!(!numbers.is_owner(&wallet(BOB), &hold.number, day(29)).await.unwrap());
}

#[tokio::test]
async fn the_same_claim_gets_the_same_hold_and_the_same_lease() {
    let numbers = stocked(&["+14155550100", "+14155550101", "+14155550102"]).await;
    let first = numbers.hold(&any(), "pay-1", at(0)).await.unwrap();
    let again = numbers.hold(&any(), "pay-1", at(170)).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(numbers.availability(&any(), at(300)).await.unwrap(), 2, "asking again prolongs the hold");
    let lease = numbers.lease("pay-1", &wallet(ALICE), "x402phone", at(171)).await.unwrap();
    assert_eq!(numbers.lease("pay-1", &wallet(ALICE), "x402phone", day(3)).await.unwrap(), lease);
    let after_purchase = numbers.hold(&any(), "pay-1", at(900)).await.unwrap();
    assert_eq!(after_purchase.number, lease.number);
    assert_eq!(numbers.owned_by(&wallet(ALICE), day(3)).await.unwrap(), [lease]);
}

#[tokio::test]
async fn a_hold_keeps_others_out_and_returns_by_itself() {
    let numbers = stocked(&[ONE]).await;
    numbers.hold(&any(), "pay-1", at(0)).await.unwrap();
    let refused = numbers.hold(&any(), "pay-2", at(179)).await;
    assert!(matches!(refused, Err(LeaseError::NoneLeft)), "{refused:?}");
    numbers.hold(&any(), "pay-2", at(180)).await.unwrap();
    let late = numbers.lease("pay-1", &wallet(ALICE), "x402phone", at(181)).await;
    assert!(matches!(late, Err(LeaseError::HoldLost)), "{late:?}");
    numbers.lease("pay-2", &wallet(BOB), "x402phone", at(182)).await.unwrap();
}

#[tokio::test]
async fn a_late_payment_still_gets_the_number_if_nobody_took_it() {
    let numbers = stocked(&[ONE]).await;
    numbers.hold(&any(), "pay-1", at(0)).await.unwrap();
    numbers.lease("pay-1", &wallet(ALICE), "x402phone", at(4_000)).await.unwrap();
}

#[tokio::test]
async fn whoever_lost_a_hold_may_hold_another_number() {
    let numbers = stocked(&["+14155550100"]).await;
    numbers.hold(&any(), "pay-1", at(0)).await.unwrap();
    bought(&numbers, "pay-2", BOB, at(200)).await;
    numbers.import(&[number("+12125550100")], at(201)).await.unwrap();
    let hold = numbers.hold(&any(), "pay-1", at(202)).await.unwrap();
    assert_eq!(hold.number.as_str(), "+12125550100");
}

#[tokio::test]
async fn a_released_hold_is_free_at_once_and_a_lease_is_not_released_by_it() {
    let numbers = stocked(&[ONE]).await;
    numbers.hold(&any(), "pay-1", at(0)).await.unwrap();
    numbers.release_hold("pay-1").await.unwrap();
    bought(&numbers, "pay-2", BOB, at(1)).await;
    numbers.release_hold("pay-2").await.unwrap();
    numbers.release_hold("never").await.unwrap();
    assert_eq!(numbers.availability(&any(), at(2)).await.unwrap(), 0);
}

#[tokio::test]
async fn a_claim_without_a_hold_leases_nothing() {
    let numbers = stocked(&[ONE]).await;
    let lost = numbers.lease("pay-1", &wallet(ALICE), "x402phone", at(0)).await;
    assert!(matches!(lost, Err(LeaseError::HoldLost)), "{lost:?}");
}

#[tokio::test]
async fn area_codes_are_exact_or_best_effort() {
    let stock = ["+14155550100", "+12125550100", "+14165550100"];
    let numbers = stocked(&stock).await;
    let hold = |area, claim: &'static str| {
        let numbers = numbers.clone();
        async move { numbers.hold(&us(area), claim, at(0)).await.map(|hold| hold.number.to_string()) }
    };
    assert_eq!(hold(Area::Exact("212".into()), "pay-1").await.unwrap(), "+12125550100");
    assert!(matches!(hold(Area::Exact("212".into()), "pay-2").await, Err(LeaseError::NoneLeft)));
    assert_eq!(hold(Area::BestEffort("212".into()), "pay-3").await.unwrap(), "+14155550100");
    let last = hold(Area::Any, "pay-4").await;
    assert!(matches!(last, Err(LeaseError::NoneLeft)), "the number left is a Canadian one: {last:?}");
}

#[tokio::test]
async fn best_effort_takes_the_asked_area_while_there_is_one() {
    let stock: Vec<String> =
        (0..20).map(|i| format!("+1{}55501{i:02}", if i == 7 { "212" } else { "415" })).collect();
    let numbers = stocked(&stock.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let hold = numbers.hold(&us(Area::BestEffort("212".into())), "pay-1", at(0)).await.unwrap();
    assert_eq!(hold.number.as_str(), "+12125550107");
}

#[tokio::test]
async fn import_updates_and_brings_retired_numbers_back() {
    let numbers = stocked(&[ONE]).await;
    let one: E164 = ONE.parse().unwrap();
    numbers.retire(&one, day(1)).await.unwrap();
    assert_eq!(numbers.availability(&any(), day(1)).await.unwrap(), 0);
    let moved = Number { trunk: "other".into(), ..number(ONE) };
    let done = numbers.import(&[moved.clone(), number("+14155550101")], day(2)).await.unwrap();
    assert_eq!(done, Imported { added: 1, updated: 1 });
    let listed = numbers.all(day(2)).await.unwrap();
    assert_eq!(listed[0], Listed { number: moved, state: State::Free, retired: false, owner: None });
    let unknown = numbers.retire(&"+14155550199".parse().unwrap(), day(1)).await;
    assert!(matches!(unknown, Err(LeaseError::UnknownNumber)));
}

#[tokio::test]
async fn the_list_tells_every_state() {
    let numbers = stocked(&[ONE]).await;
    let state = |now| {
        let numbers = numbers.clone();
        async move {
            let row = numbers.all(now).await.unwrap().remove(0);
            (row.state, row.owner.is_some())
        }
    };
    assert_eq!(state(at(0)).await, (State::Free, false));
    numbers.hold(&any(), "pay-1", at(0)).await.unwrap();
    assert_eq!(state(at(179)).await, (State::Held { until: at(180) }, false));
    assert_eq!(state(at(180)).await, (State::Free, false));
    numbers.lease("pay-1", &wallet(ALICE), "x402phone", day(0)).await.unwrap();
    assert_eq!(state(day(29)).await, (State::Leased { until: day(30) }, true));
    assert_eq!(state(day(30)).await, (State::Grace { until: day(37) }, true));
    assert_eq!(state(day(37)).await, (State::Free, false));
}

#[tokio::test]
async fn offers_count_what_is_free_by_area() {
    let numbers = stocked(&["+14155550100", "+14155550101", "+12125550100", "+14165550100"]).await;
    numbers.hold(&us(Area::Exact("212".into())), "pay-1", at(0)).await.unwrap();
    let offers: Vec<_> = numbers
        .offers(at(1))
        .await
        .unwrap()
        .into_iter()
        .map(|offer| (offer.country.to_string(), offer.area_code, offer.free))
        .collect();
    let expected = [("CA", "416", 1), ("US", "212", 0), ("US", "415", 2)];
    assert_eq!(offers, expected.map(|(country, code, free)| (country.to_owned(), code.to_owned(), free)));
}
