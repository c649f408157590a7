//! The Linux versions that geofence depends on, as major and minor number.

/// The oldest supported version, and the oldest that the programs are tried on.
pub const KERNEL_MIN: (u8, u8) = (6, 1);

/// The first version with TCX, which attaches TC programs by links. Older versions attach egress through clsact.
pub const TCX_MIN: (u8, u8) = (6, 6);
