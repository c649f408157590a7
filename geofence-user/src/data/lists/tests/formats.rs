//! The entries of each format, and the faults it reports.

use super::samples::*;
use crate::model::list::Format;

#[test]
fn plain_format_gives_one_entry_a_line() {
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

#[test]
fn firehol_format_is_refused_with_fewer_entries_than_promised() {
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
    // Sets that aggregate count differently, and more entries than promised are not a loss.
    let more = NETSET.replace("2 subnets", "1 subnets");
    assert_eq!(entries(&read_as(Format::Netset, &more)).len(), 2);
}

#[test]
fn ipset_format_reads_saved_commands() {
    let text = "create bad hash:net family inet maxelem 65536 timeout 0\n\
                add bad 5.9.0.1 timeout 90 packets 1 bytes 60 comment \"a # b\"\n\
                add bad 5.9.1.0/24\nadd bad 5.9.2.0/24 timeout 0\n";
    let expected = ["5.9.0.1/32@2:9+90", "5.9.1.0/24@3:9", "5.9.2.0/24@4:9"];
    assert_eq!(entries(&read_as(Format::Ipset, text)), expected);
    let said = refusal(Format::Ipset, "add bad 5.9.0.0/16 nomatch");
    assert!(said.contains("line 1, column 20: `nomatch`"), "{said}");
}

#[test]
fn spamhaus_formats_give_every_record() {
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

#[test]
fn feodo_format_gives_the_address_column() {
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
        said.contains("line 7: `c2.example` is not an address or prefix"),
        "{said}"
    );
}

#[test]
fn crowdsec_format_gives_bans_of_addresses() {
    let contents = read_as(Format::Crowdsec, CROWDSEC);
    let expected = [
        "5.9.0.1/32@2:74+14398".to_owned(),
        format!("5.9.0.9/32@4:43{:+}", 1 - NOW.0 as i64),
        "5.9.1.0/24@3:46+3600".to_owned(),
        "2a01:4f8::1/128@8:58".to_owned(),
    ];
    assert_eq!(entries(&contents), expected);
    let expected = [
        ("decisions about something other than addresses", 1),
        ("decisions other than bans", 1),
        ("simulated decisions", 1),
    ];
    assert_eq!(skipped(&contents), expected);
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
        said.contains("`soon` does not say when the ban ends"),
        "{said}"
    );
}

#[test]
fn stix_format_gives_valid_indicators_of_addresses() {
    let contents = read_as(Format::Stix, STIX);
    let expected = [
        "5.9.0.1/32@3:82+3600",
        "5.9.1.0/24@6:14",
        "2a01:4f8::1/128@6:14",
    ];
    assert_eq!(entries(&contents), expected);
    assert_eq!(contents.skipped.values().sum::<usize>(), 5);
    assert_eq!(contents.skipped.len(), 5);
    let said = refusal(Format::Stix, STIX.replace("5.9.0.1'", "5.9.0.256'"));
    assert!(
        said.contains("line 3, column 82: `5.9.0.256` is not an address"),
        "{said}"
    );
}

#[test]
fn stix_objects_of_one_id_count_as_their_latest_version_says() {
    let object = |id: &str, address: &str, modified: &str, revoked: bool| {
        format!(
            r#"{{"type": "indicator", "id": "indicator--{id}", "pattern_type": "stix", "revoked": {revoked},
              "modified": "{modified}", "pattern": "[ipv4-addr:value = '{address}']"}}"#
        )
    };
    let objects = [
        object("1", "5.9.0.1", "2026-02-01T00:00:00Z", true),
        object("1", "5.9.0.1", "2026-01-01T00:00:00Z", false),
        object("2", "5.9.0.2", "2026-01-01T00:00:00Z", false),
        object("2", "5.9.0.3", "2026-01-01T00:00:00.5Z", false),
    ];
    let contents = read_as(
        Format::Stix,
        &format!(r#"{{"objects": [{}]}}"#, objects.join(",")),
    );
    let nets: Vec<_> = contents
        .entries
        .iter()
        .map(|one| one.net.to_string())
        .collect();
    assert_eq!(nets, ["5.9.0.3/32"]);
    assert_eq!(contents.skipped["earlier versions of objects"], 2);
    assert_eq!(contents.skipped["revoked indicators"], 1);
}

#[test]
fn misp_format_gives_attributes_for_detection() {
    let contents = read_as(Format::Misp, MISP);
    let expected = [
        "5.9.0.1/32@2:79",
        "5.9.0.4/32@6:36",
        "5.9.0.5/32@7:34",
        "5.9.1.0/24@3:47",
        "2a01:4f8::1/128@10:70",
        "2a01:4f8::2/128@8:36",
    ];
    assert_eq!(entries(&contents), expected);
    assert_eq!(contents.skipped.values().sum::<usize>(), 3);
    let search = r#"{"response": {"Attribute": [{"type": "ip-dst", "value": "5.9.0.1"}]}}"#;
    let events = format!(r#"{{"response": [{MISP}]}}"#);
    for (text, count) in [(search, 1), (events.as_str(), 6), (&format!("[{MISP}]"), 6)] {
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
        said.contains("line 10, column 70: `x2a01:4f8::1` is not an address"),
        "{said}"
    );
}

#[test]
fn nftables_format_gives_the_elements_of_address_sets() {
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
    let foreign = [("elements of sets that do not hold addresses", 5)];
    assert_eq!(skipped(&contents), foreign);
    for (text, said) in [
        (
            "elements = { 5.9.0.1 : drop }",
            "line 1, column 22: `5.9.0.1` is only a part",
        ),
        ("elements = { 5.9.0.1 . 80 }", "only a part"),
        (
            "elements = { $bad }",
            "`$bad` is a reference to something defined elsewhere",
        ),
        (
            "elements = { 5.9.0.1 timeout soon }",
            "after `timeout` there is `soon`",
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
        ("table inet filter { }", "it has no set elements"),
    ] {
        let refused = refusal(Format::Nftables, text);
        assert!(refused.contains(said), "{text}: {refused}");
    }
}
