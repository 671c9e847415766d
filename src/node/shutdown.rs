//! Signals: SIGINT and SIGTERM stop the node gently, a second one at once; SIGHUP reloads.

use std::{future::Future, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the parts of a node share about its stopping. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    token: CancellationToken,
}

impl Shutdown {
    pub fn new() -> Shutdown {
        Shutdown::default()
    }

    /// Begins to stop.
    pub fn begin(&self) {
        self.token.cancel();
    }

    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Ends when stopping begins.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Waits for `work` once stopping has begun, at most `deadline`; false where it was cut short.
    pub async fn within(deadline: Duration, work: impl Future) -> bool {
        tokio::time::timeout(deadline, work).await.is_ok()
    }

    /// Listens for signals for the rest of the process's life. `reload` runs at every SIGHUP.
    pub fn listen<R, F>(&self, reload: R) -> std::io::Result<()>
    where
        R: Fn() -> F + Send + 'static,
        F: Future<Output = ()> + Send,
    {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => shutdown.stop_or_exit(),
                    _ = terminate.recv() => shutdown.stop_or_exit(),
                    _ = hangup.recv() => reload().await,
                }
            }
        });
        Ok(())
    }

    fn stop_or_exit(&self) {
        if self.has_begun() {
            tracing::warn!("second signal: stopping at once");
            std::process::exit(130);
        }
        tracing::info!("stopping; live calls are ended first, a second signal stops at once");
        self.begin();
    }
}
