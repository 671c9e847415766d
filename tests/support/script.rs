//! What the engines of a [`Rig`](super::Rig) do, and what its node is like.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use callbox::call::persona::Persona;
use callbox::engine::EngineError;
use callbox::engine::registry::{self, EngineConfig, Engines, Surroundings};
use callbox::media;
use callbox::sip::{Srtp, TransferBy};

/// What the engines do, and what the node is like.
pub struct Script {
    pub(super) utterances: Vec<String>,
    pub(super) asr_delay: Duration,
    pub(super) answers: Vec<toml::Value>,
    pub(super) password: Option<String>,
    pub(super) ring_timeout_secs: u64,
    pub(super) lines: usize,
    pub(super) leave: bool,
    pub(super) rules_wait: bool,
    pub(super) transfer_ring_secs: u64,
    pub(super) srtp: Srtp,
    pub(super) late_offer: bool,
    /// A trunk that is tried first.
    pub(super) before: Option<SocketAddr>,
    pub(super) transfer_by: TransferBy,
    /// What the recogniser makes of the utterances of whoever a call is transferred to, who is asked first.
    pub(super) target: Option<Vec<String>>,
    pub t1: Duration,
    pub summary: bool,
    pub rtp_timeout_ms: u64,
    pub(super) opus: bool,
    pub(super) persona: Persona,
    pub(super) sockets: media::SocketMode,
    /// Of RTP; 0 and 0 lets the system choose.
    pub ports: (u16, u16),
    pub port_rest_ms: u64,
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
            late_offer: false,
            before: None,
            transfer_by: TransferBy::Bridge,
            target: None,
            t1: Duration::from_millis(500),
            summary: true,
            rtp_timeout_ms: media::Config::default().rtp_timeout_ms,
            opus: false,
            persona: Persona::default(),
            sockets: media::SocketMode::PerCall,
            ports: (0, 0),
            port_rest_ms: media::Config::default().port_rest_ms,
        }
    }

    /// Calls that come in are this persona's.
    pub fn answered_by(mut self, persona: Persona) -> Self {
        self.persona = persona;
        self
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

    pub fn llm_dies(self) -> Self {
        self.does("text = ''\ndie = 'killed'")
    }

    /// What the scripted model does next, as its configuration says it.
    fn does(mut self, answer: &str) -> Self {
        self.answers.push(toml::Value::Table(toml::from_str(answer).unwrap()));
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

    /// Calls leave without an offer.
    pub fn awaits_offers(mut self) -> Self {
        self.late_offer = true;
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

    pub fn presses(self, keys: &str) -> Self {
        self.does(&format!(
            "text = ''\ntool_call = {{ name = 'press_keys', arguments = {{ keys = {keys:?} }} }}"
        ))
    }

    pub fn calls_tool(self, text: &str, tool: &str) -> Self {
        self.does(&format!("text = {text:?}\ntool_call = {{ name = {tool:?}, arguments = {{}} }}"))
    }

    pub(super) fn engines(&self, utterances: &[String]) -> Engines {
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
