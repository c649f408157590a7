//! A policy and GeoIP data to a policy image.
//!
//! Pure: no kernel, no clock, no files; the same input gives the same image to the byte. The rule is written three
//! times: `layers` lays the sources over each other and `trie` stores the result, `prefixes` gives the kernel's trie
//! what it needs without looking at either, and the tests keep an oracle that states the rule at its plainest:
//!
//! - an address in special-use space has that space's class, the longest block's, whatever the data says;
//! - any other has the country of the longest prefix of the data that holds it, or none;
//! - whoever is on a list carries the list's flag besides.

mod cross_check;
mod destinations;
mod exceptions;
mod extents;
mod host_table;
mod image;
mod layers;
mod list_sets;
mod prefix;
mod prefixes;
mod ranges;
mod statistics;
mod trie;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::thread;

use foldhash::fast::FixedState;
use geofence_common::country::Country;
use geofence_common::image::class::Class;
use geofence_common::image::{
    CLASS_TABLE, CLASS_WORDS, FREE_LINE, LAYOUT, LEAF, LINE_SHIFT, LINE_WORDS, LINES_MAX, Line,
    MAGIC, ROOT_LINES, ROOT_V4_LINE, ROOT_V6_LINE, SERVICES_LINES, TCP_SERVICES_LINE,
    UDP_SERVICES_LINE, class_leaf, class_position, class_record, flag, header,
};
use geofence_common::maps::IMAGE_MIB_MAX;

use crate::data::geoip::Database;
use crate::model::policy::{Policy, Replies, ServiceProtocol};
use crate::model::units::UnixSeconds;
use destinations::Zones;
use exceptions::Exceptions;
use host_table::Hosts;
use layers::{Kind, Layer};
use list_sets::Lists;
use trie::{Full, Trie};

pub use cross_check::{Disagreement, agree, decide};
pub use exceptions::ExceptionError;
pub use extents::{Extent, Extents};
pub use image::{Image, ImageError};
pub use prefix::Family;
pub use prefixes::{ClassifiedV4, ClassifiedV6, ForeignImage, LpmPrefixes};
pub use ranges::{BrokenImage, Ranges, Segment, prefixes, ranges, side_by_side, spans};
pub use statistics::{CountryStatistics, Statistics};

/// What an image is compiled for, beyond policy and data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub generation: u32,
    /// Which of the kernel's two slots of tries belongs to the image, 0 or 1.
    pub slot: u32,
    /// The time of the compilation.
    pub compiled: UnixSeconds,
    /// The same by the clock that exceptions lapse by.
    pub boot: Boot,
    /// How many lines the kernel's array has room for.
    pub lines_max: u32,
}

/// A moment since the machine was booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// Tells this boot from others.
    pub id: u32,
    /// Nanoseconds since then (CLOCK_BOOTTIME).
    pub now: u64,
}

/// The image does not fit where it must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the policy image needs {} MiB ({lines} lines), more than the {} MiB ({lines_max} lines) there is room for; {}",
    mib(*lines),
    mib(*lines_max),
    self.way_out()
)]
pub struct TooLarge {
    /// Lines needed; at least so many, if there are more than any image can have.
    pub lines: u32,
    pub lines_max: u32,
}

impl TooLarge {
    fn way_out(&self) -> String {
        if mib(self.lines) <= u64::from(IMAGE_MIB_MAX) {
            format!(
                "set capacity-mib to at least {}, or shorten the lists",
                mib(self.lines)
            )
        } else {
            "no image is larger than that; shorten the lists or use a database with fewer networks"
                .to_owned()
        }
    }
}

/// Lines as MiB, rounded up.
fn mib(lines: u32) -> u64 {
    (u64::from(lines) * size_of::<Line>() as u64).div_ceil(1 << 20)
}

/// There is no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error(transparent)]
    ExceptionError(#[from] ExceptionError),
}

