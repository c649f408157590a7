//! The progress of a fetch, shown on a terminal.

use std::io::{IsTerminal as _, stderr};

use indicatif::{ProgressBar, ProgressStyle};

pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(name: &str) -> Self {
        if !stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let style = ProgressStyle::with_template("{msg} {bytes}/{total_bytes} {wide_bar}");
        let bar = ProgressBar::no_length().with_message(name.to_owned());
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// Shows the bytes so far, and the total if it is known.
    pub(super) fn report(&self, done: u64, length: Option<u64>) {
        if let Some(length) = length {
            self.0.set_length(length);
        }
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
