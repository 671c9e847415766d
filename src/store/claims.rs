//! Payments that agents have offered, each a claim that buys one thing, once; and the ledger of what became
//! of them.
//!
//! The unique index over the authorisation is the rule of spending: of any number of requests that carry one
//! authorisation at the same instant, one gets [`Claimed::New`]. Every change of state is one transaction
//! with its ledger row, and happens only from the state it was decided in.

mod after;

use std::str::FromStr;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, SqliteConnection};

use super::{Store, StoreError};
use crate::base::{ClaimId, Usd, Wallet, words::text_enum};

text_enum! {
    /// Where a payment is. The way is down the list; `Released` is reached from the first two alone.
    ClaimState {
        /// It is this request's, and nothing has been done for it.
        Reserved = "reserved",
        /// What it buys is set aside, and the chain is asked. Until it answers, nobody knows.
        Settling = "settling",
        /// The money has moved. A row of the ledger: the claim goes on to the next state at the same time.
        Settled = "settled",
        /// Bought and handed over.
        Delivered = "delivered",
        /// Nothing was charged. The same request may take it up again.
        Released = "released",
        /// Paid, and not to be kept.
        RefundDue = "refund_due",
        /// The refund has been sent to the chain.
        Refunding = "refunding",
        Refunded = "refunded",
        /// Its settlement has left the chain again: a re-organisation dropped the block.
        Disputed = "disputed",
    }
}

/// An offered payment together with the request it came with.
#[derive(Debug, Clone, PartialEq)]
pub struct NewClaim {
    /// The payment protocol: `x402`, `mpp`.
    pub scheme: String,
    /// CAIP-2.
    pub network: String,
    /// The token's contract, lower case.
    pub asset: String,
    pub payer: Wallet,
    /// What makes the authorisation one of its kind among the payer's.
    pub nonce: String,
    pub amount: Usd,
    pub pay_to: Wallet,
    pub valid_before: DateTime<Utc>,
    /// Method and path, such as `POST /api/call`.
    pub route: String,
    /// Hexadecimal.
    pub body_sha256: String,
    /// What settling needs, to go on after a restart.
    pub proof: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub id: ClaimId,
    pub offer: NewClaim,
    pub state: ClaimState,
    /// What was set aside for it.
    pub work: Option<serde_json::Value>,
    /// The transaction that moved the money.
    pub settlement: Option<String>,
    /// HTTP status and body, once delivered.
    pub answer: Option<(u16, String)>,
    /// The last refund that was tried.
    pub refund: Option<Refund>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// A transaction that pays a claim back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its hash.
    pub transaction: String,
    /// `None` where the operator sent it.
    pub signed: Option<SignedRefund>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRefund {
    /// What is broadcast, in hexadecimal.
    pub raw: String,
    /// The transaction's number in its account.
    pub nonce: u64,
    /// Hashes of those with the same number that offered less for their gas. One of all is mined, whichever.
    pub earlier: Vec<String>,
}

/// Whose an authorisation is.
#[derive(Debug, Clone, PartialEq)]
pub enum Claimed {
    /// This request's alone.
    New(Claim),
    /// An equal request has it already.
    Again(Claim),
    /// A request for something else has it.
    Foreign,
}

/// What goes with a change of state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    pub work: Option<serde_json::Value>,
    pub settlement: Option<String>,
    pub answer: Option<(u16, String)>,
    pub refund: Option<Refund>,
    /// For the ledger: why, in words without personal data.
    pub detail: String,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub claim: ClaimId,
    pub at: DateTime<Utc>,
    pub state: ClaimState,
    /// Millionths of a dollar that came in (or, negative, went out) with this change.
    pub moved_micros: i64,
    pub detail: String,
}

