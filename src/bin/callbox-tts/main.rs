//! `callbox-tts`: Piper voices by ONNX Runtime, served over the engine socket (see
//! `callbox::engine::process`). Started by `callbox`, never by hand.
//!
//! This executable links espeak-ng, which is under GPL-3.0-or-later, and is therefore, as a whole,
//! distributed under that licence. The `callbox` executable links nothing of it and only speaks to it
//! over a socket.

mod clause;
mod phrase;
mod runtime;
mod speaker;
mod voice;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

// espeak-rs-sys builds espeak-ng against the system's libsonic and does not say so to the linker.
#[link(name = "sonic")]
unsafe extern "C" {}

#[derive(Debug, Clone, Parser)]
#[command(about = "Voices for callbox: Piper behind the engine socket. Links espeak-ng (GPL-3.0-or-later).")]
struct Args {
    /// A voice: the name callers ask for, `=`, the model, beside which its `.onnx.json` lies. May come
    /// several times.
    #[arg(long = "voice", value_name = "NAME=PATH", value_parser = named_path, required = true)]
    voices: Vec<(String, PathBuf)>,
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// libonnxruntime.so, 1.24 or later.
    #[arg(long, value_name = "PATH")]
    onnxruntime: PathBuf,
    /// The directory that holds `espeak-ng-data`; where the system keeps it by default.
    #[arg(long, value_name = "DIR")]
    espeak_data: Option<PathBuf>,
}

fn named_path(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.into())),
        _ => Err("must be NAME=PATH, such as joe=/models/en_US-joe-medium.onnx".to_owned()),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    runtime::set_espeak_data(args.espeak_data.as_deref());
    let name = args.voices.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(",");
    match callbox::engine::process::serve_tts(&name, || speaker::Piper::load(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("callbox-tts: {error}");
            ExitCode::FAILURE
        }
    }
}
