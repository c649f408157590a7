//! The asynchronous runtime of a command.

use anyhow::Context as _;
use tokio::runtime::{Builder, Runtime};

/// A runtime on this thread. The daemon's privileges are those of a thread, so it must not have several.
pub(super) fn new() -> anyhow::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
}
