//! A directory of calls on real SIP and media, with scripted engines, and the story each call tells.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callbox::base::{CallId, Pii};
use callbox::call::directory::{Directory, Parts};
use callbox::call::event::{CallChange, CallEvent, Ending};
use callbox::call::persona::Persona;
use callbox::call::record::{
    AnsweredBy, CallPlan, CallQuality, CallStatus, Speaker, TransferStatus, TurnRecord, VoicemailAction,
};
use callbox::call::{self, RecordingFormat, TransferManner};
use callbox::engine::EngineError;
use callbox::engine::registry::{self, EngineConfig, Engines, Surroundings};
use callbox::media::{self, MediaPlane};
use callbox::sip::{self, DiversionHeader, SipNode, Srtp, TransferBy, TrunkConfig};
use callbox::voice::driver::Voices;
use callbox::voice::mouth::VoiceChoice;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::eventually;

/// What the engines do, and what the node is like.
pub struct Script {
    utterances: Vec<String>,
    asr_delay: Duration,
    answers: Vec<toml::Value>,
    password: Option<String>,
    ring_timeout_secs: u64,
    lines: usize,
    leave: bool,
    rules_wait: bool,
    transfer_ring_secs: u64,
    srtp: Srtp,
    /// A trunk that is tried first.
    before: Option<SocketAddr>,
    transfer_by: TransferBy,
    /// What the recogniser makes of the utterances of whoever a call is transferred to, who is asked first.
    target: Option<Vec<String>>,
    pub t1: Duration,
    pub summary: bool,
    pub rtp_timeout_ms: u64,
    opus: bool,
    sockets: media::SocketMode,
}

impl Script {
    pub fn new() -> Self {
        Script {
            utterances: Vec::new(),
            asr_delay: Duration::ZERO,
            answers: Vec::new(),
            password: None,
            ring_timeout_secs: 20,
            lines: 4,
            leave: true,
            rules_wait: false,
            transfer_ring_secs: 20,
            srtp: Srtp::Off,
            before: None,
            transfer_by: TransferBy::Bridge,
            target: None,
            t1: Duration::from_millis(500),
            summary: true,
            rtp_timeout_ms: media::Config::default().rtp_timeout_ms,
            opus: false,
            sockets: media::SocketMode::PerCall,
        }
    }

    /// All calls of a media thread share its ports.
    pub fn over_shared_ports(mut self) -> Self {
        self.sockets = media::SocketMode::Shared;
        self
    }

    /// What the recogniser makes of the callee's utterances, in order.
    pub fn hears<const N: usize>(mut self, texts: [&str; N]) -> Self {
        self.utterances.extend(texts.map(str::to_owned));
        self
    }

    /// The recogniser takes this long for each.
    pub fn hears_slowly(mut self, delay: Duration) -> Self {
        self.asr_delay = delay;
        self
    }

    pub fn answers(mut self, text: &str) -> Self {
        self.answers.push(toml::Value::try_from(BTreeMap::from([("text", text)])).unwrap());
        self
    }

    pub fn hangs_up_with(self, text: &str) -> Self {
        self.calls_tool(text, "hang_up")
    }

    pub fn llm_dies(mut self) -> Self {
        self.answers.push(toml::Value::Table(toml::from_str("text = \"\"\ndie = \"killed\"").unwrap()));
        self
    }

    pub fn with_password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    pub fn rings_for(mut self, seconds: u64) -> Self {
        self.ring_timeout_secs = seconds;
        self
    }

    pub fn with_lines(mut self, lines: usize) -> Self {
        self.lines = lines;
        self
    }

    /// A far end of which nothing has come for so long is gone.
    pub fn gives_up_after(mut self, time: Duration) -> Self {
        self.rtp_timeout_ms = time.as_millis() as u64;
        self
    }

    /// The rules refuse every transfer.
    pub fn refuses_transfers(mut self) -> Self {
        self.leave = false;
        self
    }

    /// The rules answer only once [`Rig::rules_answer`] lets them.
    pub fn rules_wait(mut self) -> Self {
        self.rules_wait = true;
        self
    }

    /// The trunk wants its audio so.
    pub fn encrypts(mut self, srtp: Srtp) -> Self {
        self.srtp = srtp;
        self
    }

    /// Calls are tried by this trunk first.
    pub fn after(mut self, first: SocketAddr) -> Self {
        self.before = Some(first);
        self
    }

    pub fn rings_target_for(mut self, seconds: u64) -> Self {
        self.transfer_ring_secs = seconds;
        self
    }

    pub fn transfers_by(mut self, by: TransferBy) -> Self {
        self.transfer_by = by;
        self
    }

