//! How many calls were placed lately: what caps are held against.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::FromRow;

use super::{Store, StoreError};
use crate::{
    base::{E164, Wallet},
    call::record::{CallDirection, TransferStatus},
};

/// Calls that this node placed, whatever became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recent {
    /// By the wallet; none for the operator.
    pub wallet: Placed,
    /// To the number.
    pub destination: Placed,
    /// To numbers that begin alike.
    pub prefix: Placed,
    /// To the number in the last hour, and not ended; a transfer to it counts while it rings or is spoken to. No
    /// call lives longer: an older row without an ending is one whose ending was lost.
    pub live: u32,
}

/// Calls in the last 60 minutes and in the last 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Placed {
    pub hour: u32,
    pub day: u32,
}

/// The calls placed that meet a condition, newest first: one, after as many as ?3 says.
macro_rules! newest {
    ($condition:literal) => {
        concat!(
            "SELECT created_at FROM calls WHERE ",
            $condition,
            " AND direction = ?2 ORDER BY created_at DESC LIMIT 1 OFFSET ?3"
        )
    };
}

/// Which calls are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallsOf {
    Wallet,
    Destination,
    Prefix,
}

/// Seconds that a telephone may ring beyond what a call may last.
const RINGING: TimeDelta = TimeDelta::seconds(60);

#[derive(FromRow)]
struct Counts {
    wallet_hour: u32,
    wallet_day: u32,
    to_hour: u32,
    to_day: u32,
    prefix_hour: u32,
    prefix_day: u32,
    live: u32,
}

impl Store {
    /// Counts the calls placed by `owner`, placed or transferred to `to`, and to numbers that begin with `prefix`.
    /// One pass over the rows of the last day, which an index by time gives.
    pub async fn recent_calls(
        &self,
        to: &E164,
        prefix: &str,
        owner: Option<&Wallet>,
        now: DateTime<Utc>,
    ) -> Result<Recent, StoreError> {
        let counts: Counts = sqlx::query_as(
            "SELECT count(*) FILTER (WHERE owner = ?1 AND created_at > ?5) AS wallet_hour, \
             count(*) FILTER (WHERE owner = ?1) AS wallet_day, \
             count(*) FILTER (WHERE ?2 IN (to_number, transfer_number) AND created_at > ?5) AS to_hour, \
             count(*) FILTER (WHERE ?2 IN (to_number, transfer_number)) AS to_day, \
             count(*) FILTER (WHERE in_block AND created_at > ?5) AS prefix_hour, \
             count(*) FILTER (WHERE in_block) AS prefix_day, \
             count(*) FILTER (WHERE ended_at IS NULL AND created_at > ?5 AND (to_number = ?2 \
                 OR transfer_number = ?2 AND transfer IN (?7, ?8))) AS live \
             FROM (SELECT *, substr(to_number, 1, length(?3)) = ?3 \
                 OR substr(coalesce(transfer_number, ''), 1, length(?3)) = ?3 AS in_block FROM calls \
                 WHERE created_at > ?6 AND direction = ?4)",
        )
        .bind(owner.map(|owner| owner.as_str().to_owned()))
        .bind(to.as_str().to_owned())
        .bind(prefix.to_owned())
        .bind(CallDirection::Outbound.as_str())
        .bind(now - TimeDelta::hours(1))
        .bind(now - TimeDelta::days(1))
        .bind(TransferStatus::Ringing.as_str())
        .bind(TransferStatus::Answered.as_str())
        .fetch_one(&self.pool)
        .await?;
        Ok(Recent {
            wallet: Placed { hour: counts.wallet_hour, day: counts.wallet_day },
            destination: Placed { hour: counts.to_hour, day: counts.to_day },
            prefix: Placed { hour: counts.prefix_hour, day: counts.prefix_day },
            live: counts.live,
        })
    }

    /// When the `nth` newest call of that kind was placed; the other arguments are those of
    /// [`Store::recent_calls`].
    pub async fn nth_newest_call(
        &self,
        of: CallsOf,
        nth: u32,
        (to, prefix, owner): (&E164, &str, Option<&Wallet>),
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let (sql, value) = match of {
            CallsOf::Wallet => (newest!("owner = ?1"), owner.map(|owner| owner.as_str().to_owned())),
            CallsOf::Destination => {
                (newest!("?1 IN (to_number, transfer_number)"), Some(to.as_str().to_owned()))
            }
            CallsOf::Prefix => (
                newest!(
                    "(substr(to_number, 1, length(?1)) = ?1 \
                     OR substr(coalesce(transfer_number, ''), 1, length(?1)) = ?1)"
                ),
                Some(prefix.to_owned()),
            ),
        };
        let at = sqlx::query_scalar(sql)
            .bind(value)
            .bind(CallDirection::Outbound.as_str())
            .bind(nth.saturating_sub(1))
            .fetch_optional(&self.pool)
            .await?;
        Ok(at)
    }

