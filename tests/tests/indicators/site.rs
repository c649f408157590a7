//! A machine with a few lists of each kind, which exchanges packets with the addresses on them.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::Daemon;
use geofence_tests::edge::PATIENCE;
use geofence_tests::frames::between;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe;
use geofence_tests::site;
use geofence_tests::wait::poll;
use serde_json::Value;

/// Addresses of a country that is not blocked, each on the list of its name; and one on none.
pub(super) const C2: &str = "84.200.69.80";
pub(super) const C2_V6: &str = "2a01:4f8::c2";
pub(super) const WATCHED: &str = "84.200.70.40";
pub(super) const SCANNER: &str = "84.200.71.20";
pub(super) const BOTH: &str = "84.200.72.10";
pub(super) const UNLISTED: &str = "84.200.73.1";
/// On two lists each: one that remarks upon both directions, and one that blocks what comes in, or what goes out.
pub(super) const KNOCKING: &str = "84.200.74.1";
pub(super) const CALLED: &str = "84.200.75.1";
/// Carries an address that is on one list, in a net that is on another.
pub(super) const CARRIED: &str = "2002:54c8:4e01::1";
const WITHIN: &str = "84.200.78.1";
/// A customer's machine, behind the edge.
pub(super) const INSIDE: &str = "198.51.100.9";
pub(super) const INSIDE_V6: &str = "2001:db8:9::9";
/// The machine of another, who has yet to be convinced.
pub(super) const TRYING: &str = "203.0.113.9";

pub(super) const CONFIG: &str = r#"
    [[tenant]]
    name = "customer"
    prefixes = ["198.51.100.0/24", "2001:db8:9::/48"]
    [[list]]
    name = "c2"
    file = "c2.txt"
    format = "plain"
    direction = "out"
    [[list]]
    name = "watched"
    file = "watched.txt"
    format = "plain"
    action = "alert"
    [[list]]
    name = "scanners"
    file = "scanners.txt"
    format = "plain"
    direction = "in"
    [[list]]
    name = "both"
    file = "both.txt"
    format = "plain"
"#;

/// A machine with these lists, and sockets at both ends of its link.
pub(super) struct Site {
    pub(super) machine: site::Site,
    pub(super) outside: PacketSocket,
    pub(super) inside: PacketSocket,
}

impl Site {
    pub(super) fn new(more: &str) -> Result<Self> {
        let machine = site::Site::new(&format!("{more}\n{CONFIG}"))?;
        machine.write(
            "c2.txt",
            format!("# found\n{C2}\n{C2_V6}\n{CALLED}\n{WITHIN}\n"),
        )?;
        // A net around one that is on another list: both count it.
        let watched =
            format!("{WATCHED}\n84.200.72.0/24\n{KNOCKING}\n{CALLED}\n2002:54c8:4e01::/48\n");
        machine.write("watched.txt", watched)?;
        machine.write("scanners.txt", format!("{SCANNER}\n{KNOCKING}\n"))?;
        machine.write("both.txt", format!("{BOTH}\n"))?;
        let pair = &machine.edge.pair;
        Ok(Self {
            outside: PacketSocket::open(&pair.peer, &pair.peer_interface)?,
            inside: PacketSocket::open(&pair.edge, &pair.edge_interface)?,
            machine,
        })
    }

    pub(super) fn run(&self) -> Result<Daemon> {
        self.machine.run(&[])
    }

    /// Sends a frame from one end, and says whether it arrives at the other.
    pub(super) fn crosses(
        &self,
        from: &PacketSocket,
        to: &PacketSocket,
        frame: &[u8],
    ) -> Result<bool> {
        probe::crosses(from, to, frame, PATIENCE)
    }

    /// Whether a connection from inside to HTTPS there leaves.
    pub(super) fn leaves(&self, from: &str, to: &str) -> Result<bool> {
        self.crosses(&self.inside, &self.outside, &call(from, to, 443)?)
    }

    /// Whether a connection from there to the customer's HTTPS gets in.
    pub(super) fn enters(&self, from: &str, to: &str) -> Result<bool> {
        self.crosses(&self.outside, &self.inside, &call(from, to, 443)?)
    }

    pub(super) fn packets(
        &self,
        list: &str,
        tenant: &str,
        direction: &str,
        action: &str,
    ) -> Result<f64> {
        self.machine.edge.metric(&format!(
            "geofence_list_packets_total{{list=\"{list}\",tenant=\"{tenant}\",direction=\"{direction}\",\
             action=\"{action}\"}}"
        ))
    }

    /// Holds what was counted for the customer, by list, direction and action, against what it should be.
    pub(super) fn assert_counted(&self, all: &[(&str, &str, &str, f64)]) -> Result<()> {
        for (list, direction, action, expected) in all {
            let counted = self.packets(list, "customer", direction, action)?;
            ensure!(
                counted == *expected,
                "{list} {direction} {action}: {counted}"
            );
        }
        Ok(())
    }

    pub(super) fn events(&self) -> Result<Vec<Value>> {
        let answer = self.machine.edge.ask(&["events", "--json"])?;
        ensure!(answer.code == Some(0), "{answer:?}");
        let lines = answer.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).context("its JSON"))
            .collect()
    }

    /// Waits until the daemon has reported so many events.
    pub(super) fn wait_events(&self, count: usize) -> Result<Vec<Value>> {
        let mut last = Vec::new();
        let found = poll(PATIENCE, || {
            last = self.events()?;
            Ok((last.len() >= count).then_some(()))
        })?;
        ensure!(
            found.is_some() && last.len() == count,
            "not {count}: {last:?}"
        );
        Ok(last)
    }
}

pub(super) fn call(from: &str, to: &str, port: u16) -> Result<Vec<u8>> {
    let (from, to): (IpAddr, IpAddr) = (from.parse()?, to.parse()?);
    Ok(between(from, to).tcp(51_234, port).syn().build())
}
