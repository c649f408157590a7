//! What an image is compiled for, beyond policy and data.

use crate::model::units::UnixSeconds;

/// What an image is compiled for, beyond policy and data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub generation: u32,
    /// Which of the kernel's two slots of tries belongs to the image, 0 or 1.
    pub slot: u32,
    /// The time of the compilation.
    pub compiled: UnixSeconds,
    /// The same time on the clock that exceptions expire by.
    pub boot: Boot,
    /// The capacity of the kernel's array.
    pub lines_max: u32,
}

/// A time since the machine was booted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boot {
    /// Identifies this boot.
    pub id: u32,
    /// Nanoseconds since boot (CLOCK_BOOTTIME).
    pub now: u64,
}
