//! Where the daemon reads its configuration, and which files that configuration depends on.

use std::path::{Path, PathBuf};

use crate::config::overrides::Overrides;
use crate::config::{Config, drop_ins};
use crate::data::lists::{self, store::Store};
use crate::os::file_stamps::FileStamps;
use crate::os::input;
use crate::os::instance::Instance;

/// Where the configuration is read from.
pub struct ConfigSource {
    /// The configuration file, if there is one. A change of it causes a reload.
    pub file: Option<PathBuf>,
    /// The options of the command line that replace keys of the file.
    pub overrides: Overrides,
    /// Reads the configuration, from the file given instead of `file` if there is one.
    pub read: Box<Read>,
}

type Read = dyn Fn(Option<&Path>) -> anyhow::Result<Config> + Send + Sync;

impl ConfigSource {
    /// The instance that the configuration file names, if it can be found although the file cannot be read as a whole.
    #[must_use]
    pub fn instance(&self) -> Option<Instance> {
        let text = input::read_text(self.file.as_ref()?).ok()?;
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            let value = value.split('#').next()?.trim();
            let name = value.trim_matches(['"', '\'']);
            name.parse().ok().filter(|_| key.trim() == "instance")
        })
    }

    /// The stamps of the configuration file and of the files of `conf.d` that there are now.
    #[must_use]
    pub fn stamps(&self) -> FileStamps {
        let merged = self.file.iter().flat_map(|file| drop_ins(file));
        FileStamps::of(&self.file).and(FileStamps::of(&merged.collect::<Vec<_>>()))
    }

    /// Reads the configuration. Also returns the stamps of all files that it depends on, taken before any of them was
    /// read. If the configuration cannot be read, these are the files of the attempt before.
    pub fn read(
        &self,
        instead: Option<&Path>,
        attempted: &FileStamps,
    ) -> (anyhow::Result<Config>, FileStamps) {
        let (own, attempted) = (self.stamps(), attempted.now());
        match (self.read)(instead) {
            Ok(config) => {
                let lists = lists::files(&config.lists, &Store::of(&config.instance));
                let databases = config.databases.iter().chain(&config.cross_check_databases);
                let data = databases.chain(&config.asn_database).chain(&lists);
                let files = own.and(FileStamps::of(data));
                (Ok(config), files)
            }
            Err(error) => (Err(error), attempted.and(own)),
        }
    }
}
