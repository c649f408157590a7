//! Writes a snapshot in either format.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{self, DescriptorEncoder, prometheus_text};
use prometheus_client::registry::Registry;

use super::families::Families;
use super::{flows, interfaces, lists, policy, tenants};
use crate::daemon::facts::Snapshot;

pub use prometheus_text::CONTENT_TYPE as TEXT;

/// The content type of OpenMetrics.
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes a snapshot as OpenMetrics.
pub fn openmetrics(snapshot: Snapshot) -> Result<String, Error> {
    let mut text = String::new();
    encoding::text::encode(&mut text, &registry(snapshot))?;
    Ok(text)
}

/// Writes a snapshot in Prometheus' text format, whose content type is `TEXT`.
pub fn text(snapshot: Snapshot) -> Result<String, Error> {
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry(snapshot))?;
    Ok(text)
}

fn registry(snapshot: Snapshot) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(snapshot));
    registry
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let families = &mut Families(encoder);
        interfaces::encode(&self.interfaces, families)?;
        flows::encode(&self.flows, families)?;
        tenants::encode(&self.tenants, families)?;
        lists::encode_counters(&self.lists, families)?;
        lists::encode_reports(&self.facts.lists, families)?;
        policy::encode_reloads(&self.reloads, &self.shortfalls, families)?;
        policy::encode_facts(&self.facts, families)?;
        families.gauges(
            "geofence_build_info",
            "The running version",
            [([("version", env!("CARGO_PKG_VERSION"))], 1_i64)],
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use geofence_common::action::{Action, Mode, Reason};
    use geofence_common::country::Country;
    use geofence_common::maps::Counter;

    use super::*;
    use crate::compile::{Disagreement, Extent, Extents};
    use crate::daemon::facts::{
        Facts, InterfaceCounters, ListCount, ListCounts, Reloads, TenantCounts,
    };
    use crate::data::lists::{ListReport, ListState};
    use crate::model::list::{Action as ListAction, Direction};
    use crate::model::shortfall::{Part, Shortfall};
    use crate::model::units::UnixSeconds;

    fn snapshot() -> Snapshot {
        let counter = Counter {
            packets: 3,
            bytes: 180,
        };
        let country = Country::from_code(*b"RU").unwrap();
        Snapshot {
            interfaces: vec![InterfaceCounters {
                name: "eth0".into(),
                mode: "native",
                is_protected: true,
                unprotected: Duration::from_millis(1500),
                counters: [((country, Action::Drop, Reason::CountryBlocked), counter)].into(),
            }],
            flows: Default::default(),
            tenants: TenantCounts {
                tenants: vec![(
                    "customer-17".into(),
                    [((Action::Drop, Reason::CountryBlocked), counter)].into(),
                )],
                hits: vec![("exception", "ticket-4711".into(), 5)],
                exceptions: 2,
                expiring: 1,
            },
            lists: ListCounts::from([(
                "feodo".into(),
                ListCount {
                    direction: Direction::Out,
                    tenants: [(String::new(), Default::default())].into(),
                },
            )]),
            facts: Facts {
                is_last_good: false,
                mode: Mode::Enforce,
                generation: 1,
                databases: vec![("a \"quoted\" name".into(), UnixSeconds(1_780_272_000))],
                asn_data: None,
                shortfalls: Vec::new(),
                database_types: Vec::new(),
                disagreement: Some(Disagreement {
                    second_alone: Extents {
                        v6: Extent {
                            prefixes: 2,
                            addresses: 1 << 80,
                        },
                        ..Default::default()
                    },
                    ..Default::default()
                }),
                prefixes_v4: 2,
                prefixes_v6: 3,
                lists: vec![ListReport {
                    name: "feodo".into(),
                    source: "https://lists.example/?key=secret".into(),
                    action: ListAction::Block,
                    direction: Direction::Both,
                    state: ListState::LastGood,
                    entries: 7,
                    expired: 0,
                    skipped: std::collections::BTreeMap::new(),
                    since: Some(UnixSeconds(1_780_272_000)),
                    rejection: None,
                    is_fetched: true,
                    read: UnixSeconds(1_780_272_000),
                }],
            },
            reloads: Reloads::new(None),
            shortfalls: vec![Shortfall::now(Part::List, "feodo", "it is empty")],
        }
    }

    #[test]
    fn openmetrics_names_counters_without_suffix_and_ends() {
        let text = openmetrics(snapshot()).unwrap();
        assert!(text.contains("# TYPE geofence_packets counter\n"), "{text}");
        let series = concat!(
            r#"geofence_packets_total{interface="eth0",country="RU","#,
            r#"action="drop",reason="country_blocked"} 3"#
        );
        assert!(text.contains(series), "{text}");
        assert!(text.contains(r#"{database="a \"quoted\" name"}"#), "{text}");
        let series = concat!(
            r#"geofence_tenant_packets_total{tenant="customer-17","#,
            r#"action="drop",reason="country_blocked"} 3"#
        );
        assert!(text.contains(series), "{text}");
        let series = r#"geofence_exception_packets_total{kind="exception",name="ticket-4711"} 5"#;
        assert!(text.contains(series), "{text}");
        for series in [
            r#"geofence_list_entries{list="feodo"} 7"#,
            r#"geofence_list_confirmed_timestamp_seconds{list="feodo"} 1780272000"#,
            r#"geofence_list_degraded{list="feodo"} 1"#,
            "geofence_degraded 1",
            r#"geofence_shortfalls{part="list"} 1"#,
            r#"geofence_shortfalls{part="metrics"} 0"#,
            r#"geofence_list_packets_total{list="feodo",tenant="",direction="out",action="drop"} 0"#,
            r#"geofence_events_lost_total{list="feodo",direction="out"} 0"#,
            r#"geofence_database_disagreement_addresses{family="ipv4",blocked_by="first"} 0"#,
            r#"geofence_database_disagreement_addresses{family="ipv6",blocked_by="second"} 1.2"#,
            r#"geofence_database_disagreement_prefixes{family="ipv6",blocked_by="second"} 2"#,
        ] {
            assert!(text.contains(series), "{series}: {text}");
        }
        assert!(!text.contains("secret"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_text_format_names_counters_with_suffix_and_does_not_end() {
        let text = text(snapshot()).unwrap();
        assert!(
            text.contains("# TYPE geofence_packets_total counter\n"),
            "{text}"
        );
        assert!(text.contains("# HELP geofence_bytes_total Bytes"), "{text}");
        assert!(!text.contains("EOF"));
    }
}
