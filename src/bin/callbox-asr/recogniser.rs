//! [`Asr`] by whisper.cpp: an utterance is kept as audio and read again for every request, with an
//! encoder window as short as the audio allows.
//!
//! One that outgrows Whisper's 30 seconds is settled piece by piece: its head is cut off in a pause and
//! its text kept, so that a request never reads more than one window. A request over audio that the last
//! one has read, but for silence after it, costs nothing.

use std::{collections::HashMap, ffi::c_int};

use callbox::engine::{Asr, EngineError, SpeechHint, StreamId, Transcript};
use whisper_rs::{
    FullParams, SamplingStrategy, WhisperContext, WhisperContextParameters, WhisperError, WhisperState,
};

use crate::{
    Args,
    invention::{Evidence, SILENCE, believable},
    window::{self, MAX_WINDOW, RATE},
};

/// Audio of one utterance that may wait to be read: two minutes.
const MAX_UNREAD: usize = 120 * RATE;
/// Tokens of vocabulary that go before the text: as many as leave Whisper room for the text.
const MAX_PROMPT: usize = 120;

pub struct Whisper {
    context: WhisperContext,
    state: WhisperState,
    threads: c_int,
    language: Option<&'static str>,
    /// By language: whisper-rs leaks a string every time a language is set, so each is set once.
    params: HashMap<Option<&'static str>, FullParams<'static, 'static>>,
    streams: HashMap<StreamId, Heard>,
}

/// An utterance so far.
#[derive(Default)]
struct Heard {
    language: Option<&'static str>,
    prompt: Vec<c_int>,
    /// Text of the audio that was cut off, and how many samples that were.
    settled: String,
    settled_samples: u64,
    pcm: Vec<i16>,
    /// The text of `pcm` when it was `.0` samples long.
    read: Option<(usize, String)>,
}

impl Whisper {
    pub fn load(args: &Args) -> Result<Self, EngineError> {
        whisper_rs::install_logging_hooks();
        if !args.model.is_file() {
            return Err(EngineError::Start(format!("--model: no file {}", args.model.display())));
        }
        let mut parameters = WhisperContextParameters::default();
        parameters.use_gpu(args.gpu);
        let cannot = |error: WhisperError| EngineError::Start(format!("{}: {error}", args.model.display()));
        let context = WhisperContext::new_with_params(&args.model, parameters).map_err(cannot)?;
        let state = context.create_state().map_err(cannot)?;
        let threads = args.threads.clamp(1, 64) as c_int;
        let mut whisper = Whisper {
            context,
            state,
            threads,
            language: None,
            params: HashMap::new(),
            streams: HashMap::new(),
        };
        let language = args.language.as_deref().map(|tag| whisper.known_language(tag)).transpose();
        whisper.language = language.map_err(|error| EngineError::Start(format!("--language: {error}")))?;
        // The first run allocates; no caller should wait for that.
        whisper.read(&Heard::default(), &[0; RATE])?;
        Ok(whisper)
    }

