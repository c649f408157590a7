//! Databases: fetched, staged beside the file in use, read whole, compared with what filters, and put in its place.

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde_json::{Value, json};

use super::progress::Progress;
use crate::checks::sanity::as_database_extents;
use crate::compile::{Extents, Image};
use crate::config::Config;
use crate::daemon::candidate::{Base, Candidate};
use crate::data::asn::AsDatabase;
use crate::data::geoip_update::{
    Downloaded, FileState, ObtainError, Role, StateFile, obtain, sha256,
};
use crate::data::lists::UpdateOptions;
use crate::model::failure::{Cause, Failure};
use crate::model::geoip_source::GeoipSource;
use crate::model::shortfall::Tolerance;
use crate::model::units::UnixSeconds;
use crate::os::state::StateDirectory;
use crate::os::{input, replace};
use crate::prepare::prepare;

/// The largest file in use that is compared with what was put in place.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// What the name of a staged file ends in.
const STAGED: &str = "new";

/// The databases of a configuration.
pub(super) struct Databases<'a> {
    config: &'a Config,
    options: UpdateOptions,
}

/// What became of a database.
#[derive(Debug)]
pub(super) enum DatabaseOutcome {
    Updated {
        built: UnixSeconds,
        before: Option<UnixSeconds>,
        warnings: Vec<String>,
    },
    Unchanged,
    /// The server asked to be left alone until then.
    Postponed(UnixSeconds),
    /// What was fetched fails a check, and the file in use stays.
    Rejected(Rejected),
    /// Nothing was fetched, and the file in use stays.
    Failed(String),
}

/// Why a database is not taken.
#[derive(Debug)]
pub(super) struct Rejected {
    why: String,
    /// Whether `--force` would accept it.
    can_be_forced: bool,
}

impl From<String> for Rejected {
    fn from(why: String) -> Self {
        Self {
            why,
            can_be_forced: false,
        }
    }
}

impl From<Failure> for Rejected {
    fn from(failure: Failure) -> Self {
        Self {
            why: failure.to_string(),
            can_be_forced: failure.cause == Cause::Sanity,
        }
    }
}

impl<'a> Databases<'a> {
    pub(super) const fn new(config: &'a Config, options: UpdateOptions) -> Self {
        Self { config, options }
    }

    /// Brings a database up to date.
    ///
    /// # Errors
    /// When what is known about it cannot be stored.
    pub(super) fn update(&self, source: &GeoipSource) -> anyhow::Result<DatabaseOutcome> {
        let now = UnixSeconds::now();
        let state_directory = self.config.instance.state_directory();
        let state_file = StateFile::of(&state_directory, &source.file);
        let save = |state: &FileState| state_file.save(state).map_err(|why| anyhow!(why));
        let Some(role) = self.role(&source.file) else {
            return Ok(DatabaseOutcome::Failed(
                "no key names this file; name it in `databases`, `cross-check-databases` or `asn-database`"
                    .to_owned(),
            ));
        };
        let state = state_file.load();
        if let Some(until) = state.retry.filter(|until| *until > now)
            && !self.options.is_named
        {
            return Ok(DatabaseOutcome::Postponed(until));
        }
        // What is known counts only while the file is the one that was put in place.
        let present = input::read(&source.file, FILE_BYTES_MAX);
        let is_intact = present.is_ok_and(|bytes| sha256(&bytes) == state.file_sha256);
        let known = if is_intact && !self.options.force {
            state.clone()
        } else {
            FileState::default()
        };
        let name = source.file.display().to_string();
        let progress = Progress::new(&name);
        let mut report = |done, length| progress.report(done, length);
        let obtained = obtain(&source.origin, role, &known, now, &mut report);
        drop(progress);
        let Downloaded {
            bytes,
            state: installed,
        } = match obtained {
            Ok(Some(downloaded)) => downloaded,
            Ok(None) => {
                save(&state.after_confirmation(now))?;
                return Ok(DatabaseOutcome::Unchanged);
            }
            Err(ObtainError { why, retry_after }) => {
                let retry = retry_after.map(|wait| now.plus(wait));
                save(&state.after_failure(&why, now, retry))?;
                return Ok(DatabaseOutcome::Failed(why));
            }
        };
        let installed = FileState {
            failed: state.failed,
            ..installed
        };
        if is_intact && installed.file_sha256 == state.file_sha256 {
            save(&installed)?;
            return Ok(DatabaseOutcome::Unchanged);
        }
        let staged = source.file.with_added_extension(STAGED);
        let placed = self.place(source, &staged, role, &bytes);
        if placed.is_err() {
            // Best effort: the next update writes it anew.
            let _ = fs::remove_file(&staged);
        }
        match placed {
            Ok(outcome) => {
                save(&installed)?;
                Ok(outcome)
            }
            Err(mut rejected) => {
                // The staged file is gone, so it is named as what it was to become.
                rejected.why = rejected.why.replace(&staged.display().to_string(), &name);
                save(&state.after_failure(&rejected.why, now, None))?;
                Ok(DatabaseOutcome::Rejected(rejected))
            }
        }
    }

