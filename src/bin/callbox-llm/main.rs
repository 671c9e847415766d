//! `callbox-llm`: a GGUF chat model by llama.cpp, served over the engine socket (see
//! `callbox::engine::process`). Started by `callbox`, never by hand.

mod answer;
mod chat;
mod prompt;
mod seats;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, ValueEnum};

#[derive(Debug, Clone, Parser)]
#[command(about = "A chat model for callbox: llama.cpp behind the engine socket")]
struct Args {
    /// A model in GGUF format.
    #[arg(long)]
    model: PathBuf,
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// Conversations that keep their state at once.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    conversations: u32,
    /// Tokens of one conversation, prompt and answer.
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(256..=131_072))]
    context: u32,
    /// Prompt tokens evaluated in one step while nobody is being answered; half of it otherwise. More is
    /// no faster, and a cancel waits for the step under way.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=512))]
    prefill: u32,
    #[arg(long, default_value_t = 0)]
    gpu_layers: u32,
    /// `auto` leaves it off where no layer is on a GPU: on a CPU it only costs.
    #[arg(long, value_enum, default_value_t = FlashAttention::Auto)]
    flash_attention: FlashAttention,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FlashAttention {
    Auto,
    On,
    Off,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let name = args.model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match callbox::engine::process::serve_llm(&name, || chat::Llama::load(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("callbox-llm: {error}");
            ExitCode::FAILURE
        }
    }
}
