//! One pull at a time per folder, across processes.

use std::{
    fs::{File, TryLockError},
    path::Path,
    time::{Duration, Instant},
};

use super::{ModelError, Progress};

const RETRY: Duration = Duration::from_millis(200);

/// Holds the folder until dropped; the kernel releases it should the process die.
pub(crate) struct FolderLock {
    _file: File,
}

/// Waits for the folder. Polls, because `flock` has no wait with an end.
pub(crate) async fn acquire(
    dir: &Path,
    patience: Duration,
    progress: &dyn Progress,
) -> Result<FolderLock, ModelError> {
    let path = dir.join(".lock");
    let file = File::create(&path).map_err(ModelError::io("create", &path))?;
    let begun = Instant::now();
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(FolderLock { _file: file }),
            Err(TryLockError::WouldBlock) if begun.elapsed() < patience => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ModelError::Busy { dir: dir.to_owned(), seconds: patience.as_secs() });
            }
            Err(TryLockError::Error(e)) => return Err(ModelError::io("lock", &path)(e)),
        }
        if !said {
            progress.note("another process is pulling into this folder; waiting for it");
            said = true;
        }
        tokio::time::sleep(RETRY).await;
    }
}
