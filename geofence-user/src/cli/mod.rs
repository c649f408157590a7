//! The commands, one a file, and the options they share.

pub mod options;
