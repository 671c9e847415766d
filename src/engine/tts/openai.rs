//! Speech synthesis behind an OpenAI-compatible API: `POST {base_url}/audio/speech`, played as it
//! streams in.
//!
//! All utterances under way stream in at once, each into its own buffer. [`Tts::next`] waits only
//! briefly: where nothing has come yet it gives a chunk without samples, so that one slow server
//! answer does not hold up the other callers of the same worker.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::engine::{
    AudioChunk, EngineError, StreamId, Tts, Utterance, Voice,
    http::{
        Endpoint, HttpConfig, Running,
        answer::{Body, accepted, media_type},
        mailbox::{Mailbox, Post, mailbox},
        wire_audio::WireAudio,
    },
};

/// How long `next` waits for audio of any utterance.
const NEXT_WAIT: Duration = Duration::from_millis(20);
/// Pieces of audio that may wait to be sorted to their utterances; more hold the servers back.
const MAILBOX_PIECES: usize = 256;
/// The API's limits of speed.
const SPEEDS: std::ops::RangeInclusive<f32> = 0.25..=4.0;

/// What the server is asked to send. A WAV header is recognised in either case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpeechFormat {
    /// Bare 16-bit samples at [`OpenAiTtsConfig::pcm_rate`].
    #[default]
    Pcm,
    /// A file that says its own rate.
    Wav,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAiTtsConfig {
    #[serde(flatten)]
    pub http: HttpConfig,
    /// The voices the server has; the API has no way to ask.
    pub voices: Vec<Voice>,
    #[serde(default)]
    pub format: SpeechFormat,
    /// Samples a second of bare PCM; 24,000 is the API's own.
    #[serde(default = "default_pcm_rate")]
    pub pcm_rate: u32,
}

fn default_pcm_rate() -> u32 {
    24_000
}

impl OpenAiTtsConfig {
    pub fn new(http: HttpConfig, voices: Vec<Voice>) -> Self {
        OpenAiTtsConfig { http, voices, format: SpeechFormat::Pcm, pcm_rate: default_pcm_rate() }
    }
}

pub struct OpenAiTts {
    endpoint: Endpoint,
    config: OpenAiTtsConfig,
    speeches: HashMap<StreamId, Speech>,
    post: Post<Piece>,
    mailbox: Mailbox<Piece>,
    generation: u64,
}

/// An utterance under way; dropping it drops its request. Its buffer is bounded by
/// `max_response_bytes`.
struct Speech {
    generation: u64,
    request: Running,
    ready: VecDeque<AudioChunk>,
    end: Option<Result<(), EngineError>>,
}

struct Piece {
    stream: StreamId,
    generation: u64,
    sound: Sound,
}

enum Sound {
    Chunk(AudioChunk),
    End(Result<(), EngineError>),
}

impl OpenAiTts {
    /// Fails on a configuration that cannot work; a server that is down fails each utterance instead.
    pub fn new(config: OpenAiTtsConfig) -> Result<Self, EngineError> {
        if config.voices.is_empty() {
            return Err(EngineError::Start("`voices` must list at least one voice of the server".into()));
        }
        if !(8_000..=96_000).contains(&config.pcm_rate) {
            return Err(EngineError::Start("`pcm_rate` must be 8000 to 96000 Hz".into()));
        }
        let (post, mailbox) = mailbox(MAILBOX_PIECES);
        let endpoint = Endpoint::new(config.http.clone())?;
        Ok(OpenAiTts { endpoint, config, speeches: HashMap::new(), post, mailbox, generation: 0 })
    }

    fn request_body(&self, request: &Utterance) -> serde_json::Value {
        json!({
            "model": self.config.http.model,
            "input": request.text,
            "voice": request.voice,
            "response_format": self.config.format,
            "speed": request.speed.clamp(*SPEEDS.start(), *SPEEDS.end()),
        })
    }

    /// Puts a piece with its utterance, unless that is no longer wanted.
    fn sort(&mut self, piece: Piece) {
        let Some(speech) = self.speeches.get_mut(&piece.stream) else { return };
        if speech.generation != piece.generation {
            return;
        }
        match piece.sound {
            Sound::Chunk(chunk) => speech.ready.push_back(chunk),
            Sound::End(end) => speech.end = Some(end),
        }
    }

    fn sort_waiting(&mut self) {
        for _ in 0..MAILBOX_PIECES {
            match self.mailbox.receive_now() {
                Some(piece) => self.sort(piece),
                None => break,
            }
        }
    }

    /// What is ready on `stream`: `None` if neither audio nor the end is.
    fn ready(&mut self, stream: StreamId) -> Option<Result<Option<AudioChunk>, EngineError>> {
        // An utterance that was never begun, or that was cancelled, has nothing more to say.
        let Some(speech) = self.speeches.get_mut(&stream) else { return Some(Ok(None)) };
        if let Some(chunk) = speech.ready.pop_front() {
            return Some(Ok(Some(chunk)));
        }
        let end = speech.end.take()?;
        self.speeches.remove(&stream);
        Some(end.map(|()| None))
    }

