//! The Linux versions that geofence depends on, as major and minor number.

/// The oldest supported version: it has array elements of any size, which hold the image.
pub const KERNEL_MIN: (u8, u8) = (6, 0);

/// The first version with TCX, which attaches TC programs by links. Older versions attach egress through clsact.
pub const TCX_MIN: (u8, u8) = (6, 6);
