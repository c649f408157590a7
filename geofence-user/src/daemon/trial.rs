//! A policy on trial: in force until a time, and for good only if somebody confirms it before.
//!
//! The time stands in the image itself, in nanoseconds since boot, and the kernel goes back by it whether this process
//! lives or not. What is done here when the time is over only tidies up: a daemon that starts anew starts without a
//! trial, by its own configuration. Nothing else may change the image meanwhile, for the image to go back to is the
//! only other one there is.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tracing::{info, warn};

use super::reload::aside;
use super::{Current, Daemon, Wishes, lock};
use crate::model::failure::{Cause, Failure};
use crate::os::clock::boot_now;
use crate::os::memory;

/// A policy that is on trial.
#[derive(Clone)]
pub(super) struct Trial {
    /// What filters again if nobody confirms.
    before: Current,
    /// When it is over, in nanoseconds since boot.
    ends: u64,
    /// The file that takes the configuration's place, and its text.
    file: Option<(PathBuf, String)>,
}

impl Trial {
    fn left(&self) -> Result<Duration, Failure> {
        let now = boot_now().map_err(|error| Failure::new(Cause::Kernel, error))?;
        Ok(Duration::from_nanos(self.ends.saturating_sub(now)))
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "generation_before": self.before.image.generation(),
            "seconds_left": self.left().map_or(0, |left| left.as_secs()),
            "file": self.file.as_ref().map(|(path, _)| path),
        })
    }
}

/// What a confirmation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    pub generation: u32,
    /// The configuration file that says the same now, and where its text of before is.
    pub written: Option<(PathBuf, PathBuf)>,
}

impl Daemon {
    /// Whether a policy is on trial; nothing else is put in place meanwhile.
    #[must_use]
    pub fn is_on_trial(&self) -> bool {
        lock(&self.trial).is_some()
    }

    pub(super) fn refuse_on_trial(&self) -> Result<(), Failure> {
        match &*lock(&self.trial) {
            None => Ok(()),
            Some(trial) => Err(Failure::new(
                Cause::Trial,
                format!(
                    "a policy is on trial for another {} s; `geofence confirm` keeps it, `geofence revert` ends it",
                    trial.left()?.as_secs()
                ),
            )),
        }
    }

    /// Puts the policy of a file, or of the configuration as it is now, in place for so long; answers with the image's
    /// number.
    pub async fn apply(
        self: &Arc<Self>,
        file: Option<PathBuf>,
        window: Duration,
        wishes: Wishes,
    ) -> Result<u32, Failure> {
        let _turn = self.turn.lock().await;
        self.refuse_on_trial()?;
        let text = file.map(|path| self.text_of(path)).transpose()?;
        let daemon = Arc::clone(self);
        let path = text.as_ref().map(|(path, _)| path.clone());
        let candidate = aside(move || daemon.candidate(path.as_deref(), wishes.force)).await?;
        for warning in &candidate.warnings {
            warn!("{warning}");
        }
        self.keep_access(&candidate, wishes).await?;
        let daemon = Arc::clone(self);
        let generation = aside(move || {
            let ends = boot_now()
                .map_err(|error| Failure::new(Cause::Kernel, error))?
                .saturating_add(u64::try_from(window.as_nanos()).unwrap_or(u64::MAX));
            daemon.clear_new(&candidate)?;
            lock(&daemon.filter)
                .try_out(&candidate.image, candidate.tries.as_ref(), ends)
                .map_err(Failure::from)?;
            let generation = candidate.image.generation();
            let before = daemon.replace_current(candidate);
            *lock(&daemon.trial) = Some(Trial {
                before,
                ends,
                file: text,
            });
            Ok(generation)
        })
        .await?;
        memory::give_back();
        info!("image {generation} is on trial for {} s", window.as_secs());
        let daemon = Arc::clone(self);
        tokio::spawn(async move { daemon.end_in_time(generation).await });
        Ok(generation)
    }

