//! Detaches interfaces: removes their links and waits until the kernel has released them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::attach::remove_egress;
use super::attach_error::AttachError;
use super::hook::Hook;
use super::interface::interfaces;
use super::pin_error::{PinError, RELEASE_PATIENCE};
use super::pins::Pins;
use super::version::has_tcx;

const RELEASE_INTERVAL: Duration = Duration::from_millis(5);

impl Pins {
    /// Detaches interfaces and waits until the kernel has released them; returns those that had been attached.
    pub async fn detach(&self, indexes: &BTreeSet<u32>) -> Result<BTreeSet<u32>, AttachError> {
        let mut attached = BTreeSet::new();
        let mut programs = Vec::new();
        let present = interfaces().await?;
        for index in indexes {
            // In an emergency, a link whose program cannot be read is removed all the same.
            let program = self.program(Hook::Ingress, *index).ok().flatten();
            if self.unpin_links(*index)? {
                attached.insert(*index);
                programs.extend(program.map(|program| (*index, program)));
            }
            if !has_tcx() && present.iter().any(|one| one.index == *index) {
                // Without TCX there is no link, and the program is found by name.
                remove_egress(*index);
            }
        }
        // The kernel frees a link some time after its last reference is gone.
        let deadline = Instant::now() + RELEASE_PATIENCE;
        loop {
            let present = interfaces().await?;
            let still = programs.iter().find(|(index, program)| {
                let found = present.iter().find(|one| one.index == *index);
                found.is_some_and(|one| one.program == Some(*program))
            });
            let Some((index, _)) = still else {
                return Ok(attached);
            };
            if Instant::now() > deadline {
                return Err(PinError::StillAttached { index: *index }.into());
            }
            tokio::time::sleep(RELEASE_INTERVAL).await;
        }
    }
}
