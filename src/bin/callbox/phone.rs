//! `callbox phone`: a softphone that speaks a script, for tests and demonstrations.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use callbox::base::E164;
use callbox::engine::registry::{self, EngineConfig, Surroundings};
use callbox::engine::worker::{AsrHandle, VadHandle};
use callbox::eval::figures::Spread;
use callbox::eval::phone::{
    Answering, CallReport, Config, HungUpBy, Phone, Step, speak_lines, transcribe::transcribe, turns,
};
use callbox::models;
use callbox::node::NodeConfig;
use callbox::node::engines::{LOAD, fill_in};
use callbox::sip::Srtp;

#[derive(clap::Args)]
pub struct Args {
    /// Loopback address and port for SIP; port 0 lets the system choose
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// A line to say; repeat it for more
    #[arg(long = "line", value_name = "TEXT")]
    lines: Vec<String>,
    /// File of lines to say, one each
    #[arg(long, value_name = "FILE", conflicts_with = "lines")]
    script: Option<PathBuf>,
    /// Digits to press after the lines; w pauses for half a second
    #[arg(long, value_name = "DIGITS")]
    dtmf: Option<String>,
    /// The voice that says the lines [default: the first installed]
    #[arg(long)]
    voice: Option<String>,
    /// Say the first line at once, as people answer a phone
    #[arg(long)]
    greet: bool,
    /// Silence of the other side after which the next line comes
    #[arg(long, default_value_t = 700, value_name = "MS")]
    patience_ms: u64,
    /// Without a word of the other side the next line comes after this long
    #[arg(long, default_value_t = 10.0, value_name = "SECS")]
    fallback: f64,
    /// This line, counted from 1, is said while the other side is speaking
    #[arg(long, value_name = "LINE", num_args = 0..=1, default_missing_value = "2")]
    barge_in: Option<usize>,
    /// Ring this long before answering
    #[arg(long, default_value_t = 0.0, value_name = "SECS")]
    ring: f64,
    /// Refuse calls with this SIP status, such as 486
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(400..700))]
    reject: Option<u16>,
    /// Ring until the caller gives up
    #[arg(long, conflicts_with = "reject")]
    never_answer: bool,
    /// Hang up right after the last line, not after the reply to it
    #[arg(long)]
    hang_up_after_last: bool,
    /// Hang up this long after the answer
    #[arg(long, value_name = "SECS")]
    hang_up_at: Option<f64>,
    /// Stereo recording of the call, WAV, or Opus if it ends in `.ogg`: left what is heard, right what is said
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Exit after this many calls
    #[arg(long, value_name = "N")]
    calls: Option<usize>,
    /// Print what was heard in words, after the call
    #[arg(long)]
    transcribe: bool,
    /// Count everything loud as a voice, without a speech detector
    #[arg(long)]
    no_vad: bool,
    /// Whether audio is encrypted: off, optional or required
    #[arg(long, default_value = "off", value_name = "WISH", value_parser = srtp)]
    srtp: Srtp,
    /// Place a call to this number, at --to
    #[arg(long, value_name = "NUMBER", requires = "to")]
    dial: Option<E164>,
    /// Where --dial goes
    #[arg(long, value_name = "ADDRESS", requires = "dial")]
    to: Option<SocketAddr>,
}

impl Args {
    fn texts(&self) -> anyhow::Result<Vec<String>> {
        let Some(file) = &self.script else { return Ok(self.lines.clone()) };
        let text = std::fs::read_to_string(file).with_context(|| format!("--script {}", file.display()))?;
        Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }

    fn config(&self, script: Vec<Step>) -> anyhow::Result<Config> {
        let seconds = |name, secs| {
            Duration::try_from_secs_f64(secs)
                .with_context(|| format!("--{name} must be seconds, not negative"))
        };
        ensure!(self.barge_in != Some(0), "--barge-in counts lines from 1");
        let answer = match (self.reject, self.never_answer) {
            (Some(status), _) => Answering::Reject(status),
            (None, true) => Answering::Never,
            (None, false) => Answering::After(seconds("ring", self.ring)?),
        };
        let pace = turns::Config {
            patience: Duration::from_millis(self.patience_ms),
            fallback: seconds("fallback", self.fallback)?,
            greet: self.greet,
            barge_in: self.barge_in.map(|line| line - 1),
            hang_up_after_last: self.hang_up_after_last,
            hang_up_at: self.hang_up_at.map(|at| seconds("hang-up-at", at)).transpose()?,
            ..turns::Config::default()
        };
        let (listen, record, dial) = (self.listen, self.record.clone(), self.to);
        Ok(Config { listen, answer, script, pace, record, dial, srtp: self.srtp, ..Config::default() })
    }
}

