//! The origin of a packet that leaves: by which kind of device it came in. It decides whether the packet may open a
//! flow.

/// Where a packet came in. The numbers are those of the map of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Origin {
    /// By a device that is not known: of another namespace, or newer than the map.
    Unknown = 0,
    /// By a device that no packet from outside reaches without passing the filter.
    Inside = 1,
    /// By a protected device.
    Protected = 2,
    /// By a device above a protected one, such as its bridge or its VLAN: perhaps from outside.
    Above = 3,
    /// This host sent it.
    Local = 4,
}

impl Origin {
    #[must_use]
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Inside,
            2 => Self::Protected,
            3 => Self::Above,
            4 => Self::Local,
            _ => Self::Unknown,
        }
    }
}
