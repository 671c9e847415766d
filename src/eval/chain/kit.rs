//! What a chain is made of, from the catalogue: fetched once, verified, kept beside the models.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
};

use crate::models::{ModelError, Progress, Store, pull};

/// Names of the catalogue.
const ANVIL: &str = "anvil";
const USDC: &str = "usdc";

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
    /// Fetches what is missing.
    ///
    /// # Errors
    /// A package that cannot be had: no package client, no network, another platform, or a store that is
    /// offline.
    pub async fn pull(store: &Store, progress: Arc<dyn Progress>) -> Result<Kit, ModelError> {
        let models = store.select(&[ANVIL.to_owned(), USDC.to_owned()])?;
        pull(store, &models, progress).await?;
        let anvil = store.resolve(ANVIL)?;
        // An archive's member is written as data.
        fs::set_permissions(&anvil, Permissions::from_mode(0o755)).map_err(|source| ModelError::Io {
            action: "make executable",
            path: anvil.clone(),
            source,
        })?;
        Ok(Kit {
            anvil,
            token: store.resolve(USDC)?,
            proxy: store.resolve("FiatTokenProxy.json")?,
            library: store.resolve("SignatureChecker.json")?,
        })
    }
}