    /// Makes the policy on trial the one that counts.
    pub async fn confirm(self: &Arc<Self>) -> Result<Confirmed, Failure> {
        let _turn = self.turn.lock().await;
        let trial = lock(&self.trial).clone().ok_or_else(nothing_on_trial)?;
        if trial.left()?.is_zero() {
            return Err(Failure::new(
                Cause::Trial,
                "the time is over: what filtered before filters again; apply it once more",
            ));
        }
        let image = Arc::clone(&lock(&self.current).image);
        lock(&self.filter)
            .confirm(&image)
            .map_err(|error| Failure::new(Cause::Kernel, error))?;
        *lock(&self.trial) = None;
        self.keep_image();
        let written = match (&trial.file, &self.source.file) {
            (Some((file, text)), Some(configuration)) if file != configuration => {
                let before = replace(configuration, text).map_err(|error| {
                    Failure::new(
                        Cause::Configuration,
                        format!(
                            "the policy is in force, but {} could not be replaced: {error}. Copy {} over it, or the \
                             next reload goes back",
                            configuration.display(),
                            file.display()
                        ),
                    )
                })?;
                Some((configuration.clone(), before))
            }
            _ => None,
        };
        let generation = image.generation();
        info!("image {generation} is confirmed");
        Ok(Confirmed {
            generation,
            written,
        })
    }

    /// Ends a trial before its time; answers with the number of the image that filters again.
    pub async fn revert(self: &Arc<Self>) -> Result<u32, Failure> {
        let _turn = self.turn.lock().await;
        let trial = lock(&self.trial).clone().ok_or_else(nothing_on_trial)?;
        self.go_back(trial)
    }

    /// Waits for the end of the trial of this image, and tidies up unless it was confirmed.
    async fn end_in_time(self: &Arc<Self>, generation: u32) {
        loop {
            let left = match &*lock(&self.trial) {
                Some(trial) if lock(&self.current).image.generation() == generation => trial.left(),
                _ => return,
            };
            // A machine that sleeps counts its sleep against the trial, and this timer does not.
            match left {
                Ok(left) if !left.is_zero() => {
                    tokio::time::sleep(left.min(Duration::from_secs(1))).await;
                }
                _ => break,
            }
        }
        let _turn = self.turn.lock().await;
        let trial = lock(&self.trial).clone();
        if let Some(trial) = trial
            && lock(&self.current).image.generation() == generation
        {
            warn!("nobody confirmed image {generation} in time");
            if let Err(failure) = self.go_back(trial) {
                warn!("the kernel goes by the image before, but is not tidied up: {failure}");
            }
        }
    }

    fn go_back(&self, trial: Trial) -> Result<u32, Failure> {
        lock(&self.filter)
            .go_back()
            .map_err(|error| Failure::new(Cause::Kernel, error))?;
        let generation = trial.before.image.generation();
        *lock(&self.current) = trial.before;
        *lock(&self.trial) = None;
        info!("image {generation} filters again");
        Ok(generation)
    }

    /// The text of a file that may take the configuration's place one day.
    fn text_of(&self, file: PathBuf) -> Result<(PathBuf, String), Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(
                Cause::Configuration,
                format!("cannot read {}: {error}", file.display()),
            )
        };
        let path = file.canonicalize().map_err(|error| failed(&error))?;
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
        if let Some(configuration) = &self.source.file {
            // Better told now than when it is confirmed.
            writable_beside(configuration).map_err(|error| {
                Failure::new(
                    Cause::Configuration,
                    format!(
                        "{} could not be replaced when {} is confirmed: {error}. The daemon, which has no privilege, \
                         has to be able to write to its directory, and to have been started with this configuration",
                        configuration.display(),
                        path.display()
                    ),
                )
            })?;
        }
        let place = |path: &Path| path.parent().map(Path::to_path_buf);
        if let Some(configuration) = &self.source.file {
            let own = configuration.canonicalize().ok();
            if own.as_deref().and_then(place) != place(&path) {
                return Err(Failure::new(
                    Cause::Configuration,
                    format!(
                        "{} takes the place of {} when it is confirmed, and paths in it start from where it is: put it \
                         into the same directory",
                        path.display(),
                        configuration.display()
                    ),
                ));
            }
        }
        Ok((path, text))
    }
}

fn nothing_on_trial() -> Failure {
    Failure::new(
        Cause::Trial,
        "no policy is on trial: its time is over, or geofence has started anew meanwhile",
    )
}

/// A file of almost the same name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(ending);
    path.with_file_name(name)
}

/// Whether files can be made beside this one, tried with one that is gone at once.
fn writable_beside(path: &Path) -> std::io::Result<()> {
    let new = beside(path, ".new");
    std::fs::File::create(&new)?;
    std::fs::remove_file(new)
}

/// Replaces a file's text at once, and answers with where the text of before is.
fn replace(path: &Path, text: &str) -> std::io::Result<PathBuf> {
    let (before, new) = (beside(path, ".before"), beside(path, ".new"));
    std::fs::copy(path, &before)?;
    let mut file = std::fs::File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(std::fs::metadata(path)?.permissions())?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    Ok(before)
}
