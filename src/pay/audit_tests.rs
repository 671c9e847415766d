use super::*;
use crate::pay::refund::tests::{books, claim};

fn moved(from: &Wallet, to: &Wallet, amount: &str) -> Seen {
    let amount = amount.parse().unwrap();
    Seen::Moved(vec![Transfer { from: from.clone(), to: to.clone(), amount }])
}

async fn sold(state: ClaimState) -> (Claim, Evidence) {
    let mut claim = claim(&books().await, 1, ClaimState::Delivered).await;
    claim.state = state;
    let settlement = moved(&claim.offer.payer, &claim.offer.pay_to, "0.54");
    (claim, Evidence { used: true, settlement, refund: None })
}

#[tokio::test]
async fn claim_agrees_where_the_token_moved_its_amount_from_payer_to_seller() {
    let (claim, evidence) = sold(ClaimState::Delivered).await;
    let finding = judge(&claim, &evidence);
    assert_eq!((finding.verdict, finding.on_chain), (Verdict::Agrees, 540_000));
}

#[tokio::test]
async fn what_the_chain_tells_otherwise_is_named() {
    let (claim, evidence) = sold(ClaimState::Delivered).await;
    let (payer, pay_to) = (&claim.offer.payer, &claim.offer.pay_to);
    let seen = |settlement| judge(&claim, &Evidence { settlement, ..evidence.clone() }).verdict;
    assert_eq!(seen(Seen::Absent), Verdict::Missing);
    assert_eq!(seen(Seen::Failed), Verdict::Differs);
    assert_eq!(seen(Seen::Moved(vec![])), Verdict::Differs);
    assert_eq!(seen(moved(payer, pay_to, "0.53")), Verdict::Differs);
    assert_eq!(seen(moved(pay_to, payer, "0.54")), Verdict::Differs);
    assert_eq!(seen(moved(pay_to, pay_to, "0.54")), Verdict::Differs);
    let unspent = Evidence { used: false, ..evidence.clone() };
    assert_eq!(judge(&claim, &unspent).verdict, Verdict::Reorganised);
}

#[tokio::test]
async fn refund_must_have_reached_the_payer_whole() {
    let (claim, evidence) = sold(ClaimState::Refunded).await;
    let (payer, anybody) = (&claim.offer.payer, Wallet::nobody());
    let seen = |refund| judge(&claim, &Evidence { refund: Some(refund), ..evidence.clone() });
    let paid = seen(moved(&anybody, payer, "0.54"));
    assert_eq!((paid.verdict, paid.on_chain), (Verdict::Agrees, 0));
    let less = seen(moved(&anybody, payer, "0.50"));
    assert_eq!((less.verdict, less.on_chain), (Verdict::Differs, 40_000));
    assert_eq!(seen(Seen::Absent).verdict, Verdict::Missing);
    assert_eq!(pays_back(&claim, &moved(&anybody, payer, "0.54")), Ok(()));
    assert!(pays_back(&claim, &moved(&anybody, &anybody, "0.54")).is_err());
}
