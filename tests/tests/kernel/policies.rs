//! A policy that has everything.

use geofence_user::config::Config;
use geofence_user::model::policy::Policy;

/// Tenants, exceptions and protections of every kind, for the frames' sources and destinations.
pub(super) fn customers(policy: &mut Policy) {
    const TABLES: &str = r#"
        replies = "all"
        [[tenant]]
        name = "all"
        prefixes = ["192.0.2.0/24", "2001:db8::/32"]
        block = ["US", "CN", "DE"]
        services = ["udp/53", "tcp/80"]
        [[tenant]]
        name = "host"
        prefixes = ["192.0.2.2"]
        mail = "mta"
        icmp-echo = "pass"
        mode = "monitor"
        [[exception]]
        id = "host"
        from = ["77.88.8.8", "2002:4d58::/33", "8.8.8.0/24"]
        to = ["192.0.2.2", "2001:db8::2"]
        services = ["tcp/25-443", "udp", "icmp"]
        owner = "test"
        reason = "test"
        [[exception]]
        id = "countries"
        from = ["CN", "DE"]
        to = ["all"]
        services = ["udp", "esp"]
        owner = "test"
        reason = "test"
        [[exception]]
        id = "anywhere"
        from = ["2a02:6b8::/32"]
        to = ["any"]
        owner = "test"
        reason = "test"
        until = "2999-12-31"
        [[protect]]
        id = "all"
        services = ["tcp/443", "udp/123"]
        from = ["84.200.69.0/24", "240c::/16"]
        [[protect]]
        id = "host"
        services = ["tcp/587"]
        from = []
        to = ["host"]
    "#;
    let config = Config::parse(TABLES, "customers.toml");
    *policy = config.unwrap_or_else(|errors| panic!("{errors}")).policy;
}
