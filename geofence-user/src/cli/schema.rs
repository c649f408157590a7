//! `geofence schema`: the JSON Schema of the configuration, for editors and for tools that write configurations.

use std::io::Write;

use clap::Args;

use super::outcome::Outcome;
use crate::config::json_schema;

/// Print the JSON Schema of the configuration
///
/// The schema covers the types and spellings of keys. `geofence check` finds every error, and says what to write.
#[derive(Args, Debug)]
pub struct Arguments {}

pub(super) fn schema(out: &mut dyn Write) -> anyhow::Result<Outcome> {
    writeln!(out, "{}", serde_json::to_string_pretty(&json_schema())?)?;
    Ok(Outcome::Yes)
}
