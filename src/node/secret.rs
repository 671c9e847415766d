//! A secret that only this node knows: made when it is first asked for, and kept in the data folder.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, bail};

use crate::base::Pii;

/// 32 bytes in hexadecimal.
pub fn load_or_create(folder: &Path, name: &str) -> anyhow::Result<Pii<String>> {
    let file = folder.join(name);
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the data folder {}", folder.display()))?;
    let secret = hex::encode(rand::random::<[u8; 32]>());
    match create(&file, &secret) {
        Ok(()) => Ok(secret.into()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => read(&file),
        Err(error) => Err(error).with_context(|| format!("cannot write {}", file.display())),
    }
}

fn create(file: &Path, secret: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

fn read(file: &Path) -> anyhow::Result<Pii<String>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    if text.trim().len() != 64 {
        bail!("{} is no secret of this node; delete it and one is made at the next start", file.display());
    }
    Ok(text.trim().to_owned().into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secret_is_kept_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = load_or_create(folder.path(), "secret").unwrap();
        let second = load_or_create(folder.path(), "secret").unwrap();
        assert_eq!(first, second);
        assert_eq!(first.expose().len(), 64);
        let mode = fs::metadata(folder.path().join("secret")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn damaged_secret_is_an_error_and_not_used() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("secret"), "short").unwrap();
        assert!(load_or_create(folder.path(), "secret").is_err());
    }
}
