//! Exceptions and protections as an image has them: names for sources and destinations, and the exceptions that each
//! pair of names leads to. `geofence_common::image::exceptions` reads the result.
//!
//! A group is a name for prefixes that the same exceptions apply to, by the prefix itself or by one around it.
//! Countries and tenants have names apart from the groups, so that an exception for a country costs nothing for each
//! prefix that other exceptions name in it.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use foldhash::fast::FixedState;
use geofence_common::country::Country;
use geofence_common::image::exceptions::{
    ANYWHERE, BANNED, EXCEPTION_WORDS, FIRST_SOURCE_GROUP, FIRST_TARGET_GROUP, NEVER, PAIR_WORDS,
    PROBES_MAX, RUN_MAX, first_line, traffic,
};
use geofence_common::image::{LINE_WORDS, Line};
use ipnet::IpNet;

use super::parallel::at_once;
use super::prefix::{Family, Prefix};
use super::target::Target;
use crate::model::policy::{AsRule, Destination, Origin, Policy, Traffic};

/// How many pairs of names an image may have: 64 MiB of them.
const PAIRS_MAX: usize = 2 << 20;

/// The exceptions cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExceptionError {
    #[error(
        "the exceptions overlap too much: they need more than {PAIRS_MAX} pairs of sources and destinations. Most \
         pairs come from wide prefixes that contain the prefixes of many other exceptions; use countries and tenants \
         instead, or narrower prefixes"
    )]
    TooManyPairs,
    #[error(
        "{count} services of exceptions apply to one source and one destination, and the limit is {RUN_MAX}; {id:?} is \
         one of the exceptions. Join ports to ranges, or leave the services out of one of the exceptions"
    )]
    TooManyServices { id: String, count: usize },
}

/// What an exception, a ban or the access to a protected port says.
struct Permit<'a> {
    id: &'a str,
    slot: u32,
    is_ban: bool,
    from: Cow<'a, [Origin]>,
    to: &'a [Destination],
    traffic: Cow<'a, [Traffic]>,
    deadline: u64,
    is_access: bool,
}

/// Everything about exceptions that an image needs.
#[derive(Debug, Default)]
pub(super) struct Exceptions {
    /// Prefixes of sources with the names of their groups, sorted, by family.
    pub(super) sources: [Vec<(Prefix, u32)>; 2],
    pub(super) countries: BTreeSet<Country>,
    /// The same of destinations.
    pub(super) targets: [Vec<(Prefix, u32)>; 2],
    pub(super) tenants: BTreeSet<u32>,
    pub(super) is_anywhere: bool,
    /// Runs of exceptions, one after the other.
    runs: Vec<[u32; EXCEPTION_WORDS]>,
    /// Source name, destination name, where in `runs` its exceptions start, and how many they are.
    pairs: Vec<[u32; PAIR_WORDS]>,
}

/// The pairs as lines, and the number of lines a pair may start in.
pub(super) struct PairTable {
    pub(super) lines: Vec<Line>,
    pub(super) starts: u32,
}

