//! Published packages in the user's cache, outside the checkout: fetched once for each version of the lists
//! beside this file.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use sha2::{Digest, Sha256};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pay");

/// The folder that holds `node_modules`.
pub fn npm() -> &'static Path {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    DONE.get_or_init(|| {
        installed("npm", &["package.json", "package-lock.json"], |folder| {
            let mut command = Command::new("npm");
            // Peers that nothing here imports, wallets for browsers among them, are left out.
            command.args(["ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"]);
            run(command.current_dir(folder), "`npm` (Debian: nodejs npm)");
        })
    })
}

/// The interpreter of a virtual environment.
pub fn python() -> &'static Path {
    static DONE: OnceLock<PathBuf> = OnceLock::new();
    DONE.get_or_init(|| {
        let folder = installed("pypi", &["requirements.txt"], |folder| {
            let need = "`python3` with venv (Debian: python3-venv)";
            run(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(folder), need);
            let mut command = Command::new(folder.join("venv/bin/python"));
            command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
            run(command.arg("requirements.txt").current_dir(folder), need);
        });
        folder.join("venv/bin/python")
    })
}

/// The folder for these lists. The marker is written last, so that what was cut off is begun again.
fn installed(kind: &str, lists: &[&str], install: impl Fn(&Path)) -> PathBuf {
    let texts: Vec<Vec<u8>> =
        lists.iter().map(|name| fs::read(Path::new(FOLDER).join(name)).unwrap()).collect();
    let digest = hex::encode(Sha256::digest(texts.concat()));
    let folder = cache().join(format!("{kind}-{}", &digest[..16]));
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    if !folder.join("complete").exists() {
        for (name, text) in lists.iter().zip(&texts) {
            fs::write(folder.join(name), text).unwrap();
        }
        install(&folder);
        fs::write(folder.join("complete"), "").unwrap();
    }
    folder
}

fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    cache.expect("XDG_CACHE_HOME or HOME is set").join("callbox")
}

fn run(command: &mut Command, need: &str) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{command:?} does not start ({e}): install {need}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed; it needs {need} and a package registry:\n{said}");
}
