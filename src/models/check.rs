//! Reading installed files again, to find what a disk or a hand has changed.

use super::{
    Model, ModelError, Progress, Store,
    catalog::{ModelFile, Trust},
    hash::{Sha256, hash_file},
    pins::Pins,
};

/// What [`check`] found of one file.
#[derive(Debug, Clone)]
pub struct Checked {
    pub model: String,
    pub file: String,
    pub health: Health,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The hash is one the catalogue states, or the one pinned when the file was pulled.
    Sound,
    Missing,
    /// Nobody states a hash for this file: it was put there by hand and the catalogue knows none.
    Unknown {
        found: Sha256,
    },
    Wrong {
        found: Sha256,
        expected: Vec<Sha256>,
    },
}

/// Hashes every file of `models`. Blocking; reads everything.
pub fn check(store: &Store, models: &[&Model], progress: &dyn Progress) -> Result<Vec<Checked>, ModelError> {
    let pins = Pins::load(store.dir())?;
    let mut all = Vec::new();
    for model in models {
        for file in &model.files {
            let health = check_file(store, &pins, file, progress)?;
            all.push(Checked { model: model.name.clone(), file: file.name.clone(), health });
        }
    }
    Ok(all)
}

fn check_file(
    store: &Store,
    pins: &Pins,
    file: &ModelFile,
    progress: &dyn Progress,
) -> Result<Health, ModelError> {
    let path = store.path_of(file);
    if !path.is_file() {
        return Ok(Health::Missing);
    }
    let length = std::fs::metadata(&path).ok().map(|m| m.len());
    progress.begin(&file.name, length);
    let hashed = hash_file(&path, |position| progress.advance(&file.name, position));
    progress.end(&file.name);
    Ok(judge(file, pins, hashed?.0))
}

/// A hash against what the catalogue and the pins accept for `file`. A pin counts only where some source
/// leaves the hash open: where the catalogue states them all, it alone decides.
pub(crate) fn judge(file: &ModelFile, pins: &Pins, found: Sha256) -> Health {
    let open = file.usable_sources().any(|s| !matches!(file.trust(s), Trust::Known(_)));
    let pinned = pins.files.get(&file.name).filter(|_| open).map(|p| p.sha256);
    let expected: Vec<_> = file.known_hashes().chain(pinned).collect();
    if expected.contains(&found) {
        Health::Sound
    } else if expected.is_empty() {
        Health::Unknown { found }
    } else {
        Health::Wrong { found, expected }
    }
}
