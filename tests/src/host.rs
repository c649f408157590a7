//! Decisions on the host, one packet after the other: an image in memory, and what earlier packets left.

use std::net::IpAddr;

use geofence_common::action::Reason;
use geofence_common::decide::{Origin, egress, filter};
use geofence_user::config::Config;
use geofence_user::explain::simulated_tables::{PacketHistory, SimulatedTables};
use geofence_user::prepare::{Prepared, prepare};

use crate::frames::{self, Frame};

/// An address of this side, and one in a country that the default policy blocks.
pub const OURS: &str = "192.0.2.2";
pub const BLOCKED: &str = "77.88.8.8";

pub const SECOND: u64 = 1_000_000_000;

/// Compiles a configuration with the embedded database.
///
/// # Panics
/// When the configuration is wrong.
#[must_use]
pub fn prepared(text: &str) -> Prepared {
    let config = Config::parse(text, "test.toml").unwrap_or_else(|errors| panic!("{errors}"));
    prepare(config).expect("the embedded database and the policy")
}

/// The tables of an image that no packet has met.
#[must_use]
pub fn tables(prepared: &Prepared) -> SimulatedTables<'_> {
    SimulatedTables::new(prepared.image.words(), PacketHistory::default())
}

/// A frame between two addresses.
///
/// # Panics
/// When one of them is none.
pub fn between(source: &str, destination: &str) -> Frame {
    let [source, destination] =
        [source, destination].map(|text| text.parse::<IpAddr>().expect("an address"));
    frames::between(source, destination)
}

/// Lets a frame of this host leave.
pub fn send(tables: &SimulatedTables<'_>, frame: Frame) {
    egress(&frame.build().as_slice(), || Origin::Local, tables, &mut ());
}

/// Why a frame that enters passes or is dropped.
#[must_use]
pub fn reason(tables: &SimulatedTables<'_>, frame: Frame) -> Reason {
    filter(&frame.build().as_slice(), tables, &mut ()).reason
}
