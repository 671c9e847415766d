//! [`Llm`] by llama.cpp: many conversations in one context, decoded together.
//!
//! Every step is one batch: one token for each conversation that is generating, and a stretch of the
//! prompts that wait, so that a new call's instructions do not silence the calls under way. A
//! conversation keeps its sequence, and of every new prompt only what differs from the last is computed.
//! Calls that begin with the same instructions share their state.

use std::num::NonZeroU32;

use callbox::engine::{ChatMessage, Completion, Delta, EngineError, Llm, StreamId, ToolSpec};
use llama_cpp_2::{
    DecodeError,
    context::{LlamaContext, params::LlamaContextParams},
    llama_backend::LlamaBackend,
    llama_batch::LlamaBatch,
    model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel, params::LlamaModelParams},
    sampling::LlamaSampler,
    token::LlamaToken,
};

use crate::{
    Args, FlashAttention,
    answer::Answer,
    prompt::{self, Turns},
    seats::{Seating, Seats},
};

pub struct Llama {
    // Dropped before what it was made from.
    context: LlamaContext<'static>,
    model: &'static LlamaModel,
    template: Option<LlamaChatTemplate>,
    /// Texts that the vocabulary reads as control tokens.
    control: Vec<String>,
    batch: LlamaBatch<'static>,
    seats: Seats<LlamaToken>,
    work: Vec<Work>,
    /// Tokens of one conversation.
    limit: usize,
    prefill: usize,
    turn: usize,
    _backend: LlamaBackend,
}

/// What is to be done on one sequence.
#[derive(Default)]
struct Work {
    /// Tokens to be evaluated, first to last.
    pending: Vec<LlamaToken>,
    /// The answer that begins when nothing is pending; none while only a prefix is warmed.
    answer: Option<(Answer, LlamaSampler)>,
    /// Oldest turns left out of the prompt.
    dropped: usize,
}

impl Work {
    fn is_busy(&self) -> bool {
        self.answer.is_some() || !self.pending.is_empty()
    }

    /// One token away from its next: the batch always has room for it.
    fn is_generating(&self) -> bool {
        self.answer.is_some() && self.pending.len() == 1
    }
}

/// A stretch of a sequence in the batch.
struct Stretch {
    seat: usize,
    len: usize,
    /// Where the batch holds the logits of its last token, if they were asked for.
    logits: Option<i32>,
}

impl Llama {
    pub fn load(args: &Args) -> Result<Self, EngineError> {
        if !args.model.is_file() {
            return Err(EngineError::Start(format!("--model: no file {}", args.model.display())));
        }
        let cannot =
            |error: &dyn std::fmt::Display| EngineError::Start(format!("{}: {error}", args.model.display()));
        let mut backend = LlamaBackend::init().map_err(|error| cannot(&error))?;
        backend.void_logs();
        let params = LlamaModelParams::default().with_n_gpu_layers(args.gpu_layers);
        let model = LlamaModel::load_from_file(&backend, &args.model, &params);
        // The context borrows the model for as long as the process lives.
        let model: &'static LlamaModel = Box::leak(Box::new(model.map_err(|error| cannot(&error))?));
        let context = model.new_context(&backend, context_params(args)).map_err(|error| cannot(&error))?;
        let conversations = args.conversations as usize;
        let can_copy = !model.is_recurrent() && !model.is_hybrid();
        Ok(Llama {
            context,
            model,
            template: usable_template(model),
            control: control_texts(model),
            batch: LlamaBatch::new(args.prefill as usize + conversations, 1),
            seats: Seats::new(conversations, can_copy),
            work: (0..conversations).map(|_| Work::default()).collect(),
            limit: args.context as usize,
            prefill: args.prefill as usize,
            turn: 0,
            _backend: backend,
        })
    }

    fn tokens(&self, messages: &[ChatMessage], tools: &[ToolSpec], open_answer: bool) -> Vec<LlamaToken> {
        let turns = prompt::turns(messages, tools, |text| self.neutral(text));
        let text = self.render(&turns, open_answer);
        self.model.vocab().tokenize(text.as_bytes(), true, true)
    }

