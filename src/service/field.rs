//! What is wrong with one field of a request, and what to do about it.

use chrono::TimeDelta;

/// An error of one field. The texts go to the client as they are and quote no task and no speech.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {fix}")]
pub struct FieldError {
    pub field: String,
    pub verdict: Verdict,
    pub problem: String,
    pub fix: String,
    /// Seconds until the same value may do, where that is known.
    pub retry_after: Option<u64>,
}

/// Whether a value makes no sense, or makes sense and is not allowed: ever, or now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Invalid,
    /// Refused by policy: repeating the request cannot help.
    Refused,
    /// Whoever has the number does not want to be called.
    DoNotCall,
    /// It is night where the number is.
    OutsideHours,
    /// A live call of this node has the number.
    OnACall,
    /// A cap on calls is reached.
    TooOften,
}

impl Verdict {
    /// A word for programs.
    pub const fn code(self) -> &'static str {
        match self {
            Verdict::Invalid => "invalid_field",
            Verdict::Refused => "refused",
            Verdict::DoNotCall => "do_not_call",
            Verdict::OutsideHours => "outside_hours",
            Verdict::OnACall => "on_a_call",
            Verdict::TooOften => "too_often",
        }
    }
}

impl FieldError {
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        FieldError::new(field, Verdict::Invalid, problem, fix)
    }

    pub fn refused(field: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        FieldError::new(field, Verdict::Refused, problem, fix)
    }

    pub fn new(
        field: impl Into<String>,
        verdict: Verdict,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (field, problem, fix) = (field.into(), problem.into(), fix.into());
        FieldError { field, verdict, problem, fix, retry_after: None }
    }

    /// Says when the same value may do. Part of a second counts as one.
    pub fn retry_in(self, wait: TimeDelta) -> Self {
        FieldError { retry_after: Some(seconds(wait)), ..self }
    }
}

/// Whole seconds, rounded up, at least one.
fn seconds(wait: TimeDelta) -> u64 {
    u64::try_from((wait.num_milliseconds() + 999) / 1000).unwrap_or_default().max(1)
}

/// Gathers the errors of all fields, so that one answer names them all.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// The value, or `None` after keeping its error.
    pub fn check<T>(&mut self, result: Result<T, FieldError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    pub fn push(&mut self, error: FieldError) {
        self.0.push(error);
    }

    /// `Ok` while no error was kept.
    pub fn into_result(self) -> Result<(), Vec<FieldError>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}
