//! How a pull tells what it does. Called from async tasks and from blocking threads alike.

/// Every method has an empty default, so that `()` is the silent one.
pub trait Progress: Send + Sync {
    /// Work on `file` begins; `total` bytes are expected where that is known.
    fn begin(&self, _file: &str, _total: Option<u64>) {}
    /// `position` bytes of the current step are done.
    fn advance(&self, _file: &str, _position: u64) {}
    /// A new step, such as "converting": the position starts over.
    fn step(&self, _file: &str, _what: &str) {}
    /// `file` is installed, was there already, or failed.
    fn end(&self, _file: &str) {}
    /// Something an operator should read: a source failed and the next one is tried.
    fn note(&self, _text: &str) {}
}

impl Progress for () {}