    fn render(&self, turns: &Turns, open_answer: bool) -> String {
        let by_template = self.template.as_ref().and_then(|template| {
            let message = |(role, text): &(&str, String)| {
                LlamaChatMessage::new((*role).to_owned(), text.replace('\0', "")).ok()
            };
            let messages: Vec<_> = turns.iter().filter_map(message).collect();
            self.model.apply_chat_template(template, &messages, open_answer).ok()
        });
        by_template.unwrap_or_else(|| prompt::chatml(turns, open_answer))
    }

    /// A caller who says a control token must not end its own turn.
    fn neutral(&self, text: &str) -> String {
        let found = self.control.iter().filter(|control| text.contains(control.as_str()));
        found.fold(text.to_owned(), |text, control| text.replace(control.as_str(), " "))
    }

    /// The prompt with as many of the newest turns as fit beside an answer of `max_tokens`.
    fn fitting_prompt(
        &self,
        request: &Completion,
        dropped: usize,
    ) -> Result<(usize, Vec<LlamaToken>), EngineError> {
        let room_for_answer = (request.max_tokens as usize).min(self.limit / 4);
        let count = |messages: &[ChatMessage]| self.tokens(messages, &request.tools, true).len();
        let dropped = prompt::fit(&request.messages, dropped, self.limit - room_for_answer, count)
            .ok_or_else(|| {
                EngineError::Request(format!(
                    "instructions and question exceed the context of {} tokens",
                    self.limit
                ))
            })?;
        let messages = prompt::without(&request.messages, dropped);
        Ok((dropped, self.tokens(&messages, &request.tools, true)))
    }

    /// Finds the stream a sequence and brings its state as close to `prompt` as can be; what is left to
    /// compute becomes pending.
    fn seat(&mut self, stream: StreamId, prompt: &[LlamaToken]) -> Result<Seating, EngineError> {
        let work = &self.work;
        let mut seating = self.seats.seat(stream, prompt, |seat| work[seat].is_busy()).ok_or_else(|| {
            EngineError::Request(format!("busy: all {} conversations are speaking", work.len()))
        })?;
        seating.reused = self.prepare(seating)?;
        let seat = self.seats.get_mut(seating.seat);
        seat.tokens.truncate(seating.reused);
        if seating.copy_from.is_some() {
            seat.tokens = prompt[..seating.reused].to_vec();
        }
        let dropped = self.work[seating.seat].dropped;
        let pending = prompt[seating.reused..].to_vec();
        self.work[seating.seat] = Work { pending, answer: None, dropped };
        Ok(seating)
    }

    /// Makes the KV cache hold what the seating reuses and nothing else; gives how much that is.
    fn prepare(&mut self, seating: Seating) -> Result<usize, EngineError> {
        let id = seating.seat as u32;
        let kept = if seating.copy_from.is_some() { 0 } else { seating.reused };
        let trimmed = self.context.clear_kv_cache_seq(Some(id), Some(kept as u32), None).map_err(died)?;
        if let Some(from) = seating.copy_from {
            self.context
                .copy_kv_cache_seq(from as i32, id as i32, Some(0), Some(seating.reused as u32))
                .map_err(died)?;
            return Ok(seating.reused);
        }
        if trimmed {
            return Ok(kept);
        }
        // Recurrent models cannot forget a part.
        self.context.clear_kv_cache_seq(Some(id), None, None).map_err(died)?;
        Ok(0)
    }

    /// Fills the batch: first who speaks, then prompts of who asked, then prefixes; prompts in turn.
    fn fill(&mut self) -> Vec<Stretch> {
        self.batch.clear();
        self.turn += 1;
        let count = self.work.len();
        let in_turn = |i: usize| (i + self.turn) % count;
        let speaking: Vec<usize> = (0..count).filter(|seat| self.work[*seat].is_generating()).collect();
        let mut waiting: Vec<usize> = (0..count)
            .map(in_turn)
            .filter(|seat| !self.work[*seat].is_generating() && !self.work[*seat].pending.is_empty())
            .collect();
        waiting.sort_by_key(|seat| self.work[*seat].answer.is_none());
        let mut room = if speaking.is_empty() { self.prefill } else { (self.prefill / 2).max(1) };
        let mut stretches: Vec<Stretch> = speaking.iter().filter_map(|seat| self.add(*seat, 1)).collect();
        for seat in waiting {
            let stretch = self.add(seat, room);
            room -= stretch.as_ref().map_or(0, |s| s.len);
            stretches.extend(stretch);
            if room == 0 {
                break;
            }
        }
        stretches
    }

