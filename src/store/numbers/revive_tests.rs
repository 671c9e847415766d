use super::{
    super::{
        Area, Criteria,
        tests::{ALICE, BOB, ONE, any, at, bought, day, number, stocked, two_sellers, wallet},
    },
    *,
};

/// Held and topped up, as a sale does it.
async fn revived(numbers: &Numbers, claim: &str, now: DateTime<Utc>) -> Result<Lease, LeaseError> {
    let one: E164 = ONE.parse().unwrap();
    numbers.check_top_up(&one, now).await?;
    numbers.hold_lapsed(&one, Owner::Anyone, claim, now).await?;
    numbers.top_up(&one, Owner::Anyone, claim, now).await
}

#[tokio::test]
async fn a_top_up_long_after_expiry_brings_the_lease_back_from_today() {
    let numbers = stocked(&[ONE]).await;
    let first = bought(&numbers, "pay-1", ALICE, day(0)).await;
    let back = revived(&numbers, "up-1", day(200)).await.unwrap();
    assert_eq!((back.owner.clone(), back.expires_at), (wallet(ALICE), day(230)));
    assert_eq!((back.family.as_str(), back.number.clone()), ("x402phone", first.number.clone()));
    assert_eq!(numbers.owned_by(&wallet(ALICE), day(201)).await.unwrap(), [back]);
    assert_eq!(numbers.availability(&any(), day(201)).await.unwrap(), 0);
    assert_eq!(
        revived(&numbers, "up-2", day(201)).await.unwrap().expires_at,
        day(260),
        "top-ups stack again"
    );
}

#[tokio::test]
async fn the_same_claim_brings_a_lease_back_once() {
    let numbers = stocked(&[ONE]).await;
    bought(&numbers, "pay-1", ALICE, day(0)).await;
    let once = revived(&numbers, "up-1", day(200)).await.unwrap();
    let one: E164 = ONE.parse().unwrap();
    assert_eq!(
        numbers.hold_lapsed(&one, Owner::Anyone, "up-1", day(300)).await.unwrap(),
        None,
        "it has what it paid for"
    );
    assert_eq!(numbers.top_up(&one, Owner::Anyone, "up-1", day(300)).await.unwrap(), once);
}

#[tokio::test]
async fn a_buyer_who_went_away_leaves_the_number_to_its_last_owner() {
    let numbers = stocked(&[ONE]).await;
    bought(&numbers, "pay-1", ALICE, day(0)).await;
    numbers.hold(&any(), "pay-2", day(40)).await.unwrap();
    let refused = revived(&numbers, "up-1", day(40)).await;
    let until = day(40) + chrono::TimeDelta::seconds(180);
    assert!(matches!(refused, Err(LeaseError::Held { until: told }) if told == until), "{refused:?}");
    numbers.release_hold("pay-2").await.unwrap();
    assert_eq!(revived(&numbers, "up-1", day(40)).await.unwrap().owner, wallet(ALICE));
}

#[tokio::test]
async fn a_top_up_in_payment_keeps_buyers_away_and_gives_the_number_back() {
    let numbers = stocked(&[ONE]).await;
    bought(&numbers, "pay-1", ALICE, day(0)).await;
    let one: E164 = ONE.parse().unwrap();
    numbers.hold_lapsed(&one, Owner::Anyone, "up-1", day(40)).await.unwrap().unwrap();
    let refused = numbers.hold(&any(), "pay-2", day(40)).await;
    assert!(matches!(refused, Err(LeaseError::NoneLeft)), "{refused:?}");
    numbers.release_hold("up-1").await.unwrap();
    let other = bought(&numbers, "pay-2", BOB, day(40)).await;
    assert_eq!(other.owner, wallet(BOB));
    // What lost its hold pays for nobody else's lease.
    let alice = wallet(ALICE);
    let lost = numbers.top_up(&one, Owner::Only(&alice), "up-1", day(40)).await;
    assert!(matches!(lost, Err(LeaseError::NotOwner { .. })), "{lost:?}");
}

