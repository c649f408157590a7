//! Which peers a policy would cut off.

use std::net::IpAddr;

use geofence_common::action::Reason;
use geofence_common::country::Country;

use super::*;
use crate::compile::{Boot, Image, Target, compile};
use crate::data::geoip::Database;
use crate::data::lists::read;
use crate::model::list::{Action as ListAction, Direction, Format};
use crate::model::listing::Listing;
use crate::model::policy::{Action, Policy, Service, ServiceProtocol};
use crate::model::units::UnixSeconds;
use crate::oracle::default_policy;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// An image of a world in which 77.88.0.0/16 and 2a02:6b8::/32 are Russia, and other addresses have no country.
fn image(change: impl FnOnce(&mut Policy)) -> Image {
    let mut policy = default_policy();
    change(&mut policy);
    let russia = Country::from_code(*b"RU").unwrap();
    let database = Database::from_prefixes(
        vec![("77.88.0.0/16".parse().unwrap(), russia)],
        vec![("2a02:6b8::/32".parse().unwrap(), russia)],
    );
    let target = Target {
        generation: 1,
        slot: 0,
        compiled: UnixSeconds(0),
        boot: Boot::default(),
        lines_max: 1 << 20,
    };
    compile(&policy, &database, &target).unwrap()
}

const NEEDS: [Need; 4] = [
    Need::Ssh { port: 22 },
    Need::Gateway,
    Need::Resolver,
    Need::Metadata,
];

fn cut_by(image: &Image, address: &str, replies: Replies) -> Vec<(Need, Reason)> {
    let all = NEEDS.map(|need| Dependency {
        need,
        address: ip(address),
    });
    cut_off(&all, image.words(), replies)
        .iter()
        .map(|cut| (cut.dependency.need, cut.verdict.reason))
        .collect()
}

#[test]
fn a_peer_in_a_blocked_country_is_cut_off_for_the_packets_it_sends() {
    for address in ["77.88.8.8", "2a02:6b8::1"] {
        assert_eq!(
            cut_by(&image(|_| ()), address, Replies::default()),
            [
                (Need::Ssh { port: 22 }, Reason::CountryBlocked),
                (Need::Gateway, Reason::UnprovenIcmpError),
                (Need::Resolver, Reason::UnprovenReply),
                (Need::Metadata, Reason::CountryBlocked),
            ],
            "{address}"
        );
    }
    for address in [
        "84.200.69.80",
        "2001:db8::1",
        "10.0.0.1",
        "169.254.169.254",
        "fe80::1",
    ] {
        assert_eq!(
            cut_by(&image(|_| ()), address, Replies::default()),
            [],
            "{address}"
        );
    }
}

#[test]
fn management_monitor_mode_and_open_services_prevent_a_lockout() {
    let blocked = "77.88.8.8";
    let managed = image(|policy| policy.management = vec!["77.88.8.8/32".parse().unwrap()]);
    assert_eq!(cut_by(&managed, blocked, Replies::default()), []);
    let monitored = image(|policy| policy.settings.mode = geofence_common::action::Mode::Monitor);
    assert_eq!(cut_by(&monitored, blocked, Replies::default()), []);
    let open = image(|policy| {
        policy.settings.services = vec![Service {
            protocol: ServiceProtocol::Tcp,
            first: 22,
            last: 22,
        }];
    });
    let cut = cut_by(&open, blocked, Replies::default());
    assert!(
        !cut.iter().any(|(need, _)| matches!(need, Need::Ssh { .. })),
        "{cut:?}"
    );
}

#[test]
fn remembered_queries_spare_only_resolvers_and_gateways() {
    let replies = Replies {
        dns: true,
        errors: true,
        connections: true,
    };
    let needs: Vec<_> = cut_by(&image(|_| ()), "77.88.8.8", replies)
        .into_iter()
        .map(|(need, _)| need)
        .collect();
    assert_eq!(needs, [Need::Ssh { port: 22 }, Need::Metadata]);
    // The deny list spares no peer.
    let denied = image(|policy| policy.deny = vec!["84.0.0.0/8".parse().unwrap()]);
    assert_eq!(cut_by(&denied, "84.200.69.80", replies).len(), NEEDS.len());
}

#[test]
fn a_peer_on_an_outbound_list_is_cut_off() {
    for (direction, cut) in [
        (Direction::Out, 4),
        (Direction::Both, 4),
        (Direction::In, 0),
    ] {
        for (address, net) in [("84.200.69.80", "84.200.69.0/24"), ("2a00::1", "2a00::/16")] {
            let text = format!("# one\n{net}\n");
            let read = read(text.as_bytes(), Format::Plain, "x", UnixSeconds(0)).unwrap();
            let image = image(|policy| {
                policy.lists = vec![Listing::new(
                    "x",
                    ListAction::Block,
                    direction,
                    read.entries,
                )];
                policy.allow = match direction {
                    // Inbound packets do not matter here.
                    Direction::In => vec![net.parse().unwrap()],
                    Direction::Out | Direction::Both => Vec::new(),
                };
            });
            let found = cut_by(&image, address, Replies::default());
            assert_eq!(found.len(), cut, "{direction:?} {address}");
            assert!(
                found
                    .iter()
                    .all(|(_, reason)| *reason == Reason::ListedDestination)
            );
        }
    }
}

#[test]
fn dropping_special_use_space_cuts_off_the_metadata_service() {
    let image = image(|policy| policy.settings.special_use = Action::Drop);
    let cut = cut_by(&image, "169.254.169.254", Replies::default());
    assert!(
        cut.contains(&(Need::Metadata, Reason::SpecialUseBlocked)),
        "{cut:?}"
    );
}

#[test]
fn a_lockout_names_every_peer_and_both_ways_out() {
    let image = image(|_| ());
    let all = [Need::Ssh { port: 22 }, Need::Resolver].map(|need| Dependency {
        need,
        address: ip("77.88.8.8"),
    });
    let said = Lockout(cut_off(&all, image.words(), Replies::default())).to_string();
    assert_eq!(
        said,
        "this policy would cut off what this machine depends on:\n  \
         the SSH session from 77.88.8.8 to port 22: dropped as country_blocked, country RU (Russia)\n  \
         the resolver 77.88.8.8: dropped as unproven_reply, country RU (Russia)\n\
         Allow them with management = [\"77.88.8.8\"] in the configuration, or apply the policy anyway with --force"
    );
}
