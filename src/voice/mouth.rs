//! The agent's clauses on their way to the wire: synthesised one after the other, brought to the line's
//! rate and queued in the media session's playout.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::base::audio::NARROWBAND_HZ;
use crate::engine::worker::TtsHandle;
use crate::engine::{AudioChunk, EngineError, Utterance};
use crate::media::resample::Resampler;
use crate::media::{MediaError, MediaHandle, UtteranceId};
use crate::voice::Event;
use crate::voice::event::{ClauseId, EngineKind};
use crate::voice::keys::Keys;

/// Clauses that may wait to be synthesised; an answer has a few.
const QUEUE: usize = 64;

/// Which voice speaks, and how fast.
#[derive(Debug, Clone, PartialEq)]
pub struct VoiceChoice {
    pub name: String,
    pub speed: f32,
}

pub struct Mouth {
    clauses: mpsc::Sender<Due>,
    silenced: watch::Sender<u64>,
    /// Held while audio is queued and while the playout is emptied, so that no clause slips in between.
    playout: Arc<Mutex<MediaHandle>>,
    events: mpsc::Sender<Event>,
}

struct Due {
    clause: ClauseId,
    text: String,
    /// How often the mouth had been silenced when the clause was given.
    epoch: u64,
}

impl Mouth {
    /// Starts the task that speaks. `events` gets the clauses' progress in synthesis.
    pub fn open(tts: TtsHandle, voice: VoiceChoice, media: MediaHandle, events: mpsc::Sender<Event>) -> Self {
        let (clauses, due) = mpsc::channel(QUEUE);
        let (silenced, epoch) = watch::channel(0);
        let playout = Arc::new(Mutex::new(media));
        let speaker = Speaker { tts, voice, playout: playout.clone(), events: events.clone(), epoch };
        tokio::spawn(speaker.drive(due));
        Mouth { clauses, silenced, playout, events }
    }

    pub fn speak(&self, clause: ClauseId, text: String) {
        let due = Due { clause, text, epoch: *self.silenced.borrow() };
        if self.clauses.try_send(due).is_err() {
            let failed = Event::EngineFailed { engine: EngineKind::Tts, clause: Some(clause) };
            // The conversation is behind by a full queue of events: its watchdog ends it.
            let _ = self.events.try_send(failed);
        }
    }

    /// Presses keys in the place of speech, which waits meanwhile.
    pub fn press(&self, keys: &Keys) -> impl Future<Output = Result<(), MediaError>> + Send + use<> {
        let (media, keys) = (self.playout.lock().clone(), keys.clone());
        async move { media.send_dtmf(keys.expose()).await }
    }

    /// Drops what waits and what plays.
    pub fn stop(&self) {
        let media = self.playout.lock();
        self.silenced.send_modify(|epoch| *epoch += 1);
        if let Err(error) = media.stop_playing() {
            tracing::error!(%error, "the agent could not be silenced");
        }
    }
}

struct Speaker {
    tts: TtsHandle,
    voice: VoiceChoice,
    playout: Arc<Mutex<MediaHandle>>,
    events: mpsc::Sender<Event>,
    epoch: watch::Receiver<u64>,
}

impl Speaker {
    async fn drive(mut self, mut due: mpsc::Receiver<Due>) {
        while let Some(next) = due.recv().await {
            let mut epoch = self.epoch.clone();
            let spoken = tokio::select! {
                spoken = self.say(&next) => spoken,
                _ = epoch.wait_for(|epoch| *epoch != next.epoch) => continue,
            };
            let event = match spoken {
                Ok(samples) => Event::ClauseSynthesised { clause: next.clause, samples },
                Err(error) => {
                    tracing::warn!(%error, "speech synthesis failed");
                    Event::EngineFailed { engine: EngineKind::Tts, clause: Some(next.clause) }
                }
            };
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }

    /// Synthesises a clause and queues its audio; gives its length in samples of 8 kHz.
    async fn say(&mut self, due: &Due) -> Result<u64, EngineError> {
        let request =
            Utterance { text: due.text.clone(), voice: self.voice.name.clone(), speed: self.voice.speed };
        let mut audio = self.tts.speak(request);
        let mut fitting: Option<Fitting> = None;
        let mut samples = 0;
        while let Some(chunk) = audio.recv().await {
            let line = self.playout.lock().rate();
            let pcm = fit(&mut fitting, &chunk?, line)?;
            if samples == 0 && !pcm.is_empty() {
                // A full event queue means the conversation is gone.
                let _ = self.events.send(Event::ClauseAudio { clause: due.clause }).await;
            }
            samples += narrow(&pcm, line);
            self.queue(due, pcm, line)?;
        }
        if let Some(Fitting { line, mut resampler, .. }) = fitting {
            let mut rest = Vec::new();
            resampler.flush(&mut rest);
            samples += narrow(&rest, line);
            self.queue(due, rest, line)?;
        }
        if samples == 0 {
            return Err(EngineError::Request("no audio for a clause".into()));
        }
        self.play(due, |media, utterance| media.finish(utterance))?;
        Ok(samples)
    }

    fn queue(&self, due: &Due, pcm: Vec<i16>, rate: u32) -> Result<(), EngineError> {
        if pcm.is_empty() {
            return Ok(());
        }
        self.play(due, |media, utterance| media.play_at(utterance, pcm, rate))
    }

    /// Does something to the playout, unless the clause has been silenced meanwhile.
    fn play(
        &self,
        due: &Due,
        act: impl FnOnce(&MediaHandle, UtteranceId) -> Result<(), MediaError>,
    ) -> Result<(), EngineError> {
        let media = self.playout.lock();
        if *self.epoch.borrow() != due.epoch {
            return Ok(());
        }
        act(&media, UtteranceId(due.clause.0)).map_err(|error| EngineError::Request(error.to_string()))
    }
}

/// A synthesiser's rate on its way to the line's.
struct Fitting {
    voice: u32,
    line: u32,
    resampler: Resampler,
}

/// A chunk at the line's rate. The resampler is kept for the clause and made anew if a rate changes.
fn fit(kept: &mut Option<Fitting>, chunk: &AudioChunk, line: u32) -> Result<Vec<i16>, EngineError> {
    if chunk.rate == line {
        return Ok(chunk.pcm.clone());
    }
    if kept.as_ref().is_none_or(|kept| (kept.voice, kept.line) != (chunk.rate, line)) {
        let resampler =
            Resampler::new(chunk.rate, line).map_err(|error| EngineError::Request(error.to_string()))?;
        *kept = Some(Fitting { voice: chunk.rate, line, resampler });
    }
    let mut pcm = Vec::with_capacity(chunk.pcm.len());
    if let Some(kept) = kept {
        kept.resampler.process(&chunk.pcm, &mut pcm);
    }
    Ok(pcm)
}

/// How much audio it is, in samples of 8 kHz: what progress is counted in, whatever the line.
fn narrow(pcm: &[i16], rate: u32) -> u64 {
    pcm.len() as u64 * u64::from(NARROWBAND_HZ) / u64::from(rate)
}
