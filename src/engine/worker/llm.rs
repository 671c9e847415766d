//! Conversations with a chat model: commands between steps, so that all calls share one batch.
//!
//! Before every step the worker takes all commands that wait, so a cancel takes effect before the next
//! token, and an answer whose receiver was dropped is cancelled too.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    watch,
};

use super::{
    Factory, Health, Timing, WorkerConfig,
    pool::{Pool, Seat, observe},
    queue::Lane,
    supervise::{Server, guarded},
};
use crate::engine::{ChatMessage, Completion, Delta, EngineError, Llm, StreamId, ToolSpec};

/// Answers longer than this many tokens are refused, so that their channel is bounded.
const MAX_TOKENS: u32 = 16_384;

/// An answer of which an engine says nothing for this long is given up.
const SILENT: Duration = Duration::from_secs(120);

/// A piece of an answer and its age: `inference` counts from the moment the engine took the answer up.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmEvent {
    pub delta: Delta,
    pub timing: Timing,
}

#[derive(Clone)]
pub struct LlmHandle {
    pool: Arc<Pool<Command>>,
}

impl LlmHandle {
    pub fn spawn(config: &WorkerConfig, factory: Factory<dyn Llm>) -> Self {
        let name = config.name;
        LlmHandle { pool: Pool::spawn(config, &factory, |_| Conversing { name, open: HashMap::new() }) }
    }

    pub fn conversation(&self) -> LlmConversation {
        LlmConversation { seat: self.pool.seat() }
    }

    pub fn health(&self) -> watch::Receiver<Health> {
        self.pool.health()
    }

    pub async fn ready(&self, within: Duration) -> Result<(), EngineError> {
        self.pool.ready(within).await
    }
}

/// One call's conversation. The messages are the caller's; the engine keeps only what it computed from
/// them. Dropping it frees that.
pub struct LlmConversation {
    seat: Seat<Command>,
}

impl LlmConversation {
    /// Evaluates a prompt prefix ahead of the first question. Returns at once; a failure inside the
    /// engine is logged and costs only the time it would have saved.
    pub fn warm(&self, messages: Vec<ChatMessage>, tools: Vec<ToolSpec>) -> Result<(), EngineError> {
        self.send(Command::Warm { stream: self.seat.stream, messages, tools })
    }

    /// Begins an answer, replacing one under way. The receiver ends after [`Delta::Done`] or
    /// [`Delta::Failed`]; dropping it cancels. Every failure arrives as [`Delta::Failed`].
    pub fn start(&self, request: Completion) -> mpsc::Receiver<LlmEvent> {
        // At most two deltas a token (text and a call), and the end.
        let capacity = 2 * request.max_tokens.min(MAX_TOKENS) as usize + 8;
        let (events, receiver) = mpsc::channel(capacity);
        let command = Command::Start { stream: self.seat.stream, request, events, asked: Instant::now() };
        if let Err((command, error)) = self.seat.worker.send(Lane::Normal, command) {
            Conversing::refuse(command, &error);
        }
        receiver
    }

    /// Stops the answer under way; what was computed stays for the next turn.
    pub fn cancel(&self) -> Result<(), EngineError> {
        let cancel = Command::Cancel(self.seat.stream);
        self.seat.worker.send(Lane::Ending, cancel).map_err(|(_, error)| error)
    }

    fn send(&self, command: Command) -> Result<(), EngineError> {
        self.seat.worker.send(Lane::Normal, command).map_err(|(_, error)| error)
    }
}

impl Drop for LlmConversation {
    fn drop(&mut self) {
        // A worker that is down has nothing left to forget.
        let _ = self.seat.worker.send(Lane::Ending, Command::Forget(self.seat.stream));
    }
}

enum Command {
    Warm { stream: StreamId, messages: Vec<ChatMessage>, tools: Vec<ToolSpec> },
    Start { stream: StreamId, request: Completion, events: mpsc::Sender<LlmEvent>, asked: Instant },
    Cancel(StreamId),
    Forget(StreamId),
}

/// An answer under way.
struct Answer {
    events: mpsc::Sender<LlmEvent>,
    queued: Duration,
    begun: Instant,
    heard: Instant,
    first: bool,
}

struct Conversing {
    name: &'static str,
    open: HashMap<StreamId, Answer>,
}

