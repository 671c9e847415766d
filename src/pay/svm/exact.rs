//! A payment of scheme `exact` on Solana: as it comes over the wire, and the rules that it must keep before the
//! fee payer's key signs it.
//!
//! The rules let a transaction do one thing, and cost the fee payer little: a compute limit and price, one
//! `TransferChecked` of the exact amount of the right token to the recipient's own token account, then notes
//! and assertions of the payer's wallet. What the wire calls a payment's reason stands in [`Mismatch`] by the
//! words of the published facilitators.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::message::{Instruction, Message, Transaction};
use super::{COMPUTE_BUDGET, Key, LIGHTHOUSE, MEMO, TOKEN_PROGRAM, key, program, token_account, wallet};
use crate::base::{Usd, Wallet};
use crate::pay::network::Network;
use crate::pay::x402::{Accepted, Malformed, Requirement, Terms, describe, receipt};
use crate::store::claims::NewClaim;

/// The rule of the scheme, in millionths of a lamport a unit.
const PRICE_MOST: u64 = 5_000_000;
/// Compute units; a transfer needs some thousands.
const LIMIT_MOST: u32 = 400_000;
/// What a payment may cost the fee payer beside the signatures: a lamport for ten millionths of a dollar that it
/// pays, which is a few hundredths of it, and no more than this. At the highest limit and price alone it could cost
/// more than what is bought.
const PRIORITY_FEE_MOST: u64 = 100_000;
const MICROS_FOR_A_LAMPORT: u64 = 10;
/// The payer and the fee payer. Each further signature costs the fee payer 5,000 lamports.
const SIGNERS: u8 = 2;
/// Of USDC.
const DECIMALS: u8 = 6;
/// A blockhash serves for 150 blocks, which take a minute to a minute and a half. What has not landed so long
/// after it was offered, and cannot land by the chain's own word, never will.
pub const LIFETIME: TimeDelta = TimeDelta::seconds(120);

/// A payment as a client sent it, and as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payment {
    /// 1 or 2: the answer speaks the same version.
    pub version: u8,
    pub network: String,
    /// What the client says it accepted; version 1 does not say.
    #[serde(default)]
    pub accepted: Option<Accepted>,
    /// Signed by the payer, not by the fee payer; base64.
    pub transaction: String,
    /// Who the tokens are taken from.
    pub payer: Wallet,
    /// The payer's, in hexadecimal: it tells who asks again.
    pub signature: String,
}

/// Why a payment is not the one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("invalid_network")]
    Network,
    #[error("invalid_exact_svm_payload_transaction_could_not_be_decoded")]
    Transaction,
    #[error("invalid_exact_svm_payload_transaction_instructions_length")]
    Instructions,
    #[error("invalid_exact_svm_payload_excessive_signers")]
    Signers,
    #[error("invalid_exact_svm_fee_payer_mismatch")]
    FeePayer,
    #[error("invalid_exact_svm_payload_transaction_fee_payer_transferring_funds")]
    FeePayerSpends,
    #[error("invalid_exact_svm_payload_transaction_instructions_compute_limit_instruction")]
    ComputeLimit,
    #[error("invalid_exact_svm_payload_transaction_instructions_compute_price_instruction")]
    ComputePrice,
    #[error("invalid_exact_svm_payload_transaction_instructions_compute_price_instruction_too_high")]
    TooExpensive,
    #[error("invalid_exact_svm_payload_no_transfer_instruction")]
    Transfer,
    #[error("invalid_exact_svm_payload_mint_mismatch")]
    Asset,
    #[error("invalid_exact_svm_payload_recipient_mismatch")]
    Recipient,
    #[error("invalid_exact_svm_payload_amount_mismatch")]
    Amount,
    #[error("invalid_exact_svm_payload_unknown_optional_instruction")]
    Program,
    #[error("invalid_exact_svm_payload_signature_invalid")]
    Signature,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    #[serde(flatten)]
    terms: Terms,
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    transaction: String,
}

/// What a `TransferChecked` of the token program says.
struct Transfer {
    source: Key,
    mint: Key,
    destination: Key,
    authority: Key,
    amount: u64,
    decimals: u8,
}

impl Payment {
    /// Whether the JSON of a payment header is of this kind.
    pub fn is_one(sent: &Value) -> bool {
        sent["payload"].get("transaction").is_some()
    }

