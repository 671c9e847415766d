use super::*;
use crate::service::CallerIdFailure;
use crate::store::numbers::tests::{at, day, number, stocked, wallet};

const ALICE: &str = "0xa11ce00000000000000000000000000000000001";
const BOB: &str = "0xb0b0000000000000000000000000000000000002";

async fn desk(stock: &[&str]) -> (LeaseNumber, Numbers) {
    let numbers = stocked(stock).await;
    (LeaseNumber::new(numbers.clone()), numbers)
}

fn asks(country: Option<&str>, area_code: Option<&str>, exact: bool) -> BuyRequest {
    BuyRequest {
        country: country.map(str::to_owned),
        area_code: area_code.map(str::to_owned),
        exact,
        names: BuyFields { country: "country_code", ..BuyFields::default() },
    }
}

async fn buys(desk: &LeaseNumber, claim: &str, wallet: &Wallet, now: DateTime<Utc>) -> E164 {
    let criteria = desk.quote_buy(&BuyRequest::default(), now).await.unwrap();
    desk.buy(claim, &criteria, wallet, "x402phone", now).await.unwrap().number
}

#[tokio::test]
async fn a_quote_gives_the_criteria_that_the_family_means() {
    let (desk, _) = desk(&["+14155550100"]).await;
    let us: Country = "US".parse().unwrap();
    for (request, area) in [
        (asks(None, None, true), Area::Any),
        (asks(Some("us"), Some(" "), true), Area::Any),
        (asks(Some("US"), Some("415"), true), Area::Exact("415".into())),
        (asks(Some("US"), Some("212"), false), Area::BestEffort("212".into())),
    ] {
        let criteria = desk.quote_buy(&request, at(0)).await.unwrap();
        assert_eq!(criteria, Criteria { country: us.clone(), area });
    }
}