    /// What the configuration uses a file for, if it does.
    fn role(&self, file: &Path) -> Option<Role> {
        let config = self.config;
        let countries = config.databases.iter().chain(&config.cross_check_databases);
        let is_countries = countries.into_iter().any(|one| one == file);
        let is_systems = config.asn_database.as_deref() == Some(file);
        match (is_countries, is_systems) {
            (true, true) => Some(Role::Both),
            (true, false) => Some(Role::Countries),
            (false, true) => Some(Role::AutonomousSystems),
            (false, false) => None,
        }
    }

    /// Stages a database, judges it, and puts it in place. An error says why it is not.
    fn place(
        &self,
        source: &GeoipSource,
        staged: &Path,
        role: Role,
        bytes: &[u8],
    ) -> Result<DatabaseOutcome, Rejected> {
        let failed = |error: io::Error| {
            format!(
                "cannot write {}: {error}; the directory must exist and be writable (`geofence-update.service` may \
                 write to /var/lib/geofence)",
                staged.display()
            )
        };
        stage(staged, bytes).map_err(failed)?;
        let before = self.built(&source.file);
        let (built, warnings) = self.judge(&source.file, staged, role)?;
        fs::rename(staged, &source.file).map_err(failed)?;
        // The rename has to survive a power cut as well.
        let directory = source.file.parent().unwrap_or(Path::new("/"));
        input::directory(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed)?;
        Ok(DatabaseOutcome::Updated {
            built,
            before,
            warnings,
        })
    }

    /// When a file was built, if it is a database.
    fn built(&self, file: &Path) -> Option<UnixSeconds> {
        let files = [file.to_owned()];
        if self.config.asn_database.as_deref() == Some(file) {
            return AsDatabase::open(file).ok().map(|data| data.info().built);
        }
        let database = crate::data::geoip::Database::open(&files).ok()?;
        Some(database.info().built())
    }

    /// Reads a staged database as the filter would, and compares it with what filters. Answers with its build time, and
    /// with what the operator should know.
    fn judge(
        &self,
        file: &Path,
        staged: &Path,
        role: Role,
    ) -> Result<(UnixSeconds, Vec<String>), Rejected> {
        let mut trial = self.config.clone();
        // Lists have nothing to do with it, and a list that cannot be read is no reason to keep old data.
        trial.lists.clear();
        trial.databases.retain(|one| one == file || one.exists());
        trial
            .cross_check_databases
            .retain(|one| one == file || one.exists());
        let active = self.active(&trial);
        let replace = |one: &mut PathBuf| {
            if one == file {
                staged.clone_into(one);
            }
        };
        trial.databases.iter_mut().for_each(replace);
        trial.cross_check_databases.iter_mut().for_each(replace);
        let is_systems = role != Role::Countries;
        if is_systems {
            trial.asn_database = Some(staged.to_owned());
        } else {
            trial.asn_database = None;
            trial.as_mentions.clear();
        }
        let base = Base {
            active: active.as_ref().map(|(image, _)| image),
            types: active.as_ref().map_or(&[], |(_, types)| types),
            ..Base::default()
        };
        let force = self.options.force;
        let mut candidate = Candidate::prepare(trial, base, force, Tolerance::Nothing)?;
        let systems_before = || -> Option<Extents> {
            let data = AsDatabase::open(file).ok()?;
            Some(as_database_extents(&data))
        };
        if is_systems {
            candidate.check_asn_data(systems_before(), force)?;
        }
        let built = self.staged_built(staged, role)?;
        let warnings = candidate.warnings.into_iter();
        let forced = warnings.filter(|warning| warning.starts_with("forced: "));
        Ok((built, forced.collect()))
    }

