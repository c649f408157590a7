//! The hosts of an image: single addresses of which lists and exceptions say something, taken out of the layers so that
//! the trie has none of them, and put into a table.
//!
//! Each may stand in two lines. One that finds both full moves another, which goes to its own other line, and so on;
//! who still has no place after a number of moves stays in its layer. So no choice of addresses, however unlucky or
//! spiteful, makes an image impossible.

use std::collections::BTreeSet;

use geofence_common::address::Address;
use geofence_common::image::host_table::{Fingerprint, HOST_WORDS, IS_V6, LINE_HOSTS, table_start};
use geofence_common::image::{LINE_SHIFT, LINE_WORDS, Line};

use super::layers::Layer;
use super::prefix::Family;

/// Fewer than this are nothing to a trie, and a table would only be one thing more to read.
const FEW: usize = 256;
/// The longest run of addresses that are hosts each for itself.
const RUN: u128 = 4;
/// Moves until an address is given up.
const MOVES: usize = 200;
/// Places for so many hosts: of five there are taken four.
const PLACES: [usize; 2] = [5, 4];

/// A single address with what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host {
    family: Family,
    /// As layers have it: an IPv4 address in the upper 32 bits.
    address: u128,
    kind: u32,
}

impl Host {
    fn address(&self) -> Address {
        self.family.address(self.address)
    }
}

/// A place that nobody has.
const FREE: u32 = u32::MAX;

/// The hosts of an image.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    all: Vec<Host>,
    /// Which of them stand in each line.
    lines: Vec<[u32; LINE_HOSTS]>,
    /// The addresses of each family, in order.
    addresses: [Vec<u128>; 2],
}

impl Hosts {
    /// Takes hosts out of the layers of both families; `is_named` says of a kind whether lists or exceptions made it.
    pub(super) fn take(layers: [&mut Layer<u32>; 2], is_named: impl Fn(u32) -> bool) -> Self {
        let mut all = Vec::new();
        for (family, layer) in Family::ALL.into_iter().zip(&layers) {
            for (at, (start, kind)) in layer.iter().enumerate() {
                for behind in run(layer, at, family).filter(|_| is_named(*kind)) {
                    all.push(Host {
                        family,
                        address: start + behind,
                        kind: *kind,
                    });
                }
            }
        }
        if all.len() < FEW {
            return Self::default();
        }
        let (lines, homeless) = settle(&all);
        for (family, layer) in Family::ALL.into_iter().zip(layers) {
            let is_homeless = |bits| homeless.contains(&family.address(bits));
            // In place, for a layer takes as much memory as an image.
            let mut left = 0;
            for at in 0..layer.len() {
                let (start, kind) = layer[at];
                let mut run = run(layer, at, family).peekable();
                let is_taken = is_named(kind)
                    && run.peek().is_some()
                    && !run.any(|behind| is_homeless(start + behind));
                if !is_taken && layer[..left].last().is_none_or(|(_, last)| *last != kind) {
                    layer[left] = (start, kind);
                    left += 1;
                }
            }
            layer.truncate(left);
        }
        let addresses = Family::ALL.map(|family| {
            let hosts = all.iter().filter(|host| host.family == family);
            hosts.map(|host| host.address).collect()
        });
        Self {
            all,
            lines,
            addresses,
        }
    }

    /// The hosts of a family, in order.
    pub(super) fn addresses(&self, family: Family) -> &[u128] {
        &self.addresses[family as usize]
    }

    /// How many lines of hosts there are.
    pub(super) fn line_count(&self) -> u32 {
        self.lines.len() as u32
    }

    /// The hosts as they stand in the image; `position` gives that of the class of a kind.
    pub(super) fn lines(&self, position: impl Fn(u32) -> u32) -> Vec<Line> {
        let count = self.line_count();
        let table = (table_start(0, count) >> LINE_SHIFT) as usize;
        let mut lines = vec![[0; LINE_WORDS]; table + self.lines.len()];
        let (words, records) = lines.split_at_mut(table);
        let words = words.as_flattened_mut();
        for (line, record) in self.lines.iter().zip(records) {
            let (places, _) = record.as_chunks_mut::<HOST_WORDS>();
            for (host, place) in line.iter().zip(places) {
                let Some(host) = self.all.get(*host as usize) else {
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
                    position(host.kind) | family,
                ];
                let mark = Fingerprint::of(&address);
                words[mark.lines(count)[0] as usize] |= mark.filter_bits();
            }
        }
        lines
    }
}

/// The addresses of the run that starts with a step, from its own start, if it is a short one. The first run and the
/// last are never short: there is always somebody to fall back on.
fn run(layer: &Layer<u32>, at: usize, family: Family) -> impl Iterator<Item = u128> + use<> {
    let one = 1 << family.spare_bits();
    let length = match (at, &layer[at], layer.get(at + 1)) {
        (1.., (start, _), Some((next, _))) => (next - start) / one,
        _ => 0,
    };
    let count = if length <= RUN { length } else { 0 };
    (0..count).map(move |number| number * one)
}

/// Gives every host a place; those who find none are named.
fn settle(all: &[Host]) -> (Vec<[u32; LINE_HOSTS]>, BTreeSet<Address>) {
    let count = (all.len() * PLACES[0]).div_ceil(PLACES[1] * LINE_HOSTS);
    let mut lines = vec![[FREE; LINE_HOSTS]; count];
    let mut homeless = BTreeSet::new();
    for number in 0..all.len() as u32 {
        let mut guest = number;
        let mut left = None;
        for moves in 0..=MOVES {
            let lines_of = Fingerprint::of(&all[guest as usize].address()).lines(count as u32);
            let line = |place: usize| lines_of[place] as usize;
            if let Some((line, place)) = [line(0), line(1)].into_iter().find_map(|line| {
                let place = lines[line].iter().position(|place| *place == FREE)?;
                Some((line, place))
            }) {
                lines[line][place] = guest;
                guest = FREE;
                break;
            }
            // Not back to where it was put out of, and of a line not always the same.
            let next = usize::from(left == Some(line(0)));
            let put_out = &mut lines[line(next)][moves % LINE_HOSTS];
            guest = std::mem::replace(put_out, guest);
            left = Some(line(next));
        }
        if let Some(host) = all.get(guest as usize) {
            homeless.insert(host.address());
        }
    }
    (lines, homeless)
}

#[cfg(test)]
mod tests;
