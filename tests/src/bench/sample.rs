//! Rounds of samples: the contestants take turns in random order, and each is judged by its median.
//!
//! What the machine does meanwhile then falls on all of them alike.

use anyhow::Result;
use geofence_tests::oracle::Draw;
use serde_json::{Value, json};

/// The samples of one contestant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// A single figure that is not measured in rounds.
    pub(crate) fn once(value: f64) -> Self {
        Self(vec![value])
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The first and the third quartile.
    pub(crate) fn quartiles(&self) -> (f64, f64) {
        (self.quantile(0.25), self.quantile(0.75))
    }

    fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return f64::NAN;
        };
        let place = part * last as f64;
        let (below, above) = (place.floor() as usize, place.ceil() as usize);
        sorted[below] + (sorted[above] - sorted[below]) * place.fract()
    }

    /// Round by round, this less the other.
    pub(crate) fn less(&self, other: &Self) -> Self {
        Self(
            self.0
                .iter()
                .zip(&other.0)
                .map(|(one, other)| one - other)
                .collect(),
        )
    }

    /// Round by round, this over the other.
    pub(crate) fn over(&self, other: &Self) -> Self {
        let both = self.0.iter().zip(&other.0);
        Self(both.map(|(one, other)| one / other).collect())
    }

    /// One over each.
    pub(crate) fn inverse(&self) -> Self {
        Self(self.0.iter().map(|one| 1.0 / one).collect())
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    pub(crate) fn json(&self) -> Value {
        let (low, high) = self.quartiles();
        json!({ "median": self.median(), "quartiles": [low, high], "samples": self.0 })
    }
}

/// Takes a sample of every contestant in each round, in random order.
///
/// So many neighbours at a time are compared with each other, so they follow each other, in random order as well: what
/// the machine does for a moment then falls on all of them.
pub(crate) fn rounds(
    contestants: usize,
    neighbours: usize,
    rounds: usize,
    mut sample: impl FnMut(usize) -> Result<f64>,
) -> Result<Vec<Samples>> {
    let mut all = vec![Samples::default(); contestants];
    let mut draw = Draw::new(contestants as u64);
    let each: Vec<usize> = (0..contestants).collect();
    let mut groups: Vec<Vec<usize>> = each.chunks(neighbours).map(<[usize]>::to_vec).collect();
    for _ in 0..rounds {
        shuffle(&mut draw, &mut groups);
        for group in &mut groups {
            shuffle(&mut draw, group);
            for one in group {
                all[*one].push(sample(*one)?);
            }
        }
    }
    Ok(all)
}

fn shuffle<T>(draw: &mut Draw, all: &mut [T]) {
    for at in (1..all.len()).rev() {
        all.swap(at, draw.below(at + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_quartiles_are_computed() {
        let samples = Samples(vec![5.0, 1.0, 2.0, 4.0, 3.0]);
        assert_eq!((samples.median(), samples.quartiles()), (3.0, (2.0, 4.0)));
        assert_eq!(Samples(vec![1.0, 2.0]).median(), 1.5);
    }

    #[test]
    fn every_contestant_runs_in_every_round() {
        let mut turns = Vec::new();
        let all = rounds(6, 3, 2, |one| {
            turns.push(one);
            Ok(one as f64)
        })
        .unwrap();
        assert_eq!(all[2], Samples(vec![2.0, 2.0]));
        for group in turns.chunks_mut(3) {
            group.sort_unstable();
        }
        for round in turns.chunks_mut(6) {
            round.sort_unstable_by_key(|one| one / 3);
            assert_eq!(round, [0, 1, 2, 3, 4, 5]);
        }
    }
}
