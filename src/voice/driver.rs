//! Drives a [`Conversation`]: owns the clock, the engines' handles and the media leg, turns what they
//! say into events and effects into requests.

use std::future::{Future, pending};
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::base::Pii;
use crate::engine::worker::{AsrHandle, LlmConversation, LlmHandle, TtsHandle, TurnHandle, VadHandle};
use crate::engine::{ChatMessage, Completion, Delta, EngineError, ToolSpec};
use crate::media::{BeepDetector, MediaError, MediaEvent, MediaEvents, MediaHandle};
use crate::voice::conversation::Setup;
use crate::voice::effect::{AnsweredBy, Closing, Effect, Speaker, TurnRecord};
use crate::voice::event::{AnswerId, ClauseId, EngineKind};
use crate::voice::hearing::Ear;
use crate::voice::mouth::{Mouth, VoiceChoice};
use crate::voice::{Config, Conversation, Event, ms, prompt};

/// Events that may wait for the conversation.
const EVENTS: usize = 256;
/// After the end of a call: how long the caller's last words may take to be transcribed.
const LAST_WORDS: std::time::Duration = ms(4_000);

/// The engines a conversation uses, from its beginning to its end.
#[derive(Clone)]
pub struct Voices {
    pub asr: AsrHandle,
    pub llm: LlmHandle,
    pub tts: TtsHandle,
    pub vad: VadHandle,
    pub turn: TurnHandle,
    /// The language the recogniser is told, as a BCP 47 tag; `None` lets it find out by itself.
    pub hears: Option<String>,
}

/// What a conversation tells its call.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    Turn(TurnRecord),
    Live {
        speaker: Speaker,
        text: Pii<String>,
    },
    AnsweredBy(AnsweredBy),
    /// The caller is to be handed to a person; [`Talk::events`] takes what becomes of it.
    Transfer,
    /// A key that the caller pressed, for that person.
    Digit(char),
}

/// A conversation and its engines, before and during the call.
pub struct Talk {
    conversation: Conversation,
    engines: Voices,
    config: Config,
    voice: VoiceChoice,
    llm: LlmConversation,
    tools: Vec<ToolSpec>,
    tasks: JoinSet<()>,
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    notices: mpsc::Sender<Notice>,
}

/// The parts that exist while media flows.
struct Senses {
    ear: Ear,
    mouth: Mouth,
    beeps: BeepDetector,
}

impl Talk {
    /// Prepares a conversation: the LLM evaluates its prompt while the phone rings.
    pub fn prepare(
        config: Config,
        setup: Setup,
        engines: Voices,
        voice: VoiceChoice,
        notices: mpsc::Sender<Notice>,
    ) -> Self {
        let mut talk = Talk {
            tools: prompt::tools(setup.transfers, setup.keys),
            conversation: Conversation::new(config.clone(), setup),
            llm: engines.llm.conversation(),
            engines,
            config,
            voice,
            tasks: JoinSet::new(),
            events: mpsc::channel(EVENTS),
            notices,
        };
        if let Some(Effect::WarmLlm { messages }) = talk.conversation.poll_effect() {
            talk.warm(messages);
        }
        talk
    }

    /// Where the call tells what becomes of a transfer.
    pub fn events(&self) -> mpsc::Sender<Event> {
        self.events.0.clone()
    }

    /// Converses until one side ends it. `over` is cancelled when the far end has hung up. Gives the
    /// reason if the conversation itself ended, and what is still to be transcribed.
    pub async fn converse(
        mut self,
        media: MediaHandle,
        mut heard: MediaEvents,
        over: CancellationToken,
    ) -> (Option<Closing>, LastWords) {
        let asr = self.engines.asr.stream(Ear::hint(self.engines.hears.as_deref()));
        let ear = Ear::new(self.config.activity.clone(), self.engines.vad.stream(), asr);
        let tts = self.engines.tts.clone();
        let mouth = Mouth::open(tts, self.voice.clone(), media, self.events.0.clone());
        let mut senses = Senses { ear, mouth, beeps: BeepDetector::default() };
        self.handle(Event::Answered);
        let closing = loop {
            if let Some(closing) = self.perform_effects(&mut senses).await {
                break Some(closing);
            }
            let timeout = self.conversation.poll_timeout();
            tokio::select! {
                biased;
                () = over.cancelled() => break None,
                Some(event) = self.events.1.recv() => self.handle(event),
                event = heard.recv() => match event {
                    Some(event) => self.hear(&mut senses, event).await,
                    None => self.handle(Event::MediaLost),
                },
                () = at(timeout) => self.conversation.handle_timeout(Instant::now()),
            }
        };
        self.conversation.close(Instant::now());
        (closing, LastWords { talk: self, senses })
    }

    fn handle(&mut self, event: Event) {
        tracing::debug!(event = event.name(), "happens");
        self.conversation.handle(Instant::now(), event);
    }