    /// Adds the next `most` pending tokens of a sequence to the batch.
    fn add(&mut self, seat: usize, most: usize) -> Option<Stretch> {
        let work = &self.work[seat];
        let len = work.pending.len().min(most);
        let wants_logits = work.answer.is_some() && len == work.pending.len();
        let from = self.seats.get_mut(seat).tokens.len();
        for (i, token) in work.pending[..len].iter().enumerate() {
            let logits = wants_logits && i + 1 == len;
            self.batch.add(*token, (from + i) as i32, &[seat as i32], logits).ok()?;
        }
        Some(Stretch { seat, len, logits: wants_logits.then(|| self.batch.n_tokens() - 1) })
    }

    /// After the decode: what was pending is state, and each answer has its next token.
    fn advance(&mut self, stretch: &Stretch) -> Vec<Delta> {
        let work = &mut self.work[stretch.seat];
        let seat = self.seats.get_mut(stretch.seat);
        seat.tokens.extend(work.pending.drain(..stretch.len));
        let Some(index) = stretch.logits else { return Vec::new() };
        let Some((mut answer, mut sampler)) = work.answer.take() else { return Vec::new() };
        let token = sampler.sample(&self.context, index);
        if self.model.vocab().is_eog(token) {
            return answer.finish();
        }
        let mut deltas = answer.push(&self.piece(token));
        let full = answer.is_full() || self.seats.get_mut(stretch.seat).tokens.len() >= self.limit;
        if full {
            deltas.extend(answer.finish());
        } else {
            self.work[stretch.seat].pending = vec![token];
            self.work[stretch.seat].answer = Some((answer, sampler));
        }
        deltas
    }

    /// A token's bytes: nothing for a control token, except the tags around a tool call, which some
    /// vocabularies count among them.
    fn piece(&self, token: LlamaToken) -> Vec<u8> {
        let vocab = self.model.vocab();
        let special = vocab.token_to_piece(token, true, None);
        match special.as_slice() {
            b"<tool_call>" | b"</tool_call>" => special,
            _ => vocab.token_to_piece(token, false, None),
        }
    }

    fn sampler(&self, temperature: f32) -> LlamaSampler {
        if temperature <= 0.0 || temperature.is_nan() {
            return LlamaSampler::greedy();
        }
        LlamaSampler::chain_simple([
            LlamaSampler::penalties(self.model.vocab().n_tokens(), 64, 1.05, 0.0, 0.0),
            LlamaSampler::top_k(40),
            LlamaSampler::top_p(0.95, 1),
            LlamaSampler::temp(temperature.min(2.0)),
            LlamaSampler::dist(rand::random()),
        ])
    }

    /// The cache is full: what only waits makes room, and who was in the batch hears of the failure.
    fn give_up(&mut self, stretches: &[Stretch]) -> Result<Vec<(StreamId, Delta)>, EngineError> {
        let mut failed = Vec::new();
        for Stretch { seat, .. } in stretches {
            self.context.clear_kv_cache_seq(Some(*seat as u32), None, None).map_err(died)?;
            self.work[*seat] = Work::default();
            self.seats.get_mut(*seat).tokens.clear();
            let detail = "the model's context is full".to_owned();
            failed.extend(self.seats.get_mut(*seat).stream.map(|stream| (stream, Delta::Failed { detail })));
        }
        Ok(failed)
    }
}

impl Llm for Llama {
    fn warm(
        &mut self,
        stream: StreamId,
        messages: &[ChatMessage],
        tools: &[ToolSpec],
    ) -> Result<(), EngineError> {
        let answering = self.seats.of(stream).is_some_and(|seat| self.work[seat].answer.is_some());
        let prompt = self.tokens(messages, tools, false);
        if answering || prompt.len() >= self.limit {
            return Ok(());
        }
        self.seat(stream, &prompt).map(|_| ())
    }

