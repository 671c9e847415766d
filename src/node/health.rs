//! The health of the node's parts, asked for by `/health` and the doctor.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use parking_lot::RwLock;

use crate::{
    service::{Health, Part},
    store::Store,
};

/// A part that takes longer than this to answer is not well.
const PATIENCE: Duration = Duration::from_secs(3);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

/// The parts that are asked. Cheap to clone; parts may be added at any time.
#[derive(Clone, Default)]
pub struct HealthBoard {
    probes: Arc<RwLock<Vec<(String, Probe)>>>,
}

impl HealthBoard {
    /// `probe` gives a detail for people: `Ok` while the part works. It holds no secret and no number.
    pub fn add<F, Fut>(&self, name: &str, probe: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.probes.write().push((name.to_owned(), Arc::new(move || probe().boxed())));
    }

    pub fn add_store(&self, store: Store) {
        self.add("store", move || {
            let store = store.clone();
            async move { store.ping().await.map(|()| "answers".into()).map_err(|_| "does not answer".into()) }
        });
    }
}

impl Health for HealthBoard {
    fn parts(&self) -> BoxFuture<'_, Vec<Part>> {
        let probes = self.probes.read().clone();
        join_all(probes.into_iter().map(|(name, probe)| ask(name, probe, PATIENCE))).boxed()
    }
}

async fn ask(name: String, probe: Probe, patience: Duration) -> Part {
    let answer = tokio::time::timeout(patience, probe()).await;
    match answer.unwrap_or_else(|_| Err(format!("no answer within {patience:?}"))) {
        Ok(detail) => Part { name, ok: true, detail },
        Err(detail) => Part { name, ok: false, detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_hangs_is_not_well() {
        let hangs: Probe = Arc::new(|| std::future::pending().boxed());
        let part = ask("trunk".into(), hangs, Duration::ZERO).await;
        assert_eq!((part.ok, part.detail.as_str()), (false, "no answer within 0ns"));
    }

    #[tokio::test]
    async fn parts_are_told_in_the_order_they_were_added() {
        let board = HealthBoard::default();
        board.add("trunk", async || Err("not registered".to_owned()));
        board.add("llm", async || Ok("ready".to_owned()));
        let parts = board.parts().await;
        let verdicts: Vec<_> = parts.iter().map(|part| (part.name.as_str(), part.ok)).collect();
        assert_eq!(verdicts, [("trunk", false), ("llm", true)]);
    }
}