    /// The name Whisper has for a language tag.
    fn known_language(&self, tag: &str) -> Result<&'static str, EngineError> {
        let primary: String = tag.split(['-', '_']).next().unwrap_or(tag).to_lowercase().replace('\0', "");
        let known = whisper_rs::get_lang_id(&primary).and_then(whisper_rs::get_lang_str);
        match known {
            Some(language) if self.context.is_multilingual() || language == "en" => Ok(language),
            Some(_) => Err(EngineError::Request(format!("this model knows English alone, not `{tag}`"))),
            None => Err(EngineError::Request(format!("`{tag}` is not a language Whisper knows"))),
        }
    }

    /// Names and products as the beginning of a text, which makes Whisper expect them.
    fn prompt(&self, vocabulary: &[String]) -> Result<Vec<c_int>, EngineError> {
        let words: Vec<&str> = vocabulary.iter().map(|w| w.trim()).filter(|w| !w.is_empty()).collect();
        let text: String = words.join(", ").chars().filter(|c| *c != '\0').take(400).collect();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let mut tokens = self.context.tokenize(&format!(" {text}."), 512).map_err(failed)?;
        tokens.truncate(MAX_PROMPT);
        Ok(tokens)
    }

    fn params_for(&mut self, language: Option<&'static str>) -> FullParams<'static, 'static> {
        // An English model has no language to detect.
        let language = if self.context.is_multilingual() { language.or(self.language) } else { Some("en") };
        let threads = self.threads;
        self.params.entry(language).or_insert_with(|| base_params(language, threads)).clone()
    }

    /// The text of one window of audio.
    fn read(&mut self, heard: &Heard, pcm: &[i16]) -> Result<String, EngineError> {
        let level = window::peak_level(pcm);
        let mut params = self.params_for(heard.language);
        params.set_audio_ctx(window::audio_ctx(pcm.len()));
        params.set_max_tokens(window::max_tokens(pcm.len()));
        params.set_single_segment(pcm.len() < window::ONE_SEGMENT);
        if !heard.prompt.is_empty() {
            params.set_tokens(&heard.prompt);
        }
        self.state.full(params, &window::to_float(pcm)).map_err(failed)?;
        Ok(self.collect(level))
    }

    /// What the state holds after a run, segment by segment, without inventions.
    fn collect(&self, level: f32) -> String {
        let end_of_text = self.context.token_eot();
        let believed = self.state.as_iter().map(|segment| {
            let text = segment.to_str_lossy().unwrap_or_default();
            let tokens = (0..segment.n_tokens()).filter_map(|i| segment.get_token(i));
            let (sum, count) = tokens
                .filter(|token| token.token_id() < end_of_text)
                .fold((0.0, 0), |(sum, count), token| (sum + token.token_probability(), count + 1));
            let confidence = sum / count.max(1) as f32;
            believable(&text, Evidence { no_speech: segment.no_speech_probability(), confidence, level })
        });
        join(believed)
    }

    fn transcribe(&mut self, stream: StreamId) -> Result<Transcript, EngineError> {
        // Taken out while it is read, and put back whatever the reading gives.
        let mut heard = self.streams.remove(&stream).unwrap_or_default();
        let result = self.bring_up_to_date(&mut heard);
        let transcript = heard.transcript();
        self.streams.insert(stream, heard);
        result.map(|()| transcript)
    }

    fn bring_up_to_date(&mut self, heard: &mut Heard) -> Result<(), EngineError> {
        while heard.pcm.len() > MAX_WINDOW {
            let at = window::cut(&heard.pcm);
            let text = self.read_unless_silent(heard, at)?;
            heard.settle(at, &text);
        }
        if !heard.is_read() {
            let text = self.read_unless_silent(heard, heard.pcm.len())?;
            heard.read = Some((heard.pcm.len(), text));
        }
        Ok(())
    }

    fn read_unless_silent(&mut self, heard: &Heard, len: usize) -> Result<String, EngineError> {
        let pcm = &heard.pcm[..len];
        if window::peak_level(pcm) < SILENCE { Ok(String::new()) } else { self.read(heard, pcm) }
    }
}

impl Heard {
    fn settle(&mut self, at: usize, text: &str) {
        self.settled = join([self.settled.clone(), text.to_owned()]);
        self.settled_samples += at as u64;
        self.pcm.drain(..at);
        self.read = None;
    }

    /// Whether nothing was said since the audio was last read.
    fn is_read(&self) -> bool {
        self.read.as_ref().is_some_and(|(len, _)| window::peak_level(&self.pcm[*len..]) < SILENCE)
    }

    fn transcript(&self) -> Transcript {
        let text = self.read.as_ref().map(|(_, text)| text.clone()).unwrap_or_default();
        let samples = self.settled_samples + self.pcm.len() as u64;
        Transcript { text: join([self.settled.clone(), text]), samples }
    }
}

impl Asr for Whisper {
    fn start(&mut self, stream: StreamId, hint: &SpeechHint) -> Result<(), EngineError> {
        let language = hint.language.as_deref().map(|tag| self.known_language(tag)).transpose()?;
        let prompt = self.prompt(&hint.vocabulary)?;
        self.streams.insert(stream, Heard { language, prompt, ..Heard::default() });
        Ok(())
    }

    fn push(&mut self, stream: StreamId, pcm: &[i16]) -> Result<(), EngineError> {
        let heard = self.streams.entry(stream).or_default();
        if heard.pcm.len() + pcm.len() > MAX_UNREAD {
            let seconds = MAX_UNREAD / RATE;
            return Err(EngineError::Request(format!(
                "more than {seconds} s of audio and no request for text"
            )));
        }
        heard.pcm.extend_from_slice(pcm);
        Ok(())
    }

    fn partial(&mut self, stream: StreamId) -> Result<Transcript, EngineError> {
        self.transcribe(stream)
    }

    fn finish(&mut self, stream: StreamId) -> Result<Transcript, EngineError> {
        let result = self.transcribe(stream);
        self.streams.remove(&stream);
        result
    }

    fn cancel(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }
}

fn base_params(language: Option<&'static str>, threads: c_int) -> FullParams<'static, 'static> {
    let mut params = FullParams::new(SamplingStrategy::Greedy { best_of: 1 });
    params.set_n_threads(threads);
    params.set_language(language);
    params.set_no_context(true);
    // Off, the text repeats itself in most short windows.
    params.set_no_timestamps(false);
    params.set_suppress_nst(true);
    // No second try at a higher temperature: a late answer is worse than an odd word.
    params.set_temperature_inc(0.0);
    params.set_print_special(false);
    params.set_print_progress(false);
    params.set_print_realtime(false);
    params.set_print_timestamps(false);
    params
}

fn join(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(" ")
}

fn failed(error: WhisperError) -> EngineError {
    EngineError::Request(format!("whisper: {error}"))
}
