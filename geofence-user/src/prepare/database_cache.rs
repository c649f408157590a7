//! The database of countries that filters, kept for the next change of anything else.
//!
//! To decode it takes longer than all that an exception more costs besides. It is the very data that the image in use
//! was compiled from, so as long as its files are what they were, there is nothing in it to be doubted again.

use crate::config::Config;
use crate::data::geoip::Database;
use crate::os::file_stamps::FileStamps;
use crate::prepare::now;

/// A database, and the files it was read from.
#[derive(Clone, Debug)]
pub struct Kept {
    files: FileStamps,
    database: Database,
}

/// The files of a database, as they were before it was read.
pub(crate) struct Before {
    files: FileStamps,
    is_settled: bool,
}

impl Before {
    pub(crate) fn look(config: &Config) -> Self {
        let now = now();
        let files = FileStamps::of(&config.databases);
        Self {
            is_settled: files.are_settled(now),
            files,
        }
    }

    /// What is kept of a database that was read since, for a filter by this configuration.
    ///
    /// Nothing where there are no exceptions: who only reloads now and then can wait, and has the memory to spare
    /// instead. Nor where a second opinion has been laid over it, for then it is not what filters.
    pub(crate) fn keep(self, config: &Config, database: Database) -> Option<Kept> {
        let is_worth_it =
            !config.policy.exceptions.is_empty() && config.cross_check_databases.is_empty();
        (is_worth_it && self.is_settled).then_some(Kept {
            files: self.files,
            database,
        })
    }
}

impl Kept {
    /// The database, if its files are these and have not changed.
    pub(crate) fn of(&self, before: &Before) -> Option<Database> {
        (self.files == before.files && before.is_settled).then(|| self.database.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::model::policy::Exception;

    fn config(path: &Path) -> Config {
        let mut config = Config {
            databases: vec![path.to_owned()],
            ..Config::default()
        };
        config.policy.exceptions = vec![Arc::new(Exception {
            id: "x".into(),
            slot: 0,
            from: Vec::new(),
            to: Vec::new(),
            traffic: Vec::new(),
            owner: "test".into(),
            reason: "test".into(),
            until: None,
        })];
        config
    }

    fn write(path: &Path, text: &str, ago: u64) {
        fs::write(path, text).unwrap();
        let then = SystemTime::now() - Duration::from_secs(ago);
        File::options()
            .write(true)
            .open(path)
            .and_then(|file| file.set_modified(then))
            .unwrap();
    }

    fn kept(config: &Config) -> Option<Kept> {
        let database = Database::from_prefixes(Vec::new(), Vec::new());
        Before::look(config).keep(config, database)
    }

    #[test]
    fn a_database_is_kept_while_its_file_is_what_it_was() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.mmdb");
        write(&path, "one", 60);
        let config = config(&path);
        let kept = kept(&config).expect("an old file");
        let is_used = |config: &Config| kept.of(&Before::look(config)).is_some();
        assert!(is_used(&config));
        // Another size, another time, another file of the same, and none.
        write(&path, "other", 60);
        assert!(!is_used(&config));
        write(&path, "two", 30);
        assert!(!is_used(&config));
        let new = place.path().join("new.mmdb");
        write(&new, "one", 60);
        fs::rename(&new, &path).unwrap();
        assert!(!is_used(&config));
        fs::remove_file(&path).unwrap();
        assert!(!is_used(&config));
        assert!(!is_used(&Config::default()));
    }

    #[test]
    fn what_may_change_unseen_is_not_kept_nor_what_is_not_needed_nor_what_does_not_filter() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.mmdb");
        write(&path, "one", 0);
        assert!(kept(&config(&path)).is_none());
        write(&path, "one", 60);
        assert!(kept(&config(&path)).is_some());
        let plain = Config {
            policy: Config::default().policy,
            ..config(&path)
        };
        assert!(kept(&plain).is_none());
        let doubted = Config {
            cross_check_databases: vec![path.clone()],
            ..config(&path)
        };
        assert!(kept(&doubted).is_none());
        // The embedded one cannot change.
        let embedded = Config {
            databases: Vec::new(),
            ..config(&path)
        };
        let kept = kept(&embedded).expect("the embedded one");
        assert!(kept.of(&Before::look(&embedded)).is_some());
        assert!(kept.of(&Before::look(&config(&path))).is_none());
    }
}