    pub fn decode(sent: Value) -> Result<Payment, Malformed> {
        let Sent { terms, payload } = serde_json::from_value(sent).map_err(|e| describe(&e))?;
        let (version, network, accepted) = terms.read()?;
        let bytes = STANDARD
            .decode(&payload.transaction)
            .map_err(|_| Malformed::new("`transaction` is not base64"))?;
        let transaction = Transaction::decode(&bytes).map_err(|e| Malformed::new(&e.to_string()))?;
        let transfer = transfer(&transaction.message)
            .ok_or_else(|| Malformed::new("the third instruction is not TransferChecked"))?;
        let signatures = transaction.message.accounts.iter().zip(&transaction.signatures);
        let signature =
            signatures.filter(|(account, _)| **account == transfer.authority).map(|(_, s)| s).next();
        let signature =
            signature.ok_or_else(|| Malformed::new("whose tokens move is none of the signers"))?;
        Ok(Payment {
            version,
            network,
            accepted,
            transaction: payload.transaction,
            payer: wallet(&transfer.authority),
            signature: hex::encode(signature),
        })
    }

    /// `None` where the store holds something else.
    pub fn transaction(&self) -> Option<Transaction> {
        Transaction::decode(&STANDARD.decode(&self.transaction).ok()?).ok()
    }

    /// The requirement this pays, if it pays one exactly and keeps all rules that can be checked without the
    /// chain.
    pub fn pays<'a>(&self, requirements: &'a [Requirement]) -> Result<&'a Requirement, Mismatch> {
        let network = Network::find(&self.network).ok_or(Mismatch::Network)?;
        let found = requirements.iter().find(|requirement| requirement.network == network);
        let requirement = found.ok_or(Mismatch::Network)?;
        if let Some(accepted) = &self.accepted {
            agrees(accepted, requirement)?;
        }
        let fee_payer = requirement.fee_payer.as_ref().and_then(|wallet| key(wallet.as_str()));
        let fee_payer = fee_payer.ok_or(Mismatch::FeePayer)?;
        check(&self.transaction().ok_or(Mismatch::Transaction)?, requirement, &fee_payer)?;
        Ok(requirement)
    }

    /// The claim of a payment. What is signed makes it one of its kind: another spelling of the same
    /// transaction, or another signature under it, is the same claim.
    pub fn offer(
        &self,
        requirement: &Requirement,
        route: String,
        body_sha256: String,
        now: DateTime<Utc>,
    ) -> NewClaim {
        let digest = self.transaction().map(|transaction| transaction.digest()).unwrap_or_default();
        NewClaim {
            scheme: "x402".into(),
            network: requirement.network.caip2.into(),
            asset: requirement.network.asset_key(),
            payer: self.payer.clone(),
            nonce: hex::encode(digest),
            amount: requirement.amount,
            pay_to: requirement.pay_to.clone(),
            valid_before: now + LIFETIME,
            route,
            body_sha256,
            proof: serde_json::to_value(self).expect("a payment is plain data with text keys"),
        }
    }

    /// The header of an answer after settlement: its name and its value.
    pub fn receipt(&self, transaction: &str) -> (&'static str, String) {
        receipt(self.version, &self.network, &self.payer, transaction)
    }

    /// What a facilitator takes, with this node's own requirement on both sides.
    pub fn request(&self, requirement: &Requirement) -> Value {
        let accepted = requirement.v2();
        json!({
            "x402Version": 2,
            "paymentPayload": {
                "x402Version": 2,
                "accepted": accepted,
                "payload": { "transaction": self.transaction },
            },
            "paymentRequirements": accepted,
        })
    }
}

/// The payment of a claim, and what it pays by this fee payer; `None` where another's claim is asked about.
pub fn offered(offer: &NewClaim, fee_payer: Option<Wallet>) -> Option<(Payment, Requirement)> {
    let payment: Payment = serde_json::from_value(offer.proof.clone()).ok()?;
    let requirement = Requirement {
        network: Network::find(&offer.network)?,
        pay_to: offer.pay_to.clone(),
        amount: offer.amount,
        timeout_secs: LIFETIME.num_seconds().unsigned_abs(),
        fee_payer,
    };
    Some((payment, requirement))
}

/// Solana's addresses differ by case.
fn agrees(accepted: &Accepted, requirement: &Requirement) -> Result<(), Mismatch> {
    if accepted.asset != requirement.network.asset {
        return Err(Mismatch::Asset);
    }
    if accepted.pay_to != requirement.pay_to.as_str() {
        return Err(Mismatch::Recipient);
    }
    match accepted.amount == requirement.amount.micros().to_string() {
        true => Ok(()),
        false => Err(Mismatch::Amount),
    }
}

