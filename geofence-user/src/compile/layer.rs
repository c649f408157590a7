//! Layers: a value for every address, as steps; made from prefixes, and combined two at a time.

use super::prefix::Prefix;

/// A value for every address: steps from each first address to the next, in order, from address zero on. Neighbours
/// differ.
pub(super) type Layer<T> = Vec<(u128, T)>;

/// The value of the longest prefix that contains each address. Prefixes come sorted; of equal ones the last counts.
pub(super) fn layer<T: Copy + PartialEq>(
    prefixes: impl Iterator<Item = (Prefix, T)>,
    elsewhere: T,
) -> Layer<T> {
    let mut steps = Vec::with_capacity(prefixes.size_hint().0 + 1);
    steps.push((0, elsewhere));
    // The prefixes that contain the current address, longest last.
    let mut open: Vec<(u128, T)> = Vec::new();
    for (prefix, value) in prefixes {
        close(&mut open, &mut steps, elsewhere, Some(prefix.start));
        step(&mut steps, prefix.start, value);
        open.push((prefix.end(), value));
    }
    close(&mut open, &mut steps, elsewhere, None);
    steps
}

/// Ends the prefixes that end before this address, or all of them.
fn close<T: Copy + PartialEq>(
    open: &mut Vec<(u128, T)>,
    steps: &mut Layer<T>,
    elsewhere: T,
    before: Option<u128>,
) {
    while let Some((end, _)) = open.pop_if(|(end, _)| before.is_none_or(|before| *end < before)) {
        let value = open.last().map_or(elsewhere, |(_, value)| *value);
        if let Some(next) = end.checked_add(1) {
            step(steps, next, value);
        }
    }
}

/// Adds a step unless the value stays the same; of two at one address the later counts.
fn step<T: Copy + PartialEq>(steps: &mut Layer<T>, start: u128, value: T) {
    steps.pop_if(|(last, _)| *last == start);
    if steps.last().is_none_or(|(_, last)| *last != value) {
        steps.push((start, value));
    }
}

/// Combines the values of two layers at every address.
pub(super) fn combine<A: Copy, B: Copy, C: Copy + PartialEq>(
    a: &[(u128, A)],
    b: &[(u128, B)],
    value: impl Fn(A, B) -> C,
) -> Layer<C> {
    let mut steps = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut current = (None, None);
    while let Some(start) = [
        a.peek().map(|(start, _)| *start),
        b.peek().map(|(start, _)| *start),
    ]
    .into_iter()
    .flatten()
    .min()
    {
        if let Some((_, value)) = a.next_if(|(next, _)| *next == start) {
            current.0 = Some(*value);
        }
        if let Some((_, value)) = b.next_if(|(next, _)| *next == start) {
            current.1 = Some(*value);
        }
        if let (Some(a), Some(b)) = current {
            step(&mut steps, start, value(a, b));
        }
    }
    steps
}

/// A range of addresses in which neither of two layers changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<T> {
    pub start: u128,
    /// The address after the last; zero after the last of all.
    pub end: u128,
    pub before: T,
    pub after: T,
}

/// Two layers side by side: the values of both, range by range, from address zero to the last.
#[must_use]
pub fn side_by_side<T: Copy + PartialEq>(
    before: &[(u128, T)],
    after: &[(u128, T)],
) -> Vec<Segment<T>> {
    let both = combine(before, after, |before, after| (before, after));
    spans(&both)
        .map(|(start, end, (before, after))| Segment {
            start,
            end,
            before,
            after,
        })
        .collect()
}

/// Each range of a layer with its end, which is zero after the last address of all.
pub fn spans<T: Copy>(layer: &[(u128, T)]) -> impl Iterator<Item = (u128, u128, T)> {
    let ends = layer.iter().skip(1).map(|(start, _)| *start).chain([0]);
    layer
        .iter()
        .zip(ends)
        .map(|((start, value), end)| (*start, end, *value))
}