impl Exceptions {
    pub(super) fn new(policy: &Policy, target: &Target) -> Result<Self, ExceptionError> {
        let permits = permits(policy, target);
        let mut this = Self::default();
        let sources = || {
            name(&permits, FIRST_SOURCE_GROUP, |permit| {
                permit.from.iter().filter_map(|origin| match origin {
                    Origin::Prefix(net) => Some(net),
                    Origin::Country(_) => None,
                })
            })
        };
        let targets = || {
            name(&permits, FIRST_TARGET_GROUP, |permit| {
                permit.to.iter().filter_map(|aim| match aim {
                    Destination::Prefix(net) => Some(net),
                    Destination::Anywhere | Destination::Tenant(_) => None,
                })
            })
        };
        let (sources, targets) = at_once(sources, targets);
        let (sources, targets) = (sources?, targets?);

        let mut triples = Vec::new();
        let (mut from, mut to) = (Vec::new(), Vec::new());
        let mut by_source = sources.by_permit.iter().peekable();
        let mut by_target = targets.by_permit.iter().peekable();
        for (number, permit) in (0_u32..).zip(&permits) {
            for (names, all) in [(&mut from, &mut by_source), (&mut to, &mut by_target)] {
                names.clear();
                while let Some((_, name)) = all.next_if(|(of, _)| *of == number) {
                    names.push(*name);
                }
            }
            for origin in permit.from.iter() {
                if let Origin::Country(country) = origin {
                    this.countries.insert(*country);
                    from.push(country.number().into());
                }
            }
            if permit.is_ban {
                to.push(BANNED);
            }
            for aim in permit.to.iter().filter(|_| !permit.is_ban) {
                match aim {
                    Destination::Anywhere => {
                        this.is_anywhere = true;
                        to.push(ANYWHERE);
                    }
                    Destination::Tenant(tenant) => {
                        this.tenants.insert(*tenant);
                        to.push(*tenant);
                    }
                    Destination::Prefix(_) => {}
                }
            }
            if from.len().saturating_mul(to.len()) > PAIRS_MAX - triples.len().min(PAIRS_MAX) {
                return Err(ExceptionError::TooManyPairs);
            }
            for source in &from {
                triples.extend(to.iter().map(|target| (*source, *target, number)));
            }
        }
        (this.sources, this.targets) = (sources.prefixes, targets.prefixes);
        triples.sort_unstable();
        triples.dedup();
        this.write_runs(&permits, &triples)?;
        Ok(this)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Whether some apply to some destinations only.
    pub(super) fn has_targets(&self) -> bool {
        !self.tenants.is_empty() || self.targets.iter().any(|targets| !targets.is_empty())
    }

    pub(super) fn sources(&self, family: Family) -> &[(Prefix, u32)] {
        &self.sources[family as usize]
    }

    pub(super) fn targets(&self, family: Family) -> &[(Prefix, u32)] {
        &self.targets[family as usize]
    }

    /// The number of exceptions in the image. An exception with several services, or with several pairs, is there more
    /// than once.
    pub(super) fn count(&self) -> u32 {
        self.runs.len() as u32
    }

    fn write_runs(
        &mut self,
        permits: &[Permit<'_>],
        triples: &[(u32, u32, u32)],
    ) -> Result<(), ExceptionError> {
        let all: Vec<u32> = triples.iter().map(|(_, _, number)| *number).collect();
        let mut left = all.as_slice();
        let mut known: HashMap<&[u32], [u32; 2], FixedState> = HashMap::default();
        for pair in triples.chunk_by(|one, other| (one.0, one.1) == (other.0, other.1)) {
            let numbers;
            (numbers, left) = left.split_at(pair.len());
            let (Some((source, target, _)), Some(last)) = (pair.first(), numbers.last()) else {
                continue;
            };
            let [start, count] = match known.get(numbers) {
                Some(run) => *run,
                None => {
                    let start = self.runs.len();
                    let permits_of = numbers.iter().map(|number| &permits[*number as usize]);
                    self.runs.extend(permits_of.flat_map(Permit::words));
                    let count = self.runs.len() - start;
                    if count > RUN_MAX as usize {
                        let id = permits[*last as usize].id.to_owned();
                        return Err(ExceptionError::TooManyServices { id, count });
                    }
                    let run = [start as u32, count as u32];
                    known.insert(numbers, run);
                    run
                }
            };
            self.pairs.push([*source, *target, start, count]);
        }
        Ok(())
    }

    /// The exceptions as lines.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines =
            vec![[0; LINE_WORDS]; (self.runs.len() * EXCEPTION_WORDS).div_ceil(LINE_WORDS)];
        let words = lines.as_flattened_mut();
        words[..self.runs.len() * EXCEPTION_WORDS].copy_from_slice(self.runs.as_flattened());
        lines
    }

    /// The pairs as lines, for exceptions that start at this word.
    pub(super) fn pair_table(&self, exceptions: u32) -> PairTable {
        // Half full, or larger if a pair finds no place.
        let mut starts = self.pairs.len().div_ceil(2).max(1);
        loop {
            if let Some(lines) = self.pair_lines(exceptions, starts) {
                return PairTable {
                    lines,
                    starts: starts as u32,
                };
            }
            starts += starts.div_ceil(4);
        }
    }

    fn pair_lines(&self, exceptions: u32, starts: usize) -> Option<Vec<Line>> {
        let mut lines = vec![[0; LINE_WORDS]; starts + PROBES_MAX as usize - 1];
        for [source, target, start, count] in &self.pairs {
            let first = first_line(*source, *target, starts as u32) as usize;
            let probed = lines.get_mut(first..first + PROBES_MAX as usize)?;
            let (places, _) = probed.as_flattened_mut().as_chunks_mut::<PAIR_WORDS>();
            let place = places.iter_mut().find(|place| place[0] == 0)?;
            let at = exceptions + start * EXCEPTION_WORDS as u32;
            *place = [*source, *target, at, *count];
        }
        Some(lines)
    }
}

/// All that may pass now, in one form.
fn permits<'a>(policy: &'a Policy, target: &Target) -> Vec<Permit<'a>> {
    const SECOND: u64 = 1_000_000_000;
    let mut systems: HashMap<&str, Vec<&IpNet>> = HashMap::new();
    for system in &policy.autonomous_systems {
        if let AsRule::Exception(id) = &system.rule {
            systems.entry(id).or_default().extend(&system.prefixes);
        }
    }
    let exceptions = policy.exceptions.iter().filter_map(|exception| {
        let deadline = match exception.until {
            None => NEVER,
            Some(until) => {
                let left = until
                    .0
                    .checked_sub(target.compiled.0)
                    .filter(|left| *left > 0)?;
                target.boot.now.saturating_add(left.saturating_mul(SECOND))
            }
        };
        let mut from = Cow::Borrowed(exception.from.as_slice());
        if let Some(nets) = systems.get(exception.id.as_str()) {
            from.to_mut()
                .extend(nets.iter().map(|net| Origin::Prefix(**net)));
        }
        Some(Permit {
            id: &exception.id,
            slot: exception.slot,
            is_ban: exception.is_ban,
            from,
            to: &exception.to,
            traffic: Cow::Borrowed(&exception.traffic),
            deadline,
            is_access: false,
        })
    });
    let protections = policy.protections.iter().map(|protection| Permit {
        id: &protection.id,
        slot: protection.slot,
        is_ban: false,
        from: protection
            .from
            .iter()
            .copied()
            .map(Origin::Prefix)
            .collect(),
        to: &protection.to,
        traffic: protection
            .services
            .iter()
            .copied()
            .map(Traffic::Service)
            .collect(),
        deadline: NEVER,
        is_access: true,
    });
    exceptions.chain(protections).collect()
}

