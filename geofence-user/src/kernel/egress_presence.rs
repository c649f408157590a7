//! Whether the egress programs are still where they were attached: another tool may take one off.

use std::collections::BTreeSet;
use std::io;

use futures_util::TryStreamExt as _;
use tokio::task::JoinSet;

use super::attach::{EGRESS_PLACE, EgressPlace};
use super::error::KernelError;
use super::hook::Hook;
use super::link_calls::{open_pin, place_of};
use super::pins::Pins;
use super::version::has_tcx;

/// Those of these interfaces that run the egress program.
pub async fn with_egress(pins: &Pins, indexes: &[u32]) -> Result<BTreeSet<u32>, KernelError> {
    if has_tcx() {
        return pins.with_egress_links();
    }
    let failed = KernelError::io("listing the egress filters");
    with_egress_filters(indexes).await.map_err(failed)
}

impl Pins {
    /// The interfaces on which the pinned egress links are. A link may have been detached beneath its pin.
    fn with_egress_links(&self) -> Result<BTreeSet<u32>, KernelError> {
        let mut found = BTreeSet::new();
        for index in self.indexes()? {
            let link = match open_pin(&self.link(Hook::Egress, index)) {
                // If something else is there in place of a pin, the attempt to attach says so.
                Err(error) if is_no_pin(&error) => continue,
                link => link.map_err(KernelError::io("opening an egress link"))?,
            };
            let place = place_of(&link).map_err(KernelError::io("reading an egress link"))?;
            found.extend(place.map(|place| place.interface));
        }
        Ok(found)
    }
}

fn is_no_pin(error: &io::Error) -> bool {
    use io::ErrorKind::{NotFound, PermissionDenied};
    matches!(error.kind(), NotFound | PermissionDenied)
}

/// Those of these interfaces that have our filter. Without TCX there is no link, and the filter has a place that no
/// other has.
async fn with_egress_filters(indexes: &[u32]) -> io::Result<BTreeSet<u32>> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let mut work = JoinSet::new();
    // It ends with this function.
    work.spawn(connection);
    let mut found = BTreeSet::new();
    for index in indexes {
        // Without its queueing discipline an interface has no filters, which is no error.
        let mut filters = handle.traffic_filter(index.cast_signed());
        let listed = filters.get().egress().execute().try_collect::<Vec<_>>();
        let listed = listed.await.map_err(io::Error::other)?;
        let is_ours = listed.iter().any(|one| {
            let place = EgressPlace {
                // The lower half is the protocol.
                priority: (one.header.info >> 16) as u16,
                handle: one.header.handle.into(),
            };
            place == EGRESS_PLACE
        });
        if is_ours {
            found.insert(*index);
        }
    }
    Ok(found)
}
