//! Fetching from a server: requests that are conditional, bounded in time and size, and careful with secrets.
//!
//! Only `geofence update` fetches.

mod credentials;
mod redirect;
mod request;
mod retry;

pub(in crate::data) use credentials::{Secrets, encoded};
pub(in crate::data) use request::{FetchError, Fetched, Request, Validators, fetch};
