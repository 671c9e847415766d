//! `callbox doctor`

use std::process::ExitCode;

use callbox::node::{
    config::Loaded,
    doctor::{Check, Report, local_checks, models, payments, trunks},
};

pub async fn run(loaded: anyhow::Result<Loaded>) -> anyhow::Result<ExitCode> {
    let report = Report(match loaded {
        Ok(loaded) => {
            let mut checks = local_checks(&loaded);
            checks.extend(models::models(&loaded.config));
            checks.extend(trunks::trunks(&loaded.config).await);
            checks.extend(payments::payments(&loaded.config).await);
            checks
        }
        Err(error) => {
            vec![Check::fail("configuration", format!("{error:#}"), "correct it and run this again")]
        }
    });
    print!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}
