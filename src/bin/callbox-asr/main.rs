//! `callbox-asr`: Whisper by whisper.cpp, served over the engine socket (see `callbox::engine::process`).
//! Started by `callbox`, never by hand.

mod invention;
mod recogniser;
mod window;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

#[derive(Debug, Clone, Parser)]
#[command(about = "Speech recognition for callbox: a whisper.cpp model behind the engine socket")]
struct Args {
    /// A model in ggml format.
    #[arg(long)]
    model: PathBuf,
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// BCP 47 primary language where the call gives none; detected where absent.
    #[arg(long)]
    language: Option<String>,
    #[arg(long)]
    gpu: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let name = args.model.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    match callbox::engine::process::serve_asr(&name, || recogniser::Whisper::load(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("callbox-asr: {error}");
            ExitCode::FAILURE
        }
    }
}
