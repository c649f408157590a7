//! Exceptions added by command: stored in the words they were added with, and read beside a configuration.
//!
//! Their file has `[[exception]]` tables and nothing else; the readers of the configuration read it. The same readers
//! check what a command says, with the command's options in place of a file.

mod change;
mod check;
mod exception;
mod load;
#[cfg(test)]
mod tests;

pub use exception::{RuntimeException, RuntimeExceptions};