#[tokio::test]
async fn wrong_fields_are_all_named_as_the_client_names_them() {
    let (desk, _) = desk(&["+14155550100"]).await;
    let failure = desk.quote_buy(&asks(Some("USA"), Some("41"), true), at(0)).await;
    let Err(BuyFailure::Fields(errors)) = failure else { panic!("{failure:?}") };
    let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["country_code", "area_code"]);
    for code in ["115", "4155", "abc", "４１５"] {
        let failure = desk.quote_buy(&asks(None, Some(code), false), at(0)).await;
        assert!(matches!(failure, Err(BuyFailure::Fields(_))), "{code}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_before_any_payment_and_says_what_is() {
    let (desk, _) = desk(&["+14155550100", "+12125550100", "+14165550100"]).await;
    let failure = desk.quote_buy(&asks(Some("DE"), None, true), at(0)).await;
    let Err(BuyFailure::NoneLeft(error)) = failure else { panic!("{failure:?}") };
    assert!(error.fix.contains("CA, US"), "{error}");

    let failure = desk.quote_buy(&asks(None, Some("907"), true), at(0)).await;
    let Err(BuyFailure::NoneLeft(error)) = failure else { panic!("{failure:?}") };
    assert_eq!((error.field.as_str(), error.fix.contains("212, 415")), ("area_code", true), "{error}");

    for claim in ["pay-1", "pay-2"] {
        buys(&desk, claim, &wallet(ALICE), at(0)).await;
    }
    let failure = desk.quote_buy(&asks(None, Some("907"), false), at(0)).await;
    let Err(BuyFailure::NoneLeft(error)) = failure else { panic!("{failure:?}") };
    assert_eq!(error.field, "country_code", "{error}");
}

#[tokio::test]
async fn a_purchase_can_be_cancelled_until_it_is_confirmed() {
    let (desk, _) = desk(&["+14155550100"]).await;
    let criteria = desk.quote_buy(&BuyRequest::default(), at(0)).await.unwrap();
    desk.reserve("pay-1", &criteria, at(0)).await.unwrap();
    let other = desk.reserve("pay-2", &criteria, at(1)).await;
    assert!(matches!(other, Err(ReserveFailure::NoneLeft)));
    desk.cancel("pay-1").await.unwrap();
    desk.reserve("pay-2", &criteria, at(2)).await.unwrap();
    let lost = desk.confirm("pay-1", &wallet(ALICE), "x402phone", at(3)).await;
    assert!(matches!(lost, Err(ReserveFailure::HoldLost)));
    desk.confirm("pay-2", &wallet(BOB), "x402phone", at(3)).await.unwrap();
    desk.cancel("pay-2").await.unwrap();
    assert_eq!(desk.list(&wallet(BOB), at(4)).await.unwrap().len(), 1);
}

#[tokio::test]
async fn anyone_renews_or_only_the_owner_as_the_family_has_it() {
    let (desk, _) = desk(&["+14155550100"]).await;
    let (alice, bob) = (wallet(ALICE), wallet(BOB));
    let one = buys(&desk, "pay-1", &alice, day(0)).await;
    desk.quote_renew(one.as_str(), Owner::Anyone, day(1)).await.unwrap();
    assert_eq!(desk.renew("up-1", &one, Owner::Anyone, day(1)).await.unwrap().expires_at, day(60));
    let refused = desk.quote_renew(one.as_str(), Owner::Only(&bob), day(1)).await;
    let Err(RenewFailure::WrongWallet { actual_owner, owned }) = refused else { panic!("{refused:?}") };
    assert_eq!((actual_owner, owned), (alice, vec![]));
}

#[tokio::test]
async fn what_cannot_be_renewed_names_the_field_and_the_fix() {
    let (desk, _) = desk(&["+14155550100"]).await;
    for (text, words) in [
        ("4155550100", "is not an E.164 number"),
        ("+14155550199", "is not a number of this node"),
        ("+14155550100", "is leased by nobody"),
    ] {
        let refused = desk.quote_renew(text, Owner::Anyone, day(0)).await;
        let Err(RenewFailure::Field(error)) = refused else { panic!("{refused:?}") };
        assert_eq!((error.field.as_str(), error.problem.as_str()), ("phone_number", words));
    }
    buys(&desk, "pay-1", &wallet(ALICE), day(0)).await;
    let refused = desk.quote_renew("+14155550100", Owner::Anyone, day(37)).await;
    assert!(matches!(refused, Err(RenewFailure::Field(error)) if error.problem.contains("expired")));
}

#[tokio::test]
async fn anybody_tops_up_a_lease_that_is_over_while_the_number_is_free() {
    let (desk, _) = desk(&["+14155550100"]).await;
    let (alice, bob) = (wallet(ALICE), wallet(BOB));
    let one = buys(&desk, "pay-1", &alice, day(0)).await;
    let lease = desk.quote_top_up(one.as_str(), Some(&bob), day(90)).await.unwrap();
    desk.reserve_top_up("up-1", &one, Owner::Anyone, day(90)).await.unwrap();
    let held = desk.quote_top_up(one.as_str(), None, day(90)).await;
    let Err(RenewFailure::Taken(error)) = held else { panic!("{held:?}") };
    assert_eq!(error.retry_after, Some(180), "{error}");
    let back = desk.renew("up-1", &one, Owner::Only(&lease.owner), day(90)).await.unwrap();
    assert_eq!((back.owner, back.expires_at), (alice.clone(), day(120)));
    desk.cancel("up-1").await.unwrap();
    assert_eq!(desk.list(&alice, day(91)).await.unwrap().len(), 1, "what is paid is not given back");
}

#[tokio::test]
async fn whose_number_another_leases_by_now_is_told_so_and_pays_nothing() {
    let (desk, _) = desk(&["+14155550100"]).await;
    let (alice, bob) = (wallet(ALICE), wallet(BOB));
    let one = buys(&desk, "pay-1", &alice, day(0)).await;
    buys(&desk, "pay-2", &bob, day(60)).await;
    let refused = desk.quote_top_up(one.as_str(), Some(&alice), day(61)).await;
    let Err(RenewFailure::Taken(error)) = refused else { panic!("{refused:?}") };
    assert!(error.problem.contains("another wallet leases the number"), "{error}");
    for payer in [None, Some(&bob)] {
        assert_eq!(desk.quote_top_up(one.as_str(), payer, day(61)).await.unwrap().owner, bob);
    }
}

#[tokio::test]
async fn a_release_needs_the_owner() {
    let (desk, _) = desk(&["+14155550100"]).await;
    let one = buys(&desk, "pay-1", &wallet(ALICE), day(0)).await;
    let refused = desk.release(one.as_str(), &wallet(BOB), day(1)).await;
    assert!(matches!(refused, Err(RenewFailure::WrongWallet { .. })));
    desk.release(one.as_str(), &wallet(ALICE), day(1)).await.unwrap();
    assert!(desk.list(&wallet(ALICE), day(1)).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_only_number_of_a_wallet_is_its_caller_id() {
    let (desk, _) = desk(&["+14155550100"]).await;
    let (alice, bob) = (wallet(ALICE), wallet(BOB));
    let none = desk.caller_id_for(&alice, None, day(0)).await;
    assert!(matches!(none, Err(CallerIdFailure::NoOwnedNumbers)));
    let none = desk.caller_id_for(&alice, Some("+14155550100"), day(0)).await;
    assert!(matches!(none, Err(CallerIdFailure::NoOwnedNumbers)));

    let one = buys(&desk, "pay-1", &alice, day(0)).await;
    assert_eq!(desk.caller_id_for(&alice, None, day(1)).await.unwrap(), one);
    assert_eq!(desk.caller_id_for(&alice, Some(one.as_str()), day(1)).await.unwrap(), one);
    let none = desk.caller_id_for(&bob, None, day(1)).await;
    assert!(matches!(none, Err(CallerIdFailure::NoOwnedNumbers)));
    let bad = desk.caller_id_for(&alice, Some("415"), day(1)).await;
    assert!(matches!(bad, Err(CallerIdFailure::Field(error)) if error.field == "from"));
}

#[tokio::test]
async fn several_numbers_must_be_told_apart() {
    let (desk, _) = desk(&["+14155550100", "+14155550101"]).await;
    let alice = wallet(ALICE);
    let first = buys(&desk, "pay-1", &alice, day(0)).await;
    let second = buys(&desk, "pay-2", &alice, day(1)).await;
    let refused = desk.caller_id_for(&alice, None, day(2)).await;
    assert!(
        matches!(&refused, Err(CallerIdFailure::Ambiguous { owned }) if *owned == [first.clone(), second.clone()]),
        "{refused:?}"
    );
    assert_eq!(desk.caller_id_for(&alice, Some(second.as_str()), day(2)).await.unwrap(), second);
    assert_eq!(desk.caller_id_for(&alice, None, day(30)).await.unwrap(), second, "one is left active");
}

#[tokio::test]
async fn a_foreign_number_names_its_owner_and_what_is_owned() {
    let (desk, numbers) = desk(&["+14155550100", "+14155550101"]).await;
    let (alice, bob) = (wallet(ALICE), wallet(BOB));
    let mine = buys(&desk, "pay-1", &alice, day(0)).await;
    let theirs = buys(&desk, "pay-2", &bob, day(0)).await;
    let refused = desk.caller_id_for(&alice, Some(theirs.as_str()), day(1)).await;
    let Err(CallerIdFailure::WrongWallet { actual_owner, owned }) = refused else { panic!("{refused:?}") };
    assert_eq!((actual_owner, owned), (Some(bob), vec![mine]));

    numbers.import(&[number("+12125550100")], day(1)).await.unwrap();
    let refused = desk.caller_id_for(&alice, Some("+12125550100"), day(1)).await;
    assert!(matches!(refused, Err(CallerIdFailure::WrongWallet { actual_owner: None, .. })), "{refused:?}");
}

#[tokio::test]
async fn an_expired_number_is_no_caller_id_until_it_is_renewed() {
    let (desk, _) = desk(&["+14155550100"]).await;
    let alice = wallet(ALICE);
    let one = buys(&desk, "pay-1", &alice, day(0)).await;
    for requested in [None, Some(one.as_str())] {
        let refused = desk.caller_id_for(&alice, requested, day(31)).await;
        assert!(matches!(refused, Err(CallerIdFailure::Expired { .. })), "{refused:?}");
    }
    desk.renew("up-1", &one, Owner::Anyone, day(31)).await.unwrap();
    assert_eq!(desk.caller_id_for(&alice, None, day(31)).await.unwrap(), one);
}
