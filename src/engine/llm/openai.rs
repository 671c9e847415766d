//! A chat model behind an OpenAI-compatible API: `POST {base_url}/chat/completions`, streamed.
//!
//! Every conversation that is generating has a request of its own under way; [`Llm::step`] gathers
//! what came in for any of them. The server keeps no conversation: prefix reuse is its cache's doing
//! (vLLM's automatic prefix caching, llama-server's slots), and [`Llm::warm`] fills that cache.

mod assemble;
mod request;

use std::{collections::HashMap, time::Duration};

use assemble::Assembler;
use serde::{Deserialize, Serialize};

use crate::engine::{
    ChatMessage, Completion, Delta, EngineError, Llm, StreamId, ToolSpec,
    http::{
        Endpoint, HttpConfig, Running,
        answer::{Body, accepted, media_type},
        mailbox::{Mailbox, Post, mailbox},
        sse::SseParser,
    },
};

/// How long one step waits for the next token of any conversation.
const STEP_WAIT: Duration = Duration::from_millis(20);
/// Pieces of answers that may wait for a step; more hold the servers back.
const MAILBOX_PIECES: usize = 256;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAiLlmConfig {
    #[serde(flatten)]
    pub http: HttpConfig,
    /// Whether a prompt is sent ahead, for one token that is thrown away. Worth it where the server
    /// caches prefixes; elsewhere it only costs.
    #[serde(default = "yes")]
    pub warm: bool,
    /// More members of the request's body, for what a server wants beside the standard, such as
    /// `chat_template_kwargs = { enable_thinking = false }`. They win over ours.
    #[serde(default)]
    pub extra_body: serde_json::Map<String, serde_json::Value>,
}

fn yes() -> bool {
    true
}

impl OpenAiLlmConfig {
    pub fn new(http: HttpConfig) -> Self {
        OpenAiLlmConfig { http, warm: true, extra_body: serde_json::Map::new() }
    }
}

pub struct OpenAiLlm {
    endpoint: Endpoint,
    config: OpenAiLlmConfig,
    answers: HashMap<StreamId, Answer>,
    warming: HashMap<StreamId, Running>,
    post: Post<Piece>,
    mailbox: Mailbox<Piece>,
    generation: u64,
}

/// An answer under way; dropping it drops its request.
struct Answer {
    generation: u64,
    request: Running,
}

/// What came in for one answer. One of an answer since cancelled or replaced is known by its
/// generation.
struct Piece {
    stream: StreamId,
    generation: u64,
    deltas: Vec<Delta>,
}

impl OpenAiLlm {
    /// Fails on a configuration that cannot work; a server that is down fails each answer instead.
    pub fn new(config: OpenAiLlmConfig) -> Result<Self, EngineError> {
        let (post, mailbox) = mailbox(MAILBOX_PIECES);
        Ok(OpenAiLlm {
            endpoint: Endpoint::new(config.http.clone())?,
            config,
            answers: HashMap::new(),
            warming: HashMap::new(),
            post,
            mailbox,
            generation: 0,
        })
    }

    /// Notes `piece` unless its answer is no longer wanted.
    fn take(&mut self, piece: Piece, deltas: &mut Vec<(StreamId, Delta)>) {
        if self.answers.get(&piece.stream).is_none_or(|answer| answer.generation != piece.generation) {
            return;
        }
        let ends = piece.deltas.iter().any(|d| matches!(d, Delta::Done { .. } | Delta::Failed { .. }));
        if ends {
            self.answers.remove(&piece.stream);
        }
        deltas.extend(piece.deltas.into_iter().map(|delta| (piece.stream, delta)));
    }

    /// Takes all that is there, for as many pieces as the mailbox holds.
    fn take_waiting(&mut self, deltas: &mut Vec<(StreamId, Delta)>) {
        for _ in 0..MAILBOX_PIECES {
            match self.mailbox.receive_now() {
                Some(piece) => self.take(piece, deltas),
                None => break,
            }
        }
    }

    /// Fails the answers whose request ended without a last word, which only a bug brings about.
    fn fail_silent(&mut self, deltas: &mut Vec<(StreamId, Delta)>) {
        let silent: Vec<_> =
            self.answers.iter().filter(|(_, a)| a.request.is_finished()).map(|(stream, _)| *stream).collect();
        if silent.is_empty() {
            return;
        }
        // A request that was seen to have ended has posted all it had.
        self.take_waiting(deltas);
        for stream in silent {
            if self.answers.get(&stream).is_some_and(|answer| answer.request.is_finished()) {
                self.answers.remove(&stream);
                deltas.push((stream, Delta::Failed { detail: "the request ended without an answer".into() }));
            }
        }
    }
}

