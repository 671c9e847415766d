//! `callbox doctor`: what on this machine keeps the node from working, and what to do about it.
//!
//! A [`Check`] is a finding; functions that make findings about the machine are in [`machine`] and
//! [`ports`]. Checks of trunks and models use the same type.

pub mod lookups;
pub mod machine;
pub mod models;
pub mod payments;
pub mod ports;
pub mod trunks;

use std::fmt;

use super::config::Loaded;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: String,
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
    /// What to do; `None` where all is well.
    pub fix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Ok,
    /// Works, but not as well as it could, or not everywhere.
    Warn,
    /// A call cannot be made this way.
    Fail,
}

impl Check {
    pub fn ok(name: &str, detail: impl Into<String>) -> Check {
        Check { name: name.to_owned(), outcome: Outcome::Ok, detail: detail.into(), fix: None }
    }

    pub fn warn(name: &str, detail: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { outcome: Outcome::Warn, fix: Some(fix.into()), ..Check::ok(name, detail) }
    }

    pub fn fail(name: &str, detail: impl Into<String>, fix: impl Into<String>) -> Check {
        Check { outcome: Outcome::Fail, fix: Some(fix.into()), ..Check::ok(name, detail) }
    }
}

/// All findings; prints as a table.
#[derive(Debug, Clone, Default)]
pub struct Report(pub Vec<Check>);

impl Report {
    pub fn worst(&self) -> Outcome {
        self.0.iter().map(|check| check.outcome).max().unwrap_or(Outcome::Ok)
    }

    /// 1 where something fails; a warning is no failure.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.worst() == Outcome::Fail)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
        for Check { name, outcome, detail, fix } in &self.0 {
            writeln!(f, "{outcome:<4}  {name:<width$}  {detail}")?;
            if let Some(fix) = fix {
                writeln!(f, "{:<4}  {:<width$}  → {fix}", "", "")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Outcome::Ok => "ok",
            Outcome::Warn => "warn",
            Outcome::Fail => "FAIL",
        })
    }
}

/// The checks that need no network and no model.
pub fn local_checks(loaded: &Loaded) -> Vec<Check> {
    let config = &loaded.config;
    let file = loaded.file.as_ref().map_or("built-in defaults".to_owned(), |file| file.display().to_string());
    let mut checks = vec![
        Check::ok("configuration", file),
        ports::tcp("HTTP port", "http.bind", config.http.bind),
        machine::writable("data folder", "store.data_dir", &config.store.data_dir),
        machine::disk("disk", "store.data_dir", &config.store.data_dir),
        ports::udp("SIP port", "sip.bind", config.sip.bind),
        machine::cores(),
        machine::memory(),
        machine::gpu(),
        machine::espeak(),
    ];
    checks.extend(lookups::lookups(config));
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_the_report_and_warnings_do_not() {
        let mut report = Report(vec![Check::ok("a", "fine"), Check::warn("b", "slow", "buy a GPU")]);
        assert_eq!(report.exit_code(), 0);
        report.0.push(Check::fail("c", "none", "configure one"));
        assert_eq!(report.exit_code(), 1);
    }

    #[test]
    fn fixes_stand_below_their_findings() {
        let report =
            Report(vec![Check::ok("disk", "9 GiB"), Check::fail("trunk", "refused", "check the password")]);
        assert_eq!(
            report.to_string(),
            "ok    disk   9 GiB\nFAIL  trunk  refused\n             → check the password\n"
        );
    }
}
