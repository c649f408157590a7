//! What `geofence status` shows of all exceptions.

use serde_json::{Value, json};

use crate::config::Config;
use crate::model::units::UnixSeconds;

/// How many exceptions and bans are live at this time of the kernel's, which exceptions expire soon, and which runtime
/// exceptions are not fully in force.
pub(in crate::daemon) fn summary(config: &Config, now: UnixSeconds) -> Value {
    let expiring = config.policy.expiring_exceptions(now).map(|one| {
        let until = one.until.map(|until| until.to_string());
        json!({ "id": one.id, "until": until, "owner": one.owner })
    });
    let noted = config.runtime.list.iter().filter_map(|one| {
        Some(json!({ "id": one.spec.id, "holds": !one.is_idle(), "note": one.note()? }))
    });
    json!({
        "live": config.policy.live_exceptions(now).count(),
        "bans": config.policy.live_bans(now).count(),
        "lapsing": expiring.collect::<Vec<_>>(),
        "noted": noted.collect::<Vec<_>>(),
    })
}
