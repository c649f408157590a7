//! The command line, one verb a file. A verb reads its arguments, asks the library, writes an answer and returns its
//! outcome, which `main` turns into an exit code.

pub mod apply;
mod arguments;
mod asked;
pub mod ban;
pub mod capture;
pub mod check;
pub mod completions;
mod conditions;
pub mod confirm;
pub mod detach;
pub mod diff;
pub mod doctor;
pub mod events;
pub mod exception;
pub mod exit_code;
pub mod explain;
mod finish;
pub mod flows;
pub mod init;
pub mod list;
pub mod log;
pub mod lookup;
pub mod man_pages;
pub mod options;
mod outcome;
pub mod reload;
pub mod report;
mod request;
pub mod revert;
pub mod run;
mod runtime;
pub mod schema;
pub mod status;
mod terminal;
pub mod top;
pub mod update;
mod version;
mod waiting;
pub mod watch_sessions;

pub use arguments::Arguments;
pub use finish::run_command;
pub use outcome::Outcome;
pub use terminal::Terminal;