/// Compiles an image.
pub fn compile(
    policy: &Policy,
    database: &Database,
    target: &Target,
) -> Result<Image, CompileError> {
    let (countries, exceptions) = at_once(
        || for_both(|family| layers::countries(database, family)),
        || Exceptions::new(policy, target),
    );
    let exceptions = exceptions?;
    let others = Lists::new(policy);
    let mut kinds = Kinds::new();
    let layers = for_both(|family| {
        let countries = &countries[family as usize];
        layers::kinds(policy, countries, &exceptions, &others, family)
    });
    drop(countries);
    let [mut v4, mut v6] = layers.map(|layer| kinds.number(layer));
    let hosts = Hosts::take([&mut v4, &mut v6], |number| kinds.is_named(number));
    let table = ClassTable::new(kinds);
    let flags = flags(policy, &exceptions, &others);

    let mut lines = vec![[0; LINE_WORDS]; FREE_LINE];
    for (protocol, line) in [
        (ServiceProtocol::Tcp, TCP_SERVICES_LINE),
        (ServiceProtocol::Udp, UDP_SERVICES_LINE),
    ] {
        let section = destinations::section(policy, 0, protocol);
        lines[line..line + SERVICES_LINES].copy_from_slice(&section);
    }
    let sets_at = lines.len() + table.line_count();
    let sets = SetTable::new(&others, (sets_at as u32) << LINE_SHIFT);
    lines.extend(table.lines(policy, &exceptions, &sets));
    lines.extend_from_slice(&sets.lines);

    if !exceptions.is_empty() {
        let at = lines.len();
        lines.extend(exceptions.lines());
        let exceptions_at = (at as u32) << LINE_SHIFT;
        let pairs = exceptions.pair_table(exceptions_at);
        let pairs_at = lines.len() as u32;
        lines.extend(pairs.lines);
        let words = lines.as_flattened_mut();
        words[header::EXCEPTIONS] = exceptions_at;
        words[header::EXCEPTION_COUNT] = exceptions.count();
        words[header::PAIRS] = pairs_at;
        words[header::PAIR_LINES] = pairs.starts;
    }
    if hosts.line_count() > 0 {
        let at = (lines.len() as u32) << LINE_SHIFT;
        lines.extend(hosts.lines(|kind| table.position(kind)));
        let words = lines.as_flattened_mut();
        words[header::HOSTS] = at;
        words[header::HOST_LINES] = hosts.line_count();
    }
    let has_zones = flags(0) & (flag::TENANTS | flag::TARGETS) != 0;
    let destinations = has_zones.then(|| {
        let layers =
            Family::ALL.map(|family| destinations::destinations(policy, &exceptions, family));
        let all = layers.iter().flatten().map(|(_, destination)| *destination);
        let zones = Zones::write(&mut lines, policy, &exceptions, &flags, all);
        let roots = [0, ROOT_LINES].map(|behind| lines.len() + behind);
        lines.resize(lines.len() + 2 * ROOT_LINES, [0; LINE_WORDS]);
        (layers, zones, roots)
    });
    let nodes_at = lines.len();

    let tries = for_both(|family| {
        let layer = [&v4, &v6][family as usize];
        Trie::new(family, layer, hosts.addresses(family), |kind| {
            table.leaf(kind)
        })
    });
    let mut fits = Ok(());
    for (root, trie) in [ROOT_V4_LINE, ROOT_V6_LINE].into_iter().zip(tries) {
        fits = fits.and(trie.and_then(|trie| trie.write(&mut lines, root)));
    }
    let mut roots_at = [0; 2];
    if let Some((layers, zones, roots)) = &destinations {
        roots_at = *roots;
        for (root, (family, layer)) in roots.iter().zip(Family::ALL.into_iter().zip(layers)) {
            let zone = |destination| LEAF | zones.position(destination);
            let trie = Trie::new(family, layer, &[], zone);
            fits = fits.and(trie.and_then(|trie| trie.write(&mut lines, *root)));
        }
    }
    // What does not fit was not written, so that what was says nothing of it.
    let count = match fits {
        Ok(()) => u32::try_from(lines.len()).unwrap_or(u32::MAX),
        Err(Full) => LINES_MAX as u32,
    };
    if fits.is_err() || count > target.lines_max {
        return Err(CompileError::TooLarge(TooLarge {
            lines: count,
            lines_max: target.lines_max.min(LINES_MAX as u32),
        }));
    }

    let words = lines.as_flattened_mut();
    words[header::MAGIC] = MAGIC;
    words[header::LAYOUT] = LAYOUT;
    words[header::GENERATION] = target.generation;
    words[header::FLAGS] = flags(0)
        | if target.slot == 1 {
            flag::SECOND_SLOT
        } else {
            0
        };
    write_long(words, header::COMPILED, target.compiled.0);
    write_long(words, header::MOMENT, target.compiled.0);
    write_long(words, header::MOMENT_BOOT, target.boot.now);
    words[header::BOOT_ID] = target.boot.id;
    write_long(words, header::DATA_BUILT, database.info().built().0);
    words[header::LINES] = count;
    words[header::CLASSES] = table.kinds.len() as u32;
    words[header::CLASS_TABLE] = CLASS_TABLE;
    words[header::NODES] = count - nodes_at as u32;
    words[header::PREFIXES_V4] = database.prefixes_v4().len() as u32;
    words[header::PREFIXES_V6] = database.prefixes_v6().len() as u32;
    words[header::DESTINATIONS_V4] = roots_at[0] as u32;
    words[header::DESTINATIONS_V6] = roots_at[1] as u32;
    words[header::TENANTS] = policy.tenants.len() as u32;
    words[header::LISTS] = sets.at;
    words[header::RATE_LIMIT] = policy.rate_limit.map_or(0, NonZeroU32::get);
    Ok(Image::sealed(lines))
}

