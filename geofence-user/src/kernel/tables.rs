//! Tables that outlive a program: which of them a new program takes over, and what is carried from those it cannot.
//!
//! Counters never run backwards and flows survive a restart because the new program is loaded onto the very tables of
//! the one it replaces. A table that the new program wants otherwise (another size, after a change of the
//! configuration; another layout, after one of the program) is made anew; what was counted is copied into it, flows are
//! forgotten.

use std::path::{Path, PathBuf};

use aya::maps::{Array, Map, MapData, MapError, MapInfo, PerCpuArray};
use aya::{EbpfError, EbpfLoader};
use geofence_common::country::COUNTRIES_MAX;
use geofence_common::maps::{CountryCounters, counters_key, name};

use super::call::told;
use super::filter::{Filter, LoadError, map_error};
use super::pins::{PinError, Pins};

/// How many entries each table is to have, where the object does not say.
pub(super) type Sizes = Vec<(&'static str, u32)>;

/// Tables whose entries are copied where the table itself cannot be taken over, in every layout.
const COUNTED: [&str; 2] = [name::INTERFACES, name::COUNTERS];

/// Which tables are taken over.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    tables: Vec<&'static str>,
    /// Tables whose entries wait to be copied, and where they are.
    copied: Vec<(&'static str, PathBuf)>,
}

impl Kept {
    /// Looks for tables that the object could use as they are, and makes the loader use them.
    ///
    /// More counters than needed will do; the sizes are amended to say so.
    pub(super) fn find(
        object: &[u8],
        sizes: &mut Sizes,
        pins: &Pins,
        loader: &mut EbpfLoader<'_>,
    ) -> Result<Self, LoadError> {
        // What is wrong with the object, its load will say.
        let Ok(object) = aya_obj::Object::parse(object) else {
            return Ok(Self::default());
        };
        let mut kept = Self::default();
        for table in name::KEPT {
            let Some(wanted) = object.maps.get(table) else {
                continue;
            };
            let is_alike = |found: &MapInfo| {
                found.key_size() == wanted.key_size()
                    && found.value_size() == wanted.value_size()
                    && found.map_flags() == wanted.map_flags()
                    && found
                        .map_type()
                        .is_ok_and(|found| found as u32 == wanted.map_type())
            };
            let of_this_layout = look(&pins.table(table))?;
            let Some(found) = of_this_layout.filter(&is_alike) else {
                let mut old = None;
                for path in pins.tables_of_other_layouts(table) {
                    if old.is_none() && look(&path)?.as_ref().is_some_and(is_alike) {
                        old = Some(path);
                    }
                }
                if COUNTED.contains(&table) {
                    kept.copied.extend(old.map(|path| (table, path)));
                }
                continue;
            };
            let size = sizes.iter_mut().find(|(sized, _)| *sized == table);
            let entries = size
                .as_ref()
                .map_or(wanted.max_entries(), |(_, entries)| *entries);
            let is_enough = match table {
                name::COUNTERS => found.max_entries() >= entries,
                _ => found.max_entries() == entries,
            };
            if is_enough {
                if let Some((_, entries)) = size {
                    *entries = found.max_entries();
                }
                kept.tables.push(table);
            } else if COUNTED.contains(&table) {
                kept.copied.push((table, pins.table(table)));
            }
        }
        // What is counted of flows is read together with the tables of them.
        if !name::FLOWS.iter().all(|table| kept.tables.contains(table)) {
            kept.tables.retain(|table| *table != name::FLOW_COUNTERS);
        }
        for table in &kept.tables {
            loader.map_pin_path(table, pins.table(table));
        }
        Ok(kept)
    }

    /// What a failed load is of.
    ///
    /// The library makes a table anew when its pin does not open, and fails at that or at pinning it where the old one
    /// is. Why the pin did not open it keeps to itself, so it is opened once more for the reason.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others make no table")]
    pub(super) fn blame(&self, pins: &Pins, error: EbpfError) -> LoadError {
        let made = match &error {
            EbpfError::MapError(MapError::CreateError { name, .. }) => Some(name.as_str()),
            EbpfError::MapError(MapError::PinError { name, .. }) => name.as_deref(),
            _ => None,
        };
        let Some(table) = made.filter(|made| self.has(made)) else {
            return error.into();
        };
        let path = pins.table(table);
        let cause = match MapInfo::from_pin(&path) {
            Ok(_) => "BPF_OBJ_GET: it failed, for a reason that is not known, and does no more"
                .to_owned(),
            Err(error) => told(&error),
        };
        LoadError::Table { path, cause }
    }

    pub(super) fn has(&self, table: &str) -> bool {
        self.tables.contains(&table)
    }
}

/// What kind of table is pinned somewhere, if one is. One that cannot be opened is an error: to make it anew is to
/// forget what was counted.
fn look(path: &Path) -> Result<Option<MapInfo>, LoadError> {
    if !path.exists() {
        return Ok(None);
    }
    MapInfo::from_pin(path)
        .map(Some)
        .map_err(map_error("opening a table of the running filter"))
}

/// Removes tables that were staged.
pub(super) fn drop_tables(pins: &Pins, staged: &[&'static str]) {
    for table in staged {
        pins.drop_table(table);
    }
}

impl Filter {
    /// Pins the tables that were made anew beside those that were not taken over, which are written until the programs
    /// have changed; answers which they are.
    pub(super) fn stage_tables(&mut self, pins: &Pins) -> Result<Vec<&'static str>, PinError> {
        let mut staged = Vec::new();
        for table in name::KEPT {
            if self.kept.has(table) {
                continue;
            }
            if let Ok(map) = self.map(table) {
                if let Err(error) = pins.stage_table(table, |path| map.pin(path)) {
                    drop_tables(pins, &staged);
                    return Err(error);
                }
                staged.push(table);
            }
        }
        Ok(staged)
    }

    /// Puts the staged tables where the next start finds them.
    pub(super) fn keep_tables(
        &mut self,
        pins: &Pins,
        staged: &[&'static str],
    ) -> Result<(), PinError> {
        for table in staged {
            pins.keep_table(table)?;
            self.kept.tables.push(table);
        }
        Ok(())
    }

    /// Copies what was counted in tables that were not taken over. What is counted between this and the change of
    /// programs is lost: some milliseconds, and only when the number of interfaces or the layout changes.
    pub(super) fn carry_counters(&mut self) -> Result<(), LoadError> {
        for (table, path) in std::mem::take(&mut self.kept.copied) {
            let opening = map_error("opening a table of the running filter");
            let old = MapData::from_pin(path).map_err(&opening)?;
            let old = Map::from_map_data(old).map_err(&opening)?;
            if table == name::COUNTERS {
                let old: PerCpuArray<_, CountryCounters> = old.try_into().map_err(&opening)?;
                let mut new = self.counters_mut()?;
                for key in 0..old.len().min(new.len()) {
                    let values = old
                        .get(&key, 0)
                        .map_err(map_error("reading COUNTERS of the running filter"))?;
                    if values.iter().any(|one| !one.is_zero()) {
                        new.set(key, values, 0)
                            .map_err(map_error("copying COUNTERS"))?;
                    }
                }
            } else {
                let old: Array<_, u32> = old.try_into().map_err(&opening)?;
                for index in 0..old.len() {
                    let slot = old
                        .get(&index, 0)
                        .map_err(map_error("reading INTERFACES of the running filter"))?;
                    if slot != 0 {
                        self.assign_slot(index, slot)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sets a slot's counters to zero: another interface may have had it.
    pub(super) fn clear_counters(&mut self, slot: u32) -> Result<(), LoadError> {
        let mut counters = self.counters_mut()?;
        for country in 0..COUNTRIES_MAX {
            let key = counters_key(slot, country as u8);
            let values = counters
                .get(&key, 0)
                .map_err(map_error("reading COUNTERS"))?;
            if values.iter().all(CountryCounters::is_zero) {
                continue;
            }
            let zeros = vec![CountryCounters::ZERO; values.len()];
            let zeros =
                aya::maps::PerCpuValues::try_from(zeros).map_err(|cause| LoadError::Map {
                    doing: "clearing COUNTERS",
                    cause: Box::new(cause.into()),
                })?;
            counters
                .set(key, zeros, 0)
                .map_err(map_error("clearing COUNTERS"))?;
        }
        Ok(())
    }
}
