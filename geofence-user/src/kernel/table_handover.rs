//! Hands tables over between programs: stages new tables, commits them, and copies counters into them.

use aya::maps::{Array, Map, MapData, PerCpuArray};
use geofence_common::maps::{CountryCounters, name};

use super::error::KernelError;
use super::filter::Filter;
use super::pin_error::PinError;
use super::pins::Pins;

impl Filter {
    /// Pins the tables that were not inherited beside the old ones, which the old program writes until it is replaced;
    /// returns their names.
    pub(super) fn stage_tables(&mut self, pins: &Pins) -> Result<Vec<&'static str>, PinError> {
        let mut staged = Vec::new();
        for table in name::KEPT.into_iter().chain(name::PROGRAM_ARRAYS) {
            if self.inherited.has(table) {
                continue;
            }
            if let Ok(map) = self.map(table) {
                if let Err(error) = pins.stage_table(table, |path| map.pin(path)) {
                    pins.drop_staged(&staged);
                    return Err(error);
                }
                staged.push(table);
            }
        }
        Ok(staged)
    }

    /// Moves the staged tables to where the next start finds them.
    pub(super) fn commit_tables(
        &mut self,
        pins: &Pins,
        staged: &[&'static str],
    ) -> Result<(), PinError> {
        for table in staged {
            pins.commit_table(table)?;
            self.inherited.tables.push(table);
        }
        Ok(())
    }

    /// Copies the counters of tables that were not inherited. Packets counted between the copy and the change of
    /// programs are lost: some milliseconds, and only if the number of interfaces or the layout changes.
    pub(super) fn copy_counters(&mut self) -> Result<(), KernelError> {
        let opening = KernelError::map("opening a table of the running filter");
        for (table, path) in std::mem::take(&mut self.inherited.to_copy) {
            let old = MapData::from_pin(path).map_err(&opening)?;
            let old = Map::from_map_data(old).map_err(&opening)?;
            if table == name::COUNTERS {
                let old: PerCpuArray<_, CountryCounters> = old.try_into().map_err(&opening)?;
                let mut new = self.counters_mut()?;
                for key in 0..old.len().min(new.len()) {
                    let values = old
                        .get(&key, 0)
                        .map_err(KernelError::map("reading COUNTERS of the running filter"))?;
                    if values.iter().any(|one| !one.is_zero()) {
                        new.set(key, values, 0)
                            .map_err(KernelError::map("copying COUNTERS"))?;
                    }
                }
            } else {
                let old: Array<_, u32> = old.try_into().map_err(&opening)?;
                for index in 0..old.len() {
                    let slot = old
                        .get(&index, 0)
                        .map_err(KernelError::map("reading INTERFACES of the running filter"))?;
                    if slot != 0 {
                        self.assign_slot(index, slot)?;
                    }
                }
            }
        }
        Ok(())
    }
}
