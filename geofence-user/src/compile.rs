//! A policy and GeoIP data to a policy image.
//!
//! Pure: no kernel, no clock, no files; the same input gives the same image to the byte. Three accounts of one rule
//! live below: `layers` lays the sources of truth over each other and `trie` stores the result, `prefixes` gives
//! the kernel's trie what it needs without looking at either, and `crate::oracle` is the rule at its plainest, for
//! tests. The rule:
//!
//! - an address in special-use space has that space's class, the longest block's, whatever the data says;
//! - any other has the country of the longest prefix of the data that holds it, or none;
//! - whoever is on a list carries the list's flag besides.

mod image;
mod layers;
mod prefix;
mod prefixes;
mod ranges;
mod statistics;
mod trie;

use std::collections::BTreeSet;

use geofence_common::class::Class;
use geofence_common::country::Country;
use geofence_common::image::{
    Exemption, FREE_LINE, LAYOUT, LEAF, LINE_WORDS, Line, MAGIC, ROOT_V4_LINE, ROOT_V6_LINE,
    TCP_SERVICES_LINE, UDP_SERVICES_LINE, flag, header,
};
use geofence_common::verdict::Mode;

use crate::geoip::Database;
use crate::policy::{Fate, Policy, Replies, ServiceProtocol};
use trie::Trie;

pub use image::{Image, ImageError};
pub use prefix::Family;
pub use prefixes::{ClassifiedV4, ClassifiedV6, ForeignImage};
pub use ranges::{BrokenImage, Extent, Ranges, Segment, prefixes, ranges, side_by_side, spans};
pub use statistics::{CountryStatistics, Statistics};

/// What an image is compiled for, beyond policy and data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub generation: u32,
    /// Which of the kernel's two slots of tries belongs to the image, 0 or 1.
    pub slot: u32,
    /// Now, seconds since 1970.
    pub compiled: u64,
    /// How many lines the kernel's array has room for.
    pub lines_max: u32,
}

/// The image does not fit where it must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the policy image needs {} MiB ({lines} lines), more than the {} MiB ({lines_max} lines) there is room for; \
     shorten the lists or use a database with fewer networks",
    mib(*lines),
    mib(*lines_max)
)]
pub struct TooLarge {
    /// Lines needed; at least so many, if there are more than any image can have.
    pub lines: u32,
    pub lines_max: u32,
}

/// Lines as MiB, rounded up.
fn mib(lines: u32) -> u64 {
    (u64::from(lines) * size_of::<Line>() as u64).div_ceil(1 << 20)
}

/// Compiles an image.
pub fn compile(policy: &Policy, database: &Database, target: &Target) -> Result<Image, TooLarge> {
    let v4 = layers::classes(policy, database, Family::V4);
    let v6 = layers::classes(policy, database, Family::V6);
    let table = ClassTable::new([&v4, &v6].into_iter().flatten().map(|(_, class)| *class));

    let mut lines = vec![[0; LINE_WORDS]; FREE_LINE];
    write_services(&mut lines, policy);
    lines.extend(table.lines(policy));

    let mut trie = Trie::new(lines, |class| LEAF | table.position(class));
    let fits = trie
        .add_family(ROOT_V4_LINE, &v4)
        .and_then(|()| trie.add_family(ROOT_V6_LINE, &v6));
    let mut lines = trie.into_lines();
    let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    if fits.is_err() || count > target.lines_max {
        return Err(TooLarge {
            lines: count,
            lines_max: target.lines_max,
        });
    }

    let words = lines.as_flattened_mut();
    words[header::MAGIC] = MAGIC;
    words[header::LAYOUT] = LAYOUT;
    words[header::GENERATION] = target.generation;
    words[header::FLAGS] = flags(policy, target.slot);
    write_long(words, header::COMPILED, target.compiled);
    write_long(words, header::DATA_BUILT, database.info().built());
    words[header::LINES] = count;
    words[header::CLASSES] = table.0.len() as u32;
    words[header::CLASS_TABLE] = CLASS_TABLE;
    words[header::PREFIXES_V4] = database.prefixes_v4().len() as u32;
    words[header::PREFIXES_V6] = database.prefixes_v6().len() as u32;
    Ok(Image::sealed(lines))
}

/// Where the class table starts: right behind the fixed sections.
const CLASS_TABLE: u32 = (FREE_LINE * LINE_WORDS) as u32;

/// The distinct classes, in order, without the policy's answer for their countries.
struct ClassTable(Vec<Class>);

impl ClassTable {
    fn new(classes: impl Iterator<Item = Class>) -> Self {
        // The class of an address in no prefix is always there, so that an engine has one to fall back on.
        let unknown = Class::of_country(Country::UNKNOWN);
        let mut distinct = BTreeSet::from([unknown]);
        let mut last = unknown;
        for class in classes {
            if class != last {
                distinct.insert(class);
                last = class;
            }
        }
        Self(distinct.into_iter().collect())
    }

    /// The word in the image where a class stands; every class asked for was given to `new`.
    fn position(&self, class: Class) -> u32 {
        let at = self.0.partition_point(|known| *known < class);
        CLASS_TABLE + at as u32
    }

    /// The table as it stands in the image. Only here does the policy's choice of countries enter, so that a change
    /// of mind about a country changes these lines and no other.
    fn lines(&self, policy: &Policy) -> Vec<Line> {
        let mut lines = vec![[0; LINE_WORDS]; self.0.len().div_ceil(LINE_WORDS)];
        for (word, class) in lines.as_flattened_mut().iter_mut().zip(&self.0) {
            *word = class.with_blocked(policy.blocks(*class)).to_word();
        }
        lines
    }
}

fn flags(policy: &Policy, slot: u32) -> u32 {
    let when = |condition: bool, flag: u32| if condition { flag } else { 0 };
    when(policy.mode == Mode::Monitor, flag::MONITOR)
        | when(policy.special_use == Fate::Drop, flag::SPECIAL_USE_BLOCKED)
        | when(policy.icmp_echo == Fate::Pass, flag::ICMP_ECHO)
        | when(slot == 1, flag::SECOND_SLOT)
        | when(policy.replies == Replies::Mail, flag::REPLIES_MAIL)
        | when(policy.replies == Replies::All, flag::REPLIES_ALL)
        | when(policy.mta_sts, flag::MTA_STS)
}

fn write_long(words: &mut [u32], at: usize, value: u64) {
    words[at] = value as u32;
    words[at + 1] = (value >> 32) as u32;
}

/// Writes which ports are exempt. A mail port that is also a service counts as mail.
fn write_services(lines: &mut [Line], policy: &Policy) {
    let mut exempt = |section: usize, port: u16, exemption: Exemption| {
        let words = lines[section..].as_flattened_mut();
        let shift = u32::from(port & 15) * 2;
        let word = &mut words[usize::from(port >> 4)];
        *word = (*word & !(3 << shift)) | (exemption as u32) << shift;
    };
    for service in &policy.services {
        let section = match service.protocol {
            ServiceProtocol::Tcp => TCP_SERVICES_LINE,
            ServiceProtocol::Udp => UDP_SERVICES_LINE,
        };
        for port in service.first..=service.last {
            exempt(section, port, Exemption::Service);
        }
    }
    for port in policy.mail.ports() {
        exempt(TCP_SERVICES_LINE, *port, Exemption::Mail);
    }
}

#[cfg(test)]
mod tests;