impl Permit<'_> {
    /// The exception as the image holds it, once for each kind of traffic.
    fn words(&self) -> impl Iterator<Item = [u32; EXCEPTION_WORDS]> {
        self.traffic.iter().map(|one| {
            let (kind, ports) = match one {
                Traffic::Any => (1 << traffic::ANY, 0),
                Traffic::Protocol(number) => (u32::from(*number), 0),
                Traffic::Service(service) => (
                    u32::from(service.protocol.number()) | 1 << traffic::PORTS,
                    u32::from(service.first) | u32::from(service.last) << 16,
                ),
            };
            let access = u32::from(self.is_access) << traffic::ACCESS;
            [
                kind | access | self.slot << traffic::SLOT,
                ports,
                self.deadline as u32,
                (self.deadline >> 32) as u32,
            ]
        })
    }
}

/// The prefixes that permits name, in groups.
struct Groups {
    /// Prefixes with the names of their groups, sorted, by family.
    prefixes: [Vec<(Prefix, u32)>; 2],
    /// The number of a permit and the name of a group that it applies to, sorted.
    by_permit: Vec<(u32, u32)>,
}

/// Groups the prefixes that permits name. Prefixes of one group have the same group around them, and are named by the
/// same permits.
fn name<'a, Nets: Iterator<Item = &'a IpNet>>(
    permits: &'a [Permit<'_>],
    first: u32,
    nets: impl Fn(&'a Permit<'_>) -> Nets,
) -> Result<Groups, ExceptionError> {
    let named_by = Family::ALL.map(|family| {
        let mut named: Vec<(Prefix, u32)> = (0..)
            .zip(permits)
            .flat_map(|(number, permit)| {
                nets(permit).filter_map(move |net| Some((Prefix::of(net, family)?, number)))
            })
            .collect();
        named.sort_unstable();
        named
    });
    let numbers = named_by.each_ref().map(|named| {
        named
            .iter()
            .map(|(_, number)| *number)
            .collect::<Vec<u32>>()
    });
    let mut groups: Vec<(Option<u32>, &[u32])> = Vec::new();
    let mut known: HashMap<(Option<u32>, &[u32]), u32, FixedState> = HashMap::default();
    let mut prefixes = [const { Vec::new() }; 2];
    for ((named, numbers), prefixes) in named_by.iter().zip(&numbers).zip(&mut prefixes) {
        let mut left = numbers.as_slice();
        // The prefixes around the present one, longest last.
        let mut holding: Vec<(Prefix, u32)> = Vec::new();
        for one in named.chunk_by(|one, other| one.0 == other.0) {
            let own;
            (own, left) = left.split_at(one.len());
            let Some((prefix, _)) = one.first().copied() else {
                continue;
            };
            while holding
                .pop_if(|(above, _)| !above.contains(prefix))
                .is_some()
            {}
            let around = holding.last().map(|(_, group)| *group);
            let next = groups.len() as u32;
            let group = *known.entry((around, own)).or_insert(next);
            if group == next {
                groups.push((around, own));
            }
            holding.push((prefix, group));
            prefixes.push((prefix, first + group));
        }
    }

    let mut by_permit = Vec::new();
    let mut left = 4 * PAIRS_MAX;
    for number in 0..groups.len() as u32 {
        let mut next = Some(number);
        while let Some((around, own)) = next.and_then(|at| groups.get(at as usize)) {
            left = left
                .checked_sub(own.len())
                .ok_or(ExceptionError::TooManyPairs)?;
            by_permit.extend(own.iter().map(|permit| (*permit, first + number)));
            next = *around;
        }
    }
    by_permit.sort_unstable();
    by_permit.dedup();
    Ok(Groups {
        prefixes,
        by_permit,
    })
}
