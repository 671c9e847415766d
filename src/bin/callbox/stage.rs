//! A node and a phone in this process, and calls between them: what `callbox demo` shows and `callbox
//! bench` measures.

use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use callbox::engine::registry;
use callbox::eval::phone::{CallReport, Config, Phone, turns};
use callbox::models;
use callbox::node::config::Sources;
use callbox::node::engines::fill_in;
use callbox::node::wiring::Node;
use callbox::node::{NodeConfig, Shutdown, api_key, telemetry};
use callbox::pay::{self, Mode};
use callbox::service::policy::{Caps, Hours};
use callbox::sip::TrunkConfig;
use callbox::store::numbers::Number;
use callbox::store::{Numbers, Store};
use chrono::Utc;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use super::call::{client::Client, follow, print::Printer};
use super::phone::EngineShelf;

/// The number that the phone answers; it is reserved for fiction.
pub const NUMBER: &str = "+14155550123";
/// The trunk that leads to the phone.
pub const TRUNK: &str = "practice";

/// Small models answer from what the task spells out, hence the last sentences.
const TASK: &str = "Book a check-up for Anna Miller at the Sunrise dental practice, on Saturday at ten \
o'clock. Answer every question of the practice. The name is Anna Miller. The time is ten o'clock. The reason \
is a check-up.";
const FIRST_SENTENCE: &str = "I am calling to make an appointment. Are you open on Saturday?";
/// What the practice says, one line for each turn.
const PRACTICE: [&str; 4] = [
    "Yes, on Saturday we are open from nine to one. What is the patient's name, please?",
    "Thank you. What time would you like to come?",
    "All right. And what is the reason for the visit?",
    "Perfect, see you on Saturday. Thank you for calling, and goodbye.",
];

/// The phone's manners: people at a desk wait a moment before they speak.
pub fn manners() -> turns::Config {
    turns::Config {
        patience: Duration::from_millis(1_500),
        fallback: Duration::from_secs(15),
        ..turns::Config::default()
    }
}

/// What the node sells besides calls, and how it is paid.
pub struct Sale {
    pub payments: pay::Config,
    pub numbers: Vec<Number>,
}

/// Everything a call needs, running.
pub struct Stage {
    phone: Phone,
    client: Client,
    url: String,
    data_dir: PathBuf,
    metrics: PrometheusHandle,
    /// The metrics as the last call left them.
    measured: String,
    /// Calls, payments and leases.
    pub store: Store,
    /// The model of each engine.
    pub models: registry::Config,
    shutdown: Shutdown,
    node: tokio::task::JoinHandle<anyhow::Result<()>>,
}

/// A call from both sides.
pub struct Finished {
    /// The node's record, as its API tells it.
    pub record: Value,
    pub report: CallReport,
    pub recording: Option<PathBuf>,
    /// For each engine: seconds it computed for each second of the speech it worked on.
    pub effort: Vec<(&'static str, f64)>,
}

impl Stage {
    /// Starts phone and node and waits until every engine answers; without a sale, the node's operator alone
    /// may call. `say` gets the progress.
    pub async fn set(
        config: NodeConfig,
        sources: Sources,
        sale: Option<Sale>,
        say: impl Fn(&str),
    ) -> anyhow::Result<Stage> {
        require_models(&config)?;
        telemetry::install_logs(&config.log)?;
        let metrics = telemetry::install_metrics()?;
        let texts = PRACTICE.map(str::to_owned);
        let script = EngineShelf::open(&config)?.script(None, &texts).await?;
        let phone = Config { script, pace: manners(), ..Config::default() };
        let phone = Phone::start(phone, None).await?;
        say(&format!("the practice's phone is at {} and knows its lines", phone.address()));
        let mut config = on_loopback(config, phone.address())?;
        let stock = sale.map(|sale| open_shop(&mut config, sale));
        let models = fill_in(&config.engines, &models::Store::open(&config.models)?)?;
        let (url, data_dir) = (config.http.local_url(), config.store.data_dir.clone());
        let key = api_key::load_or_create(&config)?.key;
        let leases = config.numbers;
        let node = Node::start(config, sources, metrics.clone()).await?;
        let store = node.store();
        if let Some(stock) = stock {
            Numbers::new(store.clone(), leases).import(&stock, Utc::now()).await?;
        }
        say(&format!("the node's SIP is at {}, its API at {url}", node.sip_address()));
        ready(&node, &say).await?;
        let shutdown = Shutdown::new();
        let node = tokio::spawn(node.serve(shutdown.clone()));
        let client = Client::new(&url, key)?;
        let measured = metrics.render();
        Ok(Stage { phone, client, url, data_dir, metrics, measured, store, models, shutdown, node })
    }

