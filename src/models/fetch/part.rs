//! The growing file of a download, which outlives a cut connection.

use std::{
    fs::{self, File},
    io::{self, Seek, Write},
    path::{Path, PathBuf},
};

use sha2::Digest;
use tokio::sync::mpsc;

use super::super::{
    ModelError,
    hash::{Sha256, absorb},
};

/// An open part whose digest covers everything in it.
pub struct Part {
    path: PathBuf,
    file: File,
    hasher: sha2::Sha256,
    length: u64,
    limit: u64,
}

impl Part {
    /// Opens with the first `keep` bytes kept and hashed again, and the rest cut off.
    pub fn open(path: &Path, keep: u64, limit: u64) -> Result<Self, ModelError> {
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(ModelError::io("open", path))?;
        file.set_len(keep).map_err(ModelError::io("write", path))?;
        let mut hasher = sha2::Sha256::new();
        let length = absorb(&mut file, &mut hasher, |_| {}).map_err(ModelError::io("read", path))?;
        file.seek(io::SeekFrom::Start(length)).map_err(ModelError::io("read", path))?;
        Ok(Part { path: path.to_owned(), file, hasher, length, limit })
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends chunks until the channel closes. Blocking. Too many bytes remove the part.
    pub fn absorb<B: AsRef<[u8]>>(
        mut self,
        mut chunks: mpsc::Receiver<B>,
        what: &str,
        seen: impl Fn(u64),
    ) -> Result<Self, ModelError> {
        while let Some(chunk) = chunks.blocking_recv() {
            let chunk = chunk.as_ref();
            if self.length + chunk.len() as u64 > self.limit {
                remove(&self.path)?;
                return Err(ModelError::TooLarge { what: what.to_owned(), limit: self.limit });
            }
            self.file.write_all(chunk).map_err(ModelError::io("write", &self.path))?;
            self.hasher.update(chunk);
            self.length += chunk.len() as u64;
            seen(self.length);
        }
        Ok(self)
    }

    /// Flushes to disk and gives the digest.
    pub fn seal(self) -> Result<Sha256, ModelError> {
        self.file.sync_all().map_err(ModelError::io("flush", &self.path))?;
        Ok(Sha256::finish(self.hasher))
    }
}

/// How much of the file an earlier attempt left.
pub fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

pub fn remove(path: &Path) -> Result<(), ModelError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(ModelError::io("remove", path)(e)),
        _ => Ok(()),
    }
}
