//! Both formats of one snapshot, and docs/metrics.md: the page names every metric, and no other.

use std::collections::BTreeSet;
use std::time::Duration;

use geofence_common::action::{Action, Mode, Reason};
use geofence_common::country::Country;
use geofence_common::maps::Counter;
use geofence_common::observe::ObservationCounters;

use super::*;
use crate::compile::{Disagreement, Extent, Extents};
use crate::config::Config;
use crate::daemon::facts::{
    Facts, ImageBytes, InterfaceCounters, ListCount, ListCounts, Observed, Reloads, Snapshot,
    TenantCounts,
};
use crate::data::geoip_update::FileState;
use crate::data::lists::{ListReport, ListState};
use crate::kernel::ServiceCounts;
use crate::model::list::{Action as ListAction, Direction};
use crate::model::policy::{CountedService, ServiceProtocol};
use crate::model::shortfall::{Part, Shortfall};
use crate::model::units::UnixSeconds;

const PAGE: &str = include_str!("../../../../docs/metrics.md");

fn text_format() -> String {
    Exporter::default().text(snapshot()).unwrap()
}

fn snapshot() -> Snapshot {
    let counter = Counter {
        packets: 3,
        bytes: 180,
    };
    let country = Country::from_code(*b"RU").unwrap();
    Snapshot {
        interfaces: vec![InterfaceCounters {
            name: "eth0".into(),
            driver: "virtio_net".into(),
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
            bans: 1,
        },
        lists: ListCounts::from([(
            "feodo".into(),
            ListCount {
                direction: Direction::Out,
                tenants: [(String::new(), Default::default())].into(),
            },
        )]),
        services: ServiceCounts {
            services: [
                (CountedService::port(ServiceProtocol::Tcp, 993), 4),
                (CountedService::Echo, 0),
            ]
            .into(),
            other: 0,
        },
        database_updates: vec![(
            "/var/lib/geofence/country.mmdb".into(),
            FileState {
                source: "https://data.example/?token=secret".into(),
                confirmed: Some(UnixSeconds(1_780_272_000)),
                refused: Some("a secret reason".into()),
                failed: Some(UnixSeconds(1_780_275_600)),
                ..FileState::default()
            },
        )],
        observed: Observed {
            counters: ObservationCounters::ZERO,
            is_on: false,
            lost: vec![("file", 0)],
        },
        facts: Facts {
            is_last_good: false,
            mode: Mode::Enforce,
            generation: 1,
            databases: vec![("a \"quoted\" name".into(), UnixSeconds(1_780_272_000))],
            asn_data: None,
            geo_overrides: 0,
            database_types: Vec::new(),
            attribution: None,
            shortfalls: Vec::new(),
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
        settings: Config::default().policy.settings,
        policy_hash: Some("0123456789abcdef".into()),
        image_bytes: ImageBytes {
            size: 5 << 20,
            capacity: 16 << 20,
        },
        is_on_trial: true,
        took: Duration::from_millis(2),
        reloads: Reloads::new(None),
        shortfalls: vec![Shortfall::now(Part::List, "feodo", "it is empty")],
    }
}

#[test]
fn openmetrics_names_counters_without_suffix_and_ends() {
    let text = Exporter::default().openmetrics(snapshot()).unwrap();
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
        r#"geofence_database_update_success_timestamp_seconds{file="/var/lib/geofence/country.mmdb"} 1780272000"#,
        r#"geofence_database_update_failure_timestamp_seconds{file="/var/lib/geofence/country.mmdb"} 1780275600"#,
        r#"geofence_database_update_failing{file="/var/lib/geofence/country.mmdb"} 1"#,
        r#"geofence_database_update_retry_timestamp_seconds{file="/var/lib/geofence/country.mmdb"} 0"#,
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
    let text = text_format();
    assert!(
        text.contains("# TYPE geofence_packets_total counter\n"),
        "{text}"
    );
    assert!(text.contains("# HELP geofence_bytes_total Bytes"), "{text}");
    assert!(!text.contains("EOF"));
}

/// The names in the first column of the page's tables.
fn documented() -> BTreeSet<String> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter(|name| name.starts_with("geofence_") || name.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

fn exported() -> BTreeSet<String> {
    let text = text_format();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_page_names_every_metric_and_no_other() {
    assert_eq!(documented(), exported());
}

#[test]
fn the_page_names_every_label() {
    let text = text_format();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, labels)) = line.split_once('{') else {
            continue;
        };
        let row = PAGE
            .lines()
            .find(|row| {
                row.split(" | ")
                    .next()
                    .is_some_and(|cell| cell.contains(&format!("`{name}`")))
            })
            .unwrap_or_else(|| panic!("no row for {name}"));
        for part in labels
            .split("\",")
            .filter_map(|part| part.split_once("=\""))
        {
            let (label, _) = part;
            assert!(
                row.contains(&format!("`{label}`")),
                "{label} is not in {row}"
            );
        }
    }
}

#[test]
fn former_names_stay_beside_the_new_ones() {
    let text = text_format();
    for series in [
        "geofence_exceptions_lapsing 1",
        r#"geofence_interface_mode{interface="eth0",mode="native"} 1"#,
        r#"table="mail",reason="foreign",cause="foreign"} 0"#,
        "geofence_database_build_time_seconds{",
    ] {
        assert!(text.contains(series), "{series}: {text}");
    }
}

#[test]
fn the_state_of_the_filter_is_in_info_metrics_and_gauges() {
    let text = text_format();
    for series in [
        r#"geofence_interface_info{interface="eth0",driver="virtio_net",mode="native"} 1"#,
        r#"geofence_policy_info{hash="0123456789abcdef"} 1"#,
        "geofence_trial 1",
        "geofence_image_bytes 5242880",
        "geofence_image_capacity_bytes 16777216",
        "geofence_config_last_reload_successful 1",
        "geofence_scrape_duration_seconds 0.002",
        r#"geofence_packets_total{interface="eth0",country="CN",action="drop",reason="country_blocked"} 0"#,
        "process_resident_memory_bytes ",
    ] {
        assert!(text.contains(series), "{series}: {text}");
    }
}
