//! The protected machine: a policy in which everything that the dashboard shows occurs.

use anyhow::Result;

use crate::edge::{Edge, LISTEN};
use crate::link::{Link, receive_offload};
use crate::site::{CONFIG, Site};

/// The address of the tenant's host.
pub(super) const TENANT: &str = "192.0.2.9";
/// An address on the list.
pub(super) const LISTED: &str = "84.200.69.81";
/// Where events go as flow records.
pub(super) const COLLECTOR: &str = "127.0.0.1:4739";
/// An address of a blocked country that an exception names.
pub(super) const EXCEPTED: &str = "77.88.8.1";

/// The policy. The last line is what a change changes.
pub(super) fn policy(last: &str) -> String {
    format!(
        r#"listen = "{LISTEN}"
event-ipfix = "{COLLECTOR}"
services = ["tcp/443"]
rate-limit = 100
{last}

[[tenant]]
name = "customer-17"
prefixes = ["{TENANT}/32"]

[[exception]]
id = "partner"
from = ["{EXCEPTED}"]
to = ["any"]
owner = "noc"
reason = "a partner"

[[list]]
name = "findings"
file = "findings.txt"
format = "plain"
action = "block"
direction = "both"
"#
    )
}

/// Makes the machine; nothing filters yet.
pub(super) fn open() -> Result<Site> {
    let site = Site {
        // A queue for each sender of the flood.
        edge: Edge::on(&Link::default().queues(2))?,
        directory: tempfile::tempdir()?,
    };
    site.configure(&policy(""))?;
    site.write("findings.txt", format!("{LISTED}\n"))?;
    // Or a flood would not reach an interface that has lost its filter.
    receive_offload(&site.edge.pair.edge, site.edge.interface())?;
    Ok(site)
}

/// Writes a configuration that cannot be read.
pub(super) fn break_policy(site: &Site) -> Result<()> {
    site.write(CONFIG, "block = [\"UK\"]\n")
}
