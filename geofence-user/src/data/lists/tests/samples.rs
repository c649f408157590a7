//! One text in each format, and how the tests read texts.

use crate::data::lists::{Contents, LocalAddresses, read};
use crate::model::list::Format;
use crate::model::listing::{Entry, Place};
use crate::model::units::UnixSeconds;

/// The time of every test: 2026-01-01.
pub(super) const NOW: UnixSeconds = UnixSeconds(1_767_225_600);

pub(super) fn read_as(format: Format, text: &str) -> Contents {
    read(text.as_bytes(), format, "x.list", NOW).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// Entries as `prefix@line:column`, with `+seconds` from now for those that expire, in order of address.
pub(super) fn entries(contents: &Contents) -> Vec<String> {
    let one = |entry: &Entry| {
        let Place { line, column } = entry.place;
        let expires = entry.expires.map_or(String::new(), |expires| {
            format!("{:+}", i64::from(expires.get()) - NOW.0 as i64)
        });
        format!("{}@{line}:{column}{expires}", entry.net)
    };
    contents.entries.iter().map(one).collect()
}

pub(super) fn skipped(contents: &Contents) -> Vec<(&'static str, usize)> {
    contents.skipped.clone().into_iter().collect()
}

pub(super) fn refusal(format: Format, text: impl AsRef<[u8]>) -> String {
    read(text.as_ref(), format, "x.list", NOW)
        .expect_err("a list was read")
        .to_string()
}

pub(super) const PLAIN: &str = "\
# one a line
5.9.0.1
5.9.1.0/24   ; a comment
 2a01:4f8::/32 // another
5.9.2.77/24
5.9.3.0 - 5.9.3.5
::ffff:5.9.4.1
5.9.0.1#again
";

pub(super) const NETSET: &str = "\
#
# some_level1
#
# ipv4 hash:net ipset
#
# Entries         : 2 subnets, 257 unique IPs
#
5.9.1.0/24
5.9.0.1
";

pub(super) const SPAMHAUS: &str = "\
; Spamhaus DROP List 2026/01/01
; Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT
1.10.16.0/20 ; SBL256894
2a06:e480::/29 ; SBL301771
";

pub(super) const SPAMHAUS_JSON: &str = r#"{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}
{"cidr":"2a06:e480::/29","sblid":"SBL301771","rir":"ripencc"}
{"type":"metadata","timestamp":1767225600,"size":110,"records":2,"copyright":"(c)"}
"#;

pub(super) const FEODO: &str = "\
################################################################
# Botnet C2 IP Blocklist (CSV)                                 #
################################################################
#
\"first_seen_utc\",\"dst_ip\",\"dst_port\",\"c2_status\",\"last_online\",\"malware\"
\"2021-01-17 07:30:05\",\"67.213.75.205\",\"443\",\"offline\",\"2025-12-31\",\"Dridex\"
\"2022-06-04 21:22:53\",\"51.178.161.32\",\"4643\",\"online\",\"2026-01-01\",\"a, b\"
# END 2 entries
";

pub(super) const CROWDSEC: &str = r#"[
  {"id": 1, "origin": "crowdsec", "scope": "Ip", "type": "ban", "value": "5.9.0.1", "duration": "3h59m58.7s"},
  {"scope": "Range", "type": "ban", "value": "5.9.1.0/24", "until": "2026-01-01T02:00:00+01:00"},
  {"scope": "Ip", "type": "ban", "value": "5.9.0.9", "duration": "-12m"},
  {"scope": "Country", "type": "ban", "value": "AQ"},
  {"scope": "Ip", "type": "captcha", "value": "5.9.0.3"},
  {"scope": "Ip", "type": "ban", "value": "5.9.0.4", "simulated": true},
  {"decisions": [{"scope": "ip", "type": "ban", "value": "2a01:4f8::1"}], "scenario": "ssh"}
]"#;

pub(super) const STIX: &str = r#"{"type": "bundle", "id": "bundle--1", "objects": [
 {"type": "identity", "name": "vendor"},
 {"type": "indicator", "spec_version": "2.1", "pattern_type": "stix", "pattern": "[ipv4-addr:value = '5.9.0.1']",
  "valid_from": "2025-01-01T00:00:00Z", "valid_until": "2026-01-01T01:00:00.000Z"},
 {"type": "indicator", "pattern_type": "stix", "valid_from": "2025-01-01T00:00:00Z",
  "pattern": "[ipv6-addr:value = '2a01:4f8::1' OR ipv4-addr:value = '5.9.1.0/24']"},
 {"type": "indicator", "pattern_type": "stix", "pattern": "[domain-name:value = 'a.example']"},
 {"type": "indicator", "pattern_type": "snort", "pattern": "alert ip any any"},
 {"type": "indicator", "pattern_type": "stix", "pattern": "[ipv4-addr:value = '5.9.0.2']", "revoked": true},
 {"type": "indicator", "pattern_type": "stix", "pattern": "[ipv4-addr:value = '5.9.0.3']",
  "valid_from": "2027-01-01T00:00:00Z"},
 {"type": "indicator", "pattern": "[ipv4-addr:value = '5.9.0.4' AND ipv4-addr:value = '5.9.0.5']"}
]}"#;

pub(super) const MISP: &str = r#"{"Event": {"info": "a case", "Attribute": [
  {"type": "ip-dst", "category": "Network activity", "to_ids": true, "value": "5.9.0.1"},
  {"type": "ip-src", "to_ids": true, "value": "5.9.1.0/24"},
  {"type": "ip-src", "to_ids": false, "value": "5.9.0.2"},
  {"type": "ip-dst", "deleted": true, "value": "5.9.0.3"},
  {"type": "ip-dst|port", "value": "5.9.0.4|443"},
  {"type": "domain|ip", "value": "a.example|5.9.0.5"},
  {"type": "ip-src|port", "value": "2a01:4f8::2|53"},
  {"type": "domain", "value": "a.example"}],
 "Object": [{"name": "c2", "Attribute": [{"type": "ip-dst", "value": "2a01:4f8::1"}]}]}}"#;

pub(super) const NFTABLES: &str = r#"table inet filter { # made by hand
	set bad4 {
		type ipv4_addr
		flags interval,timeout
		counter
		elements = { 5.9.0.1 timeout 1h expires 30m comment "a, } b", 5.9.1.0/24 counter packets 0 bytes 0,
			     5.9.3.0-5.9.3.5 }
	}
	set ports { type inet_service; elements = { 22, 80 } }
	set bad6 {
		typeof ip6 saddr
		elements = { 2a01:4f8::/32 timeout 1d2h }
	}
	chain input { type filter hook input priority 0; policy accept; ip saddr @bad4 drop }
}
add element inet filter bad4 { 5.9.4.1 }
define WORSE = { 5.9.5.1,
                 5.9.5.2 }
define PORTS = { 25, 587 }
define ONE = 5.9.6.1
delete element inet filter bad4 { 5.9.7.1 }
"#;

/// A machine with two addresses, managed from one prefix.
pub(super) fn local() -> LocalAddresses {
    LocalAddresses {
        management: vec!["9.9.0.0/16".parse().unwrap()],
        own: vec!["8.8.4.4".parse().unwrap(), "2a01:4f8::7".parse().unwrap()],
        traffic: None,
    }
}

/// This many addresses, one a line.
pub(super) fn lines(count: u32) -> String {
    (0..count)
        .map(|number| format!("{}\n", std::net::Ipv4Addr::from(0x0509_0000 + 2 * number)))
        .collect()
}
