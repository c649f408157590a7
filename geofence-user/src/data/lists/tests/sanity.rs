//! Which lists the sanity check rejects.

use geofence_common::country::Country;

use super::samples::*;
use crate::data::lists::check::read_checked;
use crate::data::lists::extent;
use crate::data::lists::read::read_at_most;
use crate::data::lists::sanity::{SanityProblem, problems};
use crate::data::lists::special_use::without_special_use;
use crate::data::lists::{LocalAddresses, Traffic};
use crate::model::list::{Action, Api, Definition, Direction, Format, Source, SpecialUseEntries};
use crate::model::listing::Entries;
use crate::model::secret::Access;
use crate::model::units::UnixSeconds;

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

fn with(special_use: SpecialUseEntries, max_share: Option<u8>) -> Definition {
    Definition {
        name: "bad".to_owned(),
        source: Source::File("list".into()),
        format: Format::Plain,
        action: Action::Block,
        direction: Direction::Both,
        expires: None,
        special_use,
        max_share,
        api: Api::None,
        access: Access::default(),
    }
}

#[test]
fn list_that_covers_much_of_the_internet_is_refused_with_the_line_that_accepts_it() {
    let found = |text: &str, max_share| {
        let entries = read_as(Format::Plain, text).entries;
        let problems = extent::problems(&with(SpecialUseEntries::Refuse, max_share), &entries);
        problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ")
    };
    let all: Vec<String> = (1..224)
        .filter(|first| ![10, 127].contains(first))
        .map(|first| format!("{first}.0.0.0/8"))
        .collect();
    let all = all.join("\n");
    let said = found(&all, None);
    assert!(said.contains("of the public IPv4 addresses"), "{said}");
    assert!(said.contains("max-share = 100"), "{said}");
    assert!(found(&all, Some(99)).contains("the limit is 99 %"));
    assert_eq!(found(&all, Some(100)), "");
    // Prefixes inside others count once, and many small ones little.
    assert_eq!(found(&lines(200), None), "");
    assert_eq!(
        found("60.0.0.0/6\n60.0.0.0/8\n61.0.0.0/8\n62.0.0.0/8", None),
        ""
    );
    assert!(found("2000::/4", None).contains("of the public IPv6 addresses"));
    // Of what registries have, and not of all that they may get.
    assert!(found("2a00::/12", None).contains("13 % of the public IPv6 addresses"));
    assert_eq!(found("2a00::/16", None), "");
    // One entry that is out of place is named.
    let wide = format!("{}\n60.0.0.0/7", lines(20));
    let said = found(&wide, None);
    assert!(said.contains("60.0.0.0/7 covers far more"), "{said}");
    assert!(said.contains("max-share = 1"), "{said}");
    assert_eq!(found(&wide, Some(1)), "");
}

#[test]
fn entries_in_special_use_space_are_left_out_and_counted_if_the_list_says_so() {
    let read = || {
        read_as(
            Format::Plain,
            "5.9.0.1\n10.0.0.0/8\n224.0.0.0/3\n100.0.0.0/8\nfe80::1",
        )
    };
    let kept = |word| {
        let contents = without_special_use(&with(word, None), read());
        (contents.entries.len(), skipped(&contents))
    };
    assert_eq!(kept(SpecialUseEntries::Refuse), (5, vec![]));
    let expected = vec![("entries in special-use space", 3)];
    assert_eq!(kept(SpecialUseEntries::Skip), (2, expected));
}

#[test]
fn reading_stops_where_the_check_would_reject_the_number_of_entries() {
    let text = lines(1000);
    let error = read_at_most(text.as_bytes(), Format::Plain, "x.list", NOW, Some(200)).unwrap_err();
    assert_eq!(error.to_string(), "x.list: it has more than 200 entries");
    let all = read_at_most(text.as_bytes(), Format::Plain, "x.list", NOW, Some(1000));
    assert_eq!(all.unwrap().entries.len(), 1000);
}

#[test]
fn list_that_would_drop_much_of_what_passes_is_refused_with_the_line_that_accepts_it() {
    let country = |code: &[u8; 2]| Country::from_code(*code).unwrap();
    let [germany, france, unknown] = [country(b"DE"), country(b"FR"), Country::UNKNOWN];
    let v4 = |text: &str| u128::from(text.parse::<std::net::Ipv4Addr>().unwrap().to_bits()) << 96;
    let mut traffic = Traffic {
        passed: [(germany, 60_000), (france, 40_000)].into(),
        ranges: [
            vec![
                (0, unknown),
                (v4("5.0.0.0"), germany),
                (v4("5.0.4.0"), france),
                (v4("5.0.8.0"), unknown),
            ],
            vec![(0, unknown)],
        ],
    };
    let found = |traffic: &Traffic, text: &str, max_share| {
        let definition = with(SpecialUseEntries::Refuse, max_share);
        let local = LocalAddresses {
            traffic: Some(traffic.clone()),
            ..LocalAddresses::default()
        };
        read_checked(
            &definition,
            text.as_bytes(),
            UnixSeconds(0),
            None,
            &local,
            false,
        )
        .map_or_else(|why| why, |_| String::new())
    };
    // A quarter of Germany's addresses, though nothing of the internet's.
    let quarter = "5.0.1.0/24\n5.0.1.7";
    let said = found(&traffic, quarter, None);
    assert!(
        said.contains("about 15 % of the packets that pass now, most of them from Germany (DE)"),
        "{said}"
    );
    assert!(said.contains("max-share = 15\n"), "{said}");
    assert_eq!(found(&traffic, quarter, Some(15)), "");
    assert_eq!(found(&traffic, "5.0.5.0/24", None), "", "a tenth passes");
    let both = found(&traffic, "5.0.2.0/23\n5.0.4.0/23", None);
    assert!(both.contains("about 50 %"), "{both}");
    assert_eq!(
        found(&traffic, "6.0.0.0/8", None),
        "",
        "nothing comes from there"
    );
    traffic.passed = [(germany, 100)].into();
    assert_eq!(found(&traffic, quarter, None), "", "too few to tell");
}