impl Store {
    /// Takes the authorisation for this request, or says who has it. A released one is taken up again by an
    /// equal request.
    pub async fn claim(&self, offer: &NewClaim, now: DateTime<Utc>) -> Result<Claimed, StoreError> {
        let mut tx = self.money.begin_with("BEGIN IMMEDIATE").await?;
        let existing = find(&mut tx, offer).await?;
        let claimed = match existing {
            None => {
                let claim = insert(&mut tx, offer, now).await?;
                log(&mut tx, &claim, (ClaimState::Reserved, ClaimState::Reserved), "offered", now).await?;
                Claimed::New(claim)
            }
            Some(claim)
                if claim.offer.route != offer.route || claim.offer.body_sha256 != offer.body_sha256 =>
            {
                Claimed::Foreign
            }
            Some(claim) if claim.state == ClaimState::Released => {
                let change = Change { detail: "offered again".into(), ..Change::default() };
                let (from, to) = (ClaimState::Released, ClaimState::Reserved);
                update(&mut tx, claim.id, from, to, &change, now).await?;
                replace(&mut tx, claim.id, offer).await?;
                log(&mut tx, &claim, (from, to), &change.detail, now).await?;
                Claimed::New(Claim { state: ClaimState::Reserved, offer: offer.clone(), ..claim })
            }
            Some(claim) => Claimed::Again(claim),
        };
        tx.commit().await?;
        Ok(claimed)
    }

    /// Moves a claim on and writes its ledger row; `None` where it is not in `from` any more, and nothing
    /// has changed.
    pub async fn advance(
        &self,
        id: ClaimId,
        from: ClaimState,
        to: ClaimState,
        change: Change,
        now: DateTime<Utc>,
    ) -> Result<Option<Claim>, StoreError> {
        self.advance_through(id, from, &[to], change, now).await
    }

    /// Moves a claim to the last of these states at once, with a ledger row for each. The change is the last
    /// one's.
    pub async fn advance_through(
        &self,
        id: ClaimId,
        from: ClaimState,
        through: &[ClaimState],
        change: Change,
        now: DateTime<Utc>,
    ) -> Result<Option<Claim>, StoreError> {
        let Some((last, passed)) = through.split_last() else { return Ok(None) };
        let mut tx = self.money.begin_with("BEGIN IMMEDIATE").await?;
        let Some(claim) = update(&mut tx, id, from, *last, &change, now).await? else { return Ok(None) };
        let mut before = from;
        for state in passed {
            log(&mut tx, &claim, (before, *state), state.as_str(), now).await?;
            before = *state;
        }
        log(&mut tx, &claim, (before, *last), &change.detail, now).await?;
        tx.commit().await?;
        Ok(Some(claim))
    }

    pub async fn claim_by_id(&self, id: ClaimId) -> Result<Option<Claim>, StoreError> {
        let mut db = self.money.acquire().await?;
        by_id(&mut db, id).await
    }

    /// The claim of an equal authorisation, if it was ever offered.
    pub async fn claim_of(&self, offer: &NewClaim) -> Result<Option<Claim>, StoreError> {
        let mut db = self.money.acquire().await?;
        find(&mut db, offer).await
    }

    /// Claims whose spending is under way, oldest first.
    pub async fn open_claims(&self) -> Result<Vec<Claim>, StoreError> {
        let rows: Vec<ClaimRow> = sqlx::query_as(
            "SELECT * FROM claims WHERE state NOT IN ('delivered', 'released', 'refunded') \
             AND state NOT IN ('refund_due', 'refunding', 'disputed') ORDER BY id",
        )
        .fetch_all(&self.money)
        .await?;
        rows.into_iter().map(ClaimRow::into_claim).collect()
    }

    /// Claims that moved money, oldest first: what a chain can be compared with.
    pub async fn settled_claims(&self) -> Result<Vec<Claim>, StoreError> {
        let rows: Vec<ClaimRow> =
            sqlx::query_as("SELECT * FROM claims WHERE settlement IS NOT NULL ORDER BY id")
                .fetch_all(&self.money)
                .await?;
        rows.into_iter().map(ClaimRow::into_claim).collect()
    }

    /// The ledger since `since`, oldest first.
    pub async fn ledger(&self, since: DateTime<Utc>) -> Result<Vec<Entry>, StoreError> {
        let rows: Vec<EntryRow> =
            sqlx::query_as("SELECT claim, at, state, amount, detail FROM ledger WHERE at >= ? ORDER BY id")
                .bind(since)
                .fetch_all(&self.money)
                .await?;
        rows.into_iter().map(EntryRow::into_entry).collect()
    }

    /// Marks a sign-in challenge as used; `false` if it was used before.
    pub async fn use_nonce(&self, nonce: &str, now: DateTime<Utc>) -> Result<bool, StoreError> {
        let used =
            sqlx::query("INSERT INTO sign_in_nonces (nonce, used_at) VALUES (?, ?) ON CONFLICT DO NOTHING")
                .bind(nonce)
                .bind(now)
                .execute(&self.money)
                .await?;
        Ok(used.rows_affected() == 1)
    }

