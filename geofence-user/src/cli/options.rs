//! The options that several commands share.

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
    /// GeoIP database (MMDB) instead of those of the configuration; repeat it for vendors with a file for each address
    /// family
    #[arg(long, value_name = "FILE")]
    pub database: Vec<PathBuf>,
    /// Countries to block instead of those of the configuration: codes and groups, such as RU,BY,south-america
    #[arg(long, value_name = "CC,...")]
    pub block: Option<String>,
}

/// Which instance of geofence, on a machine that runs several.
#[derive(Args, Clone, Debug, Default)]
pub struct InstanceArgs {
    /// Name of the instance, on a machine that runs several
    #[arg(long, value_name = "NAME", env = "GEOFENCE_INSTANCE")]
    pub instance: Option<String>,
}

/// The configuration whose lists a command works on.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// Configuration file with the lists
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub instance: InstanceArgs,
}

impl ListArgs {
    /// The configuration with the lists.
    ///
    /// # Errors
    /// When the file or the name of the instance is invalid.
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
    /// Sets the instance of a configuration, if one is named.
    ///
    /// # Errors
    /// When the name is invalid.
    pub fn apply(&self, config: &mut Config) -> Result<(), ConfigErrors> {
        match &self.instance {
            Some(instance) => overrides::instance(config, instance),
            None => Ok(()),
        }
    }

    /// The instance that is named, or the default one.
    ///
    /// # Errors
    /// When the name is invalid.
    pub fn instance(&self) -> Result<Instance, BadName> {
        self.instance
            .as_ref()
            .map_or_else(|| Ok(Instance::default()), |name| name.parse())
    }
}

impl PolicyArgs {
    /// The configuration with these options.
    ///
    /// # Errors
    /// Every error of the file and of the options together.
    pub fn config(&self) -> Result<Config, ConfigErrors> {
        let loaded = match &self.config {
            Some(path) => Config::load(path),
            None => Ok(Config::default()),
        };
        let (mut config, file) = match loaded {
            Ok(config) => (config, Ok(())),
            // The options are read anyway, to report their errors as well.
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