    /// Whoever a call is transferred to is asked first, and says this.
    pub fn asks_target<const N: usize>(mut self, texts: [&str; N]) -> Self {
        self.target = Some(texts.map(str::to_owned).into());
        self
    }

    pub fn recorded_as_opus(mut self) -> Self {
        self.opus = true;
        self
    }

    pub fn presses(mut self, keys: &str) -> Self {
        let call =
            format!("text = ''\ntool_call = {{ name = 'press_keys', arguments = {{ keys = {keys:?} }} }}");
        self.answers.push(toml::Value::Table(toml::from_str(&call).unwrap()));
        self
    }

    pub fn calls_tool(mut self, text: &str, tool: &str) -> Self {
        let answer = format!("text = {text:?}\ntool_call = {{ name = {tool:?}, arguments = {{}} }}");
        self.answers.push(toml::Value::Table(toml::from_str(&answer).unwrap()));
        self
    }

    fn engines(&self, utterances: &[String]) -> Engines {
        let scripted = |options: toml::Table| EngineConfig { options, ..EngineConfig::new("scripted", "") };
        let says = |text: &String| toml::Value::try_from(BTreeMap::from([("say", text)])).unwrap();
        let utterances: Vec<toml::Value> = utterances.iter().map(says).collect();
        let mut asr = toml::Table::from_iter([("utterances".to_owned(), utterances.into())]);
        asr.insert("delay_ms".into(), (self.asr_delay.as_millis() as i64).into());
        let mut llm = toml::Table::from_iter([("answers".to_owned(), self.answers.clone().into())]);
        llm.insert("token_ms".into(), if self.summary { 5 } else { 0 }.into());
        let tts = toml::from_str("ms_a_character = 25").unwrap();
        let config = registry::Config {
            asr: scripted(asr),
            llm: scripted(llm),
            llm_turbo: None,
            tts: scripted(tts),
            vad: scripted(toml::Table::new()),
            turn: scripted(toml::Table::new()),
        };
        let no_models = |name: &str| Err(EngineError::Start(format!("no model {name} in a test")));
        Engines::start(&config, &Surroundings::new(no_models)).unwrap()
    }
}

/// The number that calls show if they name none.
pub const TRUNKS_OWN: &str = "+14155550190";

pub fn plan() -> CallPlan {
    CallPlan {
        to: Some("+14155550123".parse().unwrap()),
        from: None,
        home: None,
        task: Pii::new("Ask for the opening hours on Friday.".into()),
        first_sentence: Some(Pii::new("I have a question.".into())),
        voice: "tone-0".into(),
        model: "base".into(),
        language: "en".into(),
        max_duration_secs: 60,
        wait_for_greeting: false,
        record: true,
        interruption_threshold_ms: None,
        transfer_to: None,
        voicemail_action: VoicemailAction::Ignore,
        voicemail_message: None,
        metadata: None,
        owner: None,
        price: None,
    }
}

/// Of transfers.
struct Rules {
    asked: AtomicU32,
    answers: Semaphore,
}

impl Rules {
    async fn say(&self, leave: bool) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.answers.acquire().await.is_ok_and(|_| leave)
    }
}

pub struct Rig {
    pub directory: Directory,
    pub sip: SipNode,
    pub media: Arc<MediaPlane>,
    pub told: Arc<Mutex<HashMap<CallId, Vec<CallChange>>>>,
    news: watch::Receiver<u64>,
    pub recordings: TempDir,
    rules: Arc<Rules>,
}

