//! Part five: what rules cost those whom they do not name, and those whom they do.
//!
//! The bare default policy, and the same with lists, exceptions and tenants laid over it, in one run and over the same
//! addresses. What is wanted is that a rule costs nothing to a packet that it is not about; so of each contestant the
//! ratio to the bare policy in the same round is taken, and the median of these.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use geofence_common::address::Address;
use geofence_common::image::{Lookup as _, Words as _};
use geofence_tests::oracle::{Draw, Oracle};
use geofence_user::explain::simulated_tables::{PacketHistory, SimulatedTables};
use geofence_user::model::list::{Action, Direction};
use geofence_user::model::listing::{Entries, Entry, Listing, Place};
use geofence_user::model::policy::{
    Destination, Exception, Origin, Policy, Service, ServiceProtocol, Tenant, Traffic,
};
use geofence_user::model::units::UnixSeconds;
use geofence_user::prepare::Prepared;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::cases::{self, Case, Fate};
use crate::contestants::{ALL, DRAWN, FATES, NAMED, OF_SOURCES, against, size};
use crate::growth::grouped;
use crate::plan::Plan;
use crate::report::{Cell, Report, Table, Unit};
use crate::rig::{Cursor, FRAME_MIN, program};
use crate::rules_whole::{those_named, unnamed};
use crate::sample::rounds;
use crate::sets::{Family, Set};
use crate::stage::Stage;
use crate::{path, synthetic, two_images, verify};

/// The sets of blocked IPv4 sources that no rule names, and how they are drawn.
const BLOCKED_V4: [(usize, &str); 2] = [(1, "uniform"), (3, "table prefix")];
/// How many rules there are.
#[derive(Clone, Copy)]
struct Sizes {
    lists: usize,
    /// Entries on each list.
    entries: usize,
    exceptions: usize,
    /// Destinations that exceptions name, and tenants where they name tenants.
    destinations: usize,
}

impl Sizes {
    const fn of(plan: &Plan) -> Self {
        if plan.smoke {
            Self {
                lists: 10,
                entries: 20,
                exceptions: 1_000,
                destinations: 10,
            }
        } else {
            Self {
                lists: 1_000,
                entries: 250,
                exceptions: 100_000,
                destinations: 1_000,
            }
        }
    }
}

/// What is laid over the bare policy.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Rules {
    lists: bool,
    exceptions: bool,
    tenants: bool,
}

/// The contestants, the bare policy first. Tenants have columns of their own: a policy with tenants asks of every
/// packet which of them it is for, and counts it there.
const CONTESTANTS: [Rules; 6] = {
    const fn rules(lists: bool, exceptions: bool, tenants: bool) -> Rules {
        Rules {
            lists,
            exceptions,
            tenants,
        }
    }
    [
        rules(false, false, false),
        rules(true, false, false),
        rules(false, true, false),
        rules(true, true, false),
        rules(false, false, true),
        rules(true, true, true),
    ]
};
/// The one with lists and exceptions, and without tenants.
const LISTS_AND_EXCEPTIONS: usize = 3;

impl Rules {
    fn name(self, sizes: &Sizes) -> String {
        let parts = [
            (self.lists, sizes.lists, "lists"),
            (self.exceptions, sizes.exceptions, "exceptions"),
            (self.tenants, sizes.destinations, "tenants"),
        ];
        let parts = parts.into_iter().filter(|(is_there, _, _)| *is_there);
        let parts: Vec<_> = parts
            .map(|(_, count, what)| format!("{} {what}", grouped(count)))
            .collect();
        if parts.is_empty() {
            "bare policy".to_owned()
        } else {
            parts.join(", ")
        }
    }
}

/// What the rules name.
struct Named {
    listed: Vec<IpNet>,
    excepted: Vec<IpNet>,
}

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let sizes = Sizes::of(plan);
    let named = named(plan, &sizes)?;
    let mut size_table = Table::new(
        "rules_size",
        format!(
            "Rules over the world: lists of {} prefixes, exceptions to {} destinations",
            sizes.entries,
            grouped(sizes.destinations)
        ),
        &["image", "compiled in"],
    );
    let mut all = Vec::new();
    for rules in CONTESTANTS {
        let begun = Instant::now();
        let prepared = plan.variant(None, |policy| lay(rules, &sizes, &named, policy))?;
        let compiled = begun.elapsed().as_secs_f64() * 1e3;
        let image = prepared.image.size() as f64 / f64::from(1 << 20);
        size_table.row(
            rules.name(&sizes),
            vec![
                Cell::once(Unit::Mebibytes, image),
                Cell::once(Unit::Milliseconds, compiled),
            ],
        );
        all.push(prepared);
    }
    report.tables.push(size_table);

    let sets = sets(plan, &sizes, &named, &all)?;
    let mut stage = Stage::build(&all, &sets)?;
    check(&all, &sets, &mut stage)?;
    let names = CONTESTANTS.map(|rules| rules.name(&sizes));
    lookups(plan, &sets, &mut stage, &names, report)?;
    unnamed(plan, &mut stage, &names, report)?;
    those_named(plan, &all, &sets, &mut stage, &names, report)?;
    path::measure(plan, &mut stage, size(plan), &names, &BLOCKED_V4, report)?;
    let rules = CONTESTANTS[LISTS_AND_EXCEPTIONS];
    let lay = |policy: &mut Policy| lay(rules, &sizes, &named, policy);
    two_images::measure(plan, &sets, &lay, &names[LISTS_AND_EXCEPTIONS], report)
}

