//! What geofence uses of the operating system: clocks and memory, name servers, an instance's directories, the last
//! good image on disk, users, file stamps, reading and replacing files, certificates, the service manager, how to
//! restart, and the process's own privileges.

pub mod certificates;
pub mod clock;
pub mod credentials;
pub mod file_stamps;
pub mod input;
pub mod instance;
pub mod interface_names;
pub mod memory;
mod memory_limit;
pub mod name_servers;
pub mod notify;
pub mod privilege;
pub mod replace;
pub mod restart;
pub mod state;
pub mod user;
