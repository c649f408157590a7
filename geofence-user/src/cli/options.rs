//! The options that several commands share.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use crate::config::{Config, ConfigErrors, drop_ins, overrides};
use crate::os::instance::{BadName, Instance};
use crate::serve::control::{Answer, Request, ask};

/// The configuration that commands use when none is named.
pub(super) const DEFAULT_FILE: &str = "/etc/geofence/geofence.toml";

/// The configuration that a command uses when none is named.
#[derive(Args, Clone, Debug, Default)]
pub struct DefaultFile {
    #[arg(long = "default-config", hide = true, value_name = "FILE", default_value = DEFAULT_FILE)]
    path: PathBuf,
}

impl DefaultFile {
    /// The file that is named, or else the usual one where it exists, or the files of its `conf.d` do.
    #[must_use]
    pub fn or<'a>(&'a self, named: Option<&'a Path>) -> Option<&'a Path> {
        // A file that cannot be examined exists as far as anybody knows, and reading it says what is wrong.
        let exists = || self.path.try_exists().unwrap_or(true) || !drop_ins(&self.path).is_empty();
        let is_given = !self.path.as_os_str().is_empty();
        named.or_else(|| (is_given && exists()).then_some(self.path.as_path()))
    }
}

/// A configuration in words, for the first line of an answer.
fn describe(file: Option<&Path>) -> String {
    let Some(file) = file else {
        return "the built-in default".to_owned();
    };
    let path = file.display();
    match drop_ins(file).len() {
        0 => path.to_string(),
        1 => format!("{path} and 1 file of conf.d"),
        files => format!("{path} and {files} files of conf.d"),
    }
}

/// Which policy, and which GeoIP data.
#[derive(Args, Clone, Debug, Default)]
pub struct PolicyArgs {
    /// Configuration file [default: /etc/geofence/geofence.toml; where it does not exist, RU, UA, BY, CN and KP are
    /// blocked and mail is open]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// GeoIP database (MMDB) instead of those of the configuration; repeat it for vendors with a file for each address
    /// family
    #[arg(long, value_name = "FILE")]
    pub database: Vec<PathBuf>,
    /// Countries to block instead of those of the configuration: codes and groups, such as RU,BY,south-america
    #[arg(long, value_name = "CC,...")]
    pub block: Option<String>,
    #[command(flatten)]
    pub default: DefaultFile,
}

/// Which instance of geofence, on a machine that runs several.
#[derive(Args, Clone, Debug, Default)]
pub struct InstanceArgs {
    /// Name of the instance, on a machine that runs several
    #[arg(long, value_name = "NAME", env = "GEOFENCE_INSTANCE")]
    pub instance: Option<String>,
}

/// The configuration whose lists or interfaces a command works on.
#[derive(Args, Clone, Debug, Default)]
pub struct ListArgs {
    /// Configuration file [default: that of the daemon, or /etc/geofence/geofence.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub default: DefaultFile,
    #[command(flatten)]
    pub instance: InstanceArgs,
}

impl ListArgs {
    /// The configuration with the lists, and its name for the first line of an answer.
    ///
    /// # Errors
    /// When the file or the name of the instance is invalid.
    pub fn config(&self) -> anyhow::Result<(Config, String)> {
        self.config_beside(&self.daemon())
    }

    /// What the daemon says of itself, if one runs and no configuration is named.
    pub(super) fn daemon(&self) -> Value {
        match &self.config {
            Some(_) => Value::Null,
            None => self.instance.daemon_status().unwrap_or_default(),
        }
    }

    /// As `config`, with what the daemon says of itself.
    pub(super) fn config_beside(&self, daemon: &Value) -> anyhow::Result<(Config, String)> {
        let daemons = daemon["configuration"].as_str().map(PathBuf::from);
        let named = self.config.as_deref().or(daemons.as_deref());
        let file = self.default.or(named);
        let mut config = match file {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        self.instance.apply(&mut config)?;
        Ok((config, describe(file)))
    }
}

/// What the daemon of an instance says of itself, if one runs.
pub(in crate::cli) fn daemon_status(instance: &Instance) -> Option<Value> {
    match ask(instance, &Request::Status).ok()? {
        Answer::Done(status) => Some(status),
        Answer::Refused { .. } => None,
    }
}

impl InstanceArgs {
    /// The configuration of the daemon of this instance, if one runs and has one.
    pub(super) fn daemon_file(&self) -> Option<PathBuf> {
        let status = self.daemon_status()?;
        status["configuration"].as_str().map(PathBuf::from)
    }

    /// What the daemon of this instance says of itself, if one runs.
    fn daemon_status(&self) -> Option<Value> {
        daemon_status(&self.instance().ok()?)
    }

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
    /// The configuration file, if one is named or the usual one exists.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.default.or(self.config.as_deref())
    }

    /// Whether an option names a policy, so that the running filter is not asked.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.config.is_some() || !self.database.is_empty() || self.block.is_some()
    }

    /// The policy in words, for the first line of an answer.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut options = Vec::new();
        if self.block.is_some() {
            options.push("--block");
        }
        if !self.database.is_empty() {
            options.push("--database");
        }
        let file = describe(self.file());
        if options.is_empty() {
            return file;
        }
        format!("{file}, with {}", options.join(" and "))
    }

    /// The configuration with these options.
    ///
    /// # Errors
    /// Every error of the file and of the options together.
    pub fn config(&self) -> Result<Config, ConfigErrors> {
        let loaded = match self.file() {
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
