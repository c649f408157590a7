//! Which lists the sanity check rejects.

use super::samples::*;
use crate::data::lists::LocalAddresses;
use crate::data::lists::sanity::{SanityProblem, problems};
use crate::model::list::Format;
use crate::model::listing::Entries;

#[test]
fn sanity_check_names_every_problem() {
    let found = |text: &str, former| {
        let entries = read_as(Format::Plain, text).entries;
        let problems = problems(&entries, former, &local());
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    };
    for (text, former, said) in [
        ("# nothing", None, "it has no addresses"),
        ("5.9.0.1", Some(1), ""),
        (
            "5.9.0.1\n2a01:4f8::/64",
            None,
            "line 2: 2a01:4f8::/64 contains 2a01:4f8::7, an address of this machine",
        ),
        (
            "5.9.0.1\n10.0.0.0/8",
            None,
            "line 2: 10.0.0.0/8 overlaps special-use space (10.0.0.0/8)",
        ),
        (
            "192.168.1.1",
            None,
            "192.168.1.1/32 overlaps special-use space (192.168.0.0/16)",
        ),
        ("0.0.0.0/0", None, "special-use space"),
        ("::/0", None, "special-use space"),
        ("100.0.0.0/8", None, "(100.64.0.0/10)"),
        ("fe80::1", None, "(fe80::/10)"),
        ("::ffff:0:0/95", None, "special-use space"),
        // Space that embeds IPv4 addresses is ordinary space.
        ("2002:509::/32", None, ""),
        (
            "9.9.9.9",
            None,
            "line 1: 9.9.9.9/32 overlaps 9.9.0.0/16, which this machine is managed from (`management`)",
        ),
        ("9.0.0.0/8", None, "managed from"),
        (
            "8.8.4.0/24",
            None,
            "8.8.4.0/24 contains 8.8.4.4, an address of this machine",
        ),
        ("8.8.4.5\n8.8.4.3\n9.8.0.0/16\n9.10.0.0/16", None, ""),
    ] {
        let problems = found(text, former);
        assert!(
            problems.contains(said) && problems.is_empty() == said.is_empty(),
            "{text}: {problems}"
        );
    }
    assert_eq!(found(&lines(99), Some(10)), "");
    assert_eq!(
        found(&lines(100), Some(10)),
        "it has 100 entries, at least ten times as many as before (10)"
    );
    let all = found("10.0.0.0/8\n9.0.0.0/8\n8.0.0.0/8", Some(0));
    assert_eq!(all.matches("; ").count(), 2, "{all}");
}

#[test]
fn overlap_is_found_wherever_the_prefix_begins() {
    let entries = read_as(Format::Plain, "5.9.0.0/16\n5.9.1.0/24\n5.11.0.1").entries;
    for (net, found) in [
        ("5.9.1.0/32", Some("5.9.1.0/24")),
        ("5.9.1.0/24", Some("5.9.1.0/24")),
        ("5.9.255.0/24", Some("5.9.0.0/16")),
        ("5.0.0.0/8", Some("5.9.0.0/16")),
        ("5.10.0.0/15", Some("5.11.0.1/32")),
        ("5.11.0.0/32", None),
        ("5.11.0.2/31", None),
        ("5.10.0.0/16", None),
        ("::/0", None),
    ] {
        let entry = entries.overlapping(net.parse().unwrap());
        assert_eq!(
            entry.map(|entry| entry.net.to_string()).as_deref(),
            found,
            "{net}"
        );
    }
}

#[test]
fn this_machine_has_a_loopback_address() {
    let here = LocalAddresses::of_this_machine(&[]);
    assert!(
        here.own.iter().any(std::net::IpAddr::is_loopback),
        "{here:?}"
    );
    let empty = problems(&Entries::default(), None, &here);
    assert_eq!(empty, [SanityProblem::Empty]);
}
