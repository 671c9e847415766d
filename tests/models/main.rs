//! The models folder against servers that cut, lie and vanish, clients that fail, and full disks.

#![allow(clippy::unwrap_used, reason = "a failed step is a failed test, in helpers too")]

mod conversion;
mod disk;
mod installed;
mod origin;
mod packages;
mod url;

use std::{fs, path::Path, sync::Arc};

use callbox::models::{self, Config, ModelError, Pulled, Store};

/// A folder, and a store whose catalogue has one model `m` with the one file `m.bin`.
struct Bench {
    dir: tempfile::TempDir,
    config: Config,
}

impl Bench {
    /// `file` are the lines of the file's table: `size`, `sha256`, `sources`.
    fn new(file: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench {
            config: Config {
                dir: Some(dir.path().join("models")),
                extra_catalog: Some(dir.path().join("extra.toml")),
                stall_timeout_s: 5,
                pull_timeout_s: 60,
                retries: 1,
                ..Config::default()
            },
            dir,
        };
        bench.catalogue(file);
        bench
    }

    fn catalogue(&self, file: &str) {
        let text = format!(
            "[[models]]\nname = \"m\"\nkind = \"llm\"\nlicence = \"none\"\n\
             [[models.files]]\nname = \"m.bin\"\n{file}\n"
        );
        fs::write(self.dir.path().join("extra.toml"), text).unwrap();
    }

    fn store(&self) -> Store {
        Store::open(&self.config).unwrap()
    }

    async fn pull(&self) -> Result<Pulled, ModelError> {
        let store = self.store();
        let models = store.select(&["m".to_owned()]).unwrap();
        let pulled = models::pull(&store, &models, Arc::new(())).await?;
        Ok(pulled.into_iter().next().unwrap())
    }

    fn models(&self) -> &Path {
        self.config.dir.as_deref().unwrap()
    }

    fn installed(&self) -> Vec<u8> {
        fs::read(self.models().join("m.bin")).unwrap()
    }

    /// What lies in the folder beside the folder's own lock, sorted.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.models()).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).filter(|n| n != ".lock").collect();
        names.sort();
        names
    }
}

fn sha256(bytes: &[u8]) -> String {
    models::hash::Sha256::of(bytes).to_string()
}

/// Bytes that no compression and no coincidence makes alike.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = 2 * seed + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}
