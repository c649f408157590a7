//! The largest configuration: rules of every kind, as many tenants as there can be, and all the room for images.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use geofence_common::image::destination::TENANTS_MAX;
use geofence_common::maps::IMAGE_MIB_MAX;
use geofence_user::config::Config;
use geofence_user::model::policy::Lookup;
use geofence_user::prepare::{Prepared, prepare};

/// Tenants, exceptions and protections of every kind, for the sources and destinations of the frames.
pub const EVERYTHING: &str = r#"
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

/// Tenants in `EVERYTHING`.
const TENANTS: u32 = 2;

/// The largest configuration, compiled.
pub fn largest(lookup: Lookup) -> Result<Prepared> {
    let mut text = format!("capacity-mib = {IMAGE_MIB_MAX}\n{EVERYTHING}");
    for number in TENANTS..TENANTS_MAX {
        let prefix = format!("10.{}.{}.0/24", number >> 8, number & 0xff);
        writeln!(
            text,
            "[[tenant]]\nname = \"tenant-{number}\"\nprefixes = [\"{prefix}\"]\nblock = [\"RU\"]"
        )?;
    }
    let config = Config::parse(&text, "largest.toml");
    let mut config = config
        .map_err(|errors| anyhow::anyhow!("{errors}"))
        .context("the largest configuration")?;
    config.policy.lookup = lookup;
    Ok(prepare(config)?)
}
