use ed25519_dalek::{Signer, SigningKey};

use super::*;
use crate::pay::network::NETWORKS;
use crate::pay::x402::open;
use crate::pay::x402::{Accepted, encode};

const FEE_PAYER: [u8; 32] = [1; 32];
const PAYER: [u8; 32] = [2; 32];
const TILL: [u8; 32] = [3; 32];

fn public(secret: [u8; 32]) -> Key {
    SigningKey::from_bytes(&secret).verifying_key().to_bytes()
}

fn mint() -> Key {
    key(NETWORKS[2].asset).unwrap()
}

fn requirement() -> Requirement {
    Requirement {
        network: &NETWORKS[2],
        pay_to: wallet(&public(TILL)),
        amount: "0.54".parse().unwrap(),
        timeout_secs: 300,
        fee_payer: Some(wallet(&public(FEE_PAYER))),
    }
}

fn instruction(program: u8, accounts: &[u8], data: &[u8]) -> Instruction {
    Instruction { program, accounts: accounts.to_vec(), data: data.to_vec() }
}

/// As the published client builds it.
fn message() -> Message {
    let (payer, mint) = (public(PAYER), mint());
    let mut transfer = vec![12];
    transfer.extend(540_000_u64.to_le_bytes());
    transfer.push(6);
    let mut limit = vec![2];
    limit.extend(20_000_u32.to_le_bytes());
    let mut price = vec![3];
    price.extend(1_u64.to_le_bytes());
    Message {
        version: Some(0),
        signers: 2,
        read_only_signers: 1,
        read_only_others: 4,
        accounts: vec![
            public(FEE_PAYER),
            payer,
            token_account(&payer, &mint),
            token_account(&public(TILL), &mint),
            mint,
            program(COMPUTE_BUDGET),
            program(TOKEN_PROGRAM),
            program(MEMO),
        ],
        blockhash: [9; 32],
        instructions: vec![
            instruction(5, &[], &limit),
            instruction(5, &[], &price),
            instruction(6, &[2, 4, 3, 1], &transfer),
            instruction(7, &[], b"00112233445566778899aabbccddeeff"),
        ],
    }
}

fn signed(message: Message) -> Transaction {
    let mut transaction = Transaction::unsigned(message);
    transaction.signatures[1] = SigningKey::from_bytes(&PAYER).sign(transaction.signed()).to_bytes();
    transaction
}

fn v2(transaction: &[u8]) -> Value {
    json!({
        "x402Version": 2,
        "accepted": requirement().v2(),
        "payload": { "transaction": STANDARD.encode(transaction) },
    })
}

fn payment(transaction: &Transaction) -> Payment {
    Payment::decode(v2(&transaction.encode())).unwrap()
}

fn pays(change: impl FnOnce(&mut Message)) -> Result<(), Mismatch> {
    let mut message = message();
    change(&mut message);
    check(&signed(message), &requirement(), &public(FEE_PAYER))
}

#[test]
fn payment_of_both_versions_pays() {
    let bytes = signed(message()).encode();
    let v1 = json!({
        "x402Version": 1,
        "scheme": "exact",
        "network": "solana",
        "payload": { "transaction": STANDARD.encode(&bytes) },
    });
    for sent in [v1, v2(&bytes)] {
        let sent = open(&encode(&sent)).unwrap();
        assert!(Payment::is_one(&sent));
        let payment = Payment::decode(sent).unwrap();
        assert_eq!(payment.payer, wallet(&public(PAYER)));
        assert_eq!(payment.pays(&[requirement()]).unwrap().network.name, "solana");
    }
}

#[test]
fn every_rule_of_the_scheme_is_kept() {
    assert_eq!(pays(|_| ()), Ok(()));
    assert_eq!(pays(|m| m.instructions.truncate(3)), Ok(()), "without a memo");
    let memo = || instruction(7, &[], b"x");
    assert_eq!(pays(|m| m.instructions.extend([memo(), memo()])), Ok(()), "six");
    assert_eq!(pays(|m| m.instructions.extend([memo(), memo(), memo()])), Err(Mismatch::Instructions));
    assert_eq!(pays(|m| m.accounts.swap(0, 1)), Err(Mismatch::FeePayer));
    assert_eq!(pays(|m| m.signers = 3), Err(Mismatch::Signers));
    assert_eq!(pays(|m| m.instructions[3].program = 6), Err(Mismatch::Program));
    assert_eq!(pays(|m| m.instructions[2].program = 7), Err(Mismatch::Transfer));
    assert_eq!(pays(|m| m.instructions[2].data[0] = 3), Err(Mismatch::Transfer), "a plain Transfer");
    assert_eq!(pays(|m| m.instructions[2].data[1] ^= 1), Err(Mismatch::Amount));
    assert_eq!(pays(|m| m.instructions[2].data[9] = 9), Err(Mismatch::Asset));
    assert_eq!(pays(|m| m.accounts[4] = [8; 32]), Err(Mismatch::Asset));
    assert_eq!(pays(|m| m.accounts[3] = [8; 32]), Err(Mismatch::Recipient));
    assert_eq!(pays(|m| m.instructions[2].accounts[0] = 3), Err(Mismatch::Recipient), "from the till itself");
}

