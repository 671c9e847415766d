use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;

use super::*;

/// A claim that a node left in `state` when it died.
async fn left(store: &Store, state: ClaimState) -> Claim {
    let Claimed::New(claim) = store.claim(&offered(1, "a"), Utc::now()).await.unwrap() else {
        panic!("not new")
    };
    if state == ClaimState::Reserved {
        return claim;
    }
    let change = Change { work: Some(json!({ "job": 1 })), ..Change::default() };
    store.advance(claim.id, ClaimState::Reserved, state, change, Utc::now()).await.unwrap().unwrap()
}

async fn recover(gate: &Gate, job: &Job) -> usize {
    let job = job.clone();
    gate.recover(move |_| Some(Box::new(job.clone()))).await.unwrap()
}

async fn state(store: &Store, claim: &Claim) -> ClaimState {
    store.claim_by_id(claim.id).await.unwrap().unwrap().state
}

fn unknown() -> Outcome {
    Outcome::Unknown { detail: "no receipt".into() }
}

fn failed(reason: &str) -> Outcome {
    Outcome::Failed { reason: reason.into() }
}

#[tokio::test]
async fn node_that_died_charges_nothing_twice_and_delivers_or_gives_back() {
    use ClaimState::*;
    // The state it died in, what the chain says first, where it ends, [reserved, delivered, cancelled], how often
    // it is settled.
    for (died, look, end, counts, settled) in [
        (Reserved, None, Released, [0, 0, 1], 0),
        (Settling, None, Delivered, [0, 1, 0], 0),
        (Settling, Some(failed("expired")), Released, [0, 0, 1], 0),
        (Settling, Some(unknown()), Delivered, [0, 1, 0], 1),
    ] {
        let looks = look.clone().into_iter().collect::<Vec<_>>().into();
        let (gate, chain, store) = rig(Chain { looks, ..Chain::default() }).await;
        let (claim, job) = (left(&store, died).await, Job::default());
        assert_eq!(recover(&gate, &job).await, 1);
        let asked = chain.settled.load(Ordering::SeqCst);
        assert_eq!(
            (state(&store, &claim).await, job.done.counts(), asked),
            (end, counts, settled),
            "{look:?}"
        );
        assert_eq!(recover(&gate, &job).await, 0, "nothing is left");
    }
}

#[tokio::test]
async fn work_that_is_gone_is_never_paid_for_anew() {
    let (gate, chain, store) = rig(Chain { looks: vec![unknown()].into(), ..Chain::default() }).await;
    let (claim, job) = (left(&store, ClaimState::Settling).await, Job { is_gone: true, ..Job::default() });
    recover(&gate, &job).await;
    assert_eq!(state(&store, &claim).await, ClaimState::Settling);
    assert_eq!((job.done.counts(), chain.settled.load(Ordering::SeqCst)), ([0, 0, 0], 0));
}

#[tokio::test]
async fn settlement_that_waits_to_be_mined_is_not_sent_again() {
    let chain = Chain { looks: vec![unknown()].into(), under_way: true, ..Chain::default() };
    let (gate, chain, store) = rig(chain).await;
    let (claim, job) = (left(&store, ClaimState::Settling).await, Job::default());
    recover(&gate, &job).await;
    assert_eq!(
        (state(&store, &claim).await, chain.settled.load(Ordering::SeqCst)),
        (ClaimState::Settling, 0)
    );
    recover(&gate, &job).await;
    assert_eq!(state(&store, &claim).await, ClaimState::Delivered);
}

/// The earlier try may be mined after the refusal of a later one.
#[tokio::test]
async fn second_try_that_is_refused_leaves_the_payment_unknown() {
    let chain = Chain {
        looks: vec![unknown(), unknown()].into(),
        settles: vec![failed("exceeds balance")].into(),
        ..Chain::default()
    };
    let (gate, chain, store) = rig(chain).await;
    let (claim, job) = (left(&store, ClaimState::Settling).await, Job::default());
    recover(&gate, &job).await;
    assert_eq!((state(&store, &claim).await, job.done.counts()), (ClaimState::Settling, [0, 0, 0]));
    chain.looks.lock().clear();
    recover(&gate, &job).await;
    assert_eq!((state(&store, &claim).await, job.done.counts()), (ClaimState::Delivered, [0, 1, 0]));
}

#[tokio::test]
async fn paid_work_that_nobody_can_restore_is_owed() {
    let (gate, _, store) = rig(Chain::default()).await;
    let claim = left(&store, ClaimState::Settling).await;
    gate.recover(|_| None).await.unwrap();
    assert_eq!(state(&store, &claim).await, ClaimState::RefundDue);
}

