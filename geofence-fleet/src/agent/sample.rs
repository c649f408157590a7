//! Reads the counters of this node again and again, so that a trial can be compared with what is usual.

use std::sync::Arc;

use super::shared::{Shared, lock};
use super::traffic::{PERIOD, read};

/// Reads the counters again and again.
pub(super) async fn sample(shared: Arc<Shared>) {
    loop {
        if let Ok((at, passed)) = read(&shared.daemon).await {
            lock(&shared.traffic).add(at, passed);
        }
        tokio::time::sleep(PERIOD).await;
    }
}
