//! What can go wrong between a model's name and its file.

use std::{io, path::PathBuf};

use super::{convert::ConvertError, hash::Sha256};

#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("no model is named `{name}`{}", nearest.as_ref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
    Unknown { name: String, nearest: Option<String> },
    #[error("no set of models is named `{name}`; there are {known}")]
    UnknownSet { name: String, known: String },
    #[error("model `{name}` is not installed ({} is missing): run `callbox models pull {name}`", missing.display())]
    NotInstalled { name: String, missing: PathBuf },
    #[error("model file {} does not exist", path.display())]
    NoSuchFile { path: PathBuf },
    #[error(
        "model `{name}` is damaged: {} has {found} bytes instead of {expected}; run `callbox models pull {name}`",
        path.display()
    )]
    Damaged { name: String, path: PathBuf, expected: u64, found: u64 },
    #[error("catalogue {origin}: {detail}")]
    Catalog { origin: String, detail: String },
    #[error("no folder for models: set `models.dir`, or XDG_CACHE_HOME or HOME to an absolute path")]
    NoFolder,
    #[error("cannot {action} {}: {source}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "no space left while writing {}: free some space and pull again; what a URL source already \
         brought is kept in a `.part` file and resumed, nothing else is left",
        path.display()
    )]
    DiskFull { path: PathBuf },
    #[error("{} has {available} bytes free, pulling {file} needs {needed}", dir.display())]
    NotEnoughSpace { dir: PathBuf, file: String, needed: u64, available: u64 },
    #[error("{what} has the SHA-256 {found}, the catalogue says {expected}; nothing was installed")]
    WrongHash { what: String, expected: Sha256, found: Sha256 },
    #[error(
        "{what} has the SHA-256 {found}, but {pinned} was pinned when it was first pulled; if the change \
         is expected, remove its entry from models.lock"
    )]
    PinBroken { what: String, pinned: Sha256, found: Sha256 },
    #[error("{what} is larger than the {limit} bytes it may have; nothing was installed")]
    TooLarge { what: String, limit: u64 },
    #[error("{url}: {detail}")]
    Http { url: String, detail: String },
    #[error(
        "{url} announces no SHA-256, so what it gives cannot be verified: state `sha256` in the catalogue"
    )]
    NotAnnounced { url: String },
    #[error("`{command}` {detail}")]
    Tool { command: String, detail: String },
    #[error("archive {}: {detail}", path.display())]
    Archive { path: PathBuf, detail: String },
    #[error("converting {what}: {source}")]
    Convert { what: String, source: ConvertError },
    #[error("{file} is missing and `models.offline` is set")]
    Offline { file: String },
    #[error("no source of {file} fits this machine ({arch})")]
    NoSource { file: String, arch: &'static str },
    #[error("every source of {file} failed: {}", causes.join("; "))]
    EverySourceFailed { file: String, causes: Vec<String> },
    #[error("timed out after {seconds} s: {what}")]
    TimedOut { what: String, seconds: u64 },
    #[error("another process has been pulling into {} for {seconds} s", dir.display())]
    Busy { dir: PathBuf, seconds: u64 },
    #[error("an internal task ended early: {0}")]
    Interrupted(String),
}

impl ModelError {
    /// An I/O error with what was being done, and the full disk told apart from the rest.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                ModelError::DiskFull { path }
            }
            _ => ModelError::Io { action, path, source },
        }
    }

    /// Whether another source cannot help: the fault is with this machine.
    pub(crate) fn is_local(&self) -> bool {
        matches!(
            self,
            ModelError::DiskFull { .. } | ModelError::NotEnoughSpace { .. } | ModelError::Interrupted(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn full_disk_is_told_apart_and_ends_the_search_for_sources() {
        let mut full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let error = ModelError::io("write", "model.gguf")(full.write_all(b"weights").unwrap_err());
        assert!(matches!(error, ModelError::DiskFull { .. }) && error.is_local(), "{error}");
        assert!(error.to_string().starts_with("no space left while writing model.gguf"));
    }
}
