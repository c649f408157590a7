//! How the daemon's tasks share state and run work that takes long.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::failure::{Cause, Failure};

/// Locks a mutex also after a panic: each value is written whole, so a panic cannot have left half of one behind.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs work that takes long on a thread of its own, so that other tasks go on.
pub(super) async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Failure::new(Cause::Internal, error)),
    }
}