/// The prefixes on lists, and the sources of exceptions: addresses of blocked countries, as who is not blocked needs
/// no exception.
fn named(plan: &Plan, sizes: &Sizes) -> Result<Named> {
    let database = &plan.prepared.database;
    let count = sizes.lists * sizes.entries;
    // Three of four entries are single addresses, as on the lists that people use.
    let mut listed = synthetic::hosts(database, count - count / 4, 31)?;
    listed.extend(synthetic::prefixes(database, count / 4, 32)?);
    let mut excepted = Vec::new();
    for family in Family::BOTH {
        let size = sizes.exceptions / 2;
        let set = Set::of(database, family, false, size, 33, |address| {
            plan.class(address).is_blocked()
        })?;
        excepted.extend(
            set.addresses
                .iter()
                .map(|address| IpNet::from(address.ip())),
        );
    }
    Ok(Named { listed, excepted })
}

/// The networks behind the filter: that of the frames' destination first.
fn destination(number: usize) -> [IpNet; 2] {
    let v4 = match number {
        0 => Ipv4Addr::new(192, 0, 2, 0),
        _ => Ipv4Addr::new(10, (number >> 8) as u8, number as u8, 0),
    };
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, number as u16, 0, 0, 0, 0, 0);
    [
        IpNet::V4(Ipv4Net::new_assert(v4, 24)),
        IpNet::V6(Ipv6Net::new_assert(v6, 48)),
    ]
}

fn lay(rules: Rules, sizes: &Sizes, named: &Named, policy: &mut Policy) {
    if rules.lists {
        // Neighbours come to different lists.
        policy.lists = (0..sizes.lists)
            .map(|list| {
                let nets = named.listed.iter().skip(list).step_by(sizes.lists);
                let entries = nets.zip(1..).map(|(net, line)| Entry {
                    net: *net,
                    place: Place { line, column: 1 },
                    expires: None,
                });
                let entries = Entries::new(entries.collect());
                Listing::new(
                    &format!("list-{list}"),
                    Action::Block,
                    Direction::In,
                    entries,
                )
            })
            .collect();
    }
    if rules.tenants {
        policy.tenants = (0..sizes.destinations)
            .map(|number| Tenant {
                name: format!("customer-{number}"),
                number: number as u32 + 1,
                prefixes: destination(number).into(),
                ..Tenant::default()
            })
            .collect();
    }
    if rules.exceptions {
        let all = named.excepted.iter().enumerate();
        policy.exceptions = all
            .map(|(slot, net)| {
                // Every other one is for the destination of the frames, and half of all are for one service.
                let number = if slot % 2 == 0 {
                    0
                } else {
                    1 + slot % (sizes.destinations - 1)
                };
                let to = if rules.tenants {
                    Destination::Tenant(number as u32 + 1)
                } else {
                    let [v4, v6] = destination(number);
                    Destination::Prefix(if net.addr().is_ipv4() { v4 } else { v6 })
                };
                let traffic = match slot / 2 % 2 {
                    0 => Traffic::Any,
                    _ => Traffic::Service(Service {
                        protocol: ServiceProtocol::Tcp,
                        first: cases::CLOSED,
                        last: cases::CLOSED,
                    }),
                };
                Arc::new(Exception {
                    id: format!("x-{slot}"),
                    slot: slot as u32,
                    is_ban: false,
                    from: vec![Origin::Prefix(*net)],
                    to: vec![to],
                    traffic: vec![traffic],
                    owner: "noc".to_owned(),
                    reason: "measured".to_owned(),
                    until: (slot / 4 % 2 == 0).then_some(UnixSeconds(u64::from(u32::MAX))),
                })
            })
            .collect();
    }
}

