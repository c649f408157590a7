//! Metrics of `geofence update`, by the database file that it keeps current. The names come from the configuration.

use std::fmt::Error;

use super::families::Families;
use crate::data::geoip_update::FileState;

pub(super) fn encode(
    updates: &[(String, FileState)],
    families: &mut Families<'_>,
) -> Result<(), Error> {
    if updates.is_empty() {
        return Ok(());
    }
    type Value = fn(&FileState) -> i64;
    let gauges: [(&str, &str, Value); 4] = [
        (
            "geofence_database_update_success_timestamp_seconds",
            "When the source of a database last delivered or confirmed its file; 0 for never",
            |state| state.confirmed.unwrap_or_default().0.cast_signed(),
        ),
        (
            "geofence_database_update_failure_timestamp_seconds",
            "When an update of a database last failed; 0 for never",
            |state| state.failed.unwrap_or_default().0.cast_signed(),
        ),
        (
            "geofence_database_update_failing",
            "Whether the last update of a database failed, so that the file in use stays",
            |state| i64::from(state.refused.is_some()),
        ),
        (
            "geofence_database_update_retry_timestamp_seconds",
            "Until when the server of a database asks to wait; 0 if it does not",
            |state| state.retry.unwrap_or_default().0.cast_signed(),
        ),
    ];
    for (name, help, value) in gauges {
        let updates = updates.iter();
        let series = updates.map(|(file, state)| ([("file", file.as_str())], value(state)));
        families.gauges(name, help, series)?;
    }
    Ok(())
}