impl Rig {
    /// A node whose only trunk is `trunk`.
    pub async fn start(trunk: SocketAddr, script: Script) -> Rig {
        let mut carrier = TrunkConfig::peer("test", trunk.to_string().parse().unwrap());
        carrier.caller_id = TRUNKS_OWN.parse().ok();
        carrier.diversion = DiversionHeader::Diversion;
        carrier.srtp = script.srtp;
        carrier.transfer = script.transfer_by;
        if let Some(password) = &script.password {
            carrier.username = Some("callbox".into());
            carrier.password = Some(Pii::new(password.clone()));
        }
        let first = script
            .before
            .map(|address| TrunkConfig { srtp: carrier.srtp, ..TrunkConfig::peer("first", address.into()) });
        carrier.priority = u16::from(first.is_some());
        let config = sip::Config {
            bind: ([127, 0, 0, 1], 0).into(),
            setup_timeout: Duration::from_secs(5),
            t1: script.t1,
            max_calls: script.lines.max(200),
            trunks: first.into_iter().chain([carrier]).collect(),
            ..sip::Config::default()
        };
        let (sip, mut incoming) = SipNode::start(config).await.unwrap();
        let (bind, sockets) = ([127, 0, 0, 1].into(), script.sockets);
        let rtp_timeout_ms = script.rtp_timeout_ms;
        let bind = media::Config { bind, sockets, rtp_timeout_ms, ..media::Config::default() };
        let media = Arc::new(MediaPlane::start(bind).unwrap());
        let recordings = tempfile::tempdir().unwrap();
        let (events, inbox) = mpsc::channel(256);
        let engines = script.engines(&script.utterances);
        engines.ready(Duration::from_secs(10)).await.unwrap();
        let target = script.engines(script.target.as_deref().unwrap_or_default());
        target.ready(Duration::from_secs(10)).await.unwrap();
        let manner = if script.target.is_some() { TransferManner::Warm } else { TransferManner::Blind };
        let answers = Semaphore::new(if script.rules_wait { 0 } else { Semaphore::MAX_PERMITS });
        let rules = Arc::new(Rules { asked: AtomicU32::new(0), answers });
        let asked_rules = rules.clone();
        // A call asks for its engines once, and once more for whom it is transferred to.
        let asked = AtomicU32::new(0);
        let mut voice = callbox::voice::Config::default();
        voice.watchdog.engine_patience_ms = 4_000;
        // The scripted model gives its answers in order, one to each question: none may be asked in vain.
        voice.turn.head_start = false;
        let directory = Directory::new(Parts {
            config: call::Config {
                max_concurrent: script.lines,
                ring_timeout_secs: script.ring_timeout_secs,
                transfer_ring_secs: script.transfer_ring_secs,
                transfer: manner,
                inbound_persona: "test".into(),
                summary: script.summary,
                recording_format: if script.opus { RecordingFormat::Opus } else { RecordingFormat::Wav },
                ..call::Config::default()
            },
            voice,
            sip: sip.clone(),
            media: media.clone(),
            advertise: Arc::new(|| [127, 0, 0, 1].into()),
            engines: Arc::new(move |wanted| {
                let hears = Some(wanted.language.to_owned());
                let first = script.target.is_none() || asked.fetch_add(1, Ordering::Relaxed) == 0;
                let Engines { asr, llm, tts, vad, turn, .. } = if first { &engines } else { &target }.clone();
                Voices { asr, llm, tts, vad, turn, hears }
            }),
            voices: Arc::new(|_, _| VoiceChoice { name: "tone-0".into(), speed: 1.0 }),
            transfers: Arc::new(move |_, _| {
                let rules = asked_rules.clone();
                Box::pin(async move { rules.say(script.leave).await })
            }),
            numbers: Arc::new(|_| Box::pin(async { false })),
            personas: BTreeMap::from([("test".to_owned(), Persona::default())]),
            recordings: recordings.path().to_owned(),
            events,
        });
        let taking = directory.clone();
        tokio::spawn(async move {
            while let Some(call) = incoming.recv().await {
                taking.take(call);
            }
        });
        let told = Arc::new(Mutex::new(HashMap::new()));
        let news = listen(inbox, told.clone());
        Rig { directory, sip, media, told, news, recordings, rules }
    }

    pub fn place(&self, plan: CallPlan) -> CallId {
        self.directory.place(plan).unwrap()
    }

    pub async fn rules_are_asked(&self) {
        eventually("the rules are asked", || self.rules.asked.load(Ordering::Relaxed) > 0).await;
    }

    /// All questions so far, and all that come.
    pub fn rules_answer(&self) {
        self.rules.answers.add_permits(Semaphore::MAX_PERMITS);
    }

    /// The media of every leg has ended.
    pub async fn is_silent(&self) {
        eventually("no leg is left", || self.media.legs() == 0).await;
    }

    /// All a call has told, once it is closed.
    pub async fn story(&self, call: CallId) -> Story {
        self.until(call, |change| matches!(change, CallChange::Closed)).await;
        Story(self.told.lock()[&call].clone())
    }

    /// The story of the one call that comes in.
    pub async fn next_story(&self) -> Story {
        eventually("a call comes in", || !self.told.lock().is_empty()).await;
        let call = *self.told.lock().keys().next().unwrap();
        self.story(call).await
    }

    /// Waits until the call has told a change of some kind.
    pub async fn until(&self, call: CallId, wanted: impl Fn(&CallChange) -> bool) {
        let mut news = self.news.clone();
        let told = || self.told.lock().get(&call).is_some_and(|changes| changes.iter().any(&wanted));
        let waiting = news.wait_for(|_| told());
        let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert!(waited.is_ok(), "not told within 60 s; so far: {:?}", self.told.lock().get(&call));
    }

