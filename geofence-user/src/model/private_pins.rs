//! What it means that the pins of a filter are in a mount namespace of their own.

/// For the log, `status` and `doctor`.
pub const PRIVATE_PINS: &str = "/sys/fs/bpf belongs to a mount namespace of its own, as `ip netns exec` makes one: \
                                the filter does not outlive the last process in it. Start geofence with \
                                `nsenter --net=/run/netns/NAME` instead";
