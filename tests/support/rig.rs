//! A directory of calls on real SIP and media, with scripted engines, and the story each call tells.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use callbox::base::{CallId, Pii};
use callbox::call::directory::{Directory, Parts};
use callbox::call::event::{CallChange, CallEvent};
use callbox::call::record::{CallPlan, VoicemailAction};
use callbox::call::{self, RecordingFormat, TransferManner};
use callbox::engine::registry::Engines;
use callbox::media::{self, MediaPlane};
use callbox::sip::{self, DiversionHeader, SipNode, TrunkConfig};
use callbox::voice::driver::Voices;
use callbox::voice::mouth::VoiceChoice;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::eventually;

#[path = "script.rs"]
mod script;
#[path = "story.rs"]
mod story;

pub use script::Script;
pub use story::{Recording, Story};

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
        carrier.late_offer = script.late_offer;
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
        let (port_min, port_max) = script.ports;
        let media = media::Config {
            bind: [127, 0, 0, 1].into(),
            sockets: script.sockets,
            port_min,
            port_max,
            port_rest_ms: script.port_rest_ms,
            rtp_timeout_ms: script.rtp_timeout_ms,
            ..media::Config::default()
        };
        let media = Arc::new(MediaPlane::start(media).unwrap());
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
            personas: BTreeMap::from([("test".to_owned(), script.persona)]),
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

    /// The one call that comes in.
    pub async fn next_call(&self) -> CallId {
        eventually("a call comes in", || !self.told.lock().is_empty()).await;
        *self.told.lock().keys().next().unwrap()
    }

    /// Its story.
    pub async fn next_story(&self) -> Story {
        self.story(self.next_call().await).await
    }

    /// Whether the call has told a change of some kind.
    pub fn has_told(&self, call: CallId, wanted: impl Fn(&CallChange) -> bool) -> bool {
        self.told.lock().get(&call).is_some_and(|changes| changes.iter().any(wanted))
    }

    /// Waits until the call has told a change of some kind.
    pub async fn until(&self, call: CallId, wanted: impl Fn(&CallChange) -> bool) {
        let mut news = self.news.clone();
        let waiting = news.wait_for(|_| self.has_told(call, &wanted));
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
