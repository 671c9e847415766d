//! `callbox serve`

use std::process::ExitCode;

use callbox::node::config::{Loaded, Sources};
use callbox::node::wiring::Node;
use callbox::node::{Shutdown, telemetry};

pub async fn run(loaded: Loaded, sources: Sources) -> anyhow::Result<ExitCode> {
    telemetry::install_logs(&loaded.config.log)?;
    let metrics = telemetry::install_metrics()?;
    if let Some(file) = &loaded.file {
        tracing::info!(file = %file.display(), "configuration read");
    }
    Node::start(loaded.config, sources, metrics).await?.serve(Shutdown::new()).await?;
    Ok(ExitCode::SUCCESS)
}