impl Conversing {
    fn start(
        &mut self,
        engine: &mut dyn Llm,
        stream: StreamId,
        request: &Completion,
        answer: Answer,
    ) -> Result<(), EngineError> {
        if request.max_tokens > MAX_TOKENS {
            answer.fail(&EngineError::Request(format!("max_tokens must be at most {MAX_TOKENS}")));
            return Ok(());
        }
        self.open.remove(&stream);
        let result = guarded(|| engine.start(stream, request));
        match result {
            Err(error @ EngineError::Died(_)) => {
                self.open.insert(stream, answer);
                return Err(error);
            }
            Err(error) => answer.fail(&error),
            Ok(()) => _ = self.open.insert(stream, answer),
        }
        Ok(())
    }

    fn give_up_on_the_silent_and_the_gone(&mut self, engine: &mut dyn Llm) {
        let hopeless = |answer: &Answer| answer.events.is_closed() || answer.heard.elapsed() > SILENT;
        for (stream, answer) in self.open.extract_if(|_, answer| hopeless(answer)) {
            answer.fail(&EngineError::Request(format!("no word of the answer for {SILENT:?}")));
            engine.cancel(stream);
        }
    }

    /// Delivers a delta; false when the answer is over, for whatever reason.
    fn deliver(&mut self, stream: StreamId, delta: Delta) -> bool {
        let Some(answer) = self.open.get_mut(&stream) else { return false };
        answer.heard = Instant::now();
        let last = matches!(delta, Delta::Done { .. } | Delta::Failed { .. });
        let timing = Timing { queued: answer.queued, inference: answer.begun.elapsed() };
        if std::mem::take(&mut answer.first) {
            observe(self.name, "first_token", timing);
        }
        let sent = answer.events.try_send(LlmEvent { delta, timing });
        if let Err(TrySendError::Full(_)) = sent {
            tracing::warn!(engine = self.name, "an answer is longer than was asked for: cut off");
        }
        !last && sent.is_ok()
    }
}

impl Answer {
    fn fail(&self, error: &EngineError) {
        let timing = Timing { queued: self.queued, inference: self.begun.elapsed() };
        let _ = self.events.try_send(LlmEvent { delta: Delta::Failed { detail: error.to_string() }, timing });
    }
}

impl Server for Conversing {
    type Engine = dyn Llm;
    type Command = Command;

    fn handle(&mut self, engine: &mut Self::Engine, command: Command) -> Result<(), EngineError> {
        match command {
            Command::Warm { stream, messages, tools } => {
                match engine.warm(stream, &messages, &tools) {
                    Err(error @ EngineError::Died(_)) => return Err(error),
                    Err(error) => {
                        tracing::warn!(engine = self.name, "a prompt was not evaluated ahead: {error}");
                    }
                    Ok(()) => {}
                }
                Ok(())
            }
            Command::Start { stream, request, events, asked } => {
                let begun = Instant::now();
                let answer = Answer { events, queued: begun - asked, begun, heard: begun, first: true };
                self.start(engine, stream, &request, answer)
            }
            Command::Cancel(stream) => {
                self.open.remove(&stream);
                engine.cancel(stream);
                Ok(())
            }
            Command::Forget(stream) => {
                self.open.remove(&stream);
                engine.forget(stream);
                Ok(())
            }
        }
    }

    fn busy(&mut self, engine: &Self::Engine) -> bool {
        !self.open.is_empty() || engine.warming()
    }

    fn step(&mut self, engine: &mut Self::Engine) -> Result<(), EngineError> {
        self.give_up_on_the_silent_and_the_gone(engine);
        let begun = Instant::now();
        let deltas = engine.step()?;
        observe(self.name, "step", Timing { queued: Duration::ZERO, inference: begun.elapsed() });
        for (stream, delta) in deltas {
            let over = matches!(delta, Delta::Done { .. } | Delta::Failed { .. });
            if !self.deliver(stream, delta) && self.open.remove(&stream).is_some() && !over {
                engine.cancel(stream);
            }
        }
        Ok(())
    }

    fn check(&mut self, engine: &mut Self::Engine) -> Result<(), EngineError> {
        engine.check()
    }

    fn fail_open(&mut self, error: &EngineError) {
        for (_, answer) in self.open.drain() {
            answer.fail(error);
        }
    }

    fn refuse(command: Command, error: &EngineError) {
        if let Command::Start { events, asked, .. } = command {
            let timing = Timing { queued: asked.elapsed(), inference: Duration::ZERO };
            let _ = events.try_send(LlmEvent { delta: Delta::Failed { detail: error.to_string() }, timing });
        }
    }
}
