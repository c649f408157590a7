//! What a running filter exports: a snapshot of its counters, in OpenMetrics or in Prometheus' older text format.
//!
//! Labels come from closed sets (interfaces, countries, actions, reasons), never from an address or a port, so the
//! number of series has a bound that no sender can move.

mod lists;
mod tenants;

use std::fmt::Error;

use crate::compile::{Disagreement, Extent};
use crate::daemon::facts::Snapshot;
use crate::data::lists::{Report, Standing};
use crate::kernel::flows::TableFacts;
use geofence_common::action::Mode;
use geofence_common::flow::Table;
use geofence_common::maps::Counter;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    self, DescriptorEncoder, EncodeMetric as _, MetricEncoder, prometheus_text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

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
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.encode_counters(
            &mut encoder,
            "geofence_packets",
            "Packets by what became of them",
            |one| one.packets,
        )?;
        self.encode_counters(
            &mut encoder,
            "geofence_bytes",
            "Bytes by what became of them",
            |one| one.bytes,
        )?;
        self.encode_flows(&mut encoder)?;
        tenants::encode(&self.tenants, &mut encoder)?;
        lists::encode(&self.lists, &mut encoder)?;
        let interfaces = self.interfaces.iter();
        gauge(
            &mut encoder,
            "geofence_interface_protected",
            "Whether the filter is attached to the interface",
            interfaces.clone().map(|one| {
                (
                    vec![("interface", one.name.as_str())],
                    i64::from(one.is_protected),
                )
            }),
        )?;
        gauge(
            &mut encoder,
            "geofence_interface_mode",
            "The XDP mode the filter was attached in",
            interfaces.map(|one| {
                (
                    vec![("interface", one.name.as_str()), ("mode", one.mode)],
                    1,
                )
            }),
        )?;
        self.encode_unprotected(&mut encoder)?;
        self.encode_reloads(&mut encoder)?;
        let facts = &self.facts;
        gauge(
            &mut encoder,
            "geofence_enforcing",
            "Whether drops are carried out (1) or only counted (0)",
            [(vec![], i64::from(facts.mode == Mode::Enforce))],
        )?;
        gauge(
            &mut encoder,
            "geofence_image_generation",
            "Generation of the policy image in the kernel",
            [(vec![], i64::from(facts.generation))],
        )?;
        gauge(
            &mut encoder,
            "geofence_database_build_time_seconds",
            "When the GeoIP database was built, in seconds since 1970",
            facts
                .databases
                .iter()
                .map(|(name, built)| (vec![("database", name.as_str())], built.cast_signed())),
        )?;
        gauge(
            &mut encoder,
            "geofence_database_prefixes",
            "Prefixes in the GeoIP databases",
            [
                (vec![("family", "ipv4")], facts.prefixes_v4 as i64),
                (vec![("family", "ipv6")], facts.prefixes_v6 as i64),
            ],
        )?;
        self.encode_disagreement(&mut encoder)?;
        self.encode_lists(&mut encoder)?;
        gauge(
            &mut encoder,
            "geofence_build_info",
            "The running version",
            [(vec![("version", env!("CARGO_PKG_VERSION"))], 1)],
        )
    }
}

