//! What each kind of rule costs by being used at all: the default policy with a single rule of the kind, against the
//! default policy alone.
//!
//! The first such rule has the packets judged by the program with rules. One rule makes no image larger, so what is
//! seen here is the other program and the questions that it asks, and nothing else.

use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use geofence_common::address::Address;
use geofence_user::explain::simulated_tables::{PacketHistory, SimulatedTables};
use geofence_user::model::list::{Action, Direction};
use geofence_user::model::listing::{Entries, Entry, Listing, Place};
use geofence_user::model::policy::{
    Destination, Exception, Origin, Policy, Protection, Service, ServiceProtocol, Tenant, Traffic,
};
use geofence_user::prepare::Prepared;
use ipnet::IpNet;

use crate::cases;
use crate::contestants::{DRAWN, FATES, against, size};
use crate::plan::Plan;
use crate::report::{Report, Table, Unit};
use crate::rules_whole::{rows, whole};
use crate::sets::Set;
use crate::stage::Stage;
use crate::verify;

/// The policies that are compared, the bare one first and the one with a rule of each kind last.
const NAMES: [&str; 7] = [
    "bare policy",
    "one list",
    "one exception",
    "one protected port",
    "a rate limit",
    "one tenant",
    "one of each",
];
const ALL: usize = NAMES.len() - 1;

/// At most so much over the bare policy: one kind of rule, and all of them.
const WANTED: [f64; 2] = [1.10, 1.25];

/// The source and the destination that the rules name; no frame here has them.
const NAMED: [&str; 2] = ["203.0.112.0/24", "10.9.9.0/24"];
/// A port that no frame here is for.
const PORT: u16 = 8443;

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut policies = Vec::new();
    for kind in 0..NAMES.len() {
        let mut laid = Ok(());
        policies.push(plan.variant(None, |policy| laid = lay(kind, policy))?);
        laid?;
    }
    let sets = sets(plan)?;
    let mut stage = Stage::build(&policies, &sets)?;
    check(&policies, &sets, &mut stage)?;
    let rows = rows();
    let mut table = Table::new(
        "variants",
        "A source that no rule names; the whole program over a bare XDP_DROP, against the bare policy",
        &NAMES,
    );
    let all: Vec<usize> = (0..NAMES.len()).collect();
    for (row, samples) in rows.iter().zip(whole(plan, &mut stage, &all, &rows)?) {
        table.row(row.0.clone(), against(&samples));
    }
    for (kind, name) in NAMES.into_iter().enumerate().skip(1) {
        let worst = rows.iter().filter_map(|row| table.median(&row.0, name));
        report.target(
            &format!("{name} against the bare policy, the worst row"),
            true,
            WANTED[usize::from(kind == ALL)],
            Unit::Times,
            worst.max_by(f64::total_cmp),
        );
    }
    report.tables.push(table);
    Ok(())
}

/// Lays one rule of a kind over a policy, or one of each.
fn lay(kind: usize, policy: &mut Policy) -> Result<()> {
    let net = |text: &str| text.parse::<IpNet>().context("a prefix");
    let [named, destination] = [net(NAMED[0])?, net(NAMED[1])?];
    let service = Service {
        protocol: ServiceProtocol::Tcp,
        first: PORT,
        last: PORT,
    };
    let is = |one: usize| kind == one || kind == ALL;
    if is(1) {
        let entry = Entry {
            net: named,
            place: Place { line: 1, column: 1 },
            expires: None,
        };
        let entries = Entries::new(vec![entry]);
        policy.lists = vec![Listing::new("one", Action::Block, Direction::In, entries)];
    }
    if is(2) {
        policy.exceptions = vec![Arc::new(Exception {
            id: "one".to_owned(),
            slot: 0,
            is_ban: false,
            from: vec![Origin::Prefix(named)],
            to: vec![Destination::Prefix(destination)],
            traffic: vec![Traffic::Any],
            owner: "noc".to_owned(),
            reason: "measured".to_owned(),
            until: None,
        })];
    }
    if is(3) {
        policy.protections = vec![Protection {
            id: "one".to_owned(),
            slot: 1,
            services: vec![service],
            from: vec![named],
            to: vec![Destination::Anywhere],
        }];
    }
    if is(4) {
        policy.rate_limit = NonZeroU32::new(1_000_000);
    }
    if is(5) {
        policy.tenants = vec![Tenant {
            name: "one".to_owned(),
            number: 1,
            prefixes: vec![destination],
            ..Tenant::default()
        }];
    }
    Ok(())
}

/// Open and blocked sources for each way of drawing, without the prefix that rules name.
fn sets(plan: &Plan) -> Result<Vec<Set>> {
    let named: IpNet = NAMED[0].parse().context("a prefix")?;
    let mut sets = Vec::new();
    for (family, uniform, _) in DRAWN {
        for blocked in [false, true] {
            let wanted = |address: &Address| {
                let class = plan.class(address);
                class.country().code().is_some()
                    && class.embedding().is_none()
                    && class.is_blocked() == blocked
                    && !named.contains(&address.ip())
            };
            let database = &plan.prepared.database;
            sets.push(Set::of(database, family, uniform, size(plan), 71, wanted)?);
        }
    }
    Ok(sets)
}

/// Holds every verdict against the host's.
fn check(policies: &[Prepared], sets: &[Set], stage: &mut Stage<'_>) -> Result<()> {
    for (policy, prepared) in policies.iter().enumerate() {
        let rig = stage.with(policy)?;
        let host = SimulatedTables::new(prepared.image.words(), PacketHistory::default());
        for (number, set) in sets.iter().enumerate() {
            let fates = if number % 2 == 0 {
                &FATES[..1]
            } else {
                &FATES[1..]
            };
            for fate in fates {
                let case = cases::plain(set.family, *fate);
                verify::verdicts(&host, rig, number, set, &case, Some(case.reason))?;
            }
        }
    }
    Ok(())
}
