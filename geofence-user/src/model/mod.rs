//! Plain types that every other folder may use. They know neither files nor the kernel.

pub mod failure;
pub mod filter_options;
pub mod policy;
pub mod text;
pub mod units;
