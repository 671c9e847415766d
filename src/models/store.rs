//! A catalogue with a folder: from a model's name to the file that holds it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::{
    Catalog, Config, Model, ModelError,
    catalog::{Kind, ModelFile},
};

#[derive(Debug, Clone)]
pub struct Store {
    catalog: Catalog,
    config: Config,
    dir: PathBuf,
}

/// A row of `callbox models list`.
#[derive(Debug, Clone)]
pub struct Listed<'a> {
    pub model: &'a Model,
    pub installed: bool,
    /// Bytes on disk, or to fetch where that is known.
    pub size: Option<u64>,
}

impl Store {
    /// Reads the catalogue and settles where the folder is; the folder need not exist yet.
    pub fn open(config: &Config) -> Result<Self, ModelError> {
        let catalog = Catalog::load(config.extra_catalog.as_deref())?;
        Ok(Store { catalog, dir: folder(config)?, config: config.clone() })
    }

    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn path_of(&self, file: &ModelFile) -> PathBuf {
        self.dir.join(&file.name)
    }

    /// The main file of a model. `name` is a catalogue name, the name of a file in the folder, or a
    /// path (anything with a `/`). A model of several files is there only when all of them are.
    ///
    /// Looks at presence and size, not at the hash: that is [`super::check`]'s work.
    pub fn resolve(&self, name: &str) -> Result<PathBuf, ModelError> {
        if name.contains('/') {
            let path = PathBuf::from(name);
            return if path.is_file() { Ok(path) } else { Err(ModelError::NoSuchFile { path }) };
        }
        if let Some(model) = self.catalog.model(name) {
            for file in &model.files {
                self.require(model, file)?;
            }
            return Ok(self.path_of(&model.files[0]));
        }
        if let Some((model, file)) = self.owner_of(name) {
            self.require(model, file)?;
            return Ok(self.path_of(file));
        }
        let loose = self.dir.join(name);
        if !name.is_empty() && loose.is_file() { Ok(loose) } else { Err(self.unknown(name)) }
    }

    /// The models all of whose files are there.
    pub fn installed(&self) -> impl Iterator<Item = &Model> {
        self.catalog.models.iter().filter(|m| self.is_installed(m))
    }

    /// The names of installed voices, as [`super::voices::nearest_voice`] takes them.
    pub fn installed_voices(&self) -> Vec<&str> {
        self.installed().filter(|m| m.kind == Kind::Tts).map(|m| m.name.as_str()).collect()
    }

    pub fn is_installed(&self, model: &Model) -> bool {
        model.files.iter().all(|f| self.path_of(f).is_file())
    }

    /// Every model of the catalogue, in its order.
    pub fn list(&self) -> Vec<Listed<'_>> {
        let row = |model| {
            let installed = self.is_installed(model);
            let size = if installed { self.size_on_disk(model) } else { model.size() };
            Listed { model, installed, size }
        };
        self.catalog.models.iter().map(row).collect()
    }

    /// The models of these names; all of the catalogue's where there are none.
    pub fn select(&self, names: &[String]) -> Result<Vec<&Model>, ModelError> {
        let find = |name: &String| {
            let by_file = || self.owner_of(name).map(|(model, _)| model);
            self.catalog.model(name).or_else(by_file).ok_or_else(|| self.unknown(name))
        };
        names.iter().map(find).collect()
    }

    fn size_on_disk(&self, model: &Model) -> Option<u64> {
        model.files.iter().map(|f| fs::metadata(self.path_of(f)).ok().map(|m| m.len())).sum()
    }

    fn require(&self, model: &Model, file: &ModelFile) -> Result<(), ModelError> {
        let path = self.path_of(file);
        let found = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            _ => return Err(ModelError::NotInstalled { name: model.name.clone(), missing: path }),
        };
        let expected: Vec<_> = file.usable_sources().map(|s| file.size_from(s)).collect();
        match expected.first().copied().flatten() {
            // A source of unknown size may have given this file: only its pin can tell.
            Some(size) if expected.iter().all(Option::is_some) && !expected.contains(&Some(found)) => {
                Err(ModelError::Damaged { name: model.name.clone(), path, expected: size, found })
            }
            _ => Ok(()),
        }
    }

    fn owner_of(&self, file_name: &str) -> Option<(&Model, &ModelFile)> {
        let find = |m| -> Option<(&Model, &ModelFile)> {
            let model: &Model = m;
            model.files.iter().find(|f| f.name == file_name).map(|f| (model, f))
        };
        self.catalog.models.iter().find_map(find)
    }

    fn unknown(&self, name: &str) -> ModelError {
        let names = self.catalog.models.iter().map(|m| m.name.as_str());
        let nearest = names.map(|n| (distance(n, name), n)).min().filter(|(d, n)| *d <= n.len() / 3);
        ModelError::Unknown { name: name.to_owned(), nearest: nearest.map(|(_, n)| n.to_owned()) }
    }
}

fn folder(config: &Config) -> Result<PathBuf, ModelError> {
    if let Some(dir) = &config.dir {
        return Ok(dir.clone());
    }
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let cache = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    cache.map(|c| c.join("callbox/models")).ok_or(ModelError::NoFolder)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(dir: &Path) -> Store {
        Store::open(&Config { dir: Some(dir.to_owned()), ..Config::default() }).unwrap()
    }

    #[test]
    fn missing_model_says_how_to_get_it() {
        let dir = tempfile::tempdir().unwrap();
        let error = store(dir.path()).resolve("whisper-base").unwrap_err().to_string();
        assert!(error.ends_with("run `callbox models pull whisper-base`"), "{error}");
    }

    #[test]
    fn misspelt_model_is_answered_with_the_nearest_name() {
        let dir = tempfile::tempdir().unwrap();
        let error = store(dir.path()).resolve("wisper-base").unwrap_err().to_string();
        assert_eq!(error, "no model is named `wisper-base`; did you mean `whisper-base`?");
        let error = store(dir.path()).resolve("zzzzzzzzzz").unwrap_err().to_string();
        assert_eq!(error, "no model is named `zzzzzzzzzz`");
    }

    #[test]
    fn path_and_loose_file_are_taken_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mine.gguf");
        fs::write(&file, b"weights").unwrap();
        let store = store(dir.path());
        assert_eq!(store.resolve(file.to_str().unwrap()).unwrap(), file);
        assert_eq!(store.resolve("mine.gguf").unwrap(), file);
        assert!(matches!(store.resolve("/no/such.gguf"), Err(ModelError::NoSuchFile { .. })));
    }

    #[test]
    fn model_with_one_of_two_files_is_not_installed() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("en_US-joe-medium.onnx"), b"x").unwrap();
        let store = store(dir.path());
        assert!(!store.is_installed(store.catalog().model("en_US-joe-medium").unwrap()));
        assert!(store.resolve("en_US-joe-medium").is_err());
    }

    #[test]
    fn truncated_model_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("smollm2-135m-instruct-q4_1.gguf"), b"GGUF").unwrap();
        let error = store(dir.path()).resolve("smollm2-135m-instruct").unwrap_err();
        assert!(matches!(error, ModelError::Damaged { found: 4, .. }), "{error}");
    }
}
