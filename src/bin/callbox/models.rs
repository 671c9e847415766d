//! `callbox models`: list, pull and check the weights, and choose which answer.

use std::{collections::HashMap, path::Path, sync::Arc};

use anyhow::{bail, ensure};
use callbox::{
    models::{self, Health, Model, Outcome, Progress, Store},
    node::NodeConfig,
};
use clap::{Args, Subcommand};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use crate::call::client::Client;

#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the catalogue and what is installed.
    List,
    /// Fetch, verify and install what is missing.
    Pull {
        /// Names from the catalogue.
        #[arg(required_unless_present = "model_set")]
        names: Vec<String>,
        /// A whole set: `default`, `test`, `gpu`.
        #[arg(id = "model_set", long = "set", value_name = "SET", conflicts_with = "names")]
        set: Option<String>,
    },
    /// Read installed models again and compare their hashes.
    Check {
        /// Names from the catalogue; everything installed when there are none.
        names: Vec<String>,
    },
    /// Make an installed model answer in the running node, from the next call on
    Use {
        /// `asr`, `llm`, `tts`, `vad` or `turn`
        kind: String,
        /// A name of `callbox models list`
        name: String,
        /// The node to ask [default: the one this configuration describes]
        #[arg(long)]
        url: Option<String>,
    },
}

pub async fn run(args: ModelsArgs, config: &NodeConfig) -> anyhow::Result<()> {
    let store = Store::open(&config.models)?;
    match args.command {
        Command::List => list(&store),
        Command::Pull { names, set } => pull(&store, names, set).await,
        Command::Check { names } => check(store, names).await,
        Command::Use { kind, name, url } => {
            Client::of(config, url.as_deref())?.use_model(&kind, &name).await?;
            println!("{name} answers from the next call on; the configuration file is as it was");
            Ok(())
        }
    }
}

fn list(store: &Store) -> anyhow::Result<()> {
    println!("in {}", store.dir().display());
    for row in store.list() {
        let Model { name, kind, licence, sets, .. } = row.model;
        let mark = if row.installed { "installed" } else { "" };
        let size = row.size.map_or("?".into(), |bytes| format!("{} MB", bytes.div_ceil(1_000_000)));
        let kind = format!("{kind:?}").to_lowercase();
        let sets = sets.iter().map(|s| s.set.as_str()).collect::<Vec<_>>().join(",");
        println!("{name:28} {kind:8} {size:>8}  {mark:10} {sets:18} {licence}");
        if !row.model.licence_note.is_empty() {
            println!("{:28} {}", "", row.model.licence_note);
        }
    }
    Ok(())
}

async fn pull(store: &Store, names: Vec<String>, set: Option<String>) -> anyhow::Result<()> {
    let models = match set {
        Some(set) => store.catalog().set(&set, cores())?,
        None => store.select(&names)?,
    };
    let pulled = models::pull(store, &models, Arc::new(Bars::default())).await?;
    let fetched = pulled.iter().filter(|p| p.outcome != Outcome::Present).count();
    println!("{} files in {}, {fetched} fetched", pulled.len(), store.dir().display());
    for file in pulled {
        if let Outcome::Fetched(source) = file.outcome {
            println!("  {} from {source}", file.file);
        }
    }
    Ok(())
}

async fn check(store: Store, names: Vec<String>) -> anyhow::Result<()> {
    let checked = tokio::task::spawn_blocking(move || {
        let models = if names.is_empty() { store.installed().collect() } else { store.select(&names)? };
        models::check(&store, &models, &Bars::default())
    })
    .await??;
    ensure!(!checked.is_empty(), "no model is installed: run `callbox models pull --set default`");
    let mut faults = 0;
    for file in &checked {
        let (model, name) = (&file.model, &file.file);
        match &file.health {
            Health::Sound => println!("sound    {name}"),
            Health::Unknown { found } => println!("unknown  {name}: {found}, nothing to compare with"),
            Health::Missing => {
                faults += 1;
                println!("missing  {name}: run `callbox models pull {model}`");
            }
            Health::Wrong { found, .. } => {
                faults += 1;
                println!("wrong    {name}: {found}; run `callbox models pull {model}`");
            }
        }
    }
    if faults > 0 {
        bail!("{faults} of {} files are missing or wrong", checked.len());
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// One bar a file; on a pipe, one line a step.
#[derive(Default)]
struct Bars {
    screen: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn with(&self, file: &str, act: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.bars.lock().get(file) {
            act(bar);
        }
    }
}

impl Progress for Bars {
    fn begin(&self, file: &str, total: Option<u64>) {
        let mut bars = self.bars.lock();
        let bar = bars.entry(file.to_owned()).or_insert_with(|| {
            let short = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
            self.screen.add(ProgressBar::no_length().with_style(style()).with_prefix(short))
        });
        if let Some(total) = total {
            bar.set_length(total);
        }
    }

    fn advance(&self, file: &str, position: u64) {
        self.with(file, |bar| bar.set_position(position));
    }

    fn step(&self, file: &str, what: &str) {
        self.with(file, |bar| bar.set_message(what.to_owned()));
        if self.screen.is_hidden() {
            eprintln!("{file}: {what}");
        }
    }

    fn end(&self, file: &str) {
        if let Some(bar) = self.bars.lock().remove(file) {
            bar.finish_and_clear();
        }
    }

    fn note(&self, text: &str) {
        if self.screen.is_hidden() {
            eprintln!("{text}");
        } else {
            // A lost line on a closed terminal is no reason to stop a pull.
            let _ = self.screen.println(text);
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix:36!} {bar:24} {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12}  {wide_msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
