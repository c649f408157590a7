//! Stacked devices: the filter on a VLAN, a bond or a macvlan judges what arrives there, and one on a VRF is refused,
//! also when the VRF comes after the start.

use std::fs;
use std::net::IpAddr;

use anyhow::{Context as _, Result, bail, ensure};

use super::rows::row;
use super::verdicts::{AUTO, BLOCKED, OPEN, mode};
use crate::affinity::Pinned;
use crate::edge::{Edge, LISTEN, PATIENCE};
use crate::frames::Frame;
use crate::lab::report::Row;
use crate::link::{EDGE_MAC, Link};
use crate::packet_socket::PacketSocket;
use crate::wait::poll;

/// The configuration of the filter.
const CONFIG: &str = "/tmp/stack.toml";
const UPPER_MAC: [u8; 6] = [2, 0, 0, 0, 5, 1];
/// Where a frame without tags has its source.
const SOURCE_AT: usize = 14 + 12;

/// A device above another, and the frames that it receives.
struct Stacked {
    kind: &'static str,
    name: &'static str,
    /// The command that makes it, and those that follow.
    made_by: &'static [&'static [&'static str]],
    tag: Option<u16>,
    mac: [u8; 6],
    mode: &'static str,
}

const STACKED: [Stacked; 3] = [
    Stacked {
        kind: "VLAN",
        name: "edge0.7",
        made_by: &[&[
            "link", "add", "link", "edge0", "name", "edge0.7", "type", "vlan", "id", "7",
        ]],
        tag: Some(7),
        mac: EDGE_MAC,
        mode: "generic",
    },
    Stacked {
        kind: "bond in active-backup mode",
        name: "bond0",
        made_by: &[
            &[
                "link",
                "add",
                "bond0",
                "address",
                "02:00:00:00:05:01",
                "type",
                "bond",
                "mode",
                "1",
            ],
            &["link", "set", "edge0", "down"],
            &["link", "set", "edge0", "master", "bond0"],
        ],
        tag: None,
        mac: UPPER_MAC,
        mode: "native",
    },
    Stacked {
        kind: "macvlan",
        name: "upper0",
        made_by: &[&[
            "link",
            "add",
            "link",
            "edge0",
            "name",
            "upper0",
            "address",
            "02:00:00:00:05:01",
            "type",
            "macvlan",
        ]],
        tag: None,
        mac: UPPER_MAC,
        mode: "generic",
    },
];

pub(super) fn rows() -> Vec<Row> {
    let rows = STACKED.iter().map(|stacked| {
        let expected = format!("{}, RU dropped, DE passed", stacked.mode);
        row(format!("{}: frames", stacked.kind), &expected, || {
            stacked.judged()
        })
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.push(row(
        "VRF at the start".to_owned(),
        "refused",
        vrf_is_refused,
    ));
    rows.push(row(
        "VRF that comes later".to_owned(),
        "not protected",
        late_vrf_is_not_protected,
    ));
    rows
}

impl Stacked {
    fn judged(&self) -> Result<String> {
        let edge = Edge::on(&Link::default())?;
        let inside = &edge.pair.edge;
        for words in self.made_by {
            inside.run(&[&["ip"], *words].concat())?;
        }
        inside.run(&["ip", "link", "set", self.name, "up"])?;
        inside.run(&["ip", "link", "set", edge.interface(), "up"])?;
        edge.pair.wait_up()?;
        fs::write(CONFIG, AUTO)?;
        let daemon = edge.run(&["--interface", self.name, "--config", CONFIG])?;
        let outside = PacketSocket::open(&edge.pair.peer, &edge.pair.peer_interface)?;
        let socket = PacketSocket::open(inside, self.name)?;
        let _pinned = Pinned::here()?;
        for source in [BLOCKED, OPEN] {
            outside.send(&self.frame(source.parse()?).build())?;
        }
        let [blocked, open] = [BLOCKED, OPEN].map(|source| source.parse());
        let (blocked, open): (IpAddr, IpAddr) = (blocked?, open?);
        let before = socket.receive_until(PATIENCE, |frame| is_from(frame, open))?;
        let is_in = before.iter().any(|frame| is_from(frame, blocked));
        let verdict = if is_in { "passed" } else { "dropped" };
        Ok(format!("{}, RU {verdict}, DE passed", mode(&daemon)?))
    }

    fn frame(&self, source: IpAddr) -> Frame {
        let frame = Frame::ethernet().destination_mac(self.mac);
        let frame = match self.tag {
            Some(tag) => frame.vlan(0x8100, tag),
            None => frame,
        };
        let here = IpAddr::from([192, 0, 2, 1]);
        frame.ip(source, here).tcp(40_000, 22).syn()
    }
}

/// Whether a frame without tags has this source.
fn is_from(frame: &[u8], source: IpAddr) -> bool {
    let IpAddr::V4(source) = source else {
        return false;
    };
    frame.get(SOURCE_AT..SOURCE_AT + 4) == Some(source.octets().as_slice())
}

fn vrf_is_refused() -> Result<String> {
    let edge = Edge::on(&Link::default())?;
    add_vrf(&edge)?;
    fs::write(CONFIG, AUTO)?;
    let words = [
        "run",
        "--interface",
        "vrf0",
        "--listen",
        LISTEN,
        "--config",
        CONFIG,
    ];
    let answer = edge.ask(&words)?;
    ensure!(
        answer.code == Some(69) && answer.stderr.contains("Name its ports instead"),
        "{answer:?}"
    );
    Ok("refused, with the ports to name".to_owned())
}

fn late_vrf_is_not_protected() -> Result<String> {
    let edge = Edge::on(&Link::default())?;
    fs::write(CONFIG, AUTO)?;
    let words = [
        "--interface",
        "edge0",
        "--interface",
        "vrf0",
        "--listen",
        LISTEN,
    ];
    let mut command = crate::daemon::geofence(&edge.pair.edge)?;
    command.arg("run").args(words).args(["--config", CONFIG]);
    let mut daemon = crate::daemon::Daemon::spawn(&edge.pair.edge, command)?;
    daemon.wait_line("ready", PATIENCE)?;
    add_vrf(&edge)?;
    let seen = poll(PATIENCE, || {
        let status = edge.ask(&["status"])?.stdout;
        let line = status
            .lines()
            .find(|line| line.contains("vrf0: NOT PROTECTED"));
        let line =
            line.filter(|line| line.contains("packets do not arrive") || line.contains("ports"));
        Ok(line.map(str::to_owned))
    })?;
    let seen = seen.context("status does not say that vrf0 is not protected")?;
    if edge.program("vrf0")?.is_some() {
        bail!("a program is on vrf0");
    }
    Ok(format!("not protected, as status says: {}", seen.trim()))
}

/// Makes a VRF whose port is the link.
fn add_vrf(edge: &Edge) -> Result<()> {
    let inside = &edge.pair.edge;
    inside.run(&["ip", "link", "add", "vrf0", "type", "vrf", "table", "10"])?;
    inside.run(&["ip", "link", "set", "vrf0", "up"])?;
    inside.run(&["ip", "link", "set", edge.interface(), "master", "vrf0"])?;
    Ok(())
}
