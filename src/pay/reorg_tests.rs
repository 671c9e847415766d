use parking_lot::Mutex;

use super::*;
use crate::pay::refund::tests::{NETWORK, books, claim};

struct Blocks(Mutex<Standing>);

impl Witness for Blocks {
    fn standing<'a>(
        &'a self,
        _: &'a Claim,
        confirmations: u64,
    ) -> BoxFuture<'a, Result<Standing, ChainError>> {
        assert_eq!(confirmations, 12);
        let standing = *self.0.lock();
        Box::pin(async move { Ok(standing) })
    }
}

async fn rig(standing: Standing) -> (Watch, Arc<Blocks>) {
    let chain = Arc::new(Blocks(Mutex::new(standing)));
    let watch = Watch { store: books().await, network: NETWORK, chain: chain.clone(), confirmations: 12 };
    (watch, chain)
}

async fn state(watch: &Watch, claim: &Claim) -> ClaimState {
    watch.store.claim_by_id(claim.id).await.unwrap().unwrap().state
}

async fn open(watch: &Watch) -> usize {
    watch.store.unconfirmed_claims(DateTime::UNIX_EPOCH).await.unwrap().len()
}

#[tokio::test]
async fn final_settlement_is_not_looked_at_again() {
    let (watch, chain) = rig(Standing::Recent).await;
    claim(&watch.store, 1, ClaimState::Delivered).await;
    watch.look(Utc::now()).await.unwrap();
    assert_eq!(open(&watch).await, 1);
    *chain.0.lock() = Standing::Final;
    watch.look(Utc::now()).await.unwrap();
    assert_eq!(open(&watch).await, 0);
}

#[tokio::test]
async fn settlement_that_left_the_chain_is_disputed_until_it_is_back() {
    for before in [ClaimState::Delivered, ClaimState::RefundDue] {
        let (watch, chain) = rig(Standing::Unspent).await;
        let sold = claim(&watch.store, 1, before).await;
        watch.look(Utc::now()).await.unwrap();
        assert_eq!(state(&watch, &sold).await, before, "an endpoint may be behind");
        let later = Utc::now() + LAG + TimeDelta::seconds(1);
        watch.look(later).await.unwrap();
        assert_eq!(state(&watch, &sold).await, ClaimState::Disputed);
        *chain.0.lock() = Standing::Final;
        watch.look(later).await.unwrap();
        assert_eq!(state(&watch, &sold).await, before);
        let ledger = watch.store.ledger(DateTime::UNIX_EPOCH).await.unwrap();
        let moved: Vec<i64> = ledger.iter().map(|e| e.moved_micros).filter(|micros| *micros != 0).collect();
        assert_eq!((moved, open(&watch).await), (vec![540_000, -540_000, 540_000], 0));
    }
}