    /// When the live call to a number is over at the latest.
    pub async fn live_call_ends_by(
        &self,
        to: &E164,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StoreError> {
        let live: Option<(DateTime<Utc>, Option<DateTime<Utc>>, i64)> = sqlx::query_as(
            "SELECT created_at, answered_at, json_extract(plan, '$.max_duration_secs') FROM calls \
             WHERE (to_number = ?1 OR transfer_number = ?1 AND transfer IN (?4, ?5)) AND direction = ?2 \
             AND ended_at IS NULL AND created_at > ?3 ORDER BY created_at DESC LIMIT 1",
        )
        .bind(to.as_str().to_owned())
        .bind(CallDirection::Outbound.as_str())
        .bind(now - TimeDelta::hours(1))
        .bind(TransferStatus::Ringing.as_str())
        .bind(TransferStatus::Answered.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let ends = |(created, answered, secs): (DateTime<Utc>, Option<DateTime<Utc>>, i64)| {
            answered.unwrap_or(created + RINGING) + TimeDelta::seconds(secs)
        };
        Ok(live.map(ends))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::CallId,
        call::{
            event::{CallChange, CallEvent},
            record::{CallPlan, CallStatus},
        },
        store::tests::{ended, memory, plan},
    };

    const ALICE: &str = "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913";

    async fn placed(store: &Store, plan: CallPlan, at: DateTime<Utc>, live: bool) {
        let call = CallId::generate();
        let created = CallChange::Created { direction: CallDirection::Outbound, plan: Box::new(plan) };
        store.apply(&CallEvent { call, at, change: created }).await.unwrap();
        if !live {
            store.apply(&CallEvent { call, at, change: ended(CallStatus::NoAnswer) }).await.unwrap();
        }
    }

    #[tokio::test]
    async fn calls_are_counted_by_wallet_number_and_block_for_an_hour_and_a_day() {
        let store = Store::open(&memory()).await.unwrap();
        let now: DateTime<Utc> = "2027-01-05T12:00:00Z".parse().unwrap();
        let ago = |minutes| now - TimeDelta::minutes(minutes);
        let (alice, here): (Wallet, E164) = (ALICE.parse().unwrap(), "+14155550123".parse().unwrap());
        let neighbour: E164 = "+14155550199".parse().unwrap();
        let by = |owner: Option<&Wallet>, to: &E164| CallPlan {
            owner: owner.cloned(),
            to: Some(to.clone()),
            ..plan()
        };
        placed(&store, by(Some(&alice), &here), ago(5), true).await;
        placed(&store, by(None, &here), ago(10), false).await;
        placed(&store, by(Some(&alice), &neighbour), ago(59), false).await;
        placed(&store, by(Some(&alice), &here), ago(61), false).await;
        placed(&store, by(Some(&alice), &here), ago(70), true).await;
        placed(&store, by(Some(&alice), &here), ago(1441), false).await;
        let recent = store.recent_calls(&here, "+1415555", Some(&alice), now).await.unwrap();
        let expected = Recent {
            wallet: Placed { hour: 2, day: 4 },
            destination: Placed { hour: 2, day: 4 },
            prefix: Placed { hour: 3, day: 5 },
            live: 1,
        };
        assert_eq!(recent, expected);
        let newest = |of, nth| store.nth_newest_call(of, nth, (&here, "+1415555", Some(&alice)));
        let micros = |at: DateTime<Utc>| at.timestamp_micros();
        for (of, nth, expected) in [
            (CallsOf::Wallet, 2, Some(ago(59))),
            (CallsOf::Destination, 3, Some(ago(61))),
            (CallsOf::Prefix, 1, Some(ago(5))),
            (CallsOf::Prefix, 9, None),
        ] {
            let found = newest(of, nth).await.unwrap();
            assert_eq!(found.map(micros), expected.map(micros), "{of:?} {nth}");
        }
        let ends = store.live_call_ends_by(&here, now).await.unwrap().unwrap();
        let lasts = i64::try_from(plan().max_duration_secs).unwrap();
        assert_eq!(micros(ends), micros(ago(5) + RINGING + TimeDelta::seconds(lasts)));
        assert_eq!(store.live_call_ends_by(&neighbour, now).await.unwrap(), None);
        let operator = store.recent_calls(&here, "+1415555", None, now).await.unwrap();
        assert_eq!(operator, Recent { wallet: Placed::default(), ..expected });
    }
}
