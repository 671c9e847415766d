//! A recording as WAV: 16 bits, uncompressed.

use std::{
    fs,
    io::{self, BufWriter},
    path::Path,
};

use super::file::Container;

pub struct Wav {
    writer: hound::WavWriter<BufWriter<fs::File>>,
}

impl Wav {
    pub fn create(path: &Path, rate: u32) -> io::Result<Self> {
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        Ok(Wav { writer: hound::WavWriter::create(path, spec).map_err(to_io)? })
    }
}

impl Container for Wav {
    fn append(&mut self, stereo: &[[i16; 2]]) -> io::Result<()> {
        for &sample in stereo.as_flattened() {
            self.writer.write_sample(sample).map_err(to_io)?;
        }
        Ok(())
    }

    /// The header is brought up to date with it.
    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush().map_err(to_io)
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.writer.finalize().map_err(to_io)
    }
}

fn to_io(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}
