use std::collections::HashSet;

use chrono::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::store::{self, tests::memory};

const ALICE: &str = "0xa11ce00000000000000000000000000000000001";
const BOB: &str = "0xb0b0000000000000000000000000000000000002";

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

fn us(area: Area) -> Criteria {
    Criteria { country: "US".parse().unwrap(), area }
}

fn any() -> Criteria {
    us(Area::Any)
}

async fn bought(numbers: &Numbers, claim: &str, owner: &str, now: DateTime<Utc>) -> Lease {
    numbers.hold(&any(), claim, now).await.unwrap();
    numbers.lease(claim, &wallet(owner), "x402phone", now).await.unwrap()
}

const ONE: &str = "+14155550100";

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
async fn a_lease_is_active_then_in_grace_then_free() {
    let numbers = stocked(&[ONE]).await;
    let lease = bought(&numbers, "pay-1", ALICE, day(0)).await;
    let alice = wallet(ALICE);
    let one = lease.number.clone();
    for (now, phase, owner, renewable, free) in [
        (day(29), Phase::Active, Some(&alice), true, 0),
        (day(30), Phase::Grace, None, true, 0),
        (day(36), Phase::Grace, None, true, 0),
        (day(37), Phase::Over, None, false, 1),
    ] {
        assert_eq!(lease.phase(now), phase, "{now}");
        assert_eq!(numbers.owner_of(&one, now).await.unwrap().as_ref(), owner, "{now}");
        assert_eq!(numbers.owned_by(&alice, now).await.unwrap().len(), usize::from(owner.is_some()), "{now}");
        assert_eq!(numbers.renewable_by(&alice, now).await.unwrap().is_empty(), !renewable, "{now}");
        assert_eq!(numbers.check_renewable(&one, Owner::Anyone, now).await.is_ok(), renewable, "{now}");
        assert_eq!(numbers.availability(&any(), now).await.unwrap(), free, "{now}");
    }
    assert_eq!((lease.days_left(at(1)), lease.days_left(day(31))), (29, 0));
}

#[tokio::test]
async fn top_ups_stack_from_the_expiry() {
    let numbers = stocked(&[ONE]).await;
    let one = bought(&numbers, "pay-1", ALICE, day(0)).await.number;
    for (claim, expected) in [("up-1", 60), ("up-2", 90), ("up-3", 120)] {
        let lease = numbers.top_up(&one, Owner::Anyone, claim, day(1)).await.unwrap();
        assert_eq!(lease.expires_at, day(expected));
    }
    assert_eq!(numbers.owner_of(&one, day(119)).await.unwrap(), Some(wallet(ALICE)));
}

#[tokio::test]
async fn a_top_up_in_grace_counts_from_today() {
    let numbers = stocked(&[ONE]).await;
    let one = bought(&numbers, "pay-1", ALICE, day(0)).await.number;
    let lease = numbers.top_up(&one, Owner::Anyone, "up-1", day(35)).await.unwrap();
    assert_eq!((lease.expires_at, lease.grace_ends_at), (day(65), day(72)));
}

#[tokio::test]
async fn the_same_claim_tops_up_once() {
    let numbers = stocked(&[ONE]).await;
    let one = bought(&numbers, "pay-1", ALICE, day(0)).await.number;
    let first = numbers.top_up(&one, Owner::Anyone, "up-1", day(1)).await.unwrap();
    assert_eq!(numbers.top_up(&one, Owner::Anyone, "up-1", day(2)).await.unwrap(), first);
    let by_purchase = numbers.top_up(&one, Owner::Anyone, "pay-1", day(2)).await.unwrap();
    assert_eq!(by_purchase.expires_at, day(60), "the purchase's own claim buys nothing more");
}