impl Snapshot {
    fn encode_unprotected(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut family = encoder.encode_descriptor(
            "geofence_unprotected_seconds",
            "For how long an interface was there without the filter, since this process has been watching",
            None,
            MetricType::Counter,
        )?;
        for interface in &self.interfaces {
            let labels = [("interface", interface.name.as_str())];
            let seconds = interface.unprotected.as_secs_f64();
            ConstCounter::new(seconds).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn encode_reloads(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let reloads = &self.reloads;
        let failed: u64 = reloads.failed.values().sum();
        let mut family = encoder.encode_descriptor(
            "geofence_reloads",
            "Reloads by how they went",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in [("ok", reloads.succeeded), ("failed", failed)] {
            let labels = [("result", result)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
        let mut family = encoder.encode_descriptor(
            "geofence_reload_failures",
            "Reloads that left the policy in use in place, by why",
            None,
            MetricType::Counter,
        )?;
        for (cause, count) in &reloads.failed {
            let labels = [("reason", cause.name())];
            ConstCounter::new(*count).encode(family.encode_family(&labels)?)?;
        }
        gauge(
            encoder,
            "geofence_degraded",
            "Whether the filter goes by something else than was asked for last",
            [(vec![], i64::from(reloads.last_failure.is_some()))],
        )
    }

    fn encode_disagreement(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(disagreement) = self.facts.disagreement else {
            return Ok(());
        };
        let Disagreement {
            first_alone: first,
            second_alone: second,
        } = disagreement;
        let extents = [
            ("ipv4", "first", first.v4),
            ("ipv4", "second", second.v4),
            ("ipv6", "first", first.v6),
            ("ipv6", "second", second.v6),
        ];
        // All of IPv6 is more than an integer of the format holds.
        type Value = fn(&Extent) -> f64;
        let gauges: [(&str, &str, Value); 2] = [
            (
                "geofence_database_disagreement_addresses",
                "Addresses that one database has in a blocked country and the other has not",
                |extent| extent.addresses as f64,
            ),
            (
                "geofence_database_disagreement_prefixes",
                "The fewest prefixes that hold those addresses",
                |extent| extent.prefixes as f64,
            ),
        ];
        for (name, help, value) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (version, database, extent) in &extents {
                let labels = [("family", *version), ("blocked_by", *database)];
                ConstGauge::new(value(extent)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_lists(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let lists = &self.facts.lists;
        if lists.is_empty() {
            return Ok(());
        }
        type Value = fn(&Report) -> i64;
        let gauges: [(&str, &str, Value); 3] = [
            (
                "geofence_list_entries",
                "Prefixes on a list that have not lapsed",
                |list| i64::try_from(list.entries).unwrap_or(i64::MAX),
            ),
            (
                "geofence_list_confirmed_timestamp_seconds",
                "When the source of a list last gave or confirmed what is on it; 0 for never",
                |list| list.since.unwrap_or(0).cast_signed(),
            ),
            (
                "geofence_list_degraded",
                "Whether a list is another than its source gives: refused, not to be had, or never fetched",
                |list| i64::from(list.standing != Standing::Current),
            ),
        ];
        for (name, help, value) in gauges {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for list in lists {
                let labels = [("list", list.name.as_str())];
                ConstGauge::new(value(list)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_flows(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let tables = || Table::ALL.into_iter().zip(&self.flows);
        gauge(
            encoder,
            "geofence_flows",
            "Flows that are remembered, lapsed ones that nothing has displaced included",
            tables()
                .map(|(table, facts)| (vec![("table", table.name())], facts.entries.cast_signed())),
        )?;
        gauge(
            encoder,
            "geofence_flows_capacity",
            "Flows that a table has room for",
            tables().map(|(table, facts)| (vec![("table", table.name())], facts.capacity.into())),
        )?;
        type Value = fn(&TableFacts) -> u64;
        let counters: [(&str, &str, Value); 3] = [
            (
                "geofence_flow_inserts",
                "Flows opened by our side",
                |facts| facts.counters.opened,
            ),
            (
                "geofence_flow_evictions",
                "Flows displaced by newer ones, lapsed ones included",
                TableFacts::evictions,
            ),
            (
                "geofence_flow_updates",
                "Packets of ours on flows that were known",
                |facts| facts.counters.updated,
            ),
        ];
        for (name, help, value) in counters {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (table, facts) in tables() {
                let labels = [("table", table.name())];
                ConstCounter::new(value(facts)).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "geofence_flow_refusals",
            "Packets that opened no flow: they came in by a protected interface, or the table failed",
            None,
            MetricType::Counter,
        )?;
        for (table, facts) in tables() {
            let causes = [
                ("foreign", facts.counters.forwarded),
                ("table", facts.counters.full),
            ];
            for (cause, count) in causes {
                let labels = [("table", table.name()), ("cause", cause)];
                ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn encode_counters(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&Counter) -> u64,
    ) -> Result<(), Error> {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for interface in &self.interfaces {
            for ((country, action, reason), counter) in &interface.counters {
                let labels = [
                    ("interface", interface.name.as_str()),
                    ("country", country.name()),
                    ("action", action.name()),
                    ("reason", reason.name()),
                ];
                let one: MetricEncoder<'_> = family.encode_family(&labels)?;
                ConstCounter::new(value(counter)).encode(one)?;
            }
        }
        Ok(())
    }
}

fn gauge<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    series: impl IntoIterator<Item = (Vec<(&'static str, &'a str)>, i64)>,
) -> Result<(), Error> {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in series {
        ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use geofence_common::action::{Action, Reason};
    use geofence_common::country::Country;

    use super::*;
    use crate::daemon::facts::{
        Facts, InterfaceCounters, ListCount, ListCounts, Reloads, TenantCounts,
    };

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
                    direction: crate::data::lists::Direction::Out,
                    tenants: [(String::new(), Default::default())].into(),
                },
            )]),
            facts: Facts {
                mode: Mode::Enforce,
                generation: 1,
                databases: vec![("a \"quoted\" name".into(), 1_780_272_000)],
                systems: None,
                disagreement: Some(Disagreement {
                    second_alone: crate::compile::Extents {
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
                lists: vec![Report {
                    name: "feodo".into(),
                    source: "https://lists.example/?key=secret".into(),
                    action: crate::data::lists::Action::Block,
                    direction: crate::data::lists::Direction::Both,
                    standing: Standing::LastGood,
                    entries: 7,
                    lapsed: 0,
                    passed_over: 0,
                    since: Some(1_780_272_000),
                    refused: None,
                }],
            },
            reloads: Reloads::new(None),
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
