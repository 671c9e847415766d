//! A SIP softphone for tests, demonstrations and measurements.
//!
//! In: calls from loopback, or numbers to dial; a [script](Step). Out: a [`CallReport`] a call. It
//! answers, speaks its lines one after the other each time the other side has fallen silent, listens,
//! and measures from its own side of the wire: from the packet with its last sample to the first voiced
//! frame that leaves its jitter buffer. That is what a person on the line waits; it holds both jitter
//! buffers and everything that a node cannot see of itself.
//!
//! | file | what it is |
//! |---|---|
//! | [`turns`] | when to speak next, pure |
//! | [`hearing`] | when the other side speaks, pure |
//! | [`script`] | lines, made before the call |
//! | [`report`] | what was said and heard, and the latencies that follow |
//! | `call`, `ear` | the drivers |
//! | [`transcribe`] | what was heard, in words |

mod call;
mod ear;
pub mod hearing;
pub mod report;
pub mod script;
pub mod transcribe;
pub mod turns;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use self::call::Conversation;
pub use self::report::{CallReport, HungUpBy};
pub use self::script::{Line, LineError, Step, speak_lines};
use crate::base::{E164, Pii};
use crate::engine::worker::VadHandle;
use crate::media::{self, MediaError, MediaPlane, SessionConfig, dtmf};
use crate::sip::sdp::{self, Local, Negotiated};
use crate::sip::{
    self, Dial, IncomingCall, Network, Signal, SipCall, SipEnd, SipError, SipNode, Srtp, TrunkConfig,
};

/// Reports that may wait to be read; a call that ends then waits with its report.
const REPORTS: usize = 64;
/// Where calls of ours would go if nobody said where: the discard port.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
/// How long the phone rings at most.
const LONGEST_RING: Duration = Duration::from_secs(120);

#[derive(Debug, Clone)]
pub struct Config {
    /// Loopback address and port for SIP; port 0 lets the system choose.
    pub listen: SocketAddr,
    pub answer: Answering,
    pub script: Vec<Step>,
    pub pace: turns::Config,
    /// Stereo, WAV or `.ogg`: left what is heard, right what is said. The second call's has `-2` in its name.
    pub record: Option<PathBuf>,
    /// Where calls that the phone places go.
    pub dial: Option<SocketAddr>,
    /// Frames at least this loud are a voice, in dBFS.
    pub voiced_dbfs: f32,
    /// Whether audio is encrypted, of calls both ways.
    pub srtp: Srtp,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            answer: Answering::After(Duration::ZERO),
            script: Vec::new(),
            pace: turns::Config::default(),
            record: None,
            dial: None,
            voiced_dbfs: -45.0,
            srtp: Srtp::Off,
        }
    }
}

/// What becomes of a call that comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    /// Rings for so long, and is answered.
    After(Duration),
    /// Rings until the caller gives up, or for two minutes.
    Never,
    /// Is refused with a final status: 486 busy, 603 declined.
    Reject(u16),
}

