//! What each format reads, and what it says about what it does not.

mod damaged;
mod fetched;
mod kept;
mod written;

use super::*;

/// The time of every test: 2026-01-01.
const NOW: u64 = 1_767_225_600;

fn read_as(format: Format, text: &str) -> Contents {
    read(text.as_bytes(), format, "x.list", NOW).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// Entries as `prefix@line:column`, with `+seconds` from now for those that lapse, in order of address.
fn entries(contents: &Contents) -> Vec<String> {
    let one = |entry: &Entry| {
        let Place { line, column } = entry.place;
        let expires = entry.expires.map_or(String::new(), |expires| {
            format!("{:+}", i64::from(expires.get()) - NOW as i64)
        });
        format!("{}@{line}:{column}{expires}", entry.net)
    };
    contents.entries.iter().map(one).collect()
}

fn passed_over(contents: &Contents) -> Vec<(&'static str, usize)> {
    contents.passed_over.clone().into_iter().collect()
}

fn refusal(format: Format, text: impl AsRef<[u8]>) -> String {
    read(text.as_ref(), format, "x.list", NOW)
        .expect_err("a list was read")
        .to_string()
}

const PLAIN: &str = "\
# one a line
5.9.0.1
5.9.1.0/24   ; a comment
 2a01:4f8::/32 // another
5.9.2.77/24
5.9.3.0 - 5.9.3.5
::ffff:5.9.4.1
5.9.0.1#again
";

#[test]
fn plain_lines() {
    let contents = read_as(Format::Plain, PLAIN);
    let expected = [
        "5.9.0.1/32@2:1",
        "5.9.1.0/24@3:1",
        "5.9.2.0/24@5:1",
        "5.9.3.0/30@6:1",
        "5.9.3.4/31@6:1",
        "5.9.4.1/32@7:1",
        "2a01:4f8::/32@4:2",
    ];
    assert_eq!(entries(&contents), expected);
    assert_eq!(contents.repeated, 1);
}

const NETSET: &str = "\
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

#[test]
fn firehol_sets_with_as_many_entries_as_they_promise() {
    let both = ["5.9.0.1/32@9:1", "5.9.1.0/24@8:1"];
    assert_eq!(entries(&read_as(Format::Netset, NETSET)), both);
    let ipset = NETSET.replace("2 subnets, 257", "1,000");
    let said = refusal(Format::Ipset, &ipset);
    assert!(
        said.starts_with("x.list, line 6, column 21: its heading promises 1000 entries"),
        "{said}"
    );
    assert!(
        said.ends_with("and there are 2; it was cut short: fetch it again"),
        "{said}"
    );
    // Sets that aggregate count differently, and more than promised is no loss.
    let more = NETSET.replace("2 subnets", "1 subnets");
    assert_eq!(entries(&read_as(Format::Netset, &more)).len(), 2);
}

#[test]
fn saved_ipsets() {
    let text = "create bad hash:net family inet maxelem 65536 timeout 0\n\
                add bad 5.9.0.1 timeout 90 packets 1 bytes 60 comment \"a # b\"\n\
                add bad 5.9.1.0/24\nadd bad 5.9.2.0/24 timeout 0\n";
    let expected = ["5.9.0.1/32@2:9+90", "5.9.1.0/24@3:9", "5.9.2.0/24@4:9"];
    assert_eq!(entries(&read_as(Format::Ipset, text)), expected);
    let said = refusal(Format::Ipset, "add bad 5.9.0.0/16 nomatch");
    assert!(said.contains("line 1, column 20: `nomatch`"), "{said}");
}

const SPAMHAUS: &str = "\
; Spamhaus DROP List 2026/01/01
; Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT
1.10.16.0/20 ; SBL256894
2a06:e480::/29 ; SBL301771
";

const SPAMHAUS_JSON: &str = r#"{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}
{"cidr":"2a06:e480::/29","sblid":"SBL301771","rir":"ripencc"}
{"type":"metadata","timestamp":1767225600,"size":110,"records":2,"copyright":"(c)"}
"#;

#[test]
fn spamhaus_drop() {
    let expected = ["1.10.16.0/20@3:1", "2a06:e480::/29@4:1"];
    assert_eq!(entries(&read_as(Format::Spamhaus, SPAMHAUS)), expected);
    let contents = read_as(Format::SpamhausJson, SPAMHAUS_JSON);
    assert_eq!(
        entries(&contents),
        ["1.10.16.0/20@1:9", "2a06:e480::/29@2:9"]
    );
    let lost: String = SPAMHAUS_JSON
        .lines()
        .skip(1)
        .map(|line| format!("{line}\n"))
        .collect();
    let said = refusal(Format::SpamhausJson, lost);
    assert!(
        said.contains("line 2: the last line promises 2 records, and there are 1"),
        "{said}"
    );
    let said = refusal(Format::SpamhausJson, r#"{"asn":213,"rir":"ripencc"}"#);
    assert!(
        said.contains("use the lists drop_v4.json and drop_v6.json"),
        "{said}"
    );
}

const FEODO: &str = "\
################################################################
# Botnet C2 IP Blocklist (CSV)                                 #
################################################################
#
\"first_seen_utc\",\"dst_ip\",\"dst_port\",\"c2_status\",\"last_online\",\"malware\"
\"2021-01-17 07:30:05\",\"67.213.75.205\",\"443\",\"offline\",\"2025-12-31\",\"Dridex\"
\"2022-06-04 21:22:53\",\"51.178.161.32\",\"4643\",\"online\",\"2026-01-01\",\"a, b\"
# END 2 entries
";

#[test]
fn feodo_tracker() {
    let expected = ["51.178.161.32/32@7:1", "67.213.75.205/32@6:1"];
    assert_eq!(entries(&read_as(Format::Feodo, FEODO)), expected);
    let commented = FEODO
        .replace("\"first_seen_utc\"", "# first_seen_utc")
        .replace("\"dst_ip\"", "dst_ip");
    assert_eq!(entries(&read_as(Format::Feodo, &commented)), expected);
    let windows = FEODO.replace('\n', "\r\n");
    assert_eq!(entries(&read_as(Format::Feodo, &windows)), expected);
    let said = refusal(Format::Feodo, FEODO.replace("END 2", "END (28)"));
    assert!(
        said.contains("line 8: `# END (28) entries` promises more entries than the 2"),
        "{said}"
    );
    let said = refusal(Format::Feodo, "5.9.0.1\n");
    assert!(
        said.contains("line 1: there is no column `dst_ip`"),
        "{said}"
    );
    let said = refusal(Format::Feodo, FEODO.replace("51.178.161.32", "c2.example"));
    assert!(
        said.contains("line 7: `c2.example` is no address or prefix"),
        "{said}"
    );
}

const CROWDSEC: &str = r#"[
  {"id": 1, "origin": "crowdsec", "scope": "Ip", "type": "ban", "value": "5.9.0.1", "duration": "3h59m58.7s"},
  {"scope": "Range", "type": "ban", "value": "5.9.1.0/24", "until": "2026-01-01T02:00:00+01:00"},
  {"scope": "Ip", "type": "ban", "value": "5.9.0.9", "duration": "-12m"},
  {"scope": "Country", "type": "ban", "value": "AQ"},
  {"scope": "Ip", "type": "captcha", "value": "5.9.0.3"},
  {"scope": "Ip", "type": "ban", "value": "5.9.0.4", "simulated": true},
  {"decisions": [{"scope": "ip", "type": "ban", "value": "2a01:4f8::1"}], "scenario": "ssh"}
]"#;

#[test]
fn crowdsec_decisions() {
    let contents = read_as(Format::Crowdsec, CROWDSEC);
    let expected = [
        "5.9.0.1/32@2:74+14398".to_owned(),
        format!("5.9.0.9/32@4:43{:+}", 1 - NOW as i64),
        "5.9.1.0/24@3:46+3600".to_owned(),
        "2a01:4f8::1/128@8:58".to_owned(),
    ];
    assert_eq!(entries(&contents), expected);
    let skipped = [
        ("decisions about something else than addresses", 1),
        ("decisions other than bans", 1),
        ("simulated decisions", 1),
    ];
    assert_eq!(passed_over(&contents), skipped);
    for text in [
        r#"{"new": [{"value": "5.9.0.1", "scope": "Ip", "type": "ban"}], "deleted": [{"value": "5.9.0.2"}]}"#,
        r#"{"decisions": [{"value": "5.9.0.1"}]}"#,
    ] {
        let contents = read_as(Format::Crowdsec, text);
        assert_eq!(contents.entries.len(), 1, "{text}");
    }
    assert!(read_as(Format::Crowdsec, "null").entries.is_empty());
    let said = refusal(
        Format::Crowdsec,
        r#"[{"value": "5.9.0.1", "duration": "soon"}]"#,
    );
    assert!(
        said.contains("`soon` says nothing about when the ban ends"),
        "{said}"
    );
}

const STIX: &str = r#"{"type": "bundle", "id": "bundle--1", "objects": [
 {"type": "identity", "name": "somebody"},
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

#[test]
fn stix_indicators() {
    let contents = read_as(Format::Stix, STIX);
    let expected = [
        "5.9.0.1/32@3:82+3600",
        "5.9.1.0/24@6:14",
        "2a01:4f8::1/128@6:14",
    ];
    assert_eq!(entries(&contents), expected);
    assert_eq!(contents.passed_over.values().sum::<usize>(), 5);
    assert_eq!(contents.passed_over.len(), 5);
    let said = refusal(Format::Stix, STIX.replace("5.9.0.1'", "5.9.0.256'"));
    assert!(
        said.contains("line 3, column 82: `5.9.0.256` is no address"),
        "{said}"
    );
}

const MISP: &str = r#"{"Event": {"info": "a case", "Attribute": [
  {"type": "ip-dst", "category": "Network activity", "to_ids": true, "value": "5.9.0.1"},
  {"type": "ip-src", "to_ids": true, "value": "5.9.1.0/24"},
  {"type": "ip-src", "to_ids": false, "value": "5.9.0.2"},
  {"type": "ip-dst", "deleted": true, "value": "5.9.0.3"},
  {"type": "ip-dst|port", "value": "5.9.0.4|443"},
  {"type": "domain", "value": "a.example"}],
 "Object": [{"name": "c2", "Attribute": [{"type": "ip-dst", "value": "2a01:4f8::1"}]}]}}"#;

