//! A policy that has everything, and one whose rules concern some packets only.

use std::net::Ipv4Addr;

use geofence_common::image::flag;
use geofence_tests::machines::EVERYTHING;
use geofence_user::config::Config;
use geofence_user::model::list::Direction;
use geofence_user::model::policy::Policy;

use super::expected_events::add_lists;
use super::prepared;

/// Tenants, exceptions and protections of every kind, for the frames' sources and destinations.
pub(super) fn customers(policy: &mut Policy) {
    let config = Config::parse(EVERYTHING, "customers.toml");
    *policy = config.unwrap_or_else(|errors| panic!("{errors}")).policy;
}

/// Every kind of rule but tenants, which concern each packet: the fast path judges what these do not concern.
pub(super) fn selective(policy: &mut Policy) {
    // Enough single addresses for a host table: beside one source of the frames, and another one itself.
    let hosts: Vec<String> = (0..600_u32)
        .map(|number| format!("\"{}\"", Ipv4Addr::from(0x4d58_0801 + 2 * number)))
        .collect();
    let text = format!(
        r#"
        replies = "all"
        # So many that no source reaches it: the two sides have clocks of their own.
        rate-limit = 1000000
        deny = ["175.45.176.1", {}]
        [[exception]]
        id = "host"
        from = ["77.88.8.8", "2002:4d58::/33", "8.8.8.0/24"]
        to = ["192.0.2.2", "2001:db8::2"]
        services = ["tcp/25-443", "udp", "icmp"]
        owner = "test"
        reason = "test"
        [[exception]]
        id = "country"
        from = ["CN"]
        to = ["any"]
        services = ["udp", "esp"]
        owner = "test"
        reason = "test"
        [[protect]]
        id = "all"
        services = ["tcp/443", "udp/123"]
        from = ["84.200.69.0/24", "240c::/16"]
        "#,
        hosts.join(", ")
    );
    let config = Config::parse(&text, "selective.toml");
    let own = config.unwrap_or_else(|errors| panic!("{errors}")).policy;
    *policy = own;
    add_lists(policy);
    // With lists about packets that leave, the programs with rules would judge those.
    policy.lists.retain(|list| list.direction == Direction::In);
}

#[test]
fn selective_policy_has_a_rule_of_each_kind_and_none_that_concerns_every_packet() {
    let flags = prepared(selective).image.flags();
    for rule in [
        flag::EXCEPTIONS,
        flag::PROTECTED,
        flag::RATE_LIMIT,
        flag::LISTS,
        flag::HOSTS,
    ] {
        assert!(flags.has(rule), "{rule:#x} of {flags:?}");
    }
    assert!(!flags.concern_every_packet() && !flags.has(flag::LISTS_OUT));
}
