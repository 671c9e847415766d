//! The recording of a call: where it lies, and when the record names it.

use std::path::PathBuf;
use std::time::Duration;

use crate::base::CallId;
use crate::call::directory::Parts;
use crate::call::event::CallChange;
use crate::call::teller::Teller;
use crate::media::{MediaHandle, Recorded};

pub(super) fn path_of(parts: &Parts, call: CallId) -> PathBuf {
    parts.recordings.join(format!("{call}.{}", parts.config.recording_format.extension()))
}

/// Records a leg from here to its end; `None` where it takes no commands.
pub(super) fn begin(media: &MediaHandle, path: PathBuf) -> Option<Recorded> {
    let begun = media.record(path);
    begun.inspect_err(|error| tracing::error!(%error, "the call is not recorded")).ok()
}

/// Tells of a recording whose leg has ended, once its file is complete.
pub(super) async fn tell(recorded: Recorded, teller: &Teller) {
    match recorded.summary().await {
        Ok(summary) => {
            tell_of_gaps(summary.dropped());
            let Some(name) = summary.path.file_name() else { return };
            teller.tell(CallChange::Recording { file: name.to_string_lossy().into_owned() }).await;
        }
        Err(error) => tracing::error!(%error, "the recording is lost"),
    }
}

fn tell_of_gaps(dropped: Duration) {
    if dropped.is_zero() {
        return;
    }
    metrics::counter!("callbox_recording_dropped_ms_total").increment(dropped.as_millis() as u64);
    tracing::warn!(?dropped, "a recording has gaps: the disk or the processor was slower than the calls");
}
