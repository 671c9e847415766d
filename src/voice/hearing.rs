//! The caller's audio on its way to the engines: 8 kHz frames are lifted to 16 kHz, judged by the VAD,
//! and given to the recogniser while an utterance is open.

use std::collections::VecDeque;
use std::future::Future;
use std::time::{Duration, Instant};

use crate::base::audio::{NARROWBAND_HZ, WIDEBAND_HZ, duration_of, samples_in};
use crate::engine::vad::energy::level_dbfs;
use crate::engine::worker::{AsrStream, VadStream};
use crate::engine::{EngineError, SpeechHint};
use crate::media::resample::Resampler;
use crate::voice::activity::{self, Activity};
use crate::voice::{Event, ms};

/// What the turn model looks at.
const MEMORY: Duration = ms(8_000);
/// Audio before the decision that speech began: the onset itself and what leads to it.
const PRE_ROLL: Duration = ms(450);
/// A VAD that has not answered by now is passed over: loudness decides.
const VAD_PATIENCE: Duration = ms(150);
/// Without a VAD, frames louder than this are speech, in dBFS.
const SPEECH_DBFS: f32 = -40.0;

pub struct Ear {
    lift: Resampler,
    lifted: Vec<i16>,
    memory: VecDeque<i16>,
    frame: Vec<i16>,
    vad: VadStream,
    activity: Activity,
    asr: AsrStream,
    utterance: Utterance,
    /// Samples of the caller's turn so far.
    turn: usize,
}

/// Where the caller's audio goes.
#[derive(Debug)]
enum Utterance {
    Closed,
    /// To the recogniser.
    Open,
    /// Into a holding buffer: a pause needs no transcript, but its audio belongs to the utterance if the
    /// caller goes on.
    Held(Vec<i16>),
}

impl Ear {
    pub fn new(activity: activity::Config, vad: VadStream, asr: AsrStream) -> Self {
        let frame = duration_of(vad.frame_samples() as u64, WIDEBAND_HZ);
        Ear {
            lift: Resampler::new(NARROWBAND_HZ, WIDEBAND_HZ)
                .expect("8 kHz to 16 kHz is among the rates that are taken"),
            lifted: Vec::new(),
            memory: VecDeque::new(),
            frame: Vec::new(),
            vad,
            activity: Activity::new(activity, frame),
            asr,
            utterance: Utterance::Closed,
            turn: 0,
        }
    }

    /// What to expect of a speaker of `language`, if it is told.
    pub fn hint(language: Option<&str>) -> SpeechHint {
        let primary = |tag: &str| tag.split('-').next().unwrap_or(tag).to_ascii_lowercase();
        SpeechHint { language: language.map(primary), vocabulary: Vec::new() }
    }

    /// Takes one frame of the caller's audio at 8 kHz; gives what it means for the conversation.
    pub async fn hear(&mut self, pcm: &[i16]) -> Vec<Event> {
        let mut lifted = std::mem::take(&mut self.lifted);
        lifted.clear();
        self.lift.process(pcm, &mut lifted);
        let mut events = Vec::new();
        for sample in &lifted {
            self.frame.push(*sample);
            if self.frame.len() >= self.vad.frame_samples() {
                let frame = std::mem::take(&mut self.frame);
                events.extend(self.judge(frame).await);
            }
        }
        self.lifted = lifted;
        events
    }

    async fn judge(&mut self, frame: Vec<i16>) -> Option<Event> {
        self.remember(&frame);
        let probability = self.probability(frame).await;
        let event = self.activity.handle_frame(Instant::now(), probability);
        match &event {
            Some(Event::SpeechStarted { .. }) => self.release_held(),
            Some(Event::SpeechPaused { .. }) => self.hold(),
            _ => {}
        }
        event
    }

    /// The VAD's word on a frame, or its loudness where the VAD has nothing to say.
    async fn probability(&mut self, frame: Vec<i16>) -> f32 {
        let loud = level_dbfs(&frame) > SPEECH_DBFS;
        match tokio::time::timeout(VAD_PATIENCE, self.vad.probability(frame)).await {
            Ok(Ok(judged)) => judged.value,
            Ok(Err(_)) | Err(_) => {
                metrics::counter!("callbox_vad_missed_total").increment(1);
                if loud { 1.0 } else { 0.0 }
            }
        }
    }

    fn remember(&mut self, frame: &[i16]) {
        let room = samples_in(MEMORY, WIDEBAND_HZ) as usize;
        self.memory.extend(frame);
        let surplus = self.memory.len().saturating_sub(room);
        self.memory.drain(..surplus);
        self.turn += frame.len();
        match &mut self.utterance {
            Utterance::Closed => {}
            Utterance::Open => self.give(frame),
            Utterance::Held(held) => held.extend_from_slice(frame),
        }
    }

    /// Opens an utterance with the audio that led to it.
    pub fn start_utterance(&mut self) {
        let length = samples_in(PRE_ROLL, WIDEBAND_HZ) as usize;
        let from = self.memory.len().saturating_sub(length);
        let lead: Vec<i16> = self.memory.range(from..).copied().collect();
        self.asr.restart();
        self.turn = lead.len();
        self.utterance = Utterance::Open;
        self.give(&lead);
    }

    /// The best transcript so far.
    pub fn partial(&self) -> impl Future<Output = Result<String, EngineError>> + Send + use<> {
        let transcript = self.asr.partial();
        async move { Ok(transcript.await?.value.text) }
    }

    /// The final transcript; the utterance is closed.
    pub fn finish(&mut self) -> impl Future<Output = Result<String, EngineError>> + Send + use<> {
        self.utterance = Utterance::Closed;
        let transcript = self.asr.finish();
        async move { Ok(transcript.await?.value.text) }
    }

    pub fn drop_utterance(&mut self) {
        self.utterance = Utterance::Closed;
        self.asr.restart();
    }

    /// Begins again after a time in which nothing was listened to.
    pub fn listen_anew(&mut self) {
        self.activity.reset();
        self.memory.clear();
        self.frame.clear();
        self.turn = 0;
        self.drop_utterance();
    }

    /// The turn under way at 16 kHz, or its last eight seconds.
    pub fn turn(&self) -> Vec<i16> {
        let from = self.memory.len().saturating_sub(self.turn);
        self.memory.range(from..).copied().collect()
    }

    fn hold(&mut self) {
        if matches!(self.utterance, Utterance::Open) {
            self.utterance = Utterance::Held(Vec::new());
        }
    }

    fn release_held(&mut self) {
        if let Utterance::Held(held) = &mut self.utterance {
            let held = std::mem::take(held);
            self.utterance = Utterance::Open;
            self.give(&held);
        }
    }

    /// A recogniser that is overloaded loses audio; the transcript shows it, the call goes on.
    fn give(&self, pcm: &[i16]) {
        if self.asr.push(pcm).is_err() {
            metrics::counter!("callbox_asr_audio_dropped_total").increment(1);
        }
    }
}
