//! What each sink does.

use std::sync::Arc;

use serde_json::Value;

/// Something that takes events.
pub(super) trait Sink: Send + 'static {
    /// Delivers events.
    ///
    /// # Errors
    /// Why they, or some of them, are lost.
    fn deliver(&mut self, events: &[Arc<Value>]) -> std::io::Result<()>;
}
