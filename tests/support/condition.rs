//! Waiting until something is so.

use crate::waiting::awaited;

/// Looks again and again until it is so.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    awaited(what, async || is_so().then_some(())).await;
}