pub async fn run(args: Args, config: &NodeConfig) -> anyhow::Result<ExitCode> {
    let engines = EngineShelf::open(config)?;
    let texts = args.texts()?;
    let mut script = engines.script(args.voice.as_deref(), &texts).await?;
    script.extend(args.dtmf.clone().map(Step::Press));
    let vad = if args.no_vad { None } else { Some(engines.vad().await?) };
    let asr = if args.transcribe { Some(engines.asr().await?) } else { None };
    let mut phone = Phone::start(args.config(script)?, vad).await?;
    println!("listening on {}", phone.address());
    if let Some(number) = args.dial.clone() {
        phone.dial(number);
    }
    let calls = args.calls.or(args.dial.is_some().then_some(1)).unwrap_or(usize::MAX);
    let (mut latencies, mut failed) = (Vec::new(), false);
    for nth in 1..=calls {
        let mut report = tokio::select! {
            report = phone.next_call() => report,
            _ = tokio::signal::ctrl_c() => break,
        };
        if let Some(asr) = &asr {
            transcribe(asr, "en", &mut report).await?;
        }
        failed |= report.problem.is_some();
        latencies.extend(report.latencies().into_iter().flatten().map(milliseconds));
        print!("call {nth}\n{}", describe(&report));
    }
    if let Some(spread) = Spread::of(latencies) {
        println!("end of speech to first voice heard, ms: {spread}");
    }
    phone.shutdown().await;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn srtp(text: &str) -> Result<Srtp, String> {
    match text {
        "off" => Ok(Srtp::Off),
        "optional" => Ok(Srtp::Optional),
        "required" => Ok(Srtp::Required),
        _ => Err("must be off, optional or required".into()),
    }
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The call in order of time, one line a turn, and how it ended.
pub fn describe(report: &CallReport) -> String {
    let mut lines: Vec<(Duration, String)> = Vec::new();
    for heard in &report.heard {
        let text = heard.text.as_ref().map_or("(speaks)", |text| text.expose().as_str());
        lines.push((heard.start, format!("  {:>6.2} s  heard: {text}", heard.start.as_secs_f64())));
    }
    for (said, latency) in report.said.iter().zip(report.latencies()) {
        let answered =
            latency.map(|l| format!("  (answered in {:.0} ms)", milliseconds(l))).unwrap_or_default();
        let text = said.text.expose();
        lines.push((said.start, format!("  {:>6.2} s   said: {text}{answered}", said.start.as_secs_f64())));
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut text: String = lines.into_iter().map(|(_, line)| line + "\n").collect();
    if !report.dtmf.is_empty() {
        text += &format!("  digits heard: {}\n", report.dtmf);
    }
    for after in report.yields() {
        text += &format!("  interrupted; the other side fell silent after {:.0} ms\n", milliseconds(after));
    }
    if let Some(recording) = &report.recording {
        text += &format!("  recording: {}\n", recording.path.display());
    }
    if let Some(problem) = &report.problem {
        text += &format!("  problem: {problem}\n");
    }
    text + &ending(report)
}

fn ending(report: &CallReport) -> String {
    let Some(talked) = report.talked else { return format!("  not answered: {:?}\n", report.end) };
    let by = match report.hung_up_by() {
        Some(HungUpBy::Phone) => "this phone hung up".to_owned(),
        Some(HungUpBy::Other) => "the other side hung up".to_owned(),
        None => format!("{:?}", report.end),
    };
    let encrypted = report.media.as_ref().is_some_and(|media| media.encrypted);
    let how = if encrypted { ", encrypted" } else { "" };
    format!("  {by} after {:.1} s{how}\n", talked.as_secs_f64())
}

/// Engines that are started when they are wanted, with the node's configuration.
pub struct EngineShelf {
    config: registry::Config,
    surroundings: Surroundings,
}

impl EngineShelf {
    pub fn open(config: &NodeConfig) -> anyhow::Result<Self> {
        let store = models::Store::open(&config.models)?;
        let config = fill_in(&config.engines, &store)?;
        let surroundings = Surroundings::new(move |name| {
            store.resolve(name).map_err(|error| callbox::engine::EngineError::Start(error.to_string()))
        });
        Ok(EngineShelf { config, surroundings })
    }

    /// The lines as steps, said by `voice` or the first there is. The synthesiser ends with this.
    pub async fn script(&self, voice: Option<&str>, texts: &[String]) -> anyhow::Result<Vec<Step>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let tts = registry::start_tts(&self.config.tts, &self.surroundings)?;
        tts.ready(LOAD).await?;
        // Piper names a voice by its model; an engine of another kind says what it has.
        let first = || tts.voices().into_iter().next().map(|voice| voice.name);
        let voice = voice.map(str::to_owned).or_else(first).unwrap_or_else(|| self.config.tts.model.clone());
        Ok(speak_lines(&tts, &voice, texts).await?.into_iter().map(Step::Say).collect())
    }

    pub async fn vad(&self) -> anyhow::Result<VadHandle> {
        let vad = registry::start_vad(&self.config.vad, &self.surroundings)?;
        vad.ready(LOAD).await?;
        Ok(vad)
    }

    pub async fn asr(&self) -> anyhow::Result<AsrHandle> {
        self.asr_of(self.asr_model()).await
    }

    /// The configured recogniser's model.
    pub fn asr_model(&self) -> &str {
        &self.config.asr.model
    }

    /// The configured recogniser with another model.
    pub async fn asr_of(&self, model: &str) -> anyhow::Result<AsrHandle> {
        let config = EngineConfig { model: model.to_owned(), ..self.config.asr.clone() };
        let asr = registry::start_asr(&config, &self.surroundings)?;
        asr.ready(LOAD).await?;
        Ok(asr)
    }
}