    fn start(&mut self, stream: StreamId, request: &Completion) -> Result<(), EngineError> {
        let dropped = self.seats.of(stream).map_or(0, |seat| self.work[seat].dropped);
        let (dropped, prompt) = self.fitting_prompt(request, dropped)?;
        let Seating { seat, reused, .. } = self.seat(stream, &prompt)?;
        let answer = Answer::new(request.max_tokens.max(1), prompt.len() as u32, reused as u32);
        let sampler = self.sampler(request.temperature);
        self.work[seat].dropped = dropped;
        self.work[seat].answer = Some((answer, sampler));
        Ok(())
    }

    fn step(&mut self) -> Result<Vec<(StreamId, Delta)>, EngineError> {
        let stretches = self.fill();
        if stretches.is_empty() {
            return Ok(Vec::new());
        }
        match self.context.decode(&mut self.batch) {
            Ok(()) => {}
            Err(DecodeError::NoKvCacheSlot) => return self.give_up(&stretches),
            Err(error) => return Err(died(error)),
        }
        let mut spoken = Vec::new();
        for stretch in &stretches {
            let stream = self.seats.get_mut(stretch.seat).stream;
            let deltas = self.advance(stretch);
            spoken.extend(
                stream.into_iter().flat_map(|stream| deltas.iter().map(move |d| (stream, d.clone()))),
            );
        }
        Ok(spoken)
    }

    fn warming(&self) -> bool {
        self.work.iter().any(|work| work.answer.is_none() && !work.pending.is_empty())
    }

    fn cancel(&mut self, stream: StreamId) {
        if let Some(seat) = self.seats.of(stream) {
            self.work[seat].answer = None;
            self.work[seat].pending.clear();
        }
    }

    fn forget(&mut self, stream: StreamId) {
        if let Some(seat) = self.seats.leave(stream) {
            self.work[seat] = Work::default();
        }
    }
}

fn context_params(args: &Args) -> LlamaContextParams {
    let flash = match args.flash_attention {
        FlashAttention::Auto if args.gpu_layers > 0 => -1,
        FlashAttention::Auto => 0,
        FlashAttention::On => 1,
        FlashAttention::Off => 0,
    };
    let threads = args.threads.clamp(1, 128) as i32;
    let batch = args.prefill + args.conversations;
    // One cache for all sequences, so that they can share the state of equal beginnings.
    LlamaContextParams::default()
        .with_n_ctx(NonZeroU32::new(args.context * args.conversations))
        .with_n_seq_max(args.conversations)
        .with_kv_unified(true)
        .with_n_batch(batch)
        .with_n_ubatch(batch)
        .with_n_threads(threads)
        .with_n_threads_batch(threads)
        .with_flash_attention_policy(flash)
}

/// The model's own template, if llama.cpp knows it.
fn usable_template(model: &LlamaModel) -> Option<LlamaChatTemplate> {
    let template = model.chat_template(None).ok()?;
    let hello = LlamaChatMessage::new("user".to_owned(), "hello".to_owned()).ok()?;
    match model.apply_chat_template(&template, &[hello], true) {
        Ok(_) => Some(template),
        Err(_) => {
            eprintln!("the model's chat template is unknown to llama.cpp; ChatML is used instead");
            None
        }
    }
}

/// What must not be read out of people's words. Tool tags stay: the history holds them by right.
fn control_texts(model: &LlamaModel) -> Vec<String> {
    let vocab = model.vocab();
    let texts = vocab
        .tokens()
        .filter(|token| vocab.is_control(*token) || vocab.is_eog(*token))
        .filter_map(|token| vocab.text(token).and_then(|text| text.to_str().ok()).map(str::to_owned));
    texts.filter(|text| text.len() > 2 && !text.contains("tool_call")).collect()
}

fn died(error: impl std::fmt::Display) -> EngineError {
    EngineError::Died(format!("llama.cpp: {error}"))
}
