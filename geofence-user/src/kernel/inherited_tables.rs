//! Chooses the pinned tables that a new program inherits from the one it replaces.
//!
//! Counters never run backwards and flows survive a restart because the new program is loaded onto the tables of the
//! old one. A table that the new program needs with another size or layout is created anew; its counters are copied,
//! its flows are lost.

use std::path::{Path, PathBuf};

use aya::maps::{MapError, MapInfo, MapType};
use aya::{EbpfError, EbpfLoader};
use geofence_common::maps::name;

use super::call::describe_error;
use super::error::KernelError;
use super::pins::Pins;

/// The number of entries of each table whose size the object leaves open.
pub(super) type Sizes = Vec<(&'static str, u32)>;

/// Tables whose entries are copied if the table itself cannot be inherited, from any layout.
const COUNTED: [&str; 2] = [name::INTERFACES, name::COUNTERS];

/// Tables that are inherited together or not at all.
const SERVICES: [&str; 3] = [name::SERVICES, name::SERVICE_PORTS, name::SERVICE_NAMES];

/// The tables that are inherited.
#[derive(Clone, Debug, Default)]
pub(super) struct InheritedTables {
    pub(super) tables: Vec<&'static str>,
    /// Tables whose entries are still to be copied, and their pins.
    pub(super) to_copy: Vec<(&'static str, PathBuf)>,
}

impl InheritedTables {
    /// Finds the tables that the object can use as they are, and makes the loader use them.
    ///
    /// A counter table that is larger than needed is inherited too; `sizes` then changes to its size.
    pub(super) fn find(
        object: &[u8],
        sizes: &mut Sizes,
        pins: &Pins,
        loader: &mut EbpfLoader<'_>,
    ) -> Result<Self, KernelError> {
        // An object that does not parse fails when it is loaded.
        let Ok(object) = aya_obj::Object::parse(object) else {
            return Ok(Self::default());
        };
        let mut inherited = Self::default();
        for table in name::KEPT {
            let Some(needed) = object.maps.get(table) else {
                continue;
            };
            // The object says what a ring buffer carries; the kernel knows no value of one.
            let value_size = if needed.map_type() == MapType::RingBuf as u32 {
                0
            } else {
                needed.value_size()
            };
            let is_alike = |found: &MapInfo| {
                found.key_size() == needed.key_size()
                    && found.value_size() == value_size
                    && found.map_flags() == needed.map_flags()
                    && found
                        .map_type()
                        .is_ok_and(|found| found as u32 == needed.map_type())
            };
            let is_counted = COUNTED.contains(&table);
            let Some(found) = table_info(&pins.table(table))?.filter(is_alike) else {
                let mut old = None;
                for path in pins.tables_of_other_layouts(table) {
                    if old.is_none() && table_info(&path)?.as_ref().is_some_and(is_alike) {
                        old = Some(path);
                    }
                }
                let old = old.filter(|_| is_counted);
                inherited.to_copy.extend(old.map(|path| (table, path)));
                continue;
            };
            let size = sizes.iter_mut().find(|(sized, _)| *sized == table);
            let entries = size
                .as_ref()
                .map_or(needed.max_entries(), |(_, entries)| *entries);
            let is_enough = match table {
                name::COUNTERS => found.max_entries() >= entries,
                _ => found.max_entries() == entries,
            };
            if is_enough {
                if let Some((_, entries)) = size {
                    *entries = found.max_entries();
                }
                inherited.tables.push(table);
            } else if is_counted {
                inherited.to_copy.push((table, pins.table(table)));
            }
        }
        // Counters of flows are read together with the flow tables.
        if !name::FLOWS.iter().all(|table| inherited.has(table)) {
            inherited
                .tables
                .retain(|table| *table != name::FLOW_COUNTERS);
        }
        // A counter says nothing without the service that its slot belongs to.
        if !SERVICES.iter().all(|table| inherited.has(table)) {
            inherited.tables.retain(|table| !SERVICES.contains(table));
        }
        for table in &inherited.tables {
            loader.map_pin_path(table, pins.table(table));
        }
        Ok(inherited)
    }

    /// Explains a failed load.
    ///
    /// aya creates a table anew when its pin does not open, and then fails to create it or to pin it over the old one.
    /// It drops the reason why the pin did not open, so the pin is opened once more for the reason.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the others do not come from creating a table"
    )]
    pub(super) fn explain(&self, pins: &Pins, error: EbpfError) -> KernelError {
        let created = match &error {
            EbpfError::MapError(MapError::CreateError { name, .. }) => Some(name.as_str()),
            EbpfError::MapError(MapError::PinError { name, .. }) => name.as_deref(),
            _ => None,
        };
        let Some(table) = created.filter(|table| self.has(table)) else {
            return error.into();
        };
        let path = pins.table(table);
        let cause = match MapInfo::from_pin(&path) {
            Ok(_) => "BPF_OBJ_GET failed once for an unknown reason, and now succeeds".to_owned(),
            Err(error) => describe_error(&error),
        };
        KernelError::Table { path, cause }
    }

    pub(super) fn has(&self, table: &str) -> bool {
        self.tables.contains(&table)
    }
}

/// The table that is pinned at a path, if there is one. A table that cannot be opened is an error: creating it anew
/// would lose its counters.
fn table_info(path: &Path) -> Result<Option<MapInfo>, KernelError> {
    if !path.exists() {
        return Ok(None);
    }
    MapInfo::from_pin(path)
        .map(Some)
        .map_err(KernelError::map("opening a table of the running filter"))
}
