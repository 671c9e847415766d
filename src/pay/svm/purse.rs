//! The account on Solana that refunds are paid from: a transfer of its USDC, with its own fee. Whoever paid from
//! another than the usual account of their wallet has that one opened, at this account's cost.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::Utc;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::key::{Keypair, name};
use super::message::{Instruction, Message, Transaction};
use super::rpc::{Chain, Lease, Status};
use super::{ASSOCIATED_TOKEN, Key, MEMO, TOKEN_PROGRAM, key, program, token_account};
use crate::base::{Usd, Wallet};
use crate::pay::evm::ChainError;
use crate::pay::refund::{Fate, Purse};
use crate::store::claims::{Claim, Refund, SignedRefund};

const SYSTEM: &str = "11111111111111111111111111111111";
/// For which a blockhash serves.
const LIFETIME_BLOCKS: u64 = 150;
/// Of USDC.
const DECIMALS: u8 = 6;

pub struct SvmPurse {
    chain: Chain,
    key: Keypair,
}

impl SvmPurse {
    pub fn new(chain: Chain, key: Keypair) -> SvmPurse {
        SvmPurse { chain, key }
    }

    pub fn account(&self) -> Wallet {
        self.key.wallet()
    }

    async fn has(&self, claim: &Claim) -> Result<bool, ChainError> {
        let status = self.chain.status(claim.settlement.as_deref().unwrap_or_default()).await?;
        Ok(matches!(status, Status::Landed { succeeded: true, .. }))
    }

    async fn sign(&self, to: &Wallet, amount: Usd) -> Result<Refund, ChainError> {
        let network = self.chain.network.name;
        let refused = |detail: String| ChainError::Refused { network, detail };
        let owner = key(to.as_str()).ok_or_else(|| refused(format!("{to} is no address on Solana")))?;
        let opens = !self.chain.has_token_account(to).await?;
        let Lease { blockhash, last_height } = self.chain.latest_blockhash().await?;
        // Two refunds of one amount to one wallet are two transactions.
        let note = hex::encode(rand::random::<[u8; 16]>());
        let route = Route { from: self.key.public(), to: owner, mint: self.chain.mint(), opens };
        let mut transaction = Transaction::unsigned(route.message(amount, &note, blockhash));
        self.key.sign(&mut transaction);
        // One that would fail is refused here.
        self.chain.simulate(&transaction).await?.map_err(|why| refused(why.to_string()))?;
        let signed = SignedRefund {
            raw: STANDARD.encode(transaction.encode()),
            nonce: last_height,
            earlier: Vec::new(),
        };
        Ok(Refund { transaction: name(&transaction), signed: Some(signed) })
    }

    async fn send(&self, signed: &SignedRefund) -> Result<(), ChainError> {
        let network = self.chain.network.name;
        let sent = self.chain.send(&signed.raw).await;
        sent.map_err(|unanswered| ChainError::Refused { network, detail: format!("{unanswered:?}") })
    }

    async fn fate(&self, transaction: &str, signed: &SignedRefund) -> Result<Fate, ChainError> {
        // The height before the look: what lands between the two is not taken for lost.
        let height = self.chain.height().await?;
        Ok(match self.chain.status(transaction).await? {
            Status::Landed { succeeded: true, .. } => Fate::Paid,
            Status::Landed { .. } => Fate::Reverted,
            Status::Absent if height > signed.nonce && self.remembers(height - signed.nonce).await? => {
                Fate::Replaced
            }
            Status::Absent | Status::Processed => Fate::Waiting,
        })
    }

    /// Whether the endpoint still has the blocks of so long ago: one that has forgotten a refund must not have it
    /// paid twice. No block takes a second.
    async fn remembers(&self, blocks: u64) -> Result<bool, ChainError> {
        let seconds = i64::try_from(blocks + LIFETIME_BLOCKS).unwrap_or(i64::MAX);
        Ok(self.chain.remembers_since().await? < Utc::now().timestamp().saturating_sub(seconds))
    }
}

/// From one wallet's token account to another's.
struct Route {
    from: Key,
    to: Key,
    mint: Key,
    /// Whether the recipient's account is opened on the way.
    opens: bool,
}

impl Route {
    fn message(&self, amount: Usd, note: &str, blockhash: Key) -> Message {
        let accounts = vec![
            self.from,
            token_account(&self.from, &self.mint),
            token_account(&self.to, &self.mint),
            self.to,
            self.mint,
            program(SYSTEM),
            program(TOKEN_PROGRAM),
            program(ASSOCIATED_TOKEN),
            program(MEMO),
        ];
        // Numbers are places in this list. `CreateIdempotent` does nothing where the account is there meanwhile.
        let open = Instruction { program: 7, accounts: vec![0, 2, 3, 4, 5, 6], data: vec![1] };
        let mut transfer = vec![12];
        transfer.extend(amount.micros().to_le_bytes());
        transfer.push(DECIMALS);
        let transfer = Instruction { program: 6, accounts: vec![1, 4, 2, 0], data: transfer };
        let note = Instruction { program: 8, accounts: Vec::new(), data: note.as_bytes().to_vec() };
        Message {
            version: None,
            signers: 1,
            read_only_signers: 0,
            read_only_others: 6,
            accounts,
            blockhash,
            instructions: self.opens.then_some(open).into_iter().chain([transfer, note]).collect(),
        }
    }
}

impl Purse for SvmPurse {
    fn has<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<bool, ChainError>> {
        self.has(claim).boxed()
    }

    fn sign<'a>(&'a self, to: &'a Wallet, amount: Usd) -> BoxFuture<'a, Result<Refund, ChainError>> {
        self.sign(to, amount).boxed()
    }

    /// What offers too little expires with its blockhash and is signed anew.
    fn reprice<'a>(&'a self, _: &'a SignedRefund) -> BoxFuture<'a, Result<Option<Refund>, ChainError>> {
        std::future::ready(Ok(None)).boxed()
    }

    fn send<'a>(&'a self, signed: &'a SignedRefund) -> BoxFuture<'a, Result<(), ChainError>> {
        self.send(signed).boxed()
    }

    fn fate<'a>(
        &'a self,
        transaction: &'a str,
        signed: &'a SignedRefund,
    ) -> BoxFuture<'a, Result<Fate, ChainError>> {
        self.fate(transaction, signed).boxed()
    }
}
