//! Many buyers at once, and a crash between two steps.

use std::collections::HashSet;

use super::*;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_buyers_at_once_get_ten_numbers_and_no_number_twice() {
    let (_dir, sellers) = two_sellers().await;
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
