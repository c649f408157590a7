//! Turns observation on and off: what is observed, and the flags in the images that have frames observed.

use aya::maps::{Array, PerCpuArray};
use geofence_common::image::{MAGIC, flag, header};
use geofence_common::maps::name;
use geofence_common::observe::{CaptureProgress, Observation, ObservationCounters};

use super::error::KernelError;
use super::filter::Filter;

impl Filter {
    /// Observes this, with these flags in the header of the images, from now on and in each image that is installed.
    /// What was observed before ends.
    pub fn observe(&mut self, observation: &Observation, flags: u32) -> Result<(), KernelError> {
        let mut settings: Array<_, Observation> = self.open_mut(name::OBSERVATION)?;
        settings
            .set(0, observation, 0)
            .map_err(KernelError::map("changing what is observed"))?;
        self.observed = flags & flag::OBSERVE;
        for image in &mut self.images {
            let words = image.read(1).map_err(KernelError::io("reading an image"))?;
            // One that was never written has no header.
            let Some(head) = words.first().filter(|head| head[header::MAGIC] == MAGIC) else {
                continue;
            };
            let before = head[header::FLAGS];
            let after = before & !flag::OBSERVE | self.observed;
            if after != before {
                image
                    .set_word(header::FLAGS, after)
                    .map_err(KernelError::io("changing whether frames are observed"))?;
            }
        }
        Ok(())
    }

    /// Starts the count and the limit of a capture anew.
    pub fn reset_capture(&mut self) -> Result<(), KernelError> {
        let mut progress: Array<_, CaptureProgress> = self.open_mut(name::CAPTURE)?;
        progress
            .set(0, &CaptureProgress::default(), 0)
            .map_err(KernelError::map("starting a capture"))
    }

    /// What was observed, summed over CPUs.
    pub fn observation_counters(&self) -> Result<ObservationCounters, KernelError> {
        let counters: PerCpuArray<_, ObservationCounters> =
            self.open(name::OBSERVATION_COUNTERS)?;
        let values = counters.get(&0, 0);
        let values = values.map_err(KernelError::map("reading OBSERVATION_COUNTERS"))?;
        let mut sum = ObservationCounters::ZERO;
        for one in values.iter() {
            sum += *one;
        }
        Ok(sum)
    }
}
