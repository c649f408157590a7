//! A change as it enters a configuration and the text of the store, before anything is compiled.

use std::collections::HashSet;

use super::change::Change;
use super::refusal::{not_found, of_configuration, refuse, refuse_name_of_ban, refuse_taken_name};
use crate::config::{Config, ExceptionSpec};
use crate::daemon::state::Daemon;
use crate::model::failure::Failure;
use crate::model::units::UnixSeconds;

/// A configuration with a runtime exception changed, that exception as it is after the change or was before its
/// removal, and the new text of the file.
pub(super) type Edited = (Config, ExceptionSpec, String);

impl Daemon {
    /// Makes a change to a configuration and to the text of the file, and gives it a name if it has none.
    pub(super) fn edit(
        &self,
        config: Config,
        text: String,
        change: &mut Change,
    ) -> Result<Edited, Failure> {
        match change {
            Change::Add(spec) => self.added(config, text, spec),
            Change::Ban { ban, .. } => self.banned(config, text, ban),
            Change::Extend { id, until } => self.extended(config, &text, id, until),
            Change::Remove { id, .. } => self.removed(config, &text, id),
        }
    }

    fn added(
        &self,
        config: Config,
        text: String,
        spec: &mut ExceptionSpec,
    ) -> Result<Edited, Failure> {
        if spec.id.is_empty() {
            spec.id = free_name(&config);
        }
        refuse_name_of_ban(spec)?;
        refuse_taken_name(&config, &self.source, &spec.id)?;
        spec.check(&config, UnixSeconds::now())
            .map_err(|errors| refuse(errors.render(false)))?;
        let name = self.exception_store.file().display().to_string();
        let (config, text) = config
            .add_runtime_exception(spec, text, &name)
            .map_err(refuse)?;
        Ok((config, spec.clone(), text))
    }

    /// A ban that is there already lasts until the time that was asked for now.
    fn banned(
        &self,
        config: Config,
        text: String,
        ban: &mut ExceptionSpec,
    ) -> Result<Edited, Failure> {
        if !ban.is_ban() {
            return Err(refuse("a ban has the action \"drop\""));
        }
        let (config, text) = self.without_old_bans(config, text, &ban.id)?;
        let mut known = config.runtime.list.iter();
        match (&ban.until, known.find(|one| one.spec.id == ban.id)) {
            (Some(until), Some(known)) if known.spec.is_ban() => {
                self.extended(config, &text, &ban.id, until)
            }
            _ => self.added(config, text, ban),
        }
    }

    /// Takes the bans away that have expired, but for one: there would be more and more.
    fn without_old_bans(
        &self,
        mut config: Config,
        mut text: String,
        but: &str,
    ) -> Result<(Config, String), Failure> {
        let now = self.kernel_time();
        loop {
            let is_old = |one: &ExceptionSpec| {
                let end = || one.expiry().unwrap_or_default();
                one.is_ban() && one.id != but && end().is_some_and(|end| end <= now)
            };
            let mut all = config.runtime.list.iter();
            let Some(at) = all.position(|one| is_old(&one.spec)) else {
                return Ok((config, text));
            };
            (config, text) = config.remove_runtime_exception(at, &text).map_err(refuse)?;
        }
    }

    fn extended(
        &self,
        config: Config,
        text: &str,
        id: &str,
        until: &str,
    ) -> Result<Edited, Failure> {
        let at = self.position(&config, id)?;
        let exception = &config.runtime.list[at];
        if exception.is_shadowed {
            return Err(of_configuration(&self.source, id));
        }
        let mut spec = exception.spec.clone();
        spec.until = Some(until.to_owned());
        spec.check_until(UnixSeconds::now())
            .map_err(|errors| refuse(errors.render(false)))?;
        let (config, text) = config
            .extend_runtime_exception(at, until, text)
            .map_err(refuse)?;
        Ok((config, spec, text))
    }

    fn removed(&self, config: Config, text: &str, id: &str) -> Result<Edited, Failure> {
        let at = self.position(&config, id)?;
        let spec = config.runtime.list[at].spec.clone();
        let (config, text) = config.remove_runtime_exception(at, text).map_err(refuse)?;
        Ok((config, spec, text))
    }

    fn position(&self, config: &Config, id: &str) -> Result<usize, Failure> {
        let mut exceptions = config.runtime.list.iter();
        let at = exceptions.position(|one| one.spec.id == id);
        at.ok_or_else(|| not_found(config, &self.source, id))
    }
}

/// A name that no exception has.
fn free_name(config: &Config) -> String {
    let own = config.policy.exceptions.iter().map(|one| one.id.as_str());
    let runtime = config.runtime.list.iter().map(|one| one.spec.id.as_str());
    let alike = own.chain(runtime).filter(|name| name.starts_with("x-"));
    let taken: HashSet<&str> = alike.collect();
    let mut names = (1..).map(|number: u64| format!("x-{number}"));
    names
        .find(|name| !taken.contains(name.as_str()))
        .unwrap_or_default()
}
