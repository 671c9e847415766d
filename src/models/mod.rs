//! The catalogue of weights (and of what a local chain is made of): what exists, where it comes from, how it is verified and where it lies.
//!
//! [`Catalog`] is data (`models/catalog.toml`, embedded). A [`Store`] is a catalogue with a folder: it
//! resolves a model's name to a path, and never touches the network. [`pull`] brings what is missing:
//! one of a file's [`catalog::Source`]s is fetched into the folder under a temporary name, converted
//! where the catalogue says so, compared with its SHA-256, flushed to disk and renamed. A file under
//! its own name is therefore whole; the one thing an interrupted pull leaves is `NAME.….part`, which the
//! next pull of the same URL resumes.
//!
//! What was installed, and from where, is kept beside the models in `models.lock` ([`pins`]).

pub mod catalog;
pub mod check;
pub mod convert;
mod error;
pub mod fetch;
pub mod hash;
mod lock;
pub mod pins;
pub mod progress;
mod pull;
mod staged;
pub mod store;
pub mod voices;

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

pub use catalog::{Catalog, Kind, Model};
pub use check::{Checked, Health, check};
pub use error::ModelError;
pub use progress::Progress;
pub use pull::{Outcome, Pulled, pull};
pub use store::{Listed, Store};

/// `[models]` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where models lie; `$XDG_CACHE_HOME/callbox/models` or `~/.cache/callbox/models` when absent.
    pub dir: Option<PathBuf>,
    /// A file of the form of `models/catalog.toml`. Its models come first and replace those of the
    /// same name.
    pub extra_catalog: Option<PathBuf>,
    /// Never fetch: a missing model is an error.
    pub offline: bool,
    /// Kinds of source to try first, in order. The others follow in the catalogue's order.
    pub prefer: Vec<catalog::SourceKind>,
    /// How to run pip, such as `["/opt/venv/bin/pip"]`. Empty: `python3 -m pip`, `pip3` or `pip`.
    pub pip: Vec<String>,
    /// How to run npm. Empty: `npm`.
    pub npm: Vec<String>,
    /// Seconds without one byte after which a download counts as dead.
    pub stall_timeout_s: u64,
    /// Seconds one source may take altogether, and a pull may wait for another process's pull.
    pub pull_timeout_s: u64,
    /// How often a URL is tried again after a cut connection or a server error.
    pub retries: u32,
    /// Largest file that is accepted where the catalogue states no size, in bytes.
    pub max_file_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            dir: None,
            extra_catalog: None,
            offline: false,
            prefer: Vec::new(),
            pip: Vec::new(),
            npm: Vec::new(),
            stall_timeout_s: 30,
            pull_timeout_s: 6 * 60 * 60,
            retries: 4,
            max_file_bytes: 64 << 30,
        }
    }
}

impl Config {
    fn stall_timeout(&self) -> Duration {
        Duration::from_secs(self.stall_timeout_s.max(1))
    }

    fn pull_timeout(&self) -> Duration {
        Duration::from_secs(self.pull_timeout_s.max(1))
    }
}
