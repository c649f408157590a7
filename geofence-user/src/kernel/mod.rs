//! The kernel's side of the filter: loads the program, fills its maps, attaches it, and reads it back.
//!
//! Only this folder names aya. Nothing here decides about a packet. The error of a failed call names the call and what
//! an operator can do.

mod attach;
mod attach_error;
mod batch;
mod bpffs;
mod call;
mod counters;
mod data_path_log;
mod detach;
mod devices;
mod egress_presence;
mod error;
mod extack;
mod filter;
mod flows;
mod hook;
mod image_map;
mod image_swap;
mod inherited_tables;
mod interface;
mod link_calls;
mod link_update;
mod list_counters;
mod load;
mod object;
mod observation;
mod pin_error;
mod pinned_tables;
mod pins;
mod private_copy;
mod program_names;
mod program_size;
mod records;
mod retry;
mod rollback;
mod running;
mod service_counters;
mod survey;
mod table_handover;
mod take_over;
mod test_run;
mod unpinned;
mod version;

pub use attach_error::AttachError;
pub use bpffs::is_private;
pub use counters::TenantCounters;
pub use egress_presence::with_egress;
pub use error::KernelError;
pub use filter::Filter;
pub use flows::TableFacts;
pub use interface::{InterfaceError, find_interface, interfaces};
pub use list_counters::ListCounts;
pub use pin_error::PinError;
pub use pins::{PinnedIds, Pins};
pub use private_copy::PrivateCopy;
pub use program_size::ProgramSize;
pub use records::{AllRecords, Arrivals, CapturedFrame, Record, Records};
pub use running::Running;
pub use service_counters::ServiceCounts;
pub use survey::Survey;
pub use take_over::{Attached, Placed};
pub use unpinned::detach_unpinned;
pub use version::has_tcx;