/// Does two things at once, where there is another processor.
fn at_once<A: Send, B>(one: impl Fn() -> A + Sync, other: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        // Borrowed, because where there is no thread to be had all of it is left to this one.
        let helper = thread::Builder::new().spawn_scoped(scope, &one);
        let other = other();
        let one = match helper {
            Ok(helper) => helper
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => one(),
        };
        (one, other)
    })
}

/// Does the same for both families at once.
fn for_both<T: Send>(what: impl Fn(Family) -> T + Sync) -> [T; 2] {
    at_once(|| what(Family::V4), || what(Family::V6)).into()
}

/// The distinct kinds of addresses, each with a number. Every entry of the trie asks where its kind stands, and there
/// may be as many kinds as exceptions, so steps carry numbers and none is searched for twice.
struct Kinds {
    numbers: HashMap<Kind, u32, FixedState>,
    /// By number, whether lists or exceptions made the kind.
    named: Vec<bool>,
}

impl Kinds {
    fn new() -> Self {
        // The class of an address in no prefix is always there, so that an engine has one to fall back on.
        let unknown = Kind::new(Class::of_country(Country::UNKNOWN), 0);
        Self {
            numbers: std::iter::once((unknown, 0)).collect(),
            named: vec![false],
        }
    }

    fn is_named(&self, number: u32) -> bool {
        self.named[number as usize]
    }

    /// The layer with numbers for kinds.
    fn number(&mut self, layer: Layer<Kind>) -> Layer<u32> {
        let numbered = layer.into_iter().map(|(start, kind)| {
            let next = self.numbers.len() as u32;
            let number = self.numbers.entry(kind).or_insert_with(|| {
                self.named.push(kind.class.has_lists());
                next
            });
            (start, *number)
        });
        numbered.collect()
    }
}

/// The distinct kinds of addresses without the policy's answer for their countries: in order, and behind all others
/// those that lists and exceptions made, so that the numbers of the others are small.
struct ClassTable {
    kinds: Vec<Kind>,
    /// By the number that a kind was given, that of its class.
    numbers: Vec<u32>,
}

