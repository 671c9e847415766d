//! `callbox doctor`

use std::process::ExitCode;

use callbox::node::{
    config::Loaded,
    doctor::{Check, Report, local_checks},
};

pub fn run(loaded: anyhow::Result<Loaded>) -> anyhow::Result<ExitCode> {
    let report = Report(match loaded {
        Ok(loaded) => local_checks(&loaded),
        Err(error) => {
            vec![Check::fail("configuration", format!("{error:#}"), "correct it and run this again")]
        }
    });
    print!("{report}");
    Ok(ExitCode::from(report.exit_code()))
}
