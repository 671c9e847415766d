//! Payments that must not buy, or not twice.

use callbox::{base::Usd, pay::svm, store::claims::ClaimState};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    NUMBER,
    chain::{Chain, fee_payer},
    node::{Callee, Node},
    payer::{Cheque, Payer, encode, envelope},
    selling,
};

const BUY: &str = "/api/x402/number";

type Spoil<'a> = &'a dyn Fn(&mut Cheque);

/// Nobody has paid, and nobody has got anything.
async fn nothing_moved(chain: &Chain, node: &Node, payer: &Payer, had: Usd) {
    assert_eq!(chain.balance(&payer.wallet).await, had);
    assert_eq!(chain.balance(&node.till).await, Usd::ZERO);
    assert!(chain.landed().await.is_empty());
    assert_eq!(node.earned().await, Usd::ZERO);
    assert!(node.leases(&payer.wallet).await.is_empty());
    assert!(node.settled().await.is_empty());
}

#[tokio::test]
async fn one_transaction_sent_twenty_times_at_once_buys_one_number() {
    let chain = Chain::new().await;
    let node = selling(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let cheque = payer.cheque(&chain, &node, NUMBER).await;
    let payment = payer.header(&cheque);
    let (headers, body) = ([("payment-signature", payment.as_str())], json!({ "area_code": "415" }));
    let answers = join_all((0..20).map(|_| node.post(BUY, &headers, &body))).await;
    for answer in &answers {
        assert_eq!((answer.status, &answer.json), (StatusCode::OK, &answers[0].json));
    }
    assert_eq!(node.leases(&payer.wallet).await.len(), 1);
    assert_eq!((chain.balance(&node.till).await, node.earned().await), (NUMBER, NUMBER));
    assert_eq!((chain.landed().await.len(), chain.asked("sendTransaction").await), (1, 1));

    // Another spelling of the same transaction: noise in the fee payer's place, and the other version's envelope.
    let mut noisy = payer.sign(&cheque);
    noisy.signatures[0] = [7; 64];
    let again = envelope(&cheque.accepted, &noisy);
    let again = node.post(BUY, &[("payment-signature", &again)], &body).await;
    assert_eq!((again.status, &again.json), (StatusCode::OK, &answers[0].json), "the stored answer");
    let v1 = json!({
        "x402Version": 1,
        "scheme": "exact",
        "network": "solana",
        "payload": { "transaction": crate::payer::base64(&noisy) },
    });
    let again = node.post(BUY, &[("x-payment", &encode(&v1))], &body).await;
    assert_eq!((again.status, &again.json), (StatusCode::OK, &answers[0].json), "the stored answer");
    assert_eq!((node.leases(&payer.wallet).await.len(), chain.landed().await.len()), (1, 1));

    // For anything else it buys nothing.
    let other = node.post(BUY, &headers, &json!({ "area_code": "212" })).await;
    assert_eq!(other.status, StatusCode::CONFLICT, "{}", other.json);
    assert_eq!(node.states().await, [ClaimState::Delivered]);
}

#[tokio::test]
async fn a_payment_of_anything_else_is_refused() {
    let chain = Chain::new().await;
    let node = selling(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let had = chain.balance(&payer.wallet).await;
    let lamports = chain.lamports(&fee_payer()).await;
    let stranger = Payer::random();
    chain.fund(&stranger.wallet, Usd::ZERO).await;
    let theirs = svm::token_account(&stranger.public(), &crate::payer::mint());
    let spoil: [(&str, Spoil); 10] = [
        ("too little", &|c| c.message.instructions[2].data[3] -= 1),
        ("too much", &|c| c.message.instructions[2].data[1] += 1),
        ("another token", &|c| c.message.accounts[4] = [8; 32]),
        ("another recipient", &|c| c.message.accounts[3] = theirs),
        ("another network", &|c| c.accepted["network"] = "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1".into()),
        ("an envelope that says less", &|c| c.accepted["amount"] = "1".into()),
        ("the fee payer's lamports", &|c| {
            // A transfer of the system program, which is all zeros in base58's writing.
            c.message.accounts.push([0; 32]);
            c.message.read_only_others += 1;
            c.message.instructions[3].program = 8;
            c.message.instructions[3].accounts = vec![0, 1];
            c.message.instructions[3].data =
                [&2_u32.to_le_bytes()[..], &900_000_000_u64.to_le_bytes()].concat();
        }),
        ("the fee payer among a memo's accounts", &|c| c.message.instructions[3].accounts = vec![0]),
        ("a priority fee that empties the fee payer", &|c| {
            c.message.instructions[0].data = [&[2][..], &400_000_u32.to_le_bytes()].concat();
            c.message.instructions[1].data = [&[3][..], &5_000_000_u64.to_le_bytes()].concat();
        }),
        ("the fee paid by the payer", &|c| c.message.accounts.swap(0, 1)),
    ];
    for (what, spoil) in spoil {
        let mut cheque = payer.cheque(&chain, &node, NUMBER).await;
        spoil(&mut cheque);
        let answer = node.post(BUY, &[("payment-signature", &payer.header(&cheque))], &json!({})).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{what}: {}", answer.json);
        assert_eq!(answer.json["accepts"][0]["maxAmountRequired"], NUMBER.micros().to_string(), "{what}");
    }
    assert_eq!(chain.asked("sendTransaction").await, 0);
    assert_eq!(chain.lamports(&fee_payer()).await, lamports);
    nothing_moved(&chain, &node, &payer, had).await;
}

#[tokio::test]
async fn a_signature_that_is_not_the_payers_is_refused() {
    let chain = Chain::new().await;
    let node = selling(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let had = chain.balance(&payer.wallet).await;
    let cheque = payer.cheque(&chain, &node, NUMBER).await;
    let right = payer.sign(&cheque);
    let mut missing = right.clone();
    missing.signatures[1] = [0; 64];
    let mut foreign = right.clone();
    foreign.signatures[1] = Payer::random().sign(&cheque).signatures[1];
    let other = payer.sign(&payer.cheque(&chain, &node, NUMBER).await);
    let mut moved = right.clone();
    moved.signatures = other.signatures;
    for transaction in [missing, foreign, moved] {
        let header = envelope(&cheque.accepted, &transaction);
        let answer = node.post(BUY, &[("payment-signature", &header)], &json!({})).await;
        assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED, "{}", answer.json);
        assert_eq!(answer.json["error"], "invalid_exact_svm_payload_signature_invalid");
    }
    nothing_moved(&chain, &node, &payer, had).await;
    // None of them has used up the payment itself.
    let paid = node.post(BUY, &[("payment-signature", &payer.header(&cheque))], &json!({})).await;
    assert_eq!(paid.status, StatusCode::OK, "{}", paid.json);
}

#[tokio::test]
async fn what_the_chain_would_not_take_is_refused_and_costs_nothing() {
    let chain = Chain::new().await;
    let node = selling(&chain, Callee::Rings).await;
    let poor = Payer::random();
    chain.fund(&poor.wallet, Usd::from_micros(NUMBER.micros() - 1)).await;
    let cheque = poor.cheque(&chain, &node, NUMBER).await;
    let answer = node.post(BUY, &[("payment-signature", &poor.header(&cheque))], &json!({})).await;
    let reason = answer.json["error"].as_str().unwrap().to_owned();
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert!(reason.starts_with("invalid_exact_svm_transaction_simulation_failed"), "{reason}");

    let payer = Payer::funded(&chain).await;
    let had = chain.balance(&payer.wallet).await;
    let aged = payer.cheque(&chain, &node, NUMBER).await;
    chain.ask("test_age", json!([])).await;
    let answer = node.post(BUY, &[("payment-signature", &payer.header(&aged))], &json!({})).await;
    assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
    assert!(answer.json["error"].as_str().unwrap().contains("BlockhashNotFound"), "{}", answer.json);
    nothing_moved(&chain, &node, &payer, had).await;
    assert_eq!(chain.asked("sendTransaction").await, 0);
}

#[tokio::test]
async fn what_is_no_transaction_is_malformed_and_harms_nothing() {
    let chain = Chain::new().await;
    let node = selling(&chain, Callee::Rings).await;
    let payer = Payer::funded(&chain).await;
    let spoil: [Spoil; 4] = [
        // Places beyond the list of accounts.
        &|c| c.message.instructions[0].program = 200,
        &|c| c.message.instructions[2].accounts[1] = 200,
        &|c| c.message.signers = 100,
        &|c| c.message.instructions.clear(),
    ];
    for spoil in spoil {
        let mut cheque = payer.cheque(&chain, &node, NUMBER).await;
        spoil(&mut cheque);
        let answer = node.post(BUY, &[("payment-signature", &payer.header(&cheque))], &json!({})).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.json);
    }
    assert!(node.states().await.is_empty());
}