#[tokio::test]
async fn only_the_owner_renews_where_the_rule_is_so() {
    let numbers = stocked(&[ONE]).await;
    let one = bought(&numbers, "pay-1", ALICE, day(0)).await.number;
    let (alice, bob) = (wallet(ALICE), wallet(BOB));
    for refused in [
        numbers.check_renewable(&one, Owner::Only(&bob), day(1)).await,
        numbers.top_up(&one, Owner::Only(&bob), "up-1", day(1)).await,
        numbers.release(&one, Owner::Only(&bob), day(1)).await,
    ] {
        assert!(matches!(&refused, Err(LeaseError::NotOwner { owner }) if *owner == alice), "{refused:?}");
    }
    numbers.check_renewable(&one, Owner::Only(&alice), day(1)).await.unwrap();
    numbers.top_up(&one, Owner::Only(&alice), "up-2", day(1)).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_renewed_says_why() {
    let numbers = stocked(&["+14155550100", "+14155550101"]).await;
    let check = |text: &str, now| {
        let (numbers, number) = (numbers.clone(), text.parse::<E164>().unwrap());
        async move { numbers.check_renewable(&number, Owner::Anyone, now).await }
    };
    assert!(matches!(check("+14155550199", day(0)).await, Err(LeaseError::UnknownNumber)));
    assert!(matches!(check("+14155550100", day(0)).await, Err(LeaseError::NotLeased)));
    let leased = bought(&numbers, "pay-1", ALICE, day(0)).await.number;
    let lapsed = check(leased.as_str(), day(40)).await;
    assert!(matches!(lapsed, Err(LeaseError::Lapsed { expired_at }) if expired_at == day(30)), "{lapsed:?}");
    numbers.retire(&leased, day(1)).await.unwrap();
    assert!(matches!(check(leased.as_str(), day(2)).await, Err(LeaseError::Retired)));
}

#[tokio::test]
async fn out_of_grace_the_number_goes_to_the_next_buyer() {
    let numbers = stocked(&[ONE]).await;
    let one = bought(&numbers, "pay-1", ALICE, day(0)).await.number;
    bought(&numbers, "pay-2", BOB, day(37)).await;
    assert_eq!(numbers.owner_of(&one, day(38)).await.unwrap(), Some(wallet(BOB)));
    let refused = numbers.top_up(&one, Owner::Only(&wallet(ALICE)), "up-1", day(38)).await;
    assert!(matches!(refused, Err(LeaseError::NotOwner { .. })), "{refused:?}");
    assert!(numbers.owned_by(&wallet(ALICE), day(38)).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_paid_top_up_is_honoured_after_grace_unless_another_holds_the_number() {
    let numbers = stocked(&["+14155550100", "+12125550100"]).await;
    let first = bought(&numbers, "pay-1", ALICE, day(0)).await.number;
    let second = bought(&numbers, "pay-2", ALICE, day(0)).await.number;
    let honoured = numbers.top_up(&first, Owner::Anyone, "up-1", day(38)).await.unwrap();
    assert_eq!(honoured.expires_at, day(68));
    let held = numbers.hold(&any(), "pay-3", day(38)).await.unwrap();
    assert_eq!(held.number, second);
    let lost = numbers.top_up(&second, Owner::Anyone, "up-2", day(38)).await;
    assert!(matches!(lost, Err(LeaseError::NotLeased)), "{lost:?}");
}

#[tokio::test]
async fn a_released_number_is_free_at_once() {
    let numbers = stocked(&[ONE]).await;
    let one = bought(&numbers, "pay-1", ALICE, day(0)).await.number;
    let ended = numbers.release(&one, Owner::Only(&wallet(ALICE)), day(5)).await.unwrap();
    assert_eq!((ended.released_at, ended.phase(day(5))), (Some(day(5)), Phase::Over));
    assert_eq!(numbers.owner_of(&one, day(5)).await.unwrap(), None);
    let again = numbers.release(&one, Owner::Anyone, day(6)).await;
    assert!(matches!(again, Err(LeaseError::NotLeased)), "{again:?}");
    bought(&numbers, "pay-2", BOB, day(6)).await;
    let replay = numbers.lease("pay-1", &wallet(ALICE), "x402phone", day(7)).await.unwrap();
    assert_eq!(replay.phase(day(7)), Phase::Over, "a repeated purchase does not bring the lease back");
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

#[tokio::test]
async fn the_database_itself_refuses_two_live_leases_of_one_number() {
    let numbers = stocked(&[ONE]).await;
    bought(&numbers, "pay-1", ALICE, day(0)).await;
    let second = sqlx::query("INSERT INTO leases (id, number, claim, held_until) VALUES ('x', ?, 'y', 'z')")
        .bind(ONE)
        .execute(&numbers.store.pool)
        .await;
    assert!(second.unwrap_err().as_database_error().unwrap().is_unique_violation());
}

/// Two nodes' worth of connections on one file, so that not only the pool keeps buyers apart.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_buyers_at_once_get_ten_numbers_and_no_number_twice() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = store::Config { data_dir: dir.path().join("data"), url: String::new() };
    let stores = [Store::open(&on_disk).await.unwrap(), Store::open(&on_disk).await.unwrap()];
    let sellers = stores.map(|store| Numbers::new(store, config()));
    let stock: Vec<Number> = (0..10).map(|i| number(&format!("+1415555010{i}"))).collect();
    sellers[0].import(&stock, at(0)).await.unwrap();

    let mut buyers = tokio::task::JoinSet::new();
    for buyer in 0..50 {
        let seller = sellers[buyer % 2].clone();
        buyers.spawn(async move {
            let claim = format!("pay-{buyer}");
            let hold = seller.hold(&any(), &claim, at(1)).await?;
            let lease = seller.lease(&claim, &wallet(ALICE), "x402phone", at(2)).await?;
            assert_eq!(lease.number, hold.number);
            Ok::<_, LeaseError>(hold.number)
        });
    }
    let results = buyers.join_all().await;
    let sold: Vec<_> = results.iter().flatten().collect();
    assert_eq!(sold.len(), 10);
    assert_eq!(sold.iter().collect::<HashSet<_>>().len(), 10);
    let refused = results.iter().filter(|result| matches!(result, Err(LeaseError::NoneLeft))).count();
    assert_eq!(refused, 40);
    assert_eq!(sellers[1].owned_by(&wallet(ALICE), at(3)).await.unwrap().len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_claim_repeated_at_once_gets_one_number() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = store::Config { data_dir: dir.path().join("data"), url: String::new() };
    let numbers = Numbers::new(Store::open(&on_disk).await.unwrap(), config());
    let stock: Vec<Number> = (0..10).map(|i| number(&format!("+1415555010{i}"))).collect();
    numbers.import(&stock, at(0)).await.unwrap();

    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let numbers = numbers.clone();
        tries.spawn(async move {
            let hold = numbers.hold(&any(), "pay-1", at(1)).await.unwrap();
            numbers.lease("pay-1", &wallet(ALICE), "x402phone", at(2)).await.unwrap();
            numbers.top_up(&hold.number, Owner::Anyone, "up-1", at(3)).await.unwrap().expires_at
        });
    }
    let ends: HashSet<_> = tries.join_all().await.into_iter().collect();
    assert_eq!(ends, HashSet::from([at(2) + TimeDelta::days(60)]));
    assert_eq!(numbers.availability(&any(), at(4)).await.unwrap(), 9);
}

#[tokio::test]
async fn a_purchase_survives_a_crash_between_its_steps() {
    let dir = tempfile::tempdir().unwrap();
    let on_disk = store::Config { data_dir: dir.path().join("data"), url: String::new() };
    let numbers = Numbers::new(Store::open(&on_disk).await.unwrap(), config());
    numbers.import(&[number("+14155550100"), number("+14155550101")], at(0)).await.unwrap();
    let hold = numbers.hold(&any(), "pay-1", at(1)).await.unwrap();
    // No close: what a killed process leaves is a database with its write-ahead log.
    drop(numbers);

    let numbers = Numbers::new(Store::open(&on_disk).await.unwrap(), config());
    let lease = numbers.lease("pay-1", &wallet(ALICE), "x402phone", at(30)).await.unwrap();
    assert_eq!(lease.number, hold.number);
}

/// What buyers and owners do, to one number each time.
#[derive(Debug, Clone)]
enum Act {
    Hold(u8),
    Lease(u8),
    Cancel(u8),
    TopUp(u8),
    Release,
    Wait(u32),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let claim = || 0..4_u8;
    let act = prop_oneof![
        6 => claim().prop_map(Act::Hold),
        6 => claim().prop_map(Act::Lease),
        1 => claim().prop_map(Act::Cancel),
        1 => claim().prop_map(Act::TopUp),
        1 => Just(Act::Release),
        2 => (0..400_u32).prop_map(Act::Wait),
        5 => (1..16_u32).prop_map(|days| Act::Wait(days * 86_400)),
    ];
    proptest::collection::vec(act, 10..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done in whatever order: an owner keeps the number until the lease's last moment, and
    /// nobody else can take it before its grace is over.
    #[test]
    fn an_owner_is_never_displaced(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let numbers = stocked(&[ONE]).await;
            let one: E164 = ONE.parse().unwrap();
            let mut now = day(0);
            let mut standing: Option<Lease> = None;
            for act in acts {
                match act {
                    Act::Hold(claim) => { let _ = numbers.hold(&any(), &claim.to_string(), now).await; }
                    Act::Cancel(claim) => numbers.release_hold(&claim.to_string()).await.unwrap(),
                    Act::Wait(seconds) => now += TimeDelta::seconds(seconds.into()),
                    Act::Lease(claim) => {
                        let buyer = wallet(if claim % 2 == 0 { ALICE } else { BOB });
                        if let Ok(lease) = numbers.lease(&claim.to_string(), &buyer, "x", now).await
                            && lease.phase(now) != Phase::Over
                        {
                            if let Some(before) = &standing && before.phase(now) != Phase::Over {
                                assert_eq!(before.id, lease.id);
                            }
                            standing = Some(lease);
                        }
                    }
                    Act::TopUp(claim) => {
                        let claim = format!("up-{claim}");
                        let _ = numbers.hold_lapsed(&one, Owner::Anyone, &claim, now).await;
                        let topped = numbers.top_up(&one, Owner::Anyone, &claim, now).await;
                        if let Ok(lease) = topped && lease.released_at.is_none() {
                            standing = Some(lease);
                        }
                    }
                    Act::Release => {
                        if numbers.release(&one, Owner::Anyone, now).await.is_ok() {
                            standing = None;
                        }
                    }
                }
                let owner = standing.as_ref().filter(|lease| lease.phase(now) == Phase::Active);
                assert_eq!(numbers.owner_of(&one, now).await.unwrap().as_ref(), owner.map(|lease| &lease.owner));
                let is_kept = standing.as_ref().is_some_and(|lease| lease.phase(now) != Phase::Over);
                let free = numbers.availability(&any(), now).await.unwrap();
                assert!(!(is_kept && free > 0), "a number in use is on offer");
            }
        });
    }

    /// The rules compare times as text.
    #[test]
    fn times_sort_as_text(a in 0..4_000_000_000_000_000_000_i64, b in 0..4_000_000_000_000_000_000_i64, cut in 0..10_u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let unit = 10_i64.pow(cut);
        let [a, b] = [a, b].map(|nanos| DateTime::from_timestamp_nanos(nanos / unit * unit));
        let less: bool = runtime.block_on(async {
            let numbers = stocked(&[]).await;
            sqlx::query_scalar("SELECT ? < ?").bind(a).bind(b).fetch_one(&numbers.store.pool).await.unwrap()
        });
        prop_assert_eq!(less, a < b);
    }
}
