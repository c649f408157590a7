//! The reference that look-up engines are compared with, and the addresses to ask them about.
//!
//! The oracle keeps its sources apart and tries every prefix length. It shares no code with the compiler. Prefixes and
//! addresses are drawn from seeds, so every engine answers the same questions in every run. The unit tests of
//! geofence-user include this folder by its path; it may name geofence_common and geofence_user only.

mod classes;
mod draw;
mod edges;
mod longest_prefix;

pub use classes::Oracle;
pub use draw::{Draw, default_policy, overlays, random_v4, random_v6};
pub use edges::{edges_v4, edges_v6};
pub use longest_prefix::{LongestPrefix, Multiply};
