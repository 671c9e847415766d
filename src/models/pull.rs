//! Bringing missing models: for each file the sources in order, until one gives a file that verifies.

use std::{fs, path::Path, sync::Arc};

use super::{
    Model, ModelError, Progress, Store,
    catalog::{ModelFile, Source, Trust},
    check::{Health, judge},
    fetch,
    hash::{Sha256, hash_file},
    lock,
    pins::{Pin, Pins, modified_ns},
    staged,
};

/// What happened to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    pub model: String,
    pub file: String,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was there and sound.
    Present,
    /// Fetched from this source, in words.
    Fetched(String),
}

/// Installs what is missing of `models`. Files already there and sound are left alone; damaged ones
/// are replaced. One pull works in a folder at a time, so that two give the same result as one after
/// the other. Stops at the first file that no source can give.
pub async fn pull(
    store: &Store,
    models: &[&Model],
    progress: Arc<dyn Progress>,
) -> Result<Vec<Pulled>, ModelError> {
    let dir = store.dir().to_owned();
    fs::create_dir_all(&dir).map_err(ModelError::io("create", &dir))?;
    let _lock = lock::acquire(&dir, store.config().pull_timeout(), &*progress).await?;
    let dir = blocking(move || {
        staged::sweep(&dir);
        Ok(dir)
    })
    .await?;
    let mut all = Vec::new();
    for model in models {
        for file in &model.files {
            let mut pins = Pins::load(&dir)?;
            let outcome = pull_file(store, file, &mut pins, &progress).await;
            progress.end(&file.name);
            all.push(Pulled { model: model.name.clone(), file: file.name.clone(), outcome: outcome? });
        }
    }
    Ok(all)
}

async fn pull_file(
    store: &Store,
    file: &ModelFile,
    pins: &mut Pins,
    progress: &Arc<dyn Progress>,
) -> Result<Outcome, ModelError> {
    if is_present(store, file, pins, progress).await? {
        return Ok(Outcome::Present);
    }
    if store.config().offline {
        return Err(ModelError::Offline { file: file.name.clone() });
    }
    let mut sources: Vec<_> = file.usable_sources().collect();
    let rank = |s: &Source| store.config().prefer.iter().position(|k| *k == s.kind()).unwrap_or(usize::MAX);
    sources.sort_by_key(|s| rank(s));
    let mut causes = Vec::new();
    for source in sources {
        match install(store, file, source, pins, progress).await {
            Ok(()) => return Ok(Outcome::Fetched(source.to_string())),
            Err(e) if e.is_local() => return Err(e),
            Err(e) => {
                progress.note(&format!("{}: {e}", file.name));
                causes.push(e);
            }
        }
    }
    let file = file.name.clone();
    match causes.pop() {
        None => Err(ModelError::NoSource { file, arch: std::env::consts::ARCH }),
        Some(only) if causes.is_empty() => Err(only),
        Some(last) => {
            let causes = causes.iter().chain([&last]).map(ToString::to_string).collect();
            Err(ModelError::EverySourceFailed { file, causes })
        }
    }
}

/// Whether the file is there and sound. A current pin spares reading it.
async fn is_present(
    store: &Store,
    file: &ModelFile,
    pins: &mut Pins,
    progress: &Arc<dyn Progress>,
) -> Result<bool, ModelError> {
    let path = store.path_of(file);
    if !path.is_file() {
        return Ok(false);
    }
    if let Some(pin) = pins.files.get(&file.name)
        && pin.is_current(&path)
        && judge(file, pins, pin.sha256) == Health::Sound
    {
        return Ok(true);
    }
    progress.begin(&file.name, fs::metadata(&path).ok().map(|m| m.len()));
    progress.step(&file.name, "verifying");
    let (seen, name, hashed_path) = (Arc::clone(progress), file.name.clone(), path.clone());
    let (found, _) = blocking(move || hash_file(&hashed_path, |p| seen.advance(&name, p))).await?;
    match judge(file, pins, found) {
        Health::Wrong { .. } => {
            progress.note(&format!("{} is damaged or another build; it is fetched again", file.name));
            Ok(false)
        }
        _ => {
            // An entry for the same bytes keeps what it says about their source.
            let source =
                pins.files.get(&file.name).map_or("found in the folder".into(), |p| p.source.clone());
            record(store.dir(), &path, &file.name, pins, found, source)?;
            Ok(true)
        }
    }
}

/// Fetches, verifies, publishes and pins.
async fn install(
    store: &Store,
    file: &ModelFile,
    source: &Source,
    pins: &mut Pins,
    progress: &Arc<dyn Progress>,
) -> Result<(), ModelError> {
    let size = file.size_from(source);
    progress.begin(&file.name, size);
    staged::require_space(store.dir(), &file.name, space_needed(source, size))?;
    let job = fetch::Job {
        dir: store.dir(),
        name: &file.name,
        size,
        limit: size.unwrap_or(store.config().max_file_bytes),
        trust: effective_trust(file, source, pins),
        config: store.config(),
        progress,
    };
    let fetched = fetch::fetch(&job, source).await?;
    let (path, sha256) = (store.path_of(file), fetched.sha256);
    fetched.publish(&path)?;
    record(store.dir(), &path, &file.name, pins, sha256, source.to_string())
}

/// A pin of the same source stands in for a hash that the catalogue does not state.
fn effective_trust(file: &ModelFile, source: &Source, pins: &Pins) -> fetch::Expected {
    let pinned = pins.files.get(&file.name).filter(|p| p.source == source.to_string());
    match (file.trust(source), pinned) {
        (Trust::Known(sha256), _) => fetch::Expected::Known(sha256),
        (_, Some(pin)) => fetch::Expected::Pinned(pin.sha256),
        (Trust::Announced, None) => fetch::Expected::Announced,
        (Trust::FirstUse, None) => fetch::Expected::Anything,
    }
}

/// The file itself, the archive it comes in, and what a conversion reads.
fn space_needed(source: &Source, size: Option<u64>) -> u64 {
    let size = size.unwrap_or(0);
    let archive = if matches!(source.origin, super::catalog::Origin::Url(_)) { 0 } else { size };
    size + archive + source.convert.as_ref().map_or(0, |c| c.input_size)
}

fn record(
    dir: &Path,
    path: &Path,
    name: &str,
    pins: &mut Pins,
    sha256: Sha256,
    source: String,
) -> Result<(), ModelError> {
    let metadata = fs::metadata(path).map_err(ModelError::io("read", path))?;
    let pin = Pin { sha256, size: metadata.len(), modified_ns: modified_ns(&metadata), source };
    pins.files.insert(name.to_owned(), pin);
    pins.save(dir)
}

/// Runs on a thread where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ModelError> + Send + 'static,
) -> Result<T, ModelError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| ModelError::Interrupted(e.to_string()))?
}
