//! The host table: single addresses that lists or exceptions name, taken out of the layers so that the trie has no
//! leaves for them. A bucketed cuckoo hash table.
//!
//! Each address has two candidate lines. If both are full it evicts another address, which moves to its own other line,
//! and so on; an address without a place after a number of moves stays in its layer. So no choice of addresses, not
//! even a malicious one, makes an image impossible.

use std::collections::BTreeSet;

use geofence_common::address::Address;
use geofence_common::image::host_table::{Fingerprint, HOST_WORDS, IS_V6, LINE_HOSTS, table_start};
use geofence_common::image::{LINE_SHIFT, LINE_WORDS, Line};

use super::layer::Layer;
use super::prefix::Family;

/// With fewer hosts there is no table: they cost the trie little, and the table one read more.
const HOSTS_MIN: usize = 256;
/// The longest run of addresses whose members become hosts.
const RUN_MAX: u128 = 4;
/// The evictions after which an address stays in its layer.
const MOVES_MAX: usize = 200;
/// Five places for every four hosts.
const PLACES: [usize; 2] = [5, 4];

/// A single address with the number of its class key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host {
    family: Family,
    /// Left-aligned, as in layers.
    address: u128,
    class: u32,
}

impl Host {
    fn address(&self) -> Address {
        self.family.address(self.address)
    }
}

/// A place without a host.
const FREE: u32 = u32::MAX;

/// The host table of an image.
#[derive(Debug, Default)]
pub(super) struct HostTable {
    hosts: Vec<Host>,
    /// The hosts in each line, by position in `hosts`.
    lines: Vec<[u32; LINE_HOSTS]>,
    /// The addresses of each family, in order.
    addresses: [Vec<u128>; 2],
}

impl HostTable {
    /// Takes hosts out of the layers of both families; `is_named` says whether lists or exceptions made a class key.
    pub(super) fn take(layers: [&mut Layer<u32>; 2], is_named: impl Fn(u32) -> bool) -> Self {
        let mut hosts = Vec::new();
        for (family, layer) in Family::ALL.into_iter().zip(&layers) {
            for (at, (start, class)) in layer.iter().enumerate() {
                for after in run(layer, at, family).filter(|_| is_named(*class)) {
                    hosts.push(Host {
                        family,
                        address: start + after,
                        class: *class,
                    });
                }
            }
        }
        if hosts.len() < HOSTS_MIN {
            return Self::default();
        }
        let (lines, unplaced) = place(&hosts);
        for (family, layer) in Family::ALL.into_iter().zip(layers) {
            let is_unplaced = |bits| unplaced.contains(&family.address(bits));
            // In place, because a layer takes as much memory as an image.
            let mut left = 0;
            for at in 0..layer.len() {
                let (start, class) = layer[at];
                let mut run = run(layer, at, family).peekable();
                let is_taken = is_named(class)
                    && run.peek().is_some()
                    && !run.any(|after| is_unplaced(start + after));
                if !is_taken && layer[..left].last().is_none_or(|(_, last)| *last != class) {
                    layer[left] = (start, class);
                    left += 1;
                }
            }
            layer.truncate(left);
        }
        let addresses = Family::ALL.map(|family| {
            let hosts = hosts.iter().filter(|host| host.family == family);
            hosts.map(|host| host.address).collect()
        });
        Self {
            hosts,
            lines,
            addresses,
        }
    }

    /// The hosts of a family, in order.
    pub(super) fn addresses(&self, family: Family) -> &[u128] {
        &self.addresses[family as usize]
    }

    /// The number of lines with hosts.
    pub(super) fn line_count(&self) -> u32 {
        self.lines.len() as u32
    }

    /// The table as lines; `position` gives the position of a class record.
    pub(super) fn lines(&self, position: impl Fn(u32) -> u32) -> Vec<Line> {
        let count = self.line_count();
        let table = (table_start(0, count) >> LINE_SHIFT) as usize;
        let mut lines = vec![[0; LINE_WORDS]; table + self.lines.len()];
        let (words, records) = lines.split_at_mut(table);
        let words = words.as_flattened_mut();
        for (line, record) in self.lines.iter().zip(records) {
            let (places, _) = record.as_chunks_mut::<HOST_WORDS>();
            for (host, place) in line.iter().zip(places) {
                let Some(host) = self.hosts.get(*host as usize) else {
                    continue;
                };
                let address = host.address();
                let [high, low] = address.words();
                let family = if address.is_v6() { IS_V6 } else { 0 };
                *place = [
                    (high >> 32) as u32,
                    high as u32,
                    (low >> 32) as u32,
                    low as u32,
                    position(host.class) | family,
                ];
                let fingerprint = Fingerprint::of(&address);
                words[fingerprint.lines(count)[0] as usize] |= fingerprint.filter_bits();
            }
        }
        lines
    }
}

/// The addresses of the run that starts with a step, relative to its start, if the run is short. The first run and the
/// last do not count as short, so that a layer keeps at least one step.
fn run(layer: &Layer<u32>, at: usize, family: Family) -> impl Iterator<Item = u128> + use<> {
    let one = 1 << family.spare_bits();
    let length = match (at, &layer[at], layer.get(at + 1)) {
        (1.., (start, _), Some((next, _))) => (next - start) / one,
        _ => 0,
    };
    let count = if length <= RUN_MAX { length } else { 0 };
    (0..count).map(move |number| number * one)
}

/// Gives every host a place, and returns those that find none.
fn place(hosts: &[Host]) -> (Vec<[u32; LINE_HOSTS]>, BTreeSet<Address>) {
    let count = (hosts.len() * PLACES[0]).div_ceil(PLACES[1] * LINE_HOSTS);
    let mut lines = vec![[FREE; LINE_HOSTS]; count];
    let mut unplaced = BTreeSet::new();
    for number in 0..hosts.len() as u32 {
        let mut moving = number;
        let mut left = None;
        for moves in 0..=MOVES_MAX {
            let lines_of = Fingerprint::of(&hosts[moving as usize].address()).lines(count as u32);
            let line = |place: usize| lines_of[place] as usize;
            if let Some((line, place)) = [line(0), line(1)].into_iter().find_map(|line| {
                let place = lines[line].iter().position(|place| *place == FREE)?;
                Some((line, place))
            }) {
                lines[line][place] = moving;
                moving = FREE;
                break;
            }
            // Not back to the line it was evicted from, and not always the same place of a line.
            let next = usize::from(left == Some(line(0)));
            let evicted = &mut lines[line(next)][moves % LINE_HOSTS];
            moving = std::mem::replace(evicted, moving);
            left = Some(line(next));
        }
        if let Some(host) = hosts.get(moving as usize) {
            unplaced.insert(host.address());
        }
    }
    (lines, unplaced)
}

#[cfg(test)]
mod tests;