impl Llm for OpenAiLlm {
    /// Returns at once; the request goes on beside. Skipped where `max_concurrent` are under way.
    fn warm(
        &mut self,
        stream: StreamId,
        messages: &[ChatMessage],
        tools: &[ToolSpec],
    ) -> Result<(), EngineError> {
        self.warming.retain(|_, request| !request.is_finished());
        if !self.config.warm || self.warming.len() >= self.config.http.max_concurrent {
            return Ok(());
        }
        let body = request::warming(&self.config, messages, tools);
        let endpoint = self.endpoint.clone();
        let request = self.endpoint.spawn(async move {
            if let Err(error) = ask_and_discard(&endpoint, &body).await {
                tracing::warn!(%error, "warming a prompt failed");
            }
        });
        self.warming.insert(stream, request);
        Ok(())
    }

    fn start(&mut self, stream: StreamId, completion: &Completion) -> Result<(), EngineError> {
        self.cancel(stream);
        let most = self.config.http.max_concurrent;
        if self.answers.len() >= most {
            return Err(EngineError::Overloaded(most));
        }
        self.generation += 1;
        let outlet = Outlet { stream, generation: self.generation, post: self.post.clone() };
        let body = request::streaming(&self.config, completion);
        let endpoint = self.endpoint.clone();
        let request = self.endpoint.spawn(async move {
            if let Err(error) = stream_answer(&endpoint, &body, &outlet).await {
                outlet.send(vec![Delta::Failed { detail: error.to_string() }]).await;
            }
        });
        self.answers.insert(stream, Answer { generation: self.generation, request });
        Ok(())
    }

    /// Waits up to 20 ms for something to come in; empty if nothing did.
    fn step(&mut self) -> Result<Vec<(StreamId, Delta)>, EngineError> {
        let mut deltas = Vec::new();
        self.take_waiting(&mut deltas);
        if deltas.is_empty() && !self.answers.is_empty() {
            match self.mailbox.receive(STEP_WAIT) {
                Some(piece) => self.take(piece, &mut deltas),
                None => self.fail_silent(&mut deltas),
            }
        }
        Ok(deltas)
    }

    fn cancel(&mut self, stream: StreamId) {
        self.answers.remove(&stream);
    }

    fn forget(&mut self, stream: StreamId) {
        self.answers.remove(&stream);
        self.warming.remove(&stream);
    }
}

/// Where one answer's deltas go.
struct Outlet {
    stream: StreamId,
    generation: u64,
    post: Post<Piece>,
}

impl Outlet {
    async fn send(&self, deltas: Vec<Delta>) {
        if !deltas.is_empty() {
            let piece = Piece { stream: self.stream, generation: self.generation, deltas };
            // Nobody reads once the engine is gone, and then this task is about to be.
            self.post.send(piece).await;
        }
    }
}

async fn stream_answer(
    endpoint: &Endpoint,
    body: &serde_json::Value,
    outlet: &Outlet,
) -> Result<(), EngineError> {
    let config = endpoint.config();
    let response = accepted(config, endpoint.post("chat/completions").json(body).send().await).await?;
    let kind = media_type(&response);
    if matches!(kind.as_str(), "application/json" | "text/html") {
        let url = &config.base_url;
        return Err(EngineError::Request(format!("{url} answered with {kind} instead of an event stream")));
    }
    let bad = |why: String| EngineError::Request(format!("{}: {why}", config.base_url));
    let (mut body, mut parser, mut answer) =
        (Body::new(config, response), SseParser::default(), Assembler::default());
    while let Some(bytes) = body.next().await? {
        for data in parser.push(&bytes).map_err(|error| bad(error.to_string()))? {
            if data == "[DONE]" {
                outlet.send(answer.end().map_err(|error| bad(error.to_string()))?).await;
                return Ok(());
            }
            outlet.send(answer.take(&data).map_err(|error| bad(error.to_string()))?).await;
        }
    }
    // Some servers close without `[DONE]`.
    if !answer.has_finished() {
        return Err(bad("the answer broke off".into()));
    }
    outlet.send(answer.end().map_err(|error| bad(error.to_string()))?).await;
    Ok(())
}

async fn ask_and_discard(endpoint: &Endpoint, body: &serde_json::Value) -> Result<(), EngineError> {
    let config = endpoint.config();
    let response = accepted(config, endpoint.post("chat/completions").json(body).send().await).await?;
    Body::new(config, response).whole().await.map(drop)
}

#[cfg(test)]
mod tests;
