//! What holds whatever is done in whatever order.

use proptest::prelude::*;

use super::{any, *};

/// What buyers and owners do, to one number each time.
#[derive(Debug, Clone)]
enum Act {
    Hold(u8),
    Lease(u8),
    Cancel(u8),
    TopUp(u8),
    Release,
    Wait(u32),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let claim = || 0..4_u8;
    let act = prop_oneof![
        6 => claim().prop_map(Act::Hold),
        6 => claim().prop_map(Act::Lease),
        1 => claim().prop_map(Act::Cancel),
        1 => claim().prop_map(Act::TopUp),
        1 => Just(Act::Release),
        2 => (0..400_u32).prop_map(Act::Wait),
        5 => (1..16_u32).prop_map(|days| Act::Wait(days * 86_400)),
    ];
    proptest::collection::vec(act, 10..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done in whatever order: an owner keeps the number until the lease's last moment, and
    /// nobody else can take it before its grace is over.
    #[test]
    fn an_owner_is_never_displaced(acts in acts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let numbers = stocked(&[ONE]).await;
            let one: E164 = ONE.parse().unwrap();
            let mut now = day(0);
            let mut standing: Option<Lease> = None;
            for act in acts {
                match act {
                    Act::Hold(claim) => { let _ = numbers.hold(&any(), &claim.to_string(), now).await; }
                    Act::Cancel(claim) => numbers.release_hold(&claim.to_string()).await.unwrap(),
                    Act::Wait(seconds) => now += TimeDelta::seconds(seconds.into()),
                    Act::Lease(claim) => {
                        let buyer = wallet(if claim % 2 == 0 { ALICE } else { BOB });
                        if let Ok(lease) = numbers.lease(&claim.to_string(), &buyer, "x", now).await
                            && lease.phase(now) != Phase::Over
                        {
                            if let Some(before) = &standing && before.phase(now) != Phase::Over {
                                assert_eq!(before.id, lease.id);
                            }
                            standing = Some(lease);
                        }
                    }
                    Act::TopUp(claim) => {
                        let claim = format!("up-{claim}");
                        let _ = numbers.hold_lapsed(&one, Owner::Anyone, &claim, now).await;
                        let topped = numbers.top_up(&one, Owner::Anyone, &claim, now).await;
                        if let Ok(lease) = topped && lease.released_at.is_none() {
                            standing = Some(lease);
                        }
                    }
                    Act::Release => {
                        if numbers.release(&one, Owner::Anyone, now).await.is_ok() {
                            standing = None;
                        }
                    }
                }
                let owner = standing.as_ref().filter(|lease| lease.phase(now) == Phase::Active);
                assert_eq!(numbers.owner_of(&one, now).await.unwrap().as_ref(), owner.map(|lease| &lease.owner));
                let is_kept = standing.as_ref().is_some_and(|lease| lease.phase(now) != Phase::Over);
                let free = numbers.availability(&any(), now).await.unwrap();
                assert!(!(is_kept && free > 0), "a number in use is on offer");
            }
        });
    }

    /// The rules compare times as text.
    #[test]
    fn times_sort_as_text(a in 0..4_000_000_000_000_000_000_i64, b in 0..4_000_000_000_000_000_000_i64, cut in 0..10_u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let unit = 10_i64.pow(cut);
        let [a, b] = [a, b].map(|nanos| DateTime::from_timestamp_nanos(nanos / unit * unit));
        let less: bool = runtime.block_on(async {
            let numbers = stocked(&[]).await;
            sqlx::query_scalar("SELECT ? < ?").bind(a).bind(b).fetch_one(&numbers.store.pool).await.unwrap()
        });
        prop_assert_eq!(less, a < b);
    }
}
