//! Drives an [`Introduction`]: owns the clock, the engines' handles and the second leg's media.

use std::future::pending;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::engine::EngineError;
use crate::media::{BeepDetector, MediaEvent, MediaEvents, MediaHandle};
use crate::voice::driver::Voices;
use crate::voice::event::{ClauseId, EngineKind};
use crate::voice::greeting;
use crate::voice::hearing::Ear;
use crate::voice::introduction::{Effect, Introduction, Verdict, Words};
use crate::voice::mouth::{Mouth, VoiceChoice};
use crate::voice::{Config, Event};

/// Events that may wait for the introduction.
const EVENTS: usize = 64;

/// What an introduction is made with.
pub struct Introducer {
    pub config: Config,
    pub screening: greeting::Config,
    pub engines: Voices,
    pub voice: VoiceChoice,
}

struct Desk {
    introduction: Introduction,
    ear: Ear,
    mouth: Mouth,
    beeps: BeepDetector,
    events: mpsc::Sender<Event>,
    tasks: JoinSet<()>,
}

impl Introducer {
    /// Introduces a caller to whoever answered the leg `media`, whose events are `heard`. `keys` are those
    /// that come by signalling.
    pub async fn introduce(
        self,
        words: Words,
        media: MediaHandle,
        heard: &mut MediaEvents,
        keys: &mut mpsc::Receiver<char>,
    ) -> Verdict {
        let (events, mut happened) = mpsc::channel(EVENTS);
        let asr = self.engines.asr.stream(Ear::hint(self.engines.hears.as_deref()));
        let mut desk = Desk {
            introduction: Introduction::new(Instant::now(), words, self.screening),
            ear: Ear::new(self.config.activity.clone(), self.engines.vad.stream(), asr),
            mouth: Mouth::open(self.engines.tts.clone(), self.voice, media, events.clone()),
            beeps: BeepDetector::default(),
            events,
            tasks: JoinSet::new(),
        };
        loop {
            if let Some(verdict) = desk.perform_effects() {
                return verdict;
            }
            let timeout = desk.introduction.poll_timeout();
            tokio::select! {
                biased;
                Some(event) = happened.recv() => desk.handle(event),
                Some(digit) = keys.recv() => desk.handle(Event::Dtmf { digit }),
                event = heard.recv() => match event {
                    Some(event) => desk.hear(event).await,
                    None => desk.handle(Event::MediaLost),
                },
                () = at(timeout) => desk.introduction.handle_timeout(Instant::now()),
            }
        }
    }
}

impl Desk {
    fn handle(&mut self, event: Event) {
        self.introduction.handle(Instant::now(), event);
    }

    async fn hear(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Frame { pcm, .. } => {
                if self.introduction.listens_for_beeps()
                    && let Some(beep) = self.beeps.hear(&pcm)
                {
                    self.handle(Event::Beep { length: beep.length });
                }
                for event in self.ear.hear(&pcm).await {
                    self.handle(event);
                }
            }
            MediaEvent::Dtmf { digit, .. } => self.handle(Event::Dtmf { digit }),
            MediaEvent::Played { utterance, .. } => {
                self.handle(Event::ClausePlayed { clause: ClauseId(utterance.0) });
            }
            MediaEvent::RtpTimeout { .. } => self.handle(Event::MediaLost),
            _ => {}
        }
    }

    /// Performs what is due; gives the verdict once there is one.
    fn perform_effects(&mut self) -> Option<Verdict> {
        while let Some(effect) = self.introduction.poll_effect() {
            match effect {
                Effect::StartUtterance => self.ear.start_utterance(),
                Effect::TranscribePartial => {
                    let partial = self.ear.partial();
                    self.request(async move { Some(Event::Partial { text: partial.await.ok()? }) });
                }
                Effect::FinishUtterance => {
                    let words = self.ear.finish();
                    self.request(async move { Some(told(words.await)) });
                }
                Effect::Speak { clause, text } => self.mouth.speak(clause, text),
                Effect::StopSpeaking => self.mouth.stop(),
                Effect::Decide(verdict) => return Some(verdict),
            }
        }
        None
    }

    /// Runs a request beside the introduction; its outcome comes back as an event.
    fn request(&mut self, request: impl Future<Output = Option<Event>> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        let events = self.events.clone();
        self.tasks.spawn(async move {
            if let Some(event) = request.await {
                // It may be decided meanwhile.
                let _ = events.send(event).await;
            }
        });
    }
}

fn told(words: Result<String, EngineError>) -> Event {
    match words {
        Ok(text) => Event::Final { text },
        Err(error) => {
            tracing::warn!(%error, "speech recognition failed");
            Event::EngineFailed { engine: EngineKind::Asr, clause: None }
        }
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => pending().await,
    }
}