#[test]
fn misp_attributes() {
    let contents = read_as(Format::Misp, MISP);
    let expected = ["5.9.0.1/32@2:79", "5.9.1.0/24@3:47", "2a01:4f8::1/128@8:70"];
    assert_eq!(entries(&contents), expected);
    assert_eq!(contents.passed_over.values().sum::<usize>(), 4);
    let search = r#"{"response": {"Attribute": [{"type": "ip-dst", "value": "5.9.0.1"}]}}"#;
    let events = format!(r#"{{"response": [{MISP}]}}"#);
    for (text, count) in [(search, 1), (events.as_str(), 3), (&format!("[{MISP}]"), 3)] {
        assert_eq!(read_as(Format::Misp, text).entries.len(), count, "{text}");
    }
    let said = refusal(
        Format::Misp,
        MISP.replace(
            "\"ip-dst\", \"value\": \"2a",
            "\"ip-dst\", \"value\": \"x2a",
        ),
    );
    assert!(
        said.contains("line 8, column 70: `x2a01:4f8::1` is no address"),
        "{said}"
    );
}

const NFTABLES: &str = r#"table inet filter { # made by hand
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

#[test]
fn nftables_sets() {
    let contents = read_as(Format::Nftables, NFTABLES);
    let expected = [
        "5.9.0.1/32@6:16+1800",
        "5.9.1.0/24@6:65",
        "5.9.3.0/30@7:9",
        "5.9.3.4/31@7:9",
        "5.9.4.1/32@16:32",
        "5.9.5.1/32@17:18",
        "5.9.5.2/32@18:18",
        "2a01:4f8::/32@12:16+93600",
    ];
    assert_eq!(entries(&contents), expected);
    let foreign = [("elements of sets of something else than addresses", 5)];
    assert_eq!(passed_over(&contents), foreign);
    for (text, said) in [
        (
            "elements = { 5.9.0.1 : drop }",
            "line 1, column 22: `5.9.0.1` is only a part",
        ),
        ("elements = { 5.9.0.1 . 80 }", "only a part"),
        (
            "elements = { $bad }",
            "`$bad` stands for something defined elsewhere",
        ),
        (
            "elements = { 5.9.0.1 timeout soon }",
            "behind `timeout` there is `soon`",
        ),
        (
            "elements = { 5.9.0.1, 5.9.0.2",
            "do not end; fetch it again",
        ),
        (
            "elements = { 5.9.0.9-5.9.0.1 }",
            "did you mean 5.9.0.1-5.9.0.9?",
        ),
        ("include \"more.nft\"", "`include` names another file"),
        (
            "table inet filter { }",
            "there are no elements of a set in it",
        ),
    ] {
        let refused = refusal(Format::Nftables, text);
        assert!(refused.contains(said), "{text}: {refused}");
    }
}

#[test]
fn what_is_no_list_is_called_what_it_is() {
    for (bytes, said) in [
        (&b""[..], "x.list: it is empty; check that its source"),
        (b" \n\t\n", "it is empty"),
        (b"\xef\xbb\xbf\n", "it is empty"),
        (
            b"\n<!DOCTYPE html><HTML><body>5.9.0.1",
            "this is a page for people (HTML)",
        ),
        (b"<?xml version='1.0'?><Error/>", "HTML or XML"),
        (
            b"\x1f\x8b\x08\0\0",
            "packed with gzip; unpack it first, with `gunzip FILE`",
        ),
        (b"PK\x03\x04", "packed with zip"),
        (b"\x28\xb5\x2f\xfd\0", "packed with zstd"),
        (b"\xff\xfe5\0.\0", "UTF-16"),
        (b"5.9.0.1\0", "zero bytes"),
    ] {
        for (word, format, _) in <Format as crate::model::word::Word>::WORDS {
            let refused = refusal(*format, bytes);
            assert!(refused.contains(said), "{word}: {refused}");
        }
    }
}

#[test]
fn every_fault_names_its_line_and_the_way_out() {
    for (text, said) in [
        (
            "5.9.0.1\n5.9.0\n",
            "x.list, line 2: `5.9.0` is no address or prefix; did you mean \"5.9.0.0/24\"?",
        ),
        (
            "5.9.0.1/33",
            "line 1: `5.9.0.1/33` is no address or prefix; a length is a number from 0 to 32",
        ),
        ("5.9.0.1/+8", "a length is a number"),
        ("5.9.0.01", "did you mean \"5.9.0.1/32\"?"),
        ("a.example", "names are not looked up"),
        (
            "5.9.0.1 5.9.0.2",
            "line 1, column 9: behind `5.9.0.1` there is `5.9.0.2`; a line has one",
        ),
        ("5.9.0.1-2a01::1", "its ends are of two families"),
        ("5.9.0.1-20", "its ends are no addresses; write both ends"),
    ] {
        let refused = refusal(Format::Plain, text);
        assert!(refused.contains(said), "{text}: {refused}");
    }
    let many = "nonsense\n".repeat(1000);
    let refused = refusal(Format::Plain, &many);
    assert_eq!(refused.lines().count(), 6, "{refused}");
    assert!(refused.ends_with("and at least 95 more"), "{refused}");
}

#[test]
fn a_format_is_known_by_its_marks_or_asked_for() {
    for (text, format) in [
        (PLAIN, Format::Plain),
        (NETSET, Format::Netset),
        ("create bad hash:net\nadd bad 5.9.0.1\n", Format::Ipset),
        (SPAMHAUS, Format::Spamhaus),
        (SPAMHAUS_JSON, Format::SpamhausJson),
        (FEODO, Format::Feodo),
        (CROWDSEC, Format::Crowdsec),
        (STIX, Format::Stix),
        (MISP, Format::Misp),
        (NFTABLES, Format::Nftables),
        ("add element inet filter bad { 5.9.0.1 }", Format::Nftables),
    ] {
        let detected = read_as(Format::Auto, text);
        assert_eq!(detected.format, Some(format), "{text}");
        assert_eq!(detected, read_as(format, text), "{text}");
    }
    let said = refusal(Format::Auto, "hello, world");
    assert!(
        said.contains("name its format in the configuration"),
        "{said}"
    );
    let said = refusal(Format::Auto, r#"{"type": "bundle", "decisions": []}"#);
    assert!(
        said.contains("it could be crowdsec or stix; name its format"),
        "{said}"
    );
}

#[test]
fn an_address_is_found_by_its_longest_prefix() {
    let text = "5.9.0.0/16\n5.9.1.0/24\n5.9.1.7\n2a01:4f8::/32\n";
    let contents = read_as(Format::Plain, text);
    let find = |address: &str| {
        let found = contents.entries.find(address.parse().unwrap());
        found.map(|entry| entry.place.line)
    };
    for (address, line) in [
        ("5.9.1.7", Some(3)),
        ("5.9.1.8", Some(2)),
        ("5.9.2.1", Some(1)),
        ("5.10.0.0", None),
        ("2a01:4f8:1::1", Some(4)),
        ("::5.9.1.7", None),
    ] {
        assert_eq!(find(address), line, "{address}");
    }
}

#[test]
fn of_equal_entries_the_one_that_lasts_longest_is_kept() {
    let text = "add x 5.9.0.1 timeout 5\nadd x 5.9.0.1 timeout 50\nadd x 5.9.0.2 timeout 5\nadd x 5.9.0.2\n";
    let contents = read_as(Format::Ipset, text);
    assert_eq!(entries(&contents), ["5.9.0.1/32@2:7+50", "5.9.0.2/32@4:7"]);
    assert_eq!(contents.entries.next_expiry(), Some(NOW + 50));
}