#[tokio::test]
async fn the_last_owner_is_whoever_leased_last() {
    let numbers = stocked(&[ONE]).await;
    bought(&numbers, "pay-1", ALICE, day(0)).await;
    bought(&numbers, "pay-2", BOB, day(40)).await;
    let one: E164 = ONE.parse().unwrap();
    assert_eq!(numbers.check_top_up(&one, day(41)).await.unwrap().owner, wallet(BOB), "it is leased");
    assert!(numbers.has_leased(&one, &wallet(ALICE)).await.unwrap());
    assert_eq!(revived(&numbers, "up-1", day(400)).await.unwrap().owner, wallet(BOB));
}

#[tokio::test]
async fn what_was_given_back_early_or_never_sold_is_not_brought_back() {
    let numbers = stocked(&[ONE, "+12125550100"]).await;
    let one: E164 = ONE.parse().unwrap();
    let never = numbers.check_top_up(&one, day(0)).await;
    assert!(matches!(never, Err(LeaseError::NotLeased)), "{never:?}");
    let foreign = numbers.check_top_up(&"+14155550199".parse().unwrap(), day(0)).await;
    assert!(matches!(foreign, Err(LeaseError::UnknownNumber)), "{foreign:?}");
    let only = Criteria { area: Area::Exact("415".into()), ..any() };
    numbers.hold(&only, "pay-1", day(0)).await.unwrap();
    numbers.lease("pay-1", &wallet(ALICE), "blockrun", day(0)).await.unwrap();
    numbers.release(&one, Owner::Only(&wallet(ALICE)), day(5)).await.unwrap();
    for now in [day(6), day(90)] {
        let refused = revived(&numbers, "up-1", now).await;
        assert!(matches!(refused, Err(LeaseError::NotLeased)), "{refused:?}");
    }
}

#[tokio::test]
async fn a_retired_number_is_not_brought_back() {
    let numbers = stocked(&[ONE]).await;
    bought(&numbers, "pay-1", ALICE, day(0)).await;
    numbers.retire(&ONE.parse().unwrap(), day(50)).await.unwrap();
    let refused = revived(&numbers, "up-1", day(60)).await;
    assert!(matches!(refused, Err(LeaseError::Retired)), "{refused:?}");
}

/// One number that ran out, twenty who top it up and twenty who buy it, at once, through two nodes' worth of
/// connections: one of them has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_number_that_ran_out_goes_to_one_of_all_who_come_at_once() {
    let (_dir, sellers) = two_sellers().await;
    sellers[0].import(&[number(ONE)], at(0)).await.unwrap();
    bought(&sellers[0], "pay-0", ALICE, day(0)).await;

    let mut all = tokio::task::JoinSet::new();
    for i in 0..40 {
        let seller = sellers[i % 2].clone();
        all.spawn(async move {
            let one: E164 = ONE.parse().unwrap();
            let claim = format!("claim-{i}");
            if i < 20 {
                seller
                    .hold_lapsed(&one, Owner::Anyone, &claim, day(60))
                    .await?
                    .ok_or(LeaseError::NotLeased)?;
                seller.top_up(&one, Owner::Only(&wallet(ALICE)), &claim, day(60)).await
            } else {
                seller.hold(&any(), &claim, day(60)).await?;
                seller.lease(&claim, &wallet(BOB), "blockrun", day(60)).await
            }
        });
    }
    let results = all.join_all().await;
    let had: Vec<&Lease> = results.iter().flatten().collect();
    assert_eq!(had.len(), 1, "{had:?}");
    assert_eq!(sellers[1].owner_of(&had[0].number, day(61)).await.unwrap().as_ref(), Some(&had[0].owner));
}

#[tokio::test]
async fn nothing_is_held_for_a_lease_that_has_become_anothers() {
    let numbers = stocked(&[ONE]).await;
    let lost = bought(&numbers, "pay-1", ALICE, day(0)).await;
    bought(&numbers, "pay-2", BOB, day(60)).await;
    let owner = Owner::Only(&lost.owner);
    let refused = numbers.hold_lapsed(&lost.number, owner, "up-1", day(61)).await;
    assert!(matches!(refused, Err(LeaseError::NotOwner { .. })), "{refused:?}");
}