#[test]
fn fee_payer_stands_in_no_instruction_by_any_place() {
    assert_eq!(pays(|m| m.instructions[2].accounts[0] = 0), Err(Mismatch::FeePayerSpends));
    assert_eq!(pays(|m| m.instructions[3].accounts.push(0)), Err(Mismatch::FeePayerSpends));
    let again = |m: &mut Message| {
        m.accounts.push(public(FEE_PAYER));
        m.instructions[3].accounts.push(8);
    };
    assert_eq!(pays(again), Err(Mismatch::FeePayerSpends), "listed twice");
}

#[test]
fn settlement_costs_the_fee_payer_little() {
    let set = |m: &mut Message, limit: u32, price: u64| {
        m.instructions[0].data[1..].copy_from_slice(&limit.to_le_bytes());
        m.instructions[1].data[1..].copy_from_slice(&price.to_le_bytes());
    };
    assert_eq!(pays(|m| set(m, 10_800, PRICE_MOST)), Ok(()));
    assert_eq!(pays(|m| set(m, 10_801, PRICE_MOST)), Err(Mismatch::TooExpensive));
    assert_eq!(pays(|m| set(m, 1, PRICE_MOST + 1)), Err(Mismatch::TooExpensive));
    assert_eq!(pays(|m| set(m, 0, u64::MAX)), Err(Mismatch::TooExpensive));
    assert_eq!(pays(|m| set(m, LIMIT_MOST + 1, 0)), Err(Mismatch::ComputeLimit));
    assert_eq!(pays(|m| m.instructions[0].data[0] = 1), Err(Mismatch::ComputeLimit));
    assert_eq!(pays(|m| m.instructions[1].data.truncate(5)), Err(Mismatch::ComputePrice));
    assert_eq!(pays(|m| m.instructions.swap(0, 1)), Err(Mismatch::ComputeLimit));
}

#[test]
fn only_the_payers_own_signature_counts() {
    let checked = |transaction: &Transaction| check(transaction, &requirement(), &public(FEE_PAYER));
    let mut unsigned = signed(message());
    unsigned.signatures[1] = [0; 64];
    let mut foreign = signed(message());
    foreign.signatures[1] = SigningKey::from_bytes(&TILL).sign(foreign.signed()).to_bytes();
    let mut dearer = message();
    dearer.instructions[3].data.push(b'!');
    let mut moved = Transaction::unsigned(dearer);
    moved.signatures = signed(message()).signatures;
    for transaction in [unsigned, foreign, moved] {
        assert_eq!(checked(&transaction), Err(Mismatch::Signature));
    }
}

#[test]
fn what_the_client_says_it_accepted_must_be_what_was_asked() {
    let transaction = signed(message());
    let wrong = |change: fn(&mut Accepted)| {
        let mut payment = payment(&transaction);
        change(payment.accepted.as_mut().unwrap());
        payment.pays(&[requirement()]).unwrap_err()
    };
    assert_eq!(wrong(|a| a.amount = "1".into()), Mismatch::Amount);
    assert_eq!(wrong(|a| a.asset = a.asset.to_lowercase()), Mismatch::Asset);
    assert_eq!(wrong(|a| a.pay_to = a.pay_to.to_lowercase()), Mismatch::Recipient);
    let elsewhere = Requirement { network: &NETWORKS[3], ..requirement() };
    assert_eq!(payment(&transaction).pays(&[elsewhere]).unwrap_err(), Mismatch::Network);
}

#[test]
fn claim_is_one_for_every_signature_and_spelling() {
    let offer = |sent: Value| {
        Payment::decode(sent).unwrap().offer(&requirement(), "POST /".into(), String::new(), Utc::now()).nonce
    };
    let transaction = signed(message());
    let mut other = transaction.clone();
    other.signatures[0] = [5; 64];
    assert_eq!(offer(v2(&transaction.encode())), offer(v2(&other.encode())));
    let mut another = message();
    another.instructions[3].data.push(b'!');
    assert_ne!(offer(v2(&transaction.encode())), offer(v2(&signed(another).encode())));
}

#[test]
fn what_is_no_payment_is_malformed() {
    let transaction = signed(message());
    let mut bytes = transaction.encode();
    bytes.push(0);
    assert!(Payment::decode(v2(&bytes)).is_err(), "it goes on");
    assert!(Payment::decode(v2(&[])).is_err());
    let mut spelled = v2(&transaction.encode());
    spelled["payload"]["transaction"] = "not base64!".into();
    assert!(Payment::decode(spelled).is_err());
    let mut stranger = message();
    stranger.instructions[2].accounts[3] = 4;
    assert!(Payment::decode(v2(&signed(stranger).encode())).is_err(), "the owner does not sign");
}