    pub fn recording(&self, story: &Story) -> Recording {
        Recording::read(&self.recording_file(story))
    }

    pub fn recording_file(&self, story: &Story) -> PathBuf {
        self.recordings.path().join(story.recording_file().expect("the call is recorded"))
    }

    /// Nothing of any call is left: no dialog, no leg, no line in use.
    pub async fn is_clean(&self) {
        eventually("calls, dialogs and legs are gone", || {
            let stats = self.sip.stats();
            (self.directory.live(), stats.calls, stats.dialogs, self.media.legs()) == (0, 0, 0, 0)
        })
        .await;
    }
}

fn listen(
    mut inbox: mpsc::Receiver<CallEvent>,
    told: Arc<Mutex<HashMap<CallId, Vec<CallChange>>>>,
) -> watch::Receiver<u64> {
    let (sender, news) = watch::channel(0);
    tokio::spawn(async move {
        while let Some(event) = inbox.recv().await {
            told.lock().entry(event.call).or_default().push(event.change);
            sender.send_modify(|count| *count += 1);
        }
    });
    news
}

/// The changes a call went through.
pub struct Story(pub Vec<CallChange>);

impl Story {
    fn find<T>(&self, pick: impl Fn(&CallChange) -> Option<T>) -> Option<T> {
        self.0.iter().rev().find_map(pick)
    }

    pub fn recording_file(&self) -> Option<String> {
        self.find(|change| match change {
            CallChange::Recording { file } => Some(file.clone()),
            _ => None,
        })
    }

    pub fn statuses(&self) -> Vec<CallStatus> {
        let status = |change: &CallChange| match change {
            CallChange::Status { status } => Some(*status),
            _ => None,
        };
        let mut statuses: Vec<_> = self.0.iter().filter_map(status).collect();
        statuses.dedup();
        statuses
    }

    pub fn ending(&self) -> Ending {
        let ending = self.find(|change| match change {
            CallChange::Ended(ending) => Some(ending.as_ref().clone()),
            _ => None,
        });
        ending.expect("every call has an ending")
    }

    pub fn turns(&self) -> Vec<TurnRecord> {
        let turn = |change: &CallChange| match change {
            CallChange::Turn { turn } => Some(turn.clone()),
            _ => None,
        };
        self.0.iter().filter_map(turn).collect()
    }

    pub fn said(&self, speaker: Speaker) -> Vec<String> {
        let turns = self.turns().into_iter().filter(|turn| turn.speaker == speaker);
        turns.map(|turn| turn.text.into_exposed()).collect()
    }

    pub fn summary(&self) -> Option<String> {
        self.find(|change| match change {
            CallChange::Summary { text } => Some(text.expose().clone()),
            _ => None,
        })
    }

    pub fn quality(&self) -> Option<CallQuality> {
        self.find(|change| match change {
            CallChange::Quality { quality } => Some(quality.clone()),
            _ => None,
        })
    }

    /// What a transfer went through.
    pub fn transfers(&self) -> Vec<TransferStatus> {
        let status = |change: &CallChange| match change {
            CallChange::Transfer { status } => Some(*status),
            _ => None,
        };
        self.0.iter().filter_map(status).collect()
    }

    pub fn answered_by(&self) -> Option<AnsweredBy> {
        self.find(|change| match change {
            CallChange::Answered { answered_by } => Some(*answered_by),
            _ => None,
        })
    }
}

/// A WAV file, read whole.
pub struct Recording {
    pub channels: u16,
    pub rate: u32,
    pub seconds: f64,
    samples: Vec<i16>,
}

impl Recording {
    pub fn read(path: &Path) -> Recording {
        let mut wav = hound::WavReader::open(path).unwrap();
        let spec = wav.spec();
        let samples: Vec<i16> = wav.samples::<i16>().map(Result::unwrap).collect();
        let seconds = samples.len() as f64 / f64::from(spec.channels) / f64::from(spec.sample_rate);
        Recording { channels: spec.channels, rate: spec.sample_rate, seconds, samples }
    }

    /// One channel's samples.
    pub fn channel(&self, channel: usize) -> Vec<i16> {
        self.samples.iter().skip(channel).step_by(usize::from(self.channels)).copied().collect()
    }

    /// The share of a channel's samples that are louder than line noise.
    pub fn loud_share(&self, channel: usize) -> f64 {
        let of_channel = self.samples.iter().skip(channel).step_by(usize::from(self.channels));
        let loud = of_channel.clone().filter(|sample| sample.unsigned_abs() > 1_000).count();
        loud as f64 / of_channel.count() as f64
    }
}
