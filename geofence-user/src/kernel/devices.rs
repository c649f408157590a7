//! Tells the egress program which devices of this network namespace a packet from outside may come in by.

use std::collections::BTreeMap;

use aya::maps::Array;
use geofence_common::decide::Origin;
use geofence_common::maps::{DEVICES_MAX, Device, name};

use super::error::KernelError;
use super::filter::Filter;

impl Filter {
    /// Writes the whole map: the devices given, and nothing else. Of two devices in the same place, the first stays.
    pub(super) fn write_devices(
        &mut self,
        devices: &BTreeMap<u32, Origin>,
    ) -> Result<(), KernelError> {
        let mut places: BTreeMap<u32, Device> = BTreeMap::new();
        for (index, origin) in devices {
            places.entry(index % DEVICES_MAX).or_insert(Device {
                index: *index,
                origin: *origin as u32,
            });
        }
        let mut map: Array<_, Device> = self.open_mut(name::DEVICES)?;
        for place in 0..DEVICES_MAX {
            let wanted = places.get(&place).copied().unwrap_or_default();
            let found = map
                .get(&place, 0)
                .map_err(KernelError::map("reading DEVICES"))?;
            if found != wanted {
                map.set(place, wanted, 0)
                    .map_err(KernelError::map("writing DEVICES"))?;
            }
        }
        Ok(())
    }
}