/// The sets that no rule names: open and blocked sources for each way of drawing. Then those that rules name, by
/// family: on a list, excepted for this destination, excepted for another.
fn sets(plan: &Plan, sizes: &Sizes, named: &Named, all: &[Prepared]) -> Result<Vec<Set>> {
    let words = all[ALL].image.words();
    let mut sets = Vec::new();
    for (family, uniform, _) in DRAWN {
        for blocked in [false, true] {
            let wanted = |address: &Address| {
                let class = plan.class(address);
                let found = words
                    .class_lookup(address)
                    .and_then(|at| words.class_at(at));
                class.country().code().is_some()
                    && class.embedding().is_none()
                    && class.is_blocked() == blocked
                    && found == Some(class)
            };
            let database = &plan.prepared.database;
            sets.push(Set::of(database, family, uniform, size(plan), 34, wanted)?);
        }
    }
    let mut draw = Draw::new(35);
    let half = sizes.exceptions / 2;
    for family in Family::BOTH {
        let is_ours = |net: &&IpNet| net.addr().is_ipv4() == (family == Family::V4);
        let listed: Vec<_> = named.listed.iter().filter(is_ours).collect();
        let excepted = &named.excepted[family as usize * half..][..half];
        let is_listed = |address: &Address| {
            let found = words
                .class_lookup(address)
                .and_then(|at| words.class_at(at));
            found.is_some_and(|class| class.is_denied() && !class.is_excepted())
        };
        let mut fill = |one: &mut dyn FnMut(&mut Draw) -> Option<Address>| -> Result<Set> {
            let mut addresses = Vec::with_capacity(size(plan));
            while addresses.len() < size(plan) {
                addresses.extend(one(&mut draw));
            }
            Ok(Set { family, addresses })
        };
        sets.push(fill(&mut |draw| {
            let net = draw.one_of(&listed)?;
            let address = Address::from(net.network());
            is_listed(&address).then_some(address)
        })?);
        for odd in [0, 1] {
            sets.push(fill(&mut |draw| {
                let net = excepted.get(draw.below(half / 2) * 2 + odd)?;
                Some(Address::from(net.addr()))
            })?);
        }
    }
    Ok(sets)
}

/// What becomes of a set's sources: the case, and the reason that is meant under rules that name them.
fn cases_of(set: usize, family: Family) -> Vec<Case> {
    let fates = match (set < NAMED, set % 2) {
        (true, 0) => &FATES[..1],
        (true, _) => &FATES[1..],
        (false, _) => &[Fate::DropTcp],
    };
    fates
        .iter()
        .map(|fate| cases::plain(family, *fate))
        .collect()
}

/// Holds every image against the oracle where no rule speaks, and every verdict against the host's.
fn check(all: &[Prepared], sets: &[Set], stage: &mut Stage<'_>) -> Result<()> {
    for (policy, prepared) in all.iter().enumerate() {
        let rig = stage.with(policy)?;
        let words = prepared.image.words();
        let oracle = Oracle::new(&prepared.config.policy, &prepared.database);
        let host = SimulatedTables::new(words, PacketHistory::default());
        for (number, set) in sets.iter().enumerate() {
            if number < NAMED {
                verify::image(&oracle, words, set)?;
            }
            for case in cases_of(number, set.family) {
                let meant = (number < NAMED).then_some(case.reason);
                verify::verdicts(&host, rig, number, set, &case, meant)?;
            }
        }
    }
    Ok(())
}

/// The look-up alone.
fn lookups(
    plan: &Plan,
    sets: &[Set],
    stage: &mut Stage<'_>,
    names: &[String],
    report: &mut Report,
) -> Result<()> {
    // Tenants do not change where a source is found.
    let contestants = 1 + OF_SOURCES.len();
    let turns = contestants + 1;
    let samples = stage.everywhere(plan.places(), |stage| {
        rounds(DRAWN.len() * turns, turns, plan.place_rounds(), |one| {
            let (drawn, contestant) = (one / turns, one % turns);
            let set = 2 * drawn;
            let family = sets[set].family as usize;
            let rig = stage.with(contestant % contestants)?;
            rig.aim(&Cursor {
                set,
                source: 0,
                interface: 0,
            })?;
            let program = if contestant == contestants {
                program::FETCH[family]
            } else {
                program::LOOKUP[family]
            };
            rig.cost(program, &[0; FRAME_MIN], size(plan))
        })
    })?;
    let columns: Vec<_> = names[..contestants].iter().map(String::as_str).collect();
    let mut table = Table::new(
        "rules_lookup",
        "One look-up of a source that no rule names, over a program that only takes the address",
        &columns,
    );
    for ((_, _, name), samples) in DRAWN.iter().zip(samples.chunks(turns)) {
        let fetch = &samples[contestants];
        let net: Vec<_> = samples[..contestants]
            .iter()
            .map(|one| one.less(fetch))
            .collect();
        table.row(*name, against(&net));
    }
    report.tables.push(table);
    Ok(())
}
