//! The network, its servers and the filter between them: what every step uses.

use anyhow::{Context as _, Result};
use geofence_user::data::geoip::Database;

use super::filter::{Filter, Mode};
use super::ground::Ground;
use super::hosts::Hosts;
use super::network::Network;

/// The programs that the laboratory is made of, with Debian's names of their packages.
pub const PROGRAMS: [(&str, &str); 6] = [
    ("postfix", "postfix"),
    ("unbound", "unbound"),
    ("nsd", "nsd"),
    ("nmap", "nmap"),
    ("openssl", "openssl"),
    ("ethtool", "ethtool"),
];

/// All that a step needs.
pub(super) struct Lab {
    // Stopped before what it protects is gone.
    pub(super) filter: Filter,
    pub(super) hosts: Hosts,
    pub(super) network: Network,
    pub(super) mode: Mode,
    pub(super) ground: Ground,
}

impl Lab {
    pub(super) fn open(mode: Mode) -> Result<Self> {
        let ground = Ground::lay()?;
        let database = Database::embedded().context("reading the embedded GeoIP data")?;
        let network = Network::build(&database).context("building the network")?;
        // Before the servers: what they say on starting passes it too.
        let filter = Filter::start(&network, mode)?;
        let hosts = Hosts::start(&network, &ground)?;
        Ok(Self {
            filter,
            hosts,
            network,
            mode,
            ground,
        })
    }

    pub(super) fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }
}
