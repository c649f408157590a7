//! All keys and tables of a configuration file, in the order of the documentation.

use std::sync::LazyLock;

use super::configuration::Config;
use super::key::Key;
use super::keys::{exception, geo_override, geoip_source, global, list, protect, tenant};
use super::table::{AnyTable, Table};

/// The keys of the top level.
pub(super) static KEYS: LazyLock<Vec<Key<Config>>> = LazyLock::new(global::keys);

/// The tables. A table comes before those whose entries name its entries.
pub(super) static TABLES: LazyLock<[Box<dyn AnyTable>; 6]> = LazyLock::new(|| {
    [
        Box::new(tenant::table()),
        Box::new(exception::table(exception::finish)),
        Box::new(protect::table()),
        Box::new(geo_override::table()),
        Box::new(list::table()),
        Box::new(geoip_source::table()),
    ]
});

/// The only table of a file that stores runtime exceptions.
pub(super) static RUNTIME_EXCEPTION: LazyLock<Table<exception::Draft>> =
    LazyLock::new(|| exception::table(exception::finish_runtime));
