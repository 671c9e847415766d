//! Speech recognition behind an OpenAI-compatible API: `POST {base_url}/audio/transcriptions`.
//!
//! The API takes whole files, so an utterance is collected here and sent as a WAV file when it ends;
//! a partial result is the same with what there is so far. A call of [`Asr::finish`] waits for the
//! server: give each of several workers a [`OpenAiAsr::sibling`] to have several requests under way.

use std::collections::HashMap;

use reqwest::multipart::{Form, Part};
use serde::{Deserialize, Serialize};

use crate::base::audio::WIDEBAND_HZ;
use crate::engine::{
    Asr, EngineError, SpeechHint, StreamId, Transcript,
    http::{
        Endpoint, HttpConfig,
        answer::{Body, accepted},
        wire_audio::wav_of,
    },
};

/// The API refuses less than a tenth of a second.
const SHORTEST_SAMPLES: usize = WIDEBAND_HZ as usize / 10;
/// Longest `max_seconds`: 10 minutes are 19 MB a caller.
const MAX_SECONDS: u32 = 600;
/// Whisper reads the last 224 tokens of its prompt; these are about as many characters.
const PROMPT_CHARS: usize = 800;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenAiAsrConfig {
    #[serde(flatten)]
    pub http: HttpConfig,
    /// Whether partial results are asked for; every one costs a request over the whole utterance.
    #[serde(default)]
    pub partials: bool,
    /// BCP 47 primary language where a caller's is not known; none lets the model detect it.
    #[serde(default)]
    pub language: Option<String>,
    /// Longest utterance; what is said beyond is not heard, as the transcript's length tells.
    #[serde(default = "default_max_seconds")]
    pub max_seconds: u32,
}

fn default_max_seconds() -> u32 {
    60
}

impl OpenAiAsrConfig {
    pub fn new(http: HttpConfig) -> Self {
        OpenAiAsrConfig { http, partials: false, language: None, max_seconds: default_max_seconds() }
    }
}

pub struct OpenAiAsr {
    endpoint: Endpoint,
    config: OpenAiAsrConfig,
    utterances: HashMap<StreamId, Spoken>,
}

struct Spoken {
    hint: SpeechHint,
    pcm: Vec<i16>,
    /// The latest partial result, kept until more is said.
    partial: Transcript,
}

impl OpenAiAsr {
    /// Fails on a configuration that cannot work; a server that is down fails each utterance instead.
    pub fn new(config: OpenAiAsrConfig) -> Result<Self, EngineError> {
        if !(1..=MAX_SECONDS).contains(&config.max_seconds) {
            return Err(EngineError::Start(format!("`max_seconds` must be 1 to {MAX_SECONDS}")));
        }
        let endpoint = Endpoint::new(config.http.clone())?;
        Ok(OpenAiAsr { endpoint, config, utterances: HashMap::new() })
    }

    /// A second recogniser for another worker: the same connections, no utterances yet.
    pub fn sibling(&self) -> Self {
        OpenAiAsr { endpoint: self.endpoint.clone(), config: self.config.clone(), utterances: HashMap::new() }
    }

    fn spoken(&mut self, stream: StreamId) -> Result<&mut Spoken, EngineError> {
        self.utterances.get_mut(&stream).ok_or_else(no_utterance)
    }

    fn transcribe(&self, spoken: &Spoken) -> Result<Transcript, EngineError> {
        let samples = spoken.pcm.len() as u64;
        if spoken.pcm.len() < SHORTEST_SAMPLES {
            return Ok(Transcript { text: String::new(), samples });
        }
        let form = form(&self.config, spoken);
        let endpoint = self.endpoint.clone();
        let text = self.endpoint.wait(async move { ask(&endpoint, form).await })?;
        Ok(Transcript { text, samples })
    }
}

impl Asr for OpenAiAsr {
    fn start(&mut self, stream: StreamId, hint: &SpeechHint) -> Result<(), EngineError> {
        self.utterances.remove(&stream);
        let most = self.config.http.max_concurrent;
        if self.utterances.len() >= most {
            return Err(EngineError::Overloaded(most));
        }
        let spoken = Spoken { hint: hint.clone(), pcm: Vec::new(), partial: Transcript::default() };
        self.utterances.insert(stream, spoken);
        Ok(())
    }

    fn push(&mut self, stream: StreamId, pcm: &[i16]) -> Result<(), EngineError> {
        let most = self.config.max_seconds as usize * WIDEBAND_HZ as usize;
        let spoken = self.spoken(stream)?;
        let room = most.saturating_sub(spoken.pcm.len());
        spoken.pcm.extend_from_slice(&pcm[..pcm.len().min(room)]);
        Ok(())
    }

    /// Empty, and at once, where `partials` is off.
    fn partial(&mut self, stream: StreamId) -> Result<Transcript, EngineError> {
        let wanted = self.config.partials;
        let spoken = self.spoken(stream)?;
        if !wanted || spoken.partial.samples == spoken.pcm.len() as u64 {
            return Ok(spoken.partial.clone());
        }
        let transcript = self.transcribe(self.utterances.get(&stream).ok_or_else(no_utterance)?)?;
        self.spoken(stream)?.partial = transcript.clone();
        Ok(transcript)
    }

    fn finish(&mut self, stream: StreamId) -> Result<Transcript, EngineError> {
        let spoken = self.utterances.remove(&stream).ok_or_else(no_utterance)?;
        self.transcribe(&spoken)
    }

    fn cancel(&mut self, stream: StreamId) {
        self.utterances.remove(&stream);
    }
}

fn no_utterance() -> EngineError {
    EngineError::Request("no utterance is under way on this stream: `start` comes first".into())
}

/// The request, as the API names its fields.
fn form(config: &OpenAiAsrConfig, spoken: &Spoken) -> Form {
    let file = Part::bytes(wav_of(&spoken.pcm, WIDEBAND_HZ)).file_name("speech.wav");
    let file = file.mime_str("audio/wav").expect("it is a media type");
    let mut form = Form::new()
        .part("file", file)
        .text("model", config.http.model.clone())
        .text("response_format", "json")
        .text("temperature", "0");
    if let Some(language) = spoken.hint.language.clone().or_else(|| config.language.clone()) {
        form = form.text("language", language);
    }
    let prompt = prompt(&spoken.hint.vocabulary);
    if prompt.is_empty() { form } else { form.text("prompt", prompt) }
}

/// The vocabulary as the sentence Whisper is to believe it has just heard.
fn prompt(vocabulary: &[String]) -> String {
    let mut prompt = String::new();
    for word in vocabulary {
        if prompt.len() + word.len() + 2 > PROMPT_CHARS {
            break;
        }
        if !prompt.is_empty() {
            prompt.push_str(", ");
        }
        prompt.push_str(word);
    }
    prompt
}

async fn ask(endpoint: &Endpoint, form: Form) -> Result<String, EngineError> {
    let config = endpoint.config();
    let sent = endpoint.post("audio/transcriptions").multipart(form).send().await;
    let body = Body::new(config, accepted(config, sent).await?).whole().await?;
    let heard: Heard = serde_json::from_slice(&body).map_err(|_| {
        let url = &config.base_url;
        EngineError::Request(format!("{url} answered with something that is no transcription"))
    })?;
    Ok(heard.text.trim().to_owned())
}

#[derive(Deserialize)]
struct Heard {
    text: String,
}

#[cfg(test)]
mod tests;