    /// What an agent sends to place the call.
    pub fn request(&self) -> Value {
        json!({
            "phone_number": NUMBER,
            "task": TASK,
            "first_sentence": FIRST_SENTENCE,
            "max_duration": 3,
            "record": true,
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets the phone take turns differently from the next call on.
    pub fn set_pace(&self, pace: turns::Config) {
        self.phone.set_pace(pace);
    }

    /// Places a call with the operator's key and follows it to its end; `watched` prints it as it happens.
    pub async fn call(&mut self, request: &Value, watched: bool) -> anyhow::Result<Finished> {
        let call = self.client.place(request).await?;
        self.follow(&call, watched).await
    }

    /// Follows a call that is placed already.
    pub async fn follow(&mut self, call: &str, watched: bool) -> anyhow::Result<Finished> {
        let mut printer = Printer::new(false, watched && std::io::stdout().is_terminal());
        if watched {
            printer.placed(call, NUMBER);
            follow(&self.client, call, &mut printer).await?;
        } else {
            self.client.wait(call).await?;
        }
        let record = self.client.read(call).await?;
        let answered = record["answered_at"].is_string();
        ensure!(
            answered,
            "the call was not answered: {}",
            record["end_reason"].as_str().unwrap_or("no reason")
        );
        let report = tokio::time::timeout(Duration::from_secs(10), self.phone.next_call())
            .await
            .context("the phone still talks though the node has hung up")?;
        let before = std::mem::replace(&mut self.measured, self.metrics.render());
        let effort = effort(&before, &self.measured, &report);
        let name = record["recording_url"].as_str().and_then(|url| url.rsplit('/').next());
        let recording = name.map(|name| self.data_dir.join("recordings").join(name));
        Ok(Finished { record, report, recording: recording.filter(|file| file.is_file()), effort })
    }

    pub async fn strike(self) -> anyhow::Result<()> {
        self.shutdown.begin();
        self.phone.shutdown().await;
        self.node.await?
    }
}

/// The configuration with everything on loopback: no port of a real node is touched, and the trunk is the
/// phone.
fn on_loopback(mut config: NodeConfig, phone: SocketAddr) -> anyhow::Result<NodeConfig> {
    let local = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
    config.http.bind = TcpListener::bind(local)?.local_addr()?;
    config.http.public_url.clear();
    config.http.api_key = String::new().into();
    config.sip.bind = local;
    config.sip.public_address = None;
    config.sip.stun_server = None;
    config.sip.tls = callbox::sip::TlsConfig::default();
    config.sip.trunks = vec![TrunkConfig::peer(TRUNK, phone.into())];
    config.media.bind = local.ip();
    (config.media.port_min, config.media.port_max) = (0, 0);
    config.policy.allowed_prefixes = vec!["+1".into()];
    // One number is called over and over, at any hour.
    config.policy.hours = Hours::ANY;
    config.policy.caps = Caps::default();
    config.call.summary = true;
    config.store.data_dir.push("demo");
    config.store.url.clear();
    config.payments.mode = Mode::Off;
    Ok(config)
}

/// Its books are kept in memory: the chain that they are about ends with this process. Gives what there is
/// to lease.
fn open_shop(config: &mut NodeConfig, sale: Sale) -> Vec<Number> {
    config.payments = sale.payments;
    config.store.url = "sqlite::memory:".into();
    sale.numbers
}

/// Weights that are missing are told before anything starts.
fn require_models(config: &NodeConfig) -> anyhow::Result<()> {
    let store = models::Store::open(&config.models)?;
    let engines = fill_in(&config.engines, &store)?;
    let local = ["whisper", "llama", "piper", "silero", "smart-turn"];
    let all = [&engines.asr, &engines.llm, &engines.tts, &engines.vad, &engines.turn];
    let missing: Vec<String> = all
        .into_iter()
        .filter(|engine| local.contains(&engine.engine.as_str()))
        .filter_map(|engine| store.resolve(&engine.model).err())
        .map(|error| format!("  {error}"))
        .collect();
    ensure!(
        missing.is_empty(),
        "models are missing:\n{}\nto fetch them all: callbox models pull --set default",
        missing.join("\n")
    );
    Ok(())
}

async fn ready(node: &Node, say: &impl Fn(&str)) -> anyhow::Result<()> {
    let begun = Instant::now();
    let engines = node.engines().current();
    let limit = callbox::node::engines::LOAD;
    let tell = |what: &str| say(&format!("{what} is ready after {:.1} s", begun.elapsed().as_secs_f64()));
    tokio::try_join!(
        async { engines.vad.ready(limit).await.map(|()| tell("voice activity")) },
        async { engines.turn.ready(limit).await.map(|()| tell("turn-taking")) },
        async { engines.tts.ready(limit).await.map(|()| tell("the voice")) },
        async { engines.asr.ready(limit).await.map(|()| tell("speech recognition")) },
        async { engines.llm.ready(limit).await.map(|()| tell("the language model")) },
    )?;
    Ok(())
}

/// Time spent computing for each second of speech, from the node's own metrics before and after.
fn effort(before: &str, after: &str, report: &CallReport) -> Vec<(&'static str, f64)> {
    let seconds = |spans: Vec<Duration>| spans.iter().sum::<Duration>().as_secs_f64();
    let spoken = seconds(report.said.iter().filter_map(|s| Some(s.end? - s.start)).collect());
    let heard = seconds(report.heard.iter().map(|h| h.end - h.start).collect());
    let line = |engine: &'static str, speech: f64| {
        let spent = inference_seconds(after, engine) - inference_seconds(before, engine);
        (engine, if speech > 0.0 { spent / speech } else { f64::NAN })
    };
    vec![line("asr", spoken), line("tts", heard)]
}

fn inference_seconds(metrics: &str, engine: &str) -> f64 {
    let label = format!("engine=\"{engine}\"");
    let lines = metrics.lines().filter(|line| line.starts_with("callbox_engine_inference_seconds_sum{"));
    let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
    lines.filter(|line| line.contains(&label)).filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spent_is_summed_over_an_engines_operations() {
        let metrics = "callbox_engine_inference_seconds_sum{engine=\"asr\",op=\"final\"} 1.5\n\
                       callbox_engine_inference_seconds_sum{engine=\"asr\",op=\"partial\"} 0.25\n\
                       callbox_engine_inference_seconds_sum{engine=\"tts\",op=\"piece\"} 9\n\
                       callbox_engine_queue_seconds_sum{engine=\"asr\",op=\"final\"} 7\n";
        assert_eq!(inference_seconds(metrics, "asr"), 1.75);
    }
}
