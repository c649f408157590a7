//! A policy on trial: active until a deadline, and permanently only if it is confirmed before.
//!
//! The deadline stands in the image, in nanoseconds since boot, and the kernel returns to the previous image whether or
//! not this process runs. The daemon then only updates its own state; one that is restarted has no trial and uses its
//! configuration. The kernel has room for two images, so nothing else may change the image during a trial.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::{info, warn};

use super::active::Trial;
use super::event_names::CounterIds;
use super::reload::ReloadOptions;
use super::state::Daemon;
use super::sync::{lock, run_blocking};
use crate::model::failure::{Cause, Failure};
use crate::os::clock::boot_now;
use crate::os::input::{self, TEXT_BYTES_MAX};
use crate::os::memory;
use crate::os::replace::{create, put};

/// The shortest and the longest trial: enough for a telephone call, too short to be forgotten.
pub const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60 * 60);

/// A policy that is to be tried, and to replace the configuration file when it is confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// A file in the directory of the configuration.
    File(PathBuf),
    Text(String),
}

/// The result of a confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    pub generation: u32,
    /// The configuration file that was replaced, and the copy of its previous text.
    pub replaced: Option<(PathBuf, PathBuf)>,
}

impl Daemon {
    /// Whether a policy is on trial; nothing else is activated meanwhile.
    pub(super) fn is_on_trial(&self) -> bool {
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

    /// Activates another policy, or that of the configuration as it is now, for this long; returns the image's
    /// generation.
    pub async fn apply(
        self: &Arc<Self>,
        replacement: Option<Replacement>,
        window: Duration,
        options: ReloadOptions,
    ) -> Result<u32, Failure> {
        check_window(window)?;
        let _change = self.change.lock().await;
        self.refuse_on_trial()?;
        let daemon = Arc::clone(self);
        let read = move || {
            let file = replacement.map(|one| daemon.replacement_file(one));
            let file = file.transpose()?;
            file.map(|path| daemon.read_replacement(path)).transpose()
        };
        let file = run_blocking(read).await?;
        let path = file.as_ref().map(|(path, _)| path.as_path());
        let candidate = self.checked_candidate(path, options).await?;
        let daemon = Arc::clone(self);
        let generation = run_blocking(move || {
            let ends = boot_now()
                .map_err(|error| Failure::new(Cause::Kernel, error))?
                .saturating_add(u64::try_from(window.as_nanos()).unwrap_or(u64::MAX));
            daemon.reset_counters(&candidate)?;
            lock(&daemon.filter).try_out(&candidate.image, candidate.tries.as_ref(), ends)?;
            let generation = candidate.image.generation();
            let before = daemon.replace_active(candidate);
            *lock(&daemon.trial) = Some(Trial { before, ends, file });
            Ok(generation)
        })
        .await?;
        memory::give_back();
        info!("image {generation} is on trial for {} s", window.as_secs());
        let daemon = Arc::clone(self);
        tokio::spawn(async move { daemon.end_in_time(generation).await });
        Ok(generation)
    }

    /// Makes the policy on trial permanent.
    pub async fn confirm(self: &Arc<Self>) -> Result<Confirmation, Failure> {
        let _change = self.change.lock().await;
        let trial = lock(&self.trial).clone().ok_or_else(nothing_on_trial)?;
        if trial.left()?.is_zero() {
            return Err(Failure::new(
                Cause::Trial,
                "the trial has ended and the previous policy is active again; apply the new policy once more",
            ));
        }
        let image = Arc::clone(&lock(&self.active).image);
        lock(&self.filter).confirm(&image)?;
        *lock(&self.trial) = None;
        let config = Arc::clone(&lock(&self.active).config);
        self.remove_other_counters(&CounterIds::of(&config));
        // The policy that was asked for last is in force.
        lock(&self.reloads).clear(|_| true);
        self.is_start_incomplete.store(false, Ordering::Relaxed);
        let daemon = Arc::clone(self);
        let replaced = run_blocking(move || daemon.write_down(trial.file)).await?;
        let generation = image.generation();
        info!("image {generation} is confirmed");
        Ok(Confirmation {
            generation,
            replaced,
        })
    }

    /// Saves the active image, and replaces the configuration file by the file that was on trial; returns the
    /// configuration file and the copy of its previous text.
    fn write_down(
        &self,
        file: Option<(PathBuf, String)>,
    ) -> Result<Option<(PathBuf, PathBuf)>, Failure> {
        self.save_image();
        let (Some((file, text)), Some(configuration)) = (file, &self.source.file) else {
            return Ok(None);
        };
        if file == *configuration {
            return Ok(None);
        }
        let before = replace(configuration, &text).map_err(|error| {
            Failure::new(
                Cause::Configuration,
                format!(
                    "the policy is active, but {} could not be replaced: {error}. Copy {} over it; otherwise the next \
                     reload activates the previous policy",
                    configuration.display(),
                    file.display()
                ),
            )
        })?;
        // The image is saved without it if that fails.
        let _ = self.save_configuration();
        Ok(Some((configuration.clone(), before)))
    }

    /// Ends a trial before its deadline; returns the generation of the image that is active again.
    pub async fn revert(self: &Arc<Self>) -> Result<u32, Failure> {
        let _change = self.change.lock().await;
        let trial = lock(&self.trial).clone().ok_or_else(nothing_on_trial)?;
        self.end_trial(trial)
    }

    /// Waits for the deadline of this image's trial, and ends the trial unless it was confirmed.
    async fn end_in_time(self: &Arc<Self>, generation: u32) {
        loop {
            let left = match &*lock(&self.trial) {
                Some(trial) if lock(&self.active).image.generation() == generation => trial.left(),
                _ => return,
            };
            // The trial's clock runs while the machine sleeps, and this timer's does not.
            match left {
                Ok(left) if !left.is_zero() => {
                    tokio::time::sleep(left.min(Duration::from_secs(1))).await;
                }
                _ => break,
            }
        }
        let _change = self.change.lock().await;
        let trial = lock(&self.trial).clone();
        if let Some(trial) = trial
            && lock(&self.active).image.generation() == generation
        {
            warn!("image {generation} was not confirmed in time");
            if let Err(failure) = self.end_trial(trial) {
                warn!(
                    "the previous image is active, but the trial could not be cleared in the kernel: {failure}"
                );
            }
        }
    }

    fn end_trial(&self, trial: Trial) -> Result<u32, Failure> {
        let generation = trial.before.image.generation();
        lock(&self.filter).go_back(generation)?;
        let ids = CounterIds::of(&trial.before.config);
        *lock(&self.active) = trial.before;
        *lock(&self.trial) = None;
        self.remove_other_counters(&ids);
        // A reload that the trial stood in the way of may be asked for again.
        lock(&self.reloads).clear(|cause| cause == Cause::Trial);
        info!("image {generation} is active again");
        Ok(generation)
    }

    /// The file with a policy that is to be tried. A text is written beside the configuration first.
    fn replacement_file(&self, replacement: Replacement) -> Result<PathBuf, Failure> {
        let text = match replacement {
            Replacement::File(path) => return Ok(path),
            Replacement::Text(text) => text,
        };
        let refused = |text: String| Failure::new(Cause::Configuration, text);
        let configuration = self.source.file.as_ref().ok_or_else(|| {
            refused(
                "a policy of the fleet replaces the configuration file when it is confirmed, and this geofence runs \
                 without one: start it with --config"
                    .to_owned(),
            )
        })?;
        let offered = configuration.with_added_extension(OFFERED);
        let permissions = fs::metadata(configuration).map(|facts| facts.permissions());
        let written = permissions.and_then(|permissions| {
            let new = offered.with_added_extension(UNFINISHED);
            put(&offered, &new, &[text.as_bytes()], Some(permissions))
        });
        written.map_err(|error| {
            refused(format!(
                "cannot write the policy to {}: {error}. The daemon can write only to the directory of the \
                 configuration that it was started with",
                offered.display()
            ))
        })?;
        Ok(offered)
    }

    /// Reads a file that is to replace the configuration file, after a check that it could.
    fn read_replacement(&self, file: PathBuf) -> Result<(PathBuf, String), Failure> {
        let refused = |text: String| Failure::new(Cause::Configuration, text);
        let (path, text) = std::path::absolute(&file)
            .and_then(|path| input::read_text(&path).map(|text| (path, text)))
            .map_err(|error| refused(format!("cannot read {}: {error}", file.display())))?;
        let Some(configuration) = &self.source.file else {
            return Ok((path, text));
        };
        let (new, own) = (path.display(), configuration.display());
        writable_beside(configuration).map_err(|error| {
            refused(format!(
                "{own} could not be replaced when {new} is confirmed: {error}. The daemon has dropped its privileges; \
                 it can write only to the directory of the configuration that it was started with"
            ))
        })?;
        // Relative paths start at the directory of the name, whatever a link leads to.
        if real_directory(configuration).ok() != real_directory(&file).ok() {
            return Err(refused(format!(
                "{new} replaces {own} when it is confirmed, and the paths in it are relative to its directory: put it \
                 into the same directory"
            )));
        }
        Ok((path, text))
    }
}

fn check_window(window: Duration) -> Result<(), Failure> {
    if WINDOW.contains(&window) {
        return Ok(());
    }
    let text = format!("a trial lasts from 1s to 1h, not {} s", window.as_secs());
    Err(Failure::new(Cause::Request, text))
}

fn nothing_on_trial() -> Failure {
    Failure::new(
        Cause::Trial,
        "no policy is on trial; a trial ends at its deadline and when geofence is restarted",
    )
}

/// The directory that holds a name, without links.
fn real_directory(path: &Path) -> io::Result<PathBuf> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new(".")).canonicalize()
}

/// What the name of the file ends in that a policy is written to when it comes as a text.
const OFFERED: &str = "offered";

/// What the name of a configuration that is being replaced ends in. An operator's `geofence.toml.new` is not meant.
const UNFINISHED: &str = "geofence-unfinished";

/// Checks that files can be created beside the one that this path leads to, with a file that is removed again.
fn writable_beside(path: &Path) -> io::Result<()> {
    let new = path.canonicalize()?.with_added_extension(UNFINISHED);
    create(&new)?;
    fs::remove_file(new)
}

/// Replaces a file's text in one step; returns the path of a copy of the previous text. A link stays, and the file that
/// it leads to is replaced in its own directory.
fn replace(path: &Path, text: &str) -> io::Result<PathBuf> {
    let path = &path.canonicalize()?;
    let previous = input::read(path, TEXT_BYTES_MAX)?;
    let permissions = fs::metadata(path)?.permissions();
    let before = path.with_added_extension("before");
    let new = path.with_added_extension(UNFINISHED);
    put(&before, &new, &[&previous], Some(permissions.clone()))?;
    put(path, &new, &[text.as_bytes()], Some(permissions))?;
    Ok(before)
}
