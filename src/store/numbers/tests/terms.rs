//! The term of a lease: active, in grace, over; topped up and released.

use super::*;

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