impl ClassTable {
    fn new(kinds: Kinds) -> Self {
        let Kinds { numbers, named } = kinds;
        let mut kinds: Vec<(Kind, u32)> = numbers.into_iter().collect();
        kinds.sort_unstable_by_key(|(kind, number)| (named[*number as usize], *kind));
        let mut numbers = vec![0; kinds.len()];
        for (number, (_, kind)) in (0..).zip(&kinds) {
            numbers[*kind as usize] = number;
        }
        Self {
            kinds: kinds.into_iter().map(|(kind, _)| kind).collect(),
            numbers,
        }
    }

    /// The leaf of the class of a numbered kind.
    fn leaf(&self, kind: u32) -> u32 {
        class_leaf(self.numbers[kind as usize])
    }

    /// The word in the image where it stands.
    fn position(&self, kind: u32) -> u32 {
        class_position(self.leaf(kind))
    }

    fn line_count(&self) -> usize {
        (self.kinds.len() * CLASS_WORDS).div_ceil(LINE_WORDS)
    }

    /// The table as it stands in the image. Only here do the policy's choice of countries and the exceptions for
    /// countries enter, so that a change of mind about a country changes these lines and no other.
    fn lines(&self, policy: &Policy, exceptions: &Exceptions, sets: &SetTable) -> Vec<Line> {
        let mut lines = vec![[0; LINE_WORDS]; self.line_count()];
        let (records, _) = lines.as_flattened_mut().as_chunks_mut::<CLASS_WORDS>();
        for (record, kind) in records.iter_mut().zip(&self.kinds) {
            *record = class_record(policy, exceptions, sets, *kind);
        }
        lines
    }
}

/// The sets of lists as they stand in the image.
struct SetTable {
    /// The word where they start.
    at: u32,
    lines: Vec<Line>,
    starts: Vec<u32>,
}

impl SetTable {
    fn new(lists: &Lists, at: u32) -> Self {
        let (lines, starts) = lists.lines();
        Self { at, lines, starts }
    }

    /// The word where a set starts; the empty one is nowhere.
    fn position(&self, set: u32) -> u32 {
        match set {
            0 => 0,
            set => self.at + self.starts[set as usize],
        }
    }
}

/// A kind of address as the class table has it.
fn class_record(
    policy: &Policy,
    exceptions: &Exceptions,
    sets: &SetTable,
    kind: Kind,
) -> [u32; CLASS_WORDS] {
    let class = kind
        .class
        .with_blocked(policy.blocks(kind.class))
        .with_excepted_country(exceptions.countries.contains(&kind.class.country()));
    let mut record = [0; CLASS_WORDS];
    record[class_record::CLASS as usize] = class.to_word();
    record[class_record::GROUP as usize] = kind.group;
    record[class_record::LISTS as usize] = sets.position(kind.lists);
    record
}

/// The flags of the header, and of the zones of each tenant.
fn flags(policy: &Policy, exceptions: &Exceptions, lists: &Lists) -> impl Fn(u32) -> u32 {
    let when = |condition: bool, flag: u32| if condition { flag } else { 0 };
    let all = when(policy.replies == Replies::Mail, flag::REPLIES_MAIL)
        | when(policy.replies == Replies::All, flag::REPLIES_ALL)
        | when(policy.mta_sts, flag::MTA_STS)
        | when(!policy.tenants.is_empty(), flag::TENANTS)
        | when(exceptions.has_targets(), flag::TARGETS)
        | when(exceptions.is_anywhere, flag::ANYWHERE)
        | when(!exceptions.is_empty(), flag::EXCEPTIONS)
        | when(policy.rate_limit.is_some(), flag::RATE_LIMIT)
        | when(lists.are_about_what_leaves(), flag::LISTS_OUT);
    move |tenant| all | destinations::rule_flags(policy, tenant)
}

fn write_long(words: &mut [u32], at: usize, value: u64) {
    words[at] = value as u32;
    words[at + 1] = (value >> 32) as u32;
}

#[cfg(test)]
mod tests;