    fn staged_built(&self, staged: &Path, role: Role) -> Result<UnixSeconds, String> {
        if role == Role::AutonomousSystems {
            let data = AsDatabase::open(staged).map_err(|error| error.to_string())?;
            return Ok(data.info().built);
        }
        let database = crate::data::geoip::Database::open(&[staged.to_owned()]);
        Ok(database.map_err(|error| error.to_string())?.info().built())
    }

    /// What filters now, with the types of its databases: the image that the daemon saved, or what the present files
    /// amount to.
    fn active(&self, present: &Config) -> Option<(Image, Vec<String>)> {
        let state = StateDirectory::of(&self.config.instance);
        if let Ok(Some(image)) = state.load() {
            return Some((image, state.database_types()));
        }
        let files = present.database_files();
        let is_whole = files.into_iter().all(|file| file.exists());
        if present.databases.is_empty() || !is_whole {
            return None;
        }
        let prepared = prepare(present.clone()).ok()?;
        let types = prepared.database_types();
        Some((prepared.image, types))
    }
}

/// Writes a file beside the one that it is to replace. Others may read it, as they may the databases of a vendor's own
/// tool.
fn stage(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = replace::create(path)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(bytes)?;
    file.sync_all()
}

impl DatabaseOutcome {
    /// Whether the database is as it should be.
    pub(super) const fn is_good(&self) -> bool {
        !matches!(self, Self::Rejected(_) | Self::Failed(_))
    }

    pub(super) fn to_json(&self, source: &GeoipSource) -> Value {
        let mut object = json!({ "database": source.file, "source": source.origin.to_string() });
        let mut set = |key: &str, value: Value| object[key] = value;
        match self {
            Self::Updated {
                built,
                before,
                warnings,
            } => {
                set("outcome", "updated".into());
                set("built", built.0.into());
                set("before", before.map(|before| before.0).into());
                set("warnings", warnings.as_slice().into());
            }
            Self::Unchanged => set("outcome", "unchanged".into()),
            Self::Postponed(until) => {
                set("outcome", "postponed".into());
                set("until", until.0.into());
            }
            Self::Rejected(rejected) => {
                set("outcome", "refused".into());
                set("error", rejected.why.as_str().into());
            }
            Self::Failed(why) => {
                set("outcome", "failed".into());
                set("error", why.as_str().into());
            }
        }
        object
    }

    pub(super) fn line(&self, source: &GeoipSource) -> String {
        let file = source.file.display();
        match self {
            Self::Updated {
                built,
                before,
                warnings,
            } => {
                let before = before.map_or_else(
                    || "for the first time".to_owned(),
                    |before| format!("{} before", before.date()),
                );
                let mut line = format!("{file}: built {}, {before}", built.date());
                for warning in warnings {
                    line += &format!("\nwarning: {warning}");
                }
                line
            }
            Self::Unchanged => format!("{file}: unchanged"),
            Self::Postponed(until) => format!(
                "{file}: not fetched, because the server asks to wait until {until}; to fetch it anyway: \
                 geofence update {file}"
            ),
            Self::Rejected(Rejected { why, can_be_forced }) => {
                let advice = if *can_be_forced {
                    format!("\nIf the new data is right, accept it: geofence update {file} --force")
                } else {
                    String::new()
                };
                format!("{file}: REJECTED, the file in use stays:\n{why}{advice}")
            }
            Self::Failed(why) => format!("{file}: FAILED, the file in use stays:\n{why}"),
        }
    }
}