#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    #[error("a phone listens on loopback only, such as 127.0.0.1:5070; {0} is no such address")]
    NotLoopback(SocketAddr),
    #[error("digits `{0}` hold what is no DTMF digit: use 0-9, *, #, A-D, and w or W to pause")]
    Digits(String),
    #[error(transparent)]
    Sip(#[from] SipError),
    #[error(transparent)]
    Media(#[from] MediaError),
}

/// A running phone. It stops when it is dropped.
pub struct Phone {
    handset: Arc<Handset>,
    reports: mpsc::Receiver<CallReport>,
    sender: mpsc::Sender<CallReport>,
}

struct Handset {
    config: Config,
    /// Of the calls to come.
    pace: Mutex<turns::Config>,
    vad: Option<VadHandle>,
    sip: SipNode,
    plane: MediaPlane,
    calls: AtomicUsize,
}

impl Phone {
    /// `vad` tells voices from noise; without it, whatever is loud is a voice.
    pub async fn start(config: Config, vad: Option<VadHandle>) -> Result<Phone, PhoneError> {
        check(&config)?;
        let plane =
            MediaPlane::start(media::Config { bind: config.listen.ip(), ..media::Config::default() })?;
        let (sip, mut incoming) = SipNode::start(sip_config(&config)).await?;
        let pace = Mutex::new(config.pace.clone());
        let handset = Arc::new(Handset { config, pace, vad, sip, plane, calls: AtomicUsize::new(0) });
        let (sender, reports) = mpsc::channel(REPORTS);
        let (theirs, answering) = (sender.clone(), Arc::downgrade(&handset));
        tokio::spawn(async move {
            while let Some(call) = incoming.recv().await {
                let Some(handset) = answering.upgrade() else { return };
                report_to(&theirs, async move { handset.take(call).await });
            }
        });
        Ok(Phone { handset, reports, sender })
    }

    /// Where it is called.
    pub fn address(&self) -> SocketAddr {
        self.handset.sip.local_address()
    }

    /// Places a call to [`Config::dial`]; its report comes as that of any call.
    pub fn dial(&self, to: E164) {
        let handset = self.handset.clone();
        report_to(&self.sender, async move { handset.place(to).await });
    }

    /// Takes turns differently from the next call on.
    pub fn set_pace(&self, pace: turns::Config) {
        *self.handset.pace.lock() = pace;
    }

    /// The report of the next call that ends.
    pub async fn next_call(&mut self) -> CallReport {
        self.reports.recv().await.expect("the phone itself holds a sender")
    }

    /// Hangs up and leaves the port.
    pub async fn shutdown(self) {
        self.handset.sip.shutdown().await;
    }
}

fn report_to(reports: &mpsc::Sender<CallReport>, call: impl Future<Output = CallReport> + Send + 'static) {
    let reports = reports.clone();
    tokio::spawn(async move {
        let report = call.await;
        // Nobody waits for calls of a phone that is gone.
        let _ = reports.send(report).await;
    });
}

fn check(config: &Config) -> Result<(), PhoneError> {
    if !config.listen.ip().is_loopback() {
        return Err(PhoneError::NotLoopback(config.listen));
    }
    for step in &config.script {
        if let Step::Press(digits) = step
            && (digits.is_empty() || !digits.chars().all(|digit| dtmf::normal(digit).is_ok()))
        {
            return Err(PhoneError::Digits(digits.clone()));
        }
    }
    Ok(())
}

fn sip_config(config: &Config) -> sip::Config {
    let loopback: Network = "127.0.0.0/8".parse().expect("a network in writing");
    let trunk = TrunkConfig {
        allow: vec![loopback],
        srtp: config.srtp,
        ..TrunkConfig::peer("line", config.dial.unwrap_or(NOWHERE).into())
    };
    sip::Config {
        bind: config.listen,
        user_agent: "Callbox phone".into(),
        ring_timeout: LONGEST_RING,
        trunks: vec![trunk],
        ..sip::Config::default()
    }
}

impl Handset {
    async fn take(&self, mut call: IncomingCall) -> CallReport {
        // A caller who gives up meanwhile is told by the call's end.
        match self.config.answer {
            Answering::Reject(status) => {
                let _ = call.reject(status).await;
                return CallReport::unanswered(SipEnd::Rejected {
                    status,
                    reason: Pii::new("by the script".into()),
                });
            }
            Answering::Never => {
                let _ = call.ring().await;
                return CallReport::unanswered(call.ended().await);
            }
            Answering::After(Duration::ZERO) => {}
            Answering::After(ring) => {
                let _ = call.ring().await;
                if let Ok(end) = tokio::time::timeout(ring, call.ended()).await {
                    return CallReport::unanswered(end);
                }
            }
        }
        self.answer(call).await.unwrap_or_else(failed)
    }

    async fn answer(&self, call: IncomingCall) -> Result<CallReport, String> {
        let leg = self.plane.reserve().map_err(|error| error.to_string())?;
        let local = self.local(&leg);
        let offer = call.offer.clone().ok_or("the INVITE has no SDP; the phone answers offers only")?;
        let (answer, agreed) = sdp::answer(&local, &offer).map_err(|error| error.to_string())?;
        match call.answer(answer).await {
            Ok(call) => self.converse(call, leg, local, agreed).await,
            Err(end) => Ok(CallReport::unanswered(end)),
        }
    }

    async fn place(&self, to: E164) -> CallReport {
        self.call(to).await.unwrap_or_else(failed)
    }

    async fn call(&self, to: E164) -> Result<CallReport, String> {
        let leg = self.plane.reserve().map_err(|error| error.to_string())?;
        let local = self.local(&leg);
        let dial = Dial::to(to, local.clone());
        let mut call = self.sip.dial(dial).await.map_err(|error| error.to_string())?;
        let answer = loop {
            match call.signals.recv().await {
                Some(Signal::Answered { sdp }) => break sdp,
                Some(Signal::Ended(end)) => return Ok(CallReport::unanswered(end)),
                Some(_) => {}
                None => return Err("the call ended without a word".into()),
            }
        };
        let agreed = sdp::accept(&local, &answer).map_err(|error| error.to_string())?;
        self.converse(call, leg, local, agreed).await
    }

    async fn converse(
        &self,
        call: SipCall,
        leg: media::Leg,
        local: Local,
        agreed: Negotiated,
    ) -> Result<CallReport, String> {
        let session = session_of(&agreed, self.plane.config());
        let (media, events) = leg.start(session).map_err(|error| error.to_string())?;
        let nth = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let record = self.config.record.as_deref().map(|file| numbered(file, nth));
        let (vad, pace) = (self.vad.as_ref(), self.pace.lock().clone());
        let conversation =
            Conversation { config: &self.config, pace, call, local, media, events, vad, record };
        Ok(conversation.hold().await)
    }

    fn local(&self, leg: &media::Leg) -> Local {
        let local = Local::new(leg.local_addr(), sdp::session_id());
        Local { srtp: self.config.srtp, ..local }
    }
}

fn failed(problem: String) -> CallReport {
    let end = SipEnd::ProtocolError { detail: problem.clone() };
    CallReport { problem: Some(problem), ..CallReport::unanswered(end) }
}

/// What media does with what SDP agreed on.
pub fn session_of(agreed: &Negotiated, media: &media::Config) -> SessionConfig {
    agreed.agreed().begin(media.jitter, media.rtp_timeout(), rand::random())
}

/// `call.wav`, `call-2.wav`, `call-3.wav`, …
fn numbered(file: &Path, nth: usize) -> PathBuf {
    if nth == 1 {
        return file.to_owned();
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let extension = file.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    file.with_file_name(format!("{stem}-{nth}{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_of_later_calls_are_numbered() {
        let file = Path::new("/tmp/a.b/call.wav");
        assert_eq!(numbered(file, 1), file);
        assert_eq!(numbered(file, 3), Path::new("/tmp/a.b/call-3.wav"));
    }

    #[tokio::test]
    async fn a_phone_is_for_this_machine_alone() {
        let config = Config { listen: "0.0.0.0:0".parse().unwrap(), ..Config::default() };
        assert!(matches!(Phone::start(config, None).await, Err(PhoneError::NotLoopback(_))));
        let config = Config { script: vec![Step::Press("12x".into())], ..Config::default() };
        assert!(matches!(Phone::start(config, None).await, Err(PhoneError::Digits(_))));
    }
}
