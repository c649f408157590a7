//! A policy that has everything.

use geofence_tests::machines::EVERYTHING;
use geofence_user::config::Config;
use geofence_user::model::policy::Policy;

/// Tenants, exceptions and protections of every kind, for the frames' sources and destinations.
pub(super) fn customers(policy: &mut Policy) {
    let config = Config::parse(EVERYTHING, "customers.toml");
    *policy = config.unwrap_or_else(|errors| panic!("{errors}")).policy;
}
