//! A file being written under a temporary name in the folder it is meant for.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use sha2::Digest;

use super::{ModelError, hash::Sha256};

/// Ends the name of everything temporary; [`sweep`] removes what a killed process left.
const TEMPORARY: &str = ".tmp";
/// Space left untouched on the disk when a pull begins.
const HEADROOM_BYTES: u64 = 64 << 20;

/// Hashes what is written and refuses more than `limit` bytes. Dropped without [`Staged::publish`], it
/// removes itself.
pub(crate) struct Staged {
    path: Temporary,
    file: File,
    hasher: sha2::Sha256,
    length: u64,
    limit: u64,
}

/// A file or folder that is removed when this is dropped.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A new empty folder inside `dir`.
    pub fn folder(dir: &Path, name: &str) -> Result<Self, ModelError> {
        let path = temporary_path(dir, name);
        fs::create_dir_all(&path).map_err(ModelError::io("create", &path))?;
        Ok(Temporary(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Best effort: what stays behind is swept by the next pull.
        let _ = if self.0.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
    }
}

impl Staged {
    pub fn create(dir: &Path, name: &str, limit: u64) -> Result<Self, ModelError> {
        let path = Temporary(temporary_path(dir, name));
        let file = File::create(path.path()).map_err(ModelError::io("create", path.path()))?;
        Ok(Staged { path, file, hasher: sha2::Sha256::new(), length: 0, limit })
    }

    pub fn path(&self) -> &Path {
        self.path.path()
    }

    /// Bytes written so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Flushes to disk and gives the digest of what was written; the file stays temporary.
    pub fn seal(self) -> Result<Sealed, ModelError> {
        self.file.sync_all().map_err(ModelError::io("flush", self.path.path()))?;
        Ok(Sealed { path: self.path, sha256: Sha256::finish(self.hasher) })
    }

    /// Turns the I/O error of a write into the error it stands for.
    pub fn explain(&self, what: &str, error: io::Error) -> ModelError {
        if error.get_ref().is_some_and(|e| e.is::<LimitReached>()) {
            return ModelError::TooLarge { what: what.to_owned(), limit: self.limit };
        }
        ModelError::io("write", self.path())(error)
    }
}

/// A finished temporary file.
pub(crate) struct Sealed {
    path: Temporary,
    pub sha256: Sha256,
}

impl Sealed {
    pub fn path(&self) -> &Path {
        self.path.path()
    }

    pub fn expect_hash(&self, what: &str, expected: Sha256) -> Result<(), ModelError> {
        if self.sha256 == expected {
            return Ok(());
        }
        Err(ModelError::WrongHash { what: what.to_owned(), expected, found: self.sha256 })
    }

    /// Gives the file its own name.
    pub fn publish(self, target: &Path) -> Result<(), ModelError> {
        publish(self.path(), target)
    }
}

/// Renames within one folder and flushes the folder, so that the name outlives a power cut.
pub(crate) fn publish(from: &Path, target: &Path) -> Result<(), ModelError> {
    fs::rename(from, target).map_err(ModelError::io("rename to", target))?;
    let dir = target.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|d| d.sync_all()).map_err(ModelError::io("flush", dir))
}

#[derive(Debug, thiserror::Error)]
#[error("the file is larger than it may be")]
struct LimitReached;

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length + bytes.len() as u64 > self.limit {
            return Err(io::Error::other(LimitReached));
        }
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes temporary files and folders of processes that are gone. Only under the folder's lock.
pub(crate) fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(TEMPORARY) {
            drop(Temporary(entry.path()));
        }
    }
}

/// Refuses to begin what cannot fit.
pub(crate) fn require_space(dir: &Path, file: &str, bytes: u64) -> Result<(), ModelError> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| ModelError::io("measure", dir)(e.into()))?;
    let available = stat.f_bavail.saturating_mul(stat.f_frsize);
    let needed = bytes.saturating_add(HEADROOM_BYTES);
    if available >= needed {
        return Ok(());
    }
    Err(ModelError::NotEnoughSpace { dir: dir.to_owned(), file: file.to_owned(), needed, available })
}

fn temporary_path(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!(".{name}.{}{TEMPORARY}", std::process::id()))
}
