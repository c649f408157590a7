//! The files of runtime exceptions: the text that has them, and the audit log.
//!
//! Both are in the instance's state directory, for its owner only. The text is written whole and renamed into place.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::audit_log::{self, AuditEntry};
use crate::config::Config;
use crate::model::failure::{Cause, Failure};
use crate::os::input;
use crate::os::instance::Instance;
use crate::os::state::{self, StateError};

/// Where an instance stores its runtime exceptions.
#[derive(Clone, Debug)]
pub struct RuntimeExceptionStore {
    file: PathBuf,
    log: PathBuf,
}

impl RuntimeExceptionStore {
    /// The store of this instance.
    #[must_use]
    pub fn of(instance: &Instance) -> Self {
        Self::in_directory(&instance.state_directory())
    }

    fn in_directory(directory: &Path) -> Self {
        Self {
            file: directory.join("exceptions.toml"),
            log: directory.join("audit.jsonl"),
        }
    }

    /// The file that has the exceptions.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Adds the stored exceptions to a configuration.
    ///
    /// # Errors
    /// When the file cannot be read, or is broken; file and line are named.
    pub fn add_to(&self, config: Config) -> Result<Config, Failure> {
        self.add_with_text(config).map(|(config, _)| config)
    }

    /// The same, and the text of the file. A configuration that has these exceptions already is returned as it is.
    ///
    /// # Errors
    /// As for `add_to`.
    pub(super) fn add_with_text(&self, config: Config) -> Result<(Config, String), Failure> {
        let failed = |text: String| Failure::new(Cause::Configuration, text);
        let name = self.file.display().to_string();
        let text = match input::read_text(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(failed(format!(
                    "cannot read the runtime exceptions in {name}: {error}"
                )));
            }
        };
        if config.has_runtime_exceptions_of(&text) {
            return Ok((config, text));
        }
        let config = config
            .with_runtime_exceptions(&text, &name)
            .map_err(|errors| failed(errors.render(false)))?;
        Ok((config, text))
    }

    /// The text of the file, if there is one.
    pub(super) fn text(&self) -> Option<String> {
        input::read_text(&self.file).ok()
    }

    /// Replaces the text of the file.
    ///
    /// # Errors
    /// When it cannot be written; the text before is then still there.
    pub(in crate::daemon) fn write(&self, text: &str) -> Result<(), StateError> {
        state::replace(&self.file, text.as_bytes())
    }

    /// Records changes in the audit log; returns where the first line begins.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub(super) fn record(&self, entries: &[AuditEntry<'_>]) -> Result<u64, StateError> {
        audit_log::append(&self.log, entries)
    }

    /// Removes the last records from here on: their changes failed afterwards.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub(super) fn retract(&self, start: u64) -> Result<(), StateError> {
        audit_log::retract(&self.log, start)
    }

    /// The recorded changes of an exception, oldest first.
    pub(super) fn changes(&self, id: &str) -> Vec<Value> {
        audit_log::changes(&self.log, id)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn missing_file_means_no_exception_and_unreadable_file_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let store = RuntimeExceptionStore::in_directory(&place.path().join("state"));
        let read = store.add_to(Config::default()).unwrap();
        assert_eq!(
            (read.policy, read.runtime.list),
            (Config::default().policy, vec![])
        );
        fs::create_dir_all(store.file()).unwrap();
        let failure = store.add_to(Config::default()).unwrap_err();
        assert!(failure.text.contains("exceptions.toml"), "{failure}");
        fs::remove_dir(store.file()).unwrap();
        store.write("id = 1\n").unwrap();
        let failure = store.add_to(Config::default()).unwrap_err();
        assert!(failure.text.contains("exceptions.toml:1:1"), "{failure}");
    }
}
