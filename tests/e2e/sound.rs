//! Speech for the telephones, and what their recordings hold.

use std::{path::Path, process::Command};

const RATE: u32 = 8_000;

/// A part of what a telephone says.
pub enum Part<'a> {
    Silence(f64),
    Says(&'a str),
}

/// Writes a mono WAV of 16 bits at 8 kHz.
pub fn write(parts: &[Part<'_>], to: &Path) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut wav = hound::WavWriter::create(to, spec).unwrap();
    for part in parts {
        let samples = match part {
            Part::Silence(seconds) => vec![0; (seconds * f64::from(RATE)) as usize],
            Part::Says(text) => spoken(text),
        };
        samples.into_iter().for_each(|sample| wav.write_sample(sample).unwrap());
    }
    wav.finalize().unwrap();
}

fn spoken(text: &str) -> Vec<i16> {
    let dir = tempfile::tempdir().unwrap();
    let (full, narrow) = (dir.path().join("full.wav"), dir.path().join("narrow.wav"));
    run("flite", Command::new("flite").args(["-voice", "slt", "-t", text, "-o"]).arg(&full));
    run("sox", Command::new("sox").arg(&full).args(["-b", "16", "-c", "1", "-r", "8000"]).arg(&narrow));
    read(&narrow).1
}

/// Runs a program of the Debian package of the same name.
fn run(program: &str, command: &mut Command) {
    match command.status() {
        Ok(status) => assert!(status.success(), "{program}: {status}"),
        Err(error) => panic!("{program} does not start ({error}): install the package `{program}`"),
    }
}

fn read(path: &Path) -> (hound::WavSpec, Vec<i16>) {
    let wav = hound::WavReader::open(path).unwrap();
    let spec = wav.spec();
    // The header of a recording that was cut off may promise more than there is.
    (spec, wav.into_samples::<i16>().map_while(Result::ok).collect())
}

/// A WAV file's channels, and the seconds of each in which something is heard.
pub fn heard_seconds(path: &Path) -> Vec<f64> {
    let (spec, samples) = read(path);
    let channels = usize::from(spec.channels);
    let block = spec.sample_rate as usize / 50;
    let seconds = |channel: usize| {
        let of_channel: Vec<i16> = samples.iter().skip(channel).step_by(channels).copied().collect();
        let loud = |block: &&[i16]| block.iter().any(|sample| sample.unsigned_abs() > 1_000);
        of_channel.chunks(block).filter(loud).count() as f64 / 50.0
    };
    (0..channels).map(seconds).collect()
}
