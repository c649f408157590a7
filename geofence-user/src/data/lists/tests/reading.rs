//! What texts are refused for, which format they have, and how entries are found.

use super::samples::*;
use crate::model::list::Format;
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;

#[test]
fn bytes_that_are_not_a_list_are_named() {
    for (bytes, said) in [
        (&b""[..], "x.list: it is empty; check that its source"),
        (b" \n\t\n", "it is empty"),
        (b"\xef\xbb\xbf\n", "it is empty"),
        (
            b"\n<!DOCTYPE html><HTML><body>5.9.0.1",
            "this is a web page (HTML)",
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
        for (word, format, _) in Format::WORDS {
            let refused = refusal(*format, bytes);
            assert!(refused.contains(said), "{word}: {refused}");
        }
    }
}

#[test]
fn comments_alone_are_a_plain_list_without_entries() {
    let read = read_as(Format::Auto, "# nothing left\n\n");
    assert_eq!((read.format, read.entries.len()), (Some(Format::Plain), 0));
    assert!(!read.is_whole);
}

#[test]
fn fault_names_its_line_and_a_way_out() {
    for (text, said) in [
        (
            "5.9.0.1\n5.9.0\n",
            "x.list, line 2: `5.9.0` is not an address or prefix; did you mean \"5.9.0.0/24\"?",
        ),
        (
            "5.9.0.1/33",
            "line 1: `5.9.0.1/33` is not an address or prefix; a length is a number from 0 to 32",
        ),
        ("5.9.0.1/+8", "a length is a number"),
        ("5.9.0.01", "did you mean \"5.9.0.1/32\"?"),
        ("a.example", "names are not looked up"),
        (
            "5.9.0.1 5.9.0.2",
            "line 1, column 9: after `5.9.0.1` there is `5.9.0.2`; a line has one",
        ),
        ("5.9.0.1-2a01::1", "its ends are of two families"),
        ("5.9.0.1-20", "its ends are not addresses; write both ends"),
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
fn auto_format_is_detected_by_its_signature_or_refused() {
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
fn address_is_found_by_its_longest_prefix() {
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
fn last_to_expire_of_equal_entries_is_kept() {
    let text = "add x 5.9.0.1 timeout 5\nadd x 5.9.0.1 timeout 50\nadd x 5.9.0.2 timeout 5\nadd x 5.9.0.2\n";
    let contents = read_as(Format::Ipset, text);
    assert_eq!(entries(&contents), ["5.9.0.1/32@2:7+50", "5.9.0.2/32@4:7"]);
    assert_eq!(
        contents.entries.next_expiry(),
        Some(UnixSeconds(NOW.0 + 50))
    );
}
