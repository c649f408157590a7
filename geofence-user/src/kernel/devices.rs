//! Tells the egress program which devices of this network namespace a packet from outside may come in by.

use std::collections::{BTreeMap, BTreeSet};

use aya::maps::Array;
use geofence_common::decide::Origin;
use geofence_common::maps::{DEVICES_MAX, Device, name};

use super::error::KernelError;
use super::filter::Filter;
use crate::checks::topology::origins;
use crate::model::interface::Interface;

impl Filter {
    /// Makes the map say what each device stands for. `protected` are the indexes of the protected devices, of which
    /// those with an `inner` name, and others with one, have our own machines behind them.
    pub fn mark_devices(
        &mut self,
        present: &[Interface],
        protected: &BTreeSet<u32>,
        inner: &[String],
    ) -> Result<(), KernelError> {
        let is_inner = |one: &&Interface| inner.iter().any(|name| one.is_named(name));
        let inner = present.iter().filter(is_inner).map(|one| one.index);
        self.write_devices(&origins(present, protected, &inner.collect()))
    }

    /// Writes the devices given, and clears every other one. Of two devices in the same place, the first stays; the
    /// other is unknown to the program.
    fn write_devices(&mut self, devices: &[(u32, Origin)]) -> Result<(), KernelError> {
        let mut wanted: BTreeMap<u32, Device> = BTreeMap::new();
        for (index, origin) in devices {
            wanted.entry(index % DEVICES_MAX).or_insert(Device {
                index: *index,
                origin: *origin as u32,
            });
        }
        if self.devices == wanted {
            return Ok(());
        }
        let written = self.devices.clone();
        let mut map: Array<_, Device> = self.open_mut(name::DEVICES)?;
        let places = written.keys().chain(wanted.keys());
        let changed = places.filter(|place| written.get(place) != wanted.get(place));
        for place in changed {
            let device = wanted.get(place).copied().unwrap_or_default();
            map.set(*place, &device, 0)
                .map_err(KernelError::map("writing DEVICES"))?;
        }
        self.devices = wanted;
        Ok(())
    }
}