    async fn hear(&mut self, senses: &mut Senses, event: MediaEvent) {
        let clause = |utterance: crate::media::UtteranceId| ClauseId(utterance.0);
        match event {
            // Who stands aside listens to nothing, and no engine is kept busy.
            MediaEvent::Frame { .. } if self.conversation.stands_aside() => {}
            MediaEvent::Frame { pcm, .. } => {
                if self.conversation.listens_for_beeps()
                    && let Some(beep) = senses.beeps.hear(&pcm)
                {
                    self.handle(Event::Beep { length: beep.length });
                }
                for event in senses.ear.hear(&pcm).await {
                    self.handle(event);
                }
            }
            MediaEvent::Dtmf { digit, .. } => self.handle(Event::Dtmf { digit }),
            MediaEvent::Playing { utterance, at } => {
                self.handle(Event::ClausePlaying { clause: clause(utterance), at });
            }
            MediaEvent::Played { utterance, .. } => {
                self.handle(Event::ClausePlayed { clause: clause(utterance) });
            }
            MediaEvent::Stopped { utterance, samples } => {
                self.handle(Event::ClauseStopped { clause: clause(utterance), samples });
            }
            MediaEvent::RtpTimeout { .. } => self.handle(Event::MediaLost),
            _ => {}
        }
    }

    /// Performs what is due; gives the reason when the conversation is over.
    async fn perform_effects(&mut self, senses: &mut Senses) -> Option<Closing> {
        while let Some(effect) = self.conversation.poll_effect() {
            tracing::debug!(effect = effect.name(), "due");
            match effect {
                Effect::WarmLlm { messages } => self.warm(messages),
                Effect::StartUtterance => senses.ear.start_utterance(),
                Effect::DropUtterance => senses.ear.drop_utterance(),
                Effect::TranscribePartial => self.partial(senses.ear.partial()),
                Effect::FinishUtterance => self.finish(senses.ear.finish()),
                Effect::JudgeTurn => self.judge_turn(senses.ear.turn()),
                Effect::AskLlm { answer, messages } => self.ask(answer, messages),
                // A worker that is down has nothing left to cancel.
                Effect::CancelLlm => drop(self.llm.cancel()),
                Effect::Speak { clause, text } => senses.mouth.speak(clause, text),
                Effect::StopSpeaking => senses.mouth.stop(),
                Effect::Turn(turn) => self.notify(Notice::Turn(turn)).await,
                Effect::Live { speaker, text } => self.notify(Notice::Live { speaker, text }).await,
                Effect::AnsweredBy(who) => self.notify(Notice::AnsweredBy(who)).await,
                Effect::Transfer => self.notify(Notice::Transfer).await,
                Effect::PassDigit { digit } => self.notify(Notice::Digit(digit)).await,
                Effect::Press { keys } => self.press(senses.mouth.press(&keys)),
                Effect::ListenAnew => senses.ear.listen_anew(),
                Effect::HangUp { closing } => return Some(closing),
            }
        }
        None
    }

    async fn notify(&mut self, notice: Notice) {
        // The call that listens may be gone; the conversation is then about to be told.
        let _ = self.notices.send(notice).await;
    }

    fn warm(&mut self, messages: Vec<ChatMessage>) {
        if let Err(error) = self.llm.warm(messages, self.tools.clone()) {
            tracing::warn!(%error, "the prompt was not evaluated ahead of the call");
        }
    }

    /// Runs a request beside the conversation; its outcome comes back as an event.
    fn request(&mut self, request: impl Future<Output = Option<Event>> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        let events = self.events.0.clone();
        self.tasks.spawn(async move {
            if let Some(event) = request.await {
                // The conversation may have ended meanwhile.
                let _ = events.send(event).await;
            }
        });
    }

    fn partial(&mut self, transcript: impl Future<Output = Result<String, EngineError>> + Send + 'static) {
        self.request(async move { Some(Event::Partial { text: transcript.await.ok()? }) });
    }

    fn finish(&mut self, transcript: impl Future<Output = Result<String, EngineError>> + Send + 'static) {
        self.request(async move {
            Some(match transcript.await {
                Ok(text) => Event::Final { text },
                Err(error) => {
                    tracing::warn!(%error, "speech recognition failed");
                    Event::EngineFailed { engine: EngineKind::Asr, clause: None }
                }
            })
        });
    }

    fn press(&mut self, pressed: impl Future<Output = Result<(), MediaError>> + Send + 'static) {
        self.request(async move {
            if let Err(error) = pressed.await {
                tracing::warn!(%error, "keys were not pressed");
            }
            None
        });
    }

    fn judge_turn(&mut self, pcm: Vec<i16>) {
        let judged = self.engines.turn.probability(pcm);
        self.request(async move { Some(Event::TurnJudged { complete: judged.await.ok()?.value }) });
    }

    fn ask(&mut self, answer: AnswerId, messages: Vec<ChatMessage>) {
        let mut deltas = self.llm.start(Completion {
            messages,
            tools: self.tools.clone(),
            max_tokens: self.config.max_answer_tokens,
            temperature: self.config.temperature,
        });
        let events = self.events.0.clone();
        self.tasks.spawn(async move {
            while let Some(event) = deltas.recv().await {
                if let Delta::Failed { detail } = &event.delta {
                    tracing::warn!(%detail, "the language model failed");
                }
                if events.send(Event::Llm { answer, delta: event.delta }).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// A conversation that is over, but for the transcript of what the caller was saying then.
#[must_use]
pub struct LastWords {
    talk: Talk,
    senses: Senses,
}

impl LastWords {
    /// Tells the last turns. Takes as long as the recogniser does, four seconds at most.
    pub async fn transcribe(self) {
        let LastWords { mut talk, mut senses } = self;
        let deadline = tokio::time::Instant::now() + LAST_WORDS;
        loop {
            talk.perform_effects(&mut senses).await;
            if talk.conversation.is_settled() {
                return;
            }
            match tokio::time::timeout_at(deadline, talk.events.1.recv()).await {
                Ok(Some(event)) => talk.handle(event),
                Ok(None) | Err(_) => return,
            }
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => pending().await,
    }
}
