//! The operator's key: from the configuration, or generated once and kept in the data folder.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::NodeConfig;
use crate::base::Pii;

/// A key and, where it was generated, the file that keeps it.
#[derive(Debug, Clone)]
pub struct OperatorKey {
    pub key: Pii<String>,
    pub file: Option<PathBuf>,
    /// The file was made just now.
    pub is_new: bool,
}

/// The key of this node; makes one where there is none.
pub fn load_or_create(config: &NodeConfig) -> anyhow::Result<OperatorKey> {
    if let Some(found) = find(config)? {
        return Ok(found);
    }
    let file = file_of(config);
    fs::create_dir_all(&config.store.data_dir)
        .with_context(|| format!("cannot make the data folder {}", config.store.data_dir.display()))?;
    let key = format!("cbx_{}", hex::encode(rand::random::<[u8; 24]>()));
    match create(&file, &key) {
        Ok(()) => Ok(OperatorKey { key: key.into(), file: Some(file), is_new: true }),
        // Another process was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            find(config)?.context("the key's file vanished while it was read")
        }
        Err(error) => Err(error).with_context(|| format!("cannot write the API key to {}", file.display())),
    }
}

/// The key if there is one: for clients on the same machine.
pub fn find(config: &NodeConfig) -> anyhow::Result<Option<OperatorKey>> {
    let configured = config.http.api_key.expose();
    if !configured.is_empty() {
        return Ok(Some(OperatorKey { key: config.http.api_key.clone(), file: None, is_new: false }));
    }
    let file = file_of(config);
    match fs::read_to_string(&file) {
        Ok(text) if text.trim().is_empty() => {
            anyhow::bail!("{} is empty; delete it and a new key is made at the next start", file.display())
        }
        Ok(text) => {
            Ok(Some(OperatorKey { key: Pii::new(text.trim().to_owned()), file: Some(file), is_new: false }))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read the API key from {}", file.display())),
    }
}

pub fn file_of(config: &NodeConfig) -> PathBuf {
    config.store.data_dir.join("api_key")
}

fn create(file: &Path, key: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{key}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::node::config::Sources;

    fn config(dir: &Path, set: &[(&str, &str)]) -> NodeConfig {
        let mut all = vec![("store.data_dir".to_owned(), dir.display().to_string())];
        all.extend(set.iter().map(|(k, v)| (k.to_string(), v.to_string())));
        Sources { set: all, ..Sources::default() }.load().unwrap().config
    }

    #[test]
    fn generated_key_is_kept_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(&dir.path().join("data"), &[]);
        let first = load_or_create(&config).unwrap();
        let second = load_or_create(&config).unwrap();
        assert!(first.is_new && !second.is_new);
        assert_eq!(first.key, second.key);
        let mode = fs::metadata(first.file.unwrap()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn configured_key_wins_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        load_or_create(&config(dir.path(), &[])).unwrap();
        let found = load_or_create(&config(dir.path(), &[("http.api_key", "12345")])).unwrap();
        assert_eq!((found.key.expose().as_str(), found.file), ("12345", None));
    }
}
