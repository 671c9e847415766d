//! Recordings as others read them: Opus files go through opusdec, and the disk is one that stands still.
//!
//! Needs `opusdec` of the Debian package opus-tools.

#![allow(clippy::unwrap_used)] // a test may panic

mod cost;
mod opus;
mod slow_disk;
mod sound;
#[path = "../support/tones.rs"]
mod tones;

use std::{path::Path, process::Command, time::Duration};

use callbox::media::{
    recording::{Recorder, RecordingSummary},
    tap::{Tap, TapFrame},
};
use tokio::sync::{Mutex, MutexGuard, oneshot};

const FLUSH: Duration = Duration::from_millis(500);

/// Some tests look at threads of this process by their names.
static PROCESS: Mutex<()> = Mutex::const_new(());

fn alone() -> MutexGuard<'static, ()> {
    PROCESS.blocking_lock()
}

/// Feeds both sides to a recording, a frame at a time.
fn feed(tap: &mut Tap, rate: u32, stereo: &[[i16; 2]]) {
    for (n, frame) in stereo.chunks(rate as usize / 50).enumerate() {
        tap.push(&TapFrame { start: n as u64 * 160, rate, stereo: frame.to_vec() });
    }
}

fn finish(recorder: &Recorder, tap: Tap) -> RecordingSummary {
    let (reply, summary) = oneshot::channel();
    recorder.finish(tap, Some(reply));
    summary.blocking_recv().unwrap().unwrap()
}

/// Runs a program, and gives what it said.
fn run(package: &str, command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{error}: install the package `{package}`"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

/// The sides of an Ogg file, as opusdec decodes them at `rate`.
fn decoded(file: &Path, rate: u32) -> [Vec<i16>; 2] {
    let wav = file.with_extension("decoded.wav");
    run(
        "opus-tools",
        Command::new("opusdec").args(["--rate", &rate.to_string(), "--no-dither"]).arg(file).arg(&wav),
    );
    sound::sides(&wav)
}