    /// Forgets challenges that were used before `before`: those have expired by themselves.
    pub async fn forget_nonces(&self, before: DateTime<Utc>) -> Result<u64, StoreError> {
        let gone = sqlx::query("DELETE FROM sign_in_nonces WHERE used_at < ?")
            .bind(before)
            .execute(&self.money)
            .await?;
        Ok(gone.rows_affected())
    }
}

async fn find(db: &mut SqliteConnection, offer: &NewClaim) -> Result<Option<Claim>, StoreError> {
    let row: Option<ClaimRow> =
        sqlx::query_as("SELECT * FROM claims WHERE network = ? AND asset = ? AND payer = ? AND nonce = ?")
            .bind(&offer.network)
            .bind(&offer.asset)
            .bind(offer.payer.as_str())
            .bind(&offer.nonce)
            .fetch_optional(db)
            .await?;
    row.map(ClaimRow::into_claim).transpose()
}

async fn by_id(db: &mut SqliteConnection, id: ClaimId) -> Result<Option<Claim>, StoreError> {
    let row: Option<ClaimRow> =
        sqlx::query_as("SELECT * FROM claims WHERE id = ?").bind(id.to_string()).fetch_optional(db).await?;
    row.map(ClaimRow::into_claim).transpose()
}

async fn insert(
    db: &mut SqliteConnection,
    offer: &NewClaim,
    now: DateTime<Utc>,
) -> Result<Claim, StoreError> {
    let id = ClaimId::generate();
    sqlx::query(
        "INSERT INTO claims (id, scheme, network, asset, payer, nonce, amount, pay_to, valid_before, route, \
         body_sha256, proof, state, created_at, updated_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(id.to_string())
    .bind(&offer.scheme)
    .bind(&offer.network)
    .bind(&offer.asset)
    .bind(offer.payer.as_str())
    .bind(&offer.nonce)
    .bind(signed(offer.amount))
    .bind(offer.pay_to.as_str())
    .bind(offer.valid_before)
    .bind(&offer.route)
    .bind(&offer.body_sha256)
    .bind(offer.proof.to_string())
    .bind(ClaimState::Reserved.as_str())
    .bind(now)
    .bind(now)
    .execute(db)
    .await?;
    Ok(Claim {
        id,
        offer: offer.clone(),
        state: ClaimState::Reserved,
        work: None,
        settlement: None,
        answer: None,
        refund: None,
        created_at: now,
        updated_at: now,
    })
}

async fn update(
    db: &mut SqliteConnection,
    id: ClaimId,
    from: ClaimState,
    to: ClaimState,
    change: &Change,
    now: DateTime<Utc>,
) -> Result<Option<Claim>, StoreError> {
    let (status, answer) = change.answer.as_ref().map(|(s, a)| (i64::from(*s), a.as_str())).unzip();
    let signed = change.refund.as_ref().and_then(|refund| refund.signed.as_ref());
    let refund_nonce = signed.map(|signed| i64::try_from(signed.nonce).unwrap_or(i64::MAX));
    let earlier = signed.map(|signed| serde_json::json!(signed.earlier).to_string());
    let updated: Option<ClaimRow> = sqlx::query_as(
        "UPDATE claims SET state = ?1, updated_at = ?2, work = coalesce(?3, work), \
         settlement = coalesce(?4, settlement), status = coalesce(?5, status), \
         answer = coalesce(?6, answer), \
         refund = coalesce(?9, refund), refund_raw = iif(?9 IS NULL, refund_raw, ?10), \
         refund_nonce = iif(?9 IS NULL, refund_nonce, ?11), \
         refund_earlier = iif(?9 IS NULL, refund_earlier, ?12) WHERE id = ?7 AND state = ?8 RETURNING *",
    )
    .bind(to.as_str())
    .bind(now)
    .bind(change.work.as_ref().map(serde_json::Value::to_string))
    .bind(change.settlement.as_deref())
    .bind(status)
    .bind(answer)
    .bind(id.to_string())
    .bind(from.as_str())
    .bind(change.refund.as_ref().map(|refund| refund.transaction.as_str()))
    .bind(signed.map(|signed| signed.raw.as_str()))
    .bind(refund_nonce)
    .bind(earlier)
    .fetch_optional(db)
    .await?;
    updated.map(ClaimRow::into_claim).transpose()
}

/// What is offered again may differ in all but its key: another signature, another transaction.
async fn replace(db: &mut SqliteConnection, id: ClaimId, offer: &NewClaim) -> Result<(), StoreError> {
    sqlx::query("UPDATE claims SET amount = ?, pay_to = ?, valid_before = ?, proof = ? WHERE id = ?")
        .bind(signed(offer.amount))
        .bind(offer.pay_to.as_str())
        .bind(offer.valid_before)
        .bind(offer.proof.to_string())
        .bind(id.to_string())
        .execute(db)
        .await?;
    Ok(())
}

async fn log(
    db: &mut SqliteConnection,
    claim: &Claim,
    (from, to): (ClaimState, ClaimState),
    detail: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let moved = match (from, to) {
        (ClaimState::Disputed, _) | (_, ClaimState::Settled) => signed(claim.offer.amount),
        (_, ClaimState::Refunded | ClaimState::Disputed) => -signed(claim.offer.amount),
        _ => 0,
    };
    sqlx::query("INSERT INTO ledger (claim, at, state, amount, detail) VALUES (?, ?, ?, ?, ?)")
        .bind(claim.id.to_string())
        .bind(now)
        .bind(to.as_str())
        .bind(moved)
        .bind(detail)
        .execute(db)
        .await?;
    Ok(())
}

/// A price is far below the nine billion dollars where this would saturate.
fn signed(amount: Usd) -> i64 {
    i64::try_from(amount.micros()).unwrap_or(i64::MAX)
}

#[derive(FromRow)]
struct ClaimRow {
    id: String,
    scheme: String,
    network: String,
    asset: String,
    payer: String,
    nonce: String,
    amount: i64,
    pay_to: String,
    valid_before: DateTime<Utc>,
    route: String,
    body_sha256: String,
    proof: String,
    state: String,
    work: Option<String>,
    settlement: Option<String>,
    status: Option<i64>,
    answer: Option<String>,
    refund: Option<String>,
    refund_raw: Option<String>,
    refund_nonce: Option<i64>,
    refund_earlier: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl ClaimRow {
    fn into_claim(self) -> Result<Claim, StoreError> {
        let status = self.status.and_then(|status| u16::try_from(status).ok());
        let nonce = self.refund_nonce.and_then(|nonce| u64::try_from(nonce).ok());
        let earlier =
            self.refund_earlier.as_deref().map(|hashes| json("refund_earlier", hashes)).transpose()?;
        let earlier = earlier.and_then(|hashes| serde_json::from_value(hashes).ok()).unwrap_or_default();
        let signed = self.refund_raw.zip(nonce).map(|(raw, nonce)| SignedRefund { raw, nonce, earlier });
        Ok(Claim {
            id: read("id", &self.id)?,
            offer: NewClaim {
                scheme: self.scheme,
                network: self.network,
                asset: self.asset,
                payer: read("payer", &self.payer)?,
                nonce: self.nonce,
                amount: Usd::from_micros(self.amount.unsigned_abs()),
                pay_to: read("pay_to", &self.pay_to)?,
                valid_before: self.valid_before,
                route: self.route,
                body_sha256: self.body_sha256,
                proof: json("proof", &self.proof)?,
            },
            state: read("state", &self.state)?,
            work: self.work.as_deref().map(|work| json("work", work)).transpose()?,
            settlement: self.settlement,
            answer: status.zip(self.answer),
            refund: self.refund.map(|transaction| Refund { transaction, signed }),
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

#[derive(FromRow)]
struct EntryRow {
    claim: String,
    at: DateTime<Utc>,
    state: String,
    amount: i64,
    detail: String,
}

impl EntryRow {
    fn into_entry(self) -> Result<Entry, StoreError> {
        Ok(Entry {
            claim: read("claim", &self.claim)?,
            at: self.at,
            state: read("state", &self.state)?,
            moved_micros: self.amount,
            detail: self.detail,
        })
    }
}

fn read<T: FromStr<Err: ToString>>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error: T::Err| StoreError::Corrupt { column, detail: error.to_string() })
}

fn json(column: &'static str, text: &str) -> Result<serde_json::Value, StoreError> {
    let detail = |error: serde_json::Error| format!("unreadable JSON at character {}", error.column());
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt { column, detail: detail(error) })
}

#[cfg(test)]
#[path = "claims_tests.rs"]
pub(crate) mod tests;
