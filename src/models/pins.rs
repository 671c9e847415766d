//! `models.lock`: what each installed file is and where it came from.
//!
//! Trust on first use: a file whose hash no one could state beforehand is pinned to what its source
//! announced or gave, and a later pull must give the same.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{ModelError, hash::Sha256, staged::Staged};

const FILE: &str = "models.lock";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    pub sha256: Sha256,
    pub size: u64,
    /// Modification time in nanoseconds since 1970. With the size, it says that the file is still the
    /// one that was verified, without reading it again.
    pub modified_ns: u64,
    /// The source, in words.
    pub source: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pins {
    /// By file name.
    #[serde(default)]
    pub files: BTreeMap<String, Pin>,
}

impl Pins {
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        let path = path_in(dir);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Pins::default()),
            Err(e) => return Err(ModelError::io("read", path)(e)),
        };
        toml::from_str(&text).map_err(|e| ModelError::Catalog {
            origin: path.display().to_string(),
            detail: format!("{}; remove the file to forget what was pinned", e.message()),
        })
    }

    /// Replaces the lock file as a whole. Only under the folder's lock.
    pub fn save(&self, dir: &Path) -> Result<(), ModelError> {
        let text = toml::to_string(self).map_err(|e| ModelError::Interrupted(e.to_string()))?;
        let mut staged = Staged::create(dir, FILE, u64::MAX)?;
        io::Write::write_all(&mut staged, text.as_bytes()).map_err(|e| staged.explain(FILE, e))?;
        staged.seal()?.publish(&path_in(dir))
    }
}

impl Pin {
    /// Whether `path` is still the file that was verified, judged by size and modification time.
    pub fn is_current(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|m| m.len() == self.size && modified_ns(&m) == self.modified_ns)
    }
}

pub(crate) fn modified_ns(metadata: &fs::Metadata) -> u64 {
    let since = |t: std::time::SystemTime| t.duration_since(std::time::UNIX_EPOCH).ok();
    metadata.modified().ok().and_then(since).map_or(0, |d| d.as_nanos() as u64)
}

fn path_in(dir: &Path) -> PathBuf {
    dir.join(FILE)
}
