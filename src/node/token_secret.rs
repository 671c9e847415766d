//! What signs the tokens of lookups: generated once and kept in the data folder, so that tokens that are out
//! still count after a restart.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::Context;

use crate::base::Pii;

const NAME: &str = "token_secret";

/// 32 bytes; makes them where there are none.
pub fn load_or_create(data_dir: &Path) -> anyhow::Result<Pii<Vec<u8>>> {
    let file = data_dir.join(NAME);
    fs::create_dir_all(data_dir)
        .with_context(|| format!("cannot make the data folder {}", data_dir.display()))?;
    match create(&file) {
        // It is there already.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => made.with_context(|| format!("cannot write {}", file.display()))?,
    }
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let secret = hex::decode(text.trim()).ok().filter(|secret| secret.len() == 32);
    let broken =
        || format!("{} does not hold 64 hexadecimal digits; delete it and start again", file.display());
    secret.map(Pii::new).with_context(broken)
}

fn create(file: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{}", hex::encode(rand::random::<[u8; 32]>()))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secret_is_kept_and_only_its_owner_may_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_create(dir.path()).unwrap();
        assert_eq!(first, load_or_create(dir.path()).unwrap());
        let mode = fs::metadata(dir.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!((first.expose().len(), mode & 0o777), (32, 0o600));
    }

    #[test]
    fn broken_secret_is_an_error_that_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(NAME), "abc").unwrap();
        assert!(load_or_create(dir.path()).unwrap_err().to_string().contains("delete it"));
    }
}