    /// Ends an utterance whose request ended without a last word, which only a bug brings about.
    fn fail_silent(&mut self, stream: StreamId) {
        if self.speeches.get(&stream).is_some_and(|speech| speech.request.is_finished()) {
            // A request that was seen to have ended has posted all it had.
            self.sort_waiting();
            if let Some(speech) = self.speeches.get_mut(&stream) {
                speech.end.get_or_insert_with(|| {
                    Err(EngineError::Request("the request ended without an answer".into()))
                });
            }
        }
    }
}

impl Tts for OpenAiTts {
    fn voices(&self) -> Vec<Voice> {
        self.config.voices.clone()
    }

    fn start(&mut self, stream: StreamId, request: &Utterance) -> Result<(), EngineError> {
        self.cancel(stream);
        if !self.config.voices.iter().any(|voice| voice.name == request.voice) {
            let names: Vec<_> = self.config.voices.iter().map(|voice| voice.name.as_str()).collect();
            let (wanted, names) = (&request.voice, names.join(", "));
            return Err(EngineError::Request(format!("no voice `{wanted}`; there are: {names}")));
        }
        let most = self.config.http.max_concurrent;
        if self.speeches.len() >= most {
            return Err(EngineError::Overloaded(most));
        }
        if request.text.trim().is_empty() {
            return Ok(());
        }
        self.generation += 1;
        let outlet = Outlet { stream, generation: self.generation, post: self.post.clone() };
        let (endpoint, body, rate) =
            (self.endpoint.clone(), self.request_body(request), self.config.pcm_rate);
        let request = self.endpoint.spawn(async move {
            let end = stream_speech(&endpoint, &body, WireAudio::new(rate), &outlet).await;
            outlet.send(Sound::End(end)).await;
        });
        let speech = Speech { generation: self.generation, request, ready: VecDeque::new(), end: None };
        self.speeches.insert(stream, speech);
        Ok(())
    }

    /// Waits up to 20 ms; a chunk without samples says that more is to come.
    fn next(&mut self, stream: StreamId) -> Result<Option<AudioChunk>, EngineError> {
        self.sort_waiting();
        if let Some(ready) = self.ready(stream) {
            return ready;
        }
        match self.mailbox.receive(NEXT_WAIT) {
            Some(piece) => self.sort(piece),
            None => self.fail_silent(stream),
        }
        let nothing_yet = AudioChunk { rate: self.config.pcm_rate, pcm: Vec::new() };
        self.ready(stream).unwrap_or(Ok(Some(nothing_yet)))
    }

    fn cancel(&mut self, stream: StreamId) {
        self.speeches.remove(&stream);
    }
}

/// Where one utterance's audio goes.
struct Outlet {
    stream: StreamId,
    generation: u64,
    post: Post<Piece>,
}

impl Outlet {
    async fn send(&self, sound: Sound) {
        // Nobody reads once the engine is gone, and then this task is about to be.
        self.post.send(Piece { stream: self.stream, generation: self.generation, sound }).await;
    }
}

async fn stream_speech(
    endpoint: &Endpoint,
    body: &serde_json::Value,
    mut audio: WireAudio,
    outlet: &Outlet,
) -> Result<(), EngineError> {
    let config = endpoint.config();
    let bad = |why: String| EngineError::Request(format!("{}: {why}", config.base_url));
    let response = accepted(config, endpoint.post("audio/speech").json(body).send().await).await?;
    refuse_other_media(&media_type(&response)).map_err(bad)?;
    let mut body = Body::new(config, response);
    let mut pcm = Vec::new();
    let mut silent = true;
    while let Some(bytes) = body.next().await? {
        pcm.extend(audio.push(&bytes).map_err(|error| bad(error.to_string()))?);
        // Below 20 ms a chunk is not worth its handling.
        if pcm.len() >= audio.rate() as usize / 50 {
            silent = false;
            outlet.send(Sound::Chunk(AudioChunk { rate: audio.rate(), pcm: std::mem::take(&mut pcm) })).await;
        }
    }
    if !pcm.is_empty() {
        outlet.send(Sound::Chunk(AudioChunk { rate: audio.rate(), pcm })).await;
    } else if silent {
        return Err(bad("the answer holds no audio".into()));
    }
    Ok(())
}

/// Refuses what would be played as noise.
fn refuse_other_media(kind: &str) -> Result<(), String> {
    let compressed = ["audio/mpeg", "audio/mp3", "audio/ogg", "audio/opus", "audio/aac", "audio/flac"];
    if kind.starts_with("text/") || kind == "application/json" || compressed.contains(&kind) {
        return Err(format!("the answer is {kind}; set `format` to `pcm` or `wav`, whichever it can send"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
