//! The autonomous systems of events: of the remote address, if the configuration names a database that has it.
//!
//! Looked up when an event is shown or sent on, in the database that is in memory, so the data path knows nothing of
//! it.

use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};

use super::state::Daemon;
use super::sync::lock;
use crate::data::asn::AsLookup;

impl Daemon {
    /// The database of the active policy.
    pub(super) fn systems(&self) -> Option<Arc<AsLookup>> {
        lock(&self.active).systems.clone()
    }

    /// Adds their systems to a list of events.
    pub(super) fn name_systems(&self, events: &mut Value) {
        let systems = self.systems();
        for event in events.as_array_mut().into_iter().flatten() {
            name_system(event, systems.as_deref());
        }
    }
}

/// Adds its system to an event: number and name, or nothing where none is known.
pub(super) fn name_system(event: &mut Value, systems: Option<&AsLookup>) {
    let remote = match event["direction"].as_str() {
        Some("out") => "dst",
        _ => "src",
    };
    let address = event[remote].as_str();
    let address = address.and_then(|text| text.parse::<IpAddr>().ok());
    let found = systems
        .zip(address)
        .and_then(|(systems, address)| systems.find(address));
    let (number, name) = found.unzip();
    event["as_number"] = json!(number);
    event["as_name"] = json!(name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::events::event_line;
    use crate::data::asn::AsDatabase;
    use crate::mmdb_writer::{Schema, Writer};

    fn systems() -> AsLookup {
        let mut writer = Writer::new(Schema::Asn);
        writer.add_code("77.88.8.0/24".parse().unwrap(), "64500 Example Org");
        let database = AsDatabase::from_bytes("asn.mmdb", writer.finish()).unwrap();
        database.into_lookup()
    }

    fn named(direction: &str, source: &str, destination: &str) -> Value {
        let mut event = json!({
            "event": "list", "list": "c2", "action": "pass", "direction": direction, "protocol": "tcp",
            "src": source, "dst": destination, "country": "RU",
        });
        name_system(&mut event, Some(&systems()));
        event
    }

    #[test]
    fn system_is_that_of_the_remote_address() {
        let incoming = named("in", "77.88.8.8", "192.0.2.2");
        assert_eq!(incoming["as_number"], 64_500);
        assert_eq!(incoming["as_name"], "Example Org");
        let line = event_line(&incoming);
        assert!(
            line.ends_with("country RU, AS64500 (Example Org)"),
            "{line}"
        );
        assert_eq!(named("out", "192.0.2.2", "77.88.8.8")["as_number"], 64_500);
        let ours = named("out", "77.88.8.8", "192.0.2.2");
        assert!(ours["as_number"].is_null() && ours["as_name"].is_null());
        assert!(event_line(&ours).ends_with("country RU"));
    }

    #[test]
    fn without_a_database_an_event_names_no_system() {
        let mut event = json!({ "src": "77.88.8.8", "direction": "in" });
        name_system(&mut event, None);
        assert!(event["as_number"].is_null() && event["as_name"].is_null());
    }
}
