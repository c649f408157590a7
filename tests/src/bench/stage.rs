//! A place for several policies to be measured in, one after the other.

use anyhow::{Context as _, Result};
use geofence_user::model::filter_options::FilterOptions;
use geofence_user::model::policy::Lookup;
use geofence_user::prepare::Prepared;

use crate::rig::{Rig, own_room};
use crate::sample::Samples;
use crate::sets::Set;

/// One rig for several policies, whose images are put in place by turns. So tables and memory are the same for all, and
/// what a policy costs is not where the kernel happened to find room for it.
pub(crate) struct Stage<'a> {
    policies: &'a [Prepared],
    sets: &'a [Set],
    rig: Rig,
    current: usize,
}

impl<'a> Stage<'a> {
    /// Loads the programs with room for each of these, of which there is at least one, and puts the first in place.
    pub(crate) fn build(policies: &'a [Prepared], sets: &'a [Set]) -> Result<Self> {
        let first = policies.first().context("no policy to measure")?;
        let room = policies
            .iter()
            .map(own_room)
            .fold(own_room(first), |one, other| FilterOptions {
                image_lines: one.image_lines.max(other.image_lines),
                tenants: one.tenants.max(other.tenants),
                exceptions: one.exceptions.max(other.exceptions),
                ..one
            });
        Ok(Self {
            policies,
            sets,
            rig: Rig::with_room(room, first, Lookup::ArrayTrie, sets)?,
            current: 0,
        })
    }

    /// The rig with this policy in place.
    pub(crate) fn with(&mut self, policy: usize) -> Result<&mut Rig> {
        if policy != self.current {
            let image = &self.policies[policy].image;
            self.rig.filter().install(image, None)?;
            self.current = policy;
        }
        Ok(&mut self.rig)
    }

    /// Builds the stage anew so many times, takes samples of all contestants each time, and puts those of each
    /// together. The kernel chooses the pages of an image, and in some its first words are better off than its last.
    /// Programs and images are the same each time, so whose answers were right stay so.
    pub(crate) fn everywhere(
        &mut self,
        places: usize,
        mut samples: impl FnMut(&mut Self) -> Result<Vec<Samples>>,
    ) -> Result<Vec<Samples>> {
        let mut all: Vec<Samples> = Vec::new();
        for _ in 0..places {
            // The former memory is given back only then, so that it is not the same again.
            *self = Self::build(self.policies, self.sets)?;
            let here = samples(self)?;
            all.resize(here.len(), Samples::default());
            for (samples, here) in all.iter_mut().zip(here) {
                samples.extend(here);
            }
        }
        Ok(all)
    }
}
