//! `callbox config`

use std::process::ExitCode;

use callbox::node::config::Loaded;

pub fn run(loaded: &Loaded) -> anyhow::Result<ExitCode> {
    print!("{}", loaded.to_toml());
    Ok(ExitCode::SUCCESS)
}
