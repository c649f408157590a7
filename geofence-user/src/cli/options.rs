//! The options that mean the same for every command that looks at a policy.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, ConfigErrors, overrides};
use crate::os::instance::{BadName, Instance};

/// Which policy, and which GeoIP data.
#[derive(Args, Clone, Debug, Default)]
pub struct PolicyArgs {
    /// Configuration file; without one the default policy applies: RU, UA, BY, CN and KP blocked, mail open
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// GeoIP database (MMDB) instead of those of the configuration; repeat it for vendors who split the families
    #[arg(long, value_name = "FILE")]
    pub database: Vec<PathBuf>,
    /// Countries to block instead of those of the configuration: codes and groups, such as RU,BY,south-america
    #[arg(long, value_name = "CC,...")]
    pub block: Option<String>,
}

/// Which geofence, where a machine runs several.
#[derive(Args, Clone, Debug, Default)]
pub struct InstanceArgs {
    /// Name of the geofence, where a machine runs several
    #[arg(long, value_name = "NAME", env = "GEOFENCE_INSTANCE")]
    pub instance: Option<String>,
}

/// Which lists.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// Configuration file that has the lists
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub instance: InstanceArgs,
}

impl ListArgs {
    /// The configuration that has the lists.
    ///
    /// # Errors
    /// Everything wrong with the file, or that the text names no instance.
    pub fn config(&self) -> anyhow::Result<Config> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        self.instance.apply(&mut config)?;
        Ok(config)
    }
}

impl InstanceArgs {
    /// Makes a configuration that of the instance named, whose lists it then has.
    ///
    /// # Errors
    /// When the text is no name.
    pub fn apply(&self, config: &mut Config) -> Result<(), ConfigErrors> {
        match &self.instance {
            Some(instance) => overrides::instance(config, instance),
            None => Ok(()),
        }
    }

    /// The instance named, or the one that every machine has.
    ///
    /// # Errors
    /// When the text is no name.
    pub fn instance(&self) -> Result<Instance, BadName> {
        self.instance
            .as_ref()
            .map_or_else(|| Ok(Instance::default()), |name| name.parse())
    }
}

impl PolicyArgs {
    /// The configuration these options ask for.
    ///
    /// # Errors
    /// Everything wrong with the file and the options together.
    pub fn config(&self) -> Result<Config, ConfigErrors> {
        let loaded = match &self.config {
            Some(path) => Config::load(path),
            None => Ok(Config::default()),
        };
        let (mut config, file) = match loaded {
            Ok(config) => (config, Ok(())),
            // The options are read all the same, for their errors.
            Err(errors) => (Config::default(), Err(errors)),
        };
        let block = match &self.block {
            Some(countries) => overrides::block(&mut config, countries),
            None => Ok(()),
        };
        overrides::databases(&mut config, &self.database);
        ConfigErrors::both(file, block).map(|()| config)
    }
}
