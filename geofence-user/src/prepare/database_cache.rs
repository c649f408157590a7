//! The country database of the active filter, cached for changes of anything else.
//!
//! Decoding it takes longer than everything else an added exception costs. The active image was compiled from it, so it
//! needs no second sanity check as long as its files are unchanged.

use crate::config::Config;
use crate::data::geoip::Database;
use crate::model::units::UnixSeconds;
use crate::os::file_stamps::FileStamps;

/// A database, and the files it was read from.
#[derive(Clone, Debug)]
pub struct DatabaseCache {
    files: FileStamps,
    database: Database,
}

/// Whether the filter has the countries of the database as they are.
#[must_use]
pub(crate) fn is_database_alone(config: &Config) -> bool {
    config.cross_check_databases.is_empty() && config.policy.geo_overrides.is_empty()
}

/// The files of a database, as they were before it was read.
pub(crate) struct DatabaseFiles {
    files: FileStamps,
    is_settled: bool,
}

impl DatabaseFiles {
    /// Looks at the files that a configuration names.
    pub(crate) fn look(config: &Config) -> Self {
        let files = FileStamps::of(&config.databases);
        Self {
            is_settled: files.are_settled(UnixSeconds::now().0),
            files,
        }
    }

    /// The cache of a database that was read since, for a filter with this configuration.
    ///
    /// Nothing is cached without exceptions, because a rare reload may take its time and the memory is better spared;
    /// nor with a cross-check or overrides, because the database alone is then not what the filter uses.
    pub(crate) fn cache(self, config: &Config, database: Database) -> Option<DatabaseCache> {
        let is_useful = !config.policy.exceptions.is_empty() && is_database_alone(config);
        (is_useful && self.is_settled).then_some(DatabaseCache {
            files: self.files,
            database,
        })
    }
}

impl DatabaseCache {
    /// The database, if these are its files and they are unchanged.
    pub(crate) fn database(&self, files: &DatabaseFiles) -> Option<Database> {
        (self.files == files.files && files.is_settled).then(|| self.database.clone())
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
            is_ban: false,
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

    fn cached(config: &Config) -> Option<DatabaseCache> {
        let database = Database::from_prefixes(Vec::new(), Vec::new());
        DatabaseFiles::look(config).cache(config, database)
    }

    #[test]
    fn database_is_cached_while_its_file_is_unchanged() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.mmdb");
        write(&path, "one", 60);
        let config = config(&path);
        let cache = cached(&config).expect("an old file");
        let is_used = |config: &Config| cache.database(&DatabaseFiles::look(config)).is_some();
        assert!(is_used(&config));
        // Another size, another time, another file with the same content, and no file.
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
    fn database_that_is_new_unneeded_or_cross_checked_is_not_cached() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("a.mmdb");
        write(&path, "one", 0);
        assert!(cached(&config(&path)).is_none());
        write(&path, "one", 60);
        assert!(cached(&config(&path)).is_some());
        let plain = Config {
            policy: Config::default().policy,
            ..config(&path)
        };
        assert!(cached(&plain).is_none());
        let cross_checked = Config {
            cross_check_databases: vec![path.clone()],
            ..config(&path)
        };
        assert!(cached(&cross_checked).is_none());
        // The embedded database cannot change.
        let embedded = Config {
            databases: Vec::new(),
            ..config(&path)
        };
        let cache = cached(&embedded).expect("the embedded one");
        assert!(cache.database(&DatabaseFiles::look(&embedded)).is_some());
        assert!(
            cache
                .database(&DatabaseFiles::look(&config(&path)))
                .is_none()
        );
    }
}
