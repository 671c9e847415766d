//! Personal data that must not reach a log by accident.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Wraps a secret, a phone number or a transcript: `Debug` and `Display` print a placeholder, and
/// only [`Pii::expose`] gives the value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pii<T>(T);

impl<T> Pii<T> {
    pub const fn new(value: T) -> Self {
        Pii(value)
    }

    /// The value itself; a call site of this is where personal data leaves its wrapper.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    pub fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> From<T> for Pii<T> {
    fn from(value: T) -> Self {
        Pii(value)
    }
}

impl<T> fmt::Debug for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<T> fmt::Display for Pii<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_data_prints_redacted() {
        let number = Pii::new("+14155550123");
        assert_eq!(format!("{number} {number:?}"), "[redacted] [redacted]");
        assert_eq!(*number.expose(), "+14155550123");
    }
}