/// All rules for what this fee payer's key may sign.
pub fn check(transaction: &Transaction, requirement: &Requirement, fee_payer: &Key) -> Result<(), Mismatch> {
    let message = &transaction.message;
    if !(3..=6).contains(&message.instructions.len()) {
        return Err(Mismatch::Instructions);
    }
    if message.accounts.first() != Some(fee_payer) {
        return Err(Mismatch::FeePayer);
    }
    if message.signers != SIGNERS {
        return Err(Mismatch::Signers);
    }
    let spends = |instruction: &Instruction| {
        let mut accounts =
            (0..instruction.accounts.len()).filter_map(|place| message.account(instruction, place));
        accounts.any(|account| account == fee_payer)
    };
    if message.instructions.iter().any(spends) {
        return Err(Mismatch::FeePayerSpends);
    }
    check_price(message, requirement.amount)?;
    let transfer = transfer(message).ok_or(Mismatch::Transfer)?;
    check_transfer(&transfer, requirement)?;
    let allowed = [program(MEMO), program(LIGHTHOUSE)];
    let is_allowed =
        |instruction: &Instruction| message.program(instruction).is_some_and(|p| allowed.contains(p));
    if !message.instructions[3..].iter().all(is_allowed) {
        return Err(Mismatch::Program);
    }
    match transaction.is_signed_by(&transfer.authority) {
        true => Ok(()),
        false => Err(Mismatch::Signature),
    }
}

fn check_price(message: &Message, paid: Usd) -> Result<(), Mismatch> {
    let budget = |place: usize| {
        let instruction = message.instructions.get(place)?;
        let is_budget = message.program(instruction) == Some(&program(COMPUTE_BUDGET));
        is_budget.then_some(instruction.data.as_slice())
    };
    let Some([2, limit @ ..]) = budget(0) else { return Err(Mismatch::ComputeLimit) };
    let limit = u32::from_le_bytes(limit.try_into().map_err(|_| Mismatch::ComputeLimit)?);
    let Some([3, price @ ..]) = budget(1) else { return Err(Mismatch::ComputePrice) };
    let price = u64::from_le_bytes(price.try_into().map_err(|_| Mismatch::ComputePrice)?);
    if limit > LIMIT_MOST {
        return Err(Mismatch::ComputeLimit);
    }
    let most = PRIORITY_FEE_MOST.min(paid.micros() / MICROS_FOR_A_LAMPORT);
    // Within its bounds the product is far below where it would overflow.
    if price > PRICE_MOST || price * u64::from(limit) / 1_000_000 > most {
        return Err(Mismatch::TooExpensive);
    }
    Ok(())
}

fn check_transfer(transfer: &Transfer, requirement: &Requirement) -> Result<(), Mismatch> {
    let mint = key(requirement.network.asset).ok_or(Mismatch::Asset)?;
    if transfer.mint != mint || transfer.decimals != DECIMALS {
        return Err(Mismatch::Asset);
    }
    let owner = key(requirement.pay_to.as_str()).ok_or(Mismatch::Recipient)?;
    let till = token_account(&owner, &mint);
    if transfer.destination != till || transfer.source == till {
        return Err(Mismatch::Recipient);
    }
    // More is refused like less: nobody is charged another sum than the one named.
    match Usd::from_micros(transfer.amount) == requirement.amount {
        true => Ok(()),
        false => Err(Mismatch::Amount),
    }
}

/// The third instruction; `None` where it is anything else.
fn transfer(message: &Message) -> Option<Transfer> {
    let instruction = message.instructions.get(2)?;
    if message.program(instruction) != Some(&program(TOKEN_PROGRAM)) {
        return None;
    }
    let [12, amount @ .., decimals] = instruction.data.as_slice() else { return None };
    // More accounts would be the signers of a shared account.
    if instruction.accounts.len() != 4 {
        return None;
    }
    let account = |place| message.account(instruction, place).copied();
    Some(Transfer {
        source: account(0)?,
        mint: account(1)?,
        destination: account(2)?,
        authority: account(3)?,
        amount: u64::from_le_bytes(amount.try_into().ok()?),
        decimals: *decimals,
    })
}

/// The token account that a payment is taken from.
pub fn source(transaction: &Transaction) -> Option<Wallet> {
    transfer(&transaction.message).map(|transfer| wallet(&transfer.source))
}

#[cfg(test)]
#[path = "exact_tests.rs"]
mod tests;
