//! One recording on disk: what is missing, what is flushed, and how it gets its name.

use std::{
    fs,
    io::{self, BufWriter},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Block, RecordingError, RecordingSummary, ogg_opus::OggOpus, wav::Wav};
use crate::base::audio::{NARROWBAND_HZ, duration_of};

/// Silence is written in pieces of this many samples.
const SILENCE: [[i16; 2]; 1_600] = [[0; 2]; 1_600];

/// How much work a second of audio may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Effort {
    #[default]
    Calm,
    /// Audio waits: what is lost in quality is gained in time.
    Hurried,
}

/// A format of recordings.
pub trait Container {
    fn append(&mut self, stereo: &[[i16; 2]]) -> io::Result<()>;
    /// What is on disk from now on can be opened.
    fn flush(&mut self) -> io::Result<()>;
    fn finish(self: Box<Self>) -> io::Result<()>;

    fn spend(&mut self, _effort: Effort) -> io::Result<()> {
        Ok(())
    }
}

pub struct File {
    pub path: PathBuf,
    part: PathBuf,
    rate: u32,
    effort: Effort,
    container: Box<dyn Container>,
    written: u64,
    flushed: u64,
}

impl File {
    /// The format is what the path's extension says: `ogg` is Opus, anything else WAV.
    pub fn create(path: PathBuf, rate: u32) -> Result<Self, RecordingError> {
        let part = part_path(&path);
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        let container = folder.and_then(|()| container(&path, &part, rate));
        let effort = Effort::default();
        match container {
            Ok(container) => Ok(File { path, part, rate, effort, container, written: 0, flushed: 0 }),
            Err(source) => Err(RecordingError::Write { path, source }),
        }
    }

    /// Appends the block, with silence where blocks before it were dropped.
    pub fn write(&mut self, block: &Block, effort: Effort, flush_every: Duration) -> io::Result<()> {
        if effort != self.effort {
            self.container.spend(effort)?;
            self.effort = effort;
        }
        let start = block.start * u64::from(self.rate) / u64::from(NARROWBAND_HZ);
        let mut missing = start.saturating_sub(self.written);
        while missing > 0 {
            let some = missing.min(SILENCE.len() as u64);
            self.append(&SILENCE[..some as usize])?;
            missing -= some;
        }
        self.append(&block.at(self.rate))?;
        if duration_of(self.written - self.flushed, self.rate) >= flush_every {
            self.container.flush()?;
            self.flushed = self.written;
        }
        Ok(())
    }

    fn append(&mut self, stereo: &[[i16; 2]]) -> io::Result<()> {
        self.container.append(stereo)?;
        self.written += stereo.len() as u64;
        Ok(())
    }

    pub fn finish(self, dropped_samples: u64) -> Result<RecordingSummary, RecordingError> {
        let File { path, part, rate, container, written, .. } = self;
        if let Err(source) = container.finish() {
            return Err(RecordingError::Write { path, source });
        }
        match fs::rename(part, &path) {
            Ok(()) => Ok(RecordingSummary { path, duration: duration_of(written, rate), dropped_samples }),
            Err(source) => Err(RecordingError::Rename { path, source }),
        }
    }
}

fn container(path: &Path, part: &Path, rate: u32) -> io::Result<Box<dyn Container>> {
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ogg")) {
        let file = BufWriter::new(fs::File::create(part)?);
        return Ok(Box::new(OggOpus::begin(file, rate, rand::random())?));
    }
    Ok(Box::new(Wav::create(part, rate)?))
}

/// `NAME.wav` is `NAME.wav.part` until it is complete.
pub fn part_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
