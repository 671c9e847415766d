//! What is wrong with one field of a request, and what to do about it.

/// An error of one field. The texts go to the client as they are and quote no task and no speech.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {fix}")]
pub struct FieldError {
    pub field: String,
    pub verdict: Verdict,
    pub problem: String,
    pub fix: String,
}

/// Whether a value makes no sense, or makes sense and is not allowed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Invalid,
    /// Refused by policy: repeating the request cannot help.
    Refused,
}

impl FieldError {
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        FieldError {
            field: field.into(),
            verdict: Verdict::Invalid,
            problem: problem.into(),
            fix: fix.into(),
        }
    }

    pub fn refused(field: impl Into<String>, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        FieldError { verdict: Verdict::Refused, ..FieldError::invalid(field, problem, fix) }
    }
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
