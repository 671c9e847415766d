//! The thread of one engine: build it, serve it, and build it again when it died.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Factory, Health,
    queue::{Queue, Taken},
};
use crate::engine::EngineError;

/// Waits between attempts to build an engine again: doubled each time, back to the first after the
/// engine has lived for [`SETTLED`].
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
const SETTLED: Duration = Duration::from_secs(30);

/// How one kind of engine is served. `Err` means that the engine is dead, and the request that found out
/// is answered by [`Server::fail_open`]; whatever concerns one request alone is answered to its caller
/// and is `Ok` here.
pub(super) trait Server: Send + 'static {
    type Engine: ?Sized;
    type Command: Send + 'static;

    fn handle(&mut self, engine: &mut Self::Engine, command: Self::Command) -> Result<(), EngineError>;

    /// Whether [`Server::step`] has work without a new command.
    fn busy(&mut self, _engine: &Self::Engine) -> bool {
        false
    }

    fn step(&mut self, _engine: &mut Self::Engine) -> Result<(), EngineError> {
        Ok(())
    }

    /// Looks after an engine that nobody has asked anything for a while.
    fn check(&mut self, _engine: &mut Self::Engine) -> Result<(), EngineError> {
        Ok(())
    }

    /// A new engine stands ready; nothing that the old one knew is left.
    fn begin(&mut self, _engine: &Self::Engine) {}

    /// Answers every request under way with `error`, the one that found the engine dead included.
    fn fail_open(&mut self, error: &EngineError);

    /// Answers a request that was never taken up.
    fn refuse(command: Self::Command, error: &EngineError);
}

/// Runs until the queue is closed.
pub(super) fn run<S: Server>(
    name: &'static str,
    factory: Factory<S::Engine>,
    queue: Arc<Queue<S::Command>>,
    health: impl Fn(Health),
    mut server: S,
) {
    let mut backoff = BACKOFF.0;
    loop {
        let born = Instant::now();
        let error = match guarded(|| factory()) {
            Ok(mut engine) => {
                queue.take_up();
                // Before anybody hears that it is ready: who waits for that asks for its voices next.
                server.begin(&engine);
                health(Health::Ready);
                let Some(error) = serve(&mut server, &mut engine, &queue) else { return };
                // A broken engine may panic again while it is dropped; that must not end the thread.
                let _ = catch_unwind(AssertUnwindSafe(move || drop(engine)));
                error
            }
            Err(error) => error,
        };
        if born.elapsed() > SETTLED {
            backoff = BACKOFF.0;
        }
        go_down(&queue, &health, &mut server, &error);
        metrics::counter!("callbox_engine_deaths_total", "engine" => name).increment(1);
        tracing::error!(engine = name, retry_in_ms = backoff.as_millis() as u64, "{error}");
        if queue.closed_within(backoff) {
            return;
        }
        backoff = (backoff * 2).min(BACKOFF.1);
    }
}

/// Serves until the end (`None`) or the engine's death.
fn serve<S: Server>(
    server: &mut S,
    engine: &mut S::Engine,
    queue: &Arc<Queue<S::Command>>,
) -> Option<EngineError> {
    loop {
        let outcome = match queue.take(!server.busy(engine)) {
            Taken::Closed => return None,
            Taken::Command(command) => guarded(|| server.handle(engine, command)),
            Taken::Nothing => guarded(|| server.step(engine)),
            Taken::Quiet => guarded(|| server.check(engine)),
        };
        if let Err(error) = outcome {
            return Some(error);
        }
    }
}

fn go_down<S: Server>(
    queue: &Arc<Queue<S::Command>>,
    health: &impl Fn(Health),
    server: &mut S,
    error: &EngineError,
) {
    // What cannot start cannot be asked either: callers see one kind of error.
    let died = match error {
        EngineError::Died(_) => error.clone(),
        other => EngineError::Died(other.to_string()),
    };
    // Known to be down before anybody hears of it, so that who waits for `Ready` waits for the next one.
    health(Health::Down { detail: error.to_string() });
    for command in queue.take_down(died.clone()) {
        S::refuse(command, &died);
    }
    server.fail_open(&died);
}

/// Turns a panic of an engine into its death.
pub(super) fn guarded<T>(run: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "of unknown cause".to_owned());
        Err(EngineError::Died(format!("panicked: {message}")))
    })
}
