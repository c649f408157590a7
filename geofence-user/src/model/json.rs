//! Reads the members of JSON that another part wrote; what is missing is empty.

use serde_json::Value;

use super::text::days_ago;
use super::units::UnixSeconds;

/// The entries of a list.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A value as a word; a dash for none.
#[must_use]
pub fn word(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None if value.is_null() => "-".to_owned(),
        None => value.to_string(),
    }
}

/// A database of the status: its name, when it was built, and how long ago that is.
#[must_use]
pub fn database(value: &Value) -> String {
    let built = UnixSeconds(value["built"].as_u64().unwrap_or_default());
    let age = value["age_days"].as_u64();
    let age = age.map_or_else(|| "-".to_owned(), days_ago);
    format!("{}, built {}, {age}", word(&value["name"]), built.date())
}