#[tokio::test]
async fn prepaid_work_of_a_node_that_died_is_owed_back() {
    let (gate, _, store) = rig(Chain { prepaid: true, ..Chain::default() }).await;
    let (claim, job) = (left(&store, ClaimState::Reserved).await, Job::default());
    recover(&gate, &job).await;
    assert_eq!((state(&store, &claim).await, job.done.counts()), (ClaimState::RefundDue, [0, 0, 1]));
}

#[tokio::test]
async fn payment_that_a_task_has_in_hand_is_left_to_it() {
    let chain = Chain { looks: (0..4).map(|_| unknown()).collect::<Vec<_>>().into(), ..Chain::default() };
    chain.settles.lock().push(unknown());
    let (mut gate, chain, store) = rig(chain).await;
    gate.pace = Pace { look_again: (Duration::from_secs(600), Duration::from_secs(600)), ..gate.pace };
    let job = Job::default();
    let buying = tokio::spawn({
        let (gate, job) = (gate.clone(), job.clone());
        async move { spend(&gate, 1, "a", &job).await }
    });
    while states(&store).await.last() != Some(&ClaimState::Settling) {
        tokio::task::yield_now().await;
    }
    assert_eq!(recover(&gate, &job).await, 0);
    assert_eq!(chain.settled.load(Ordering::SeqCst), 1);
    // Its buyer asks again: it is settled again, by the task that has it.
    chain.looks.lock().truncate(1);
    let again = spend(&gate, 1, "a", &Job::default()).await;
    assert_eq!((again, buying.await.unwrap()), (delivered(), delivered()));
    assert_eq!((job.done.counts(), chain.settled.load(Ordering::SeqCst)), ([1, 1, 0], 2));
}

/// A database on disk whose writes can be refused.
struct Disk {
    dir: TempDir,
    store: Store,
}

impl Disk {
    async fn new() -> Disk {
        let dir = tempfile::tempdir().unwrap();
        let config = store::Config { data_dir: dir.path().into(), url: String::new() };
        Disk { store: Store::open(&config).await.unwrap(), dir }
    }

    async fn connection(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.dir.path().join("callbox.db")).connect().await.unwrap()
    }

    async fn refuse(&self, state: ClaimState) {
        let trigger = format!(
            "CREATE TRIGGER refused BEFORE UPDATE ON claims WHEN NEW.state = '{state}' \
             BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        );
        sqlx::query(sqlx::AssertSqlSafe(trigger)).execute(&mut self.connection().await).await.unwrap();
    }

    async fn mend(&self) {
        sqlx::query("DROP TRIGGER refused").execute(&mut self.connection().await).await.unwrap();
    }
}

/// Each write of a payment fails once. Nothing is lost, and nothing moves twice.
#[tokio::test]
async fn write_that_fails_while_the_node_lives_is_made_up_for() {
    use ClaimState::*;
    for (refused, rests, end, counts) in
        [(Settling, Reserved, Released, [1, 0, 2]), (Delivered, Settling, Delivered, [1, 2, 0])]
    {
        let disk = Disk::new().await;
        let (gate, chain, store) = rig_over(disk.store.clone(), Chain::default());
        disk.refuse(refused).await;
        let job = Job::default();
        assert!(gate.spend(offered(1, "a"), Box::new(job.clone())).await.is_err());
        assert_eq!(store.claim_of(&offered(1, "a")).await.unwrap().unwrap().state, rests);
        disk.mend().await;
        // The buyer asks again, and is what wakes whoever takes up what is left.
        let asking = tokio::spawn({
            let gate = gate.clone();
            async move { gate.earlier(&offered(1, "a")).await.unwrap() }
        });
        gate.until_wanted(Duration::from_secs(600)).await;
        assert_eq!(recover(&gate, &job).await, 1);
        let told = asking.await.unwrap().unwrap();
        assert_eq!(store.claim_of(&offered(1, "a")).await.unwrap().unwrap().state, end);
        assert_eq!(job.done.counts(), counts, "{refused}");
        assert_eq!(chain.settled.load(Ordering::SeqCst), usize::from(end == Delivered));
        assert_eq!(told == delivered(), end == Delivered, "{told:?}");
        let moved: i64 =
            store.ledger(DateTime::UNIX_EPOCH).await.unwrap().iter().map(|entry| entry.moved_micros).sum();
        assert_eq!(moved, if end == Delivered { 540_000 } else { 0 });
    }
}
