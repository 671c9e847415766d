//! A Tempo chain on this machine and a payer with the published client library, from pinned packages that
//! are installed once into the cache folder.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use callbox::eval::chain::Anvil;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::process::Command;

#[path = "../support/chain.rs"]
mod kit;

/// anvil's first account, which has funds on every chain it makes.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
pub const PAYER: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
pub const PATH_USD: &str = "0x20c0000000000000000000000000000000000000";

const INSTALL: Duration = Duration::from_secs(300);
const PAY: Duration = Duration::from_secs(60);

const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("payer/package.json")),
    ("package-lock.json", include_str!("payer/package-lock.json")),
    ("payer.mjs", include_str!("payer/payer.mjs")),
];

/// Ends with its owner.
pub struct Chain {
    pub rpc: String,
    anvil: Anvil,
}

impl Chain {
    pub async fn start() -> Chain {
        let program = &kit::kit().await.anvil;
        let anvil = Anvil::start(program, &["--network", "tempo", "--chain-id", "4217"]).await.unwrap();
        Chain { rpc: anvil.url().to_owned(), anvil }
    }

    /// The value of `Authorization` that pays a challenge; `how` has what `payer.mjs` takes beside it.
    pub async fn pay(&self, challenge: &str, how: Value) -> String {
        let mut argument = json!({ "challenge": challenge, "rpc": self.rpc, "key": KEY });
        argument.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
        let payer = Command::new("node")
            .args(["payer.mjs", &argument.to_string()])
            .current_dir(installed())
            .kill_on_drop(true)
            .output();
        let paid = tokio::time::timeout(PAY, payer).await.expect("the payer takes too long").unwrap();
        assert!(paid.status.success(), "{}", String::from_utf8_lossy(&paid.stderr));
        String::from_utf8(paid.stdout).unwrap().trim().to_owned()
    }

    /// What an account has, in millionths of a dollar.
    pub async fn balance(&self, account: &str) -> u64 {
        let data = format!("0x70a08231{:0>64}", &account[2..]);
        let balance = self.ask("eth_call", json!([{ "to": PATH_USD, "data": data }, "latest"])).await;
        u64::from_str_radix(balance.as_str().unwrap()[50..].trim_start_matches('0'), 16).unwrap_or(0)
    }

    async fn ask(&self, method: &str, params: Value) -> Value {
        self.anvil.ask(method, params).await.unwrap()
    }
}

/// The folder with the packages. One process installs, others wait for it.
fn installed() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(install);
    &FOLDER
}

fn install() -> PathBuf {
    let mut digest = Sha256::new();
    FILES.iter().for_each(|(_, text)| digest.update(text));
    let folder = cache().join(format!("callbox/tests/mpp-{}", &hex::encode(digest.finalize())[..16]));
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join("lock")).unwrap();
    lock.lock().unwrap();
    if !folder.join("installed").exists() {
        for (name, text) in FILES {
            fs::write(folder.join(name), text).unwrap();
        }
        let limit = INSTALL.as_secs().to_string();
        let npm = ["npm", "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"];
        let npm = std::process::Command::new("timeout").arg(limit).args(npm).current_dir(&folder).output();
        let npm = npm.expect("npm is needed for a chain to pay on");
        assert!(npm.status.success(), "npm ci: {}", String::from_utf8_lossy(&npm.stderr));
        fs::write(folder.join("installed"), "").unwrap();
    }
    folder
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache");
    std::env::var_os("XDG_CACHE_HOME").map_or_else(home, PathBuf::from)
}
