//! Random prefixes, written in each format and read back.

use std::fmt::Write as _;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use super::samples::*;
use crate::model::list::Format;
use crate::model::word::Word as _;

fn net() -> impl Strategy<Value = IpNet> {
    prop_oneof![
        (any::<u32>(), 0_u8..=32)
            .prop_map(|(bits, length)| Ipv4Net::new(bits.into(), length).unwrap().trunc().into()),
        // Prefixes of IPv4-mapped addresses are read as IPv4.
        (any::<u128>(), 0_u8..=128).prop_map(|(bits, length)| {
            let bits = bits | 1 << 127;
            Ipv6Net::new(bits.into(), length).unwrap().trunc().into()
        }),
    ]
}

/// Prefixes, written in a format.
fn written(format: Format, nets: &[IpNet]) -> String {
    let lines = |before: &str, after: &str| -> String {
        nets.iter()
            .map(|net| format!("{before}{net}{after}\n"))
            .collect()
    };
    let commas = |before: &str, after: &str| {
        let items: Vec<_> = nets
            .iter()
            .map(|net| format!("{before}{net}{after}"))
            .collect();
        items.join(",\n")
    };
    match format {
        Format::Auto | Format::Plain => lines("", " # x"),
        Format::Netset => format!("# Entries : {} subnets\n{}", nets.len(), lines("", "")),
        Format::Ipset => lines("add bad ", " timeout 0"),
        Format::Spamhaus => lines("", " ; SBL1"),
        Format::SpamhausJson => lines("{\"sblid\": \"SBL1\", \"cidr\": \"", "\"}"),
        Format::Feodo => {
            let mut out = "first_seen_utc,dst_ip\n".to_owned();
            for net in nets {
                _ = writeln!(out, "\"2021-01-17 07:30:05\",\"{net}\"");
            }
            out
        }
        Format::Crowdsec => format!("[{}]", commas("{\"scope\":\"Range\",\"value\":\"", "\"}")),
        Format::Stix => format!(
            "{{\"type\":\"bundle\",\"objects\":[{}]}}",
            nets.iter()
                .map(|net| {
                    let version = if net.addr().is_ipv4() { 4 } else { 6 };
                    format!("{{\"type\":\"indicator\",\"pattern\":\"[ipv{version}-addr:value = '{net}']\"}}")
                })
                .collect::<Vec<_>>()
                .join(",")
        ),
        Format::Misp => format!(
            "{{\"Event\":{{\"Attribute\":[{}]}}}}",
            commas("{\"type\":\"ip-dst\",\"value\":\"", "\"}")
        ),
        Format::Nftables => format!("elements = {{ {} }}", commas("", " timeout 1h")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn every_format_reads_what_was_written(nets in proptest::collection::vec(net(), 1..40)) {
        let mut expected = nets.clone();
        expected.sort_unstable();
        expected.dedup();
        for (word, format, _) in Format::WORDS {
            let text = written(*format, &nets);
            let contents = read_as(*format, &text);
            let read: Vec<_> = contents.entries.iter().map(|entry| entry.net).collect();
            prop_assert_eq!(&read, &expected, "{}: {}", word, text);
            prop_assert_eq!(contents.repeated, nets.len() - expected.len());
            for entry in contents.entries.iter() {
                let line = text.lines().nth(entry.place.line as usize - 1).unwrap();
                let at = line.get(entry.place.column as usize - 1..).unwrap();
                prop_assert!(at.contains(&entry.net.to_string()), "{word}: {} is not at {:?}", entry.net, entry.place);
            }
        }
    }

    #[test]
    fn range_is_read_as_the_addresses_from_first_to_last(
        first in any::<u32>(), length in 0_u32..100_000, probe in any::<u32>(), near in 0_u32..120_000,
    ) {
        let last = first.saturating_add(length);
        let text = format!("{}-{}", std::net::Ipv4Addr::from(first), std::net::Ipv4Addr::from(last));
        for (format, text) in [
            (Format::Plain, text.clone()),
            (Format::Nftables, format!("elements = {{ {text} }}")),
        ] {
            let contents = read_as(format, &text);
            for address in [probe, first, last, first.wrapping_sub(1), last.wrapping_add(1), first.wrapping_add(near)] {
                let is_in = (first..=last).contains(&address);
                let found = contents.entries.find(std::net::Ipv4Addr::from(address).into());
                prop_assert_eq!(found.is_some(), is_in);
            }
        }
    }

    #[test]
    fn find_agrees_with_a_plain_scan(
        nets in proptest::collection::vec(net(), 1..60), probes in proptest::collection::vec(net(), 20),
    ) {
        let entries = read_as(Format::Plain, &written(Format::Plain, &nets)).entries;
        for address in probes.iter().chain(&nets).map(IpNet::addr) {
            let holding = nets.iter().filter(|net| net.contains(&address));
            let longest = holding.max_by_key(|net| net.prefix_len()).copied();
            prop_assert_eq!(entries.find(address).map(|entry| entry.net), longest);
        }
    }
}
