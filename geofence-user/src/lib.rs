//! Geofence.
