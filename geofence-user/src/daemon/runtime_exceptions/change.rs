//! A change of a runtime exception as a command asks for it, and how it enters a configuration and the text of the
//! store. Nothing is compiled yet.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::checks::lockout::Dependency;
use crate::config::{BAN, Config, ExceptionSpec};
use crate::daemon::config_source::ConfigSource;
use crate::daemon::reload::ReloadOptions;
use crate::daemon::state::Daemon;
use crate::model::failure::{Cause, Failure};
use crate::model::text::nearest;
use crate::model::units::UnixSeconds;

/// A change of a runtime exception. The names are those of the control protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Change {
    /// Adds one. The daemon chooses a name if there is none.
    Add(ExceptionSpec),
    /// Adds a ban, or changes when that of the same name expires.
    Ban {
        ban: ExceptionSpec,
        #[serde(default)]
        force: bool,
        /// Peers that the client requires.
        #[serde(default, rename = "needed")]
        required_peers: Vec<Dependency>,
    },
    /// Changes when one expires.
    Extend { id: String, until: String },
    /// Removes one.
    Remove {
        id: String,
        reason: Option<String>,
        #[serde(default)]
        force: bool,
        /// Peers that the client requires.
        #[serde(default, rename = "needed")]
        required_peers: Vec<Dependency>,
    },
}

impl Change {
    /// The words of the command line.
    pub(super) const fn verb(&self) -> &'static str {
        match self {
            Self::Add(_) => "exception add",
            Self::Ban { .. } => "ban",
            Self::Extend { .. } => "exception extend",
            Self::Remove { .. } => "exception remove",
        }
    }

    pub(super) fn id(&self) -> &str {
        match self {
            Self::Add(ExceptionSpec { id, .. })
            | Self::Ban {
                ban: ExceptionSpec { id, .. },
                ..
            }
            | Self::Extend { id, .. }
            | Self::Remove { id, .. } => id,
        }
    }

    /// Why it is made, if that is not the exception's own reason.
    pub(super) fn reason(&self) -> Option<&str> {
        match self {
            Self::Remove { reason, .. } => reason.as_deref(),
            Self::Add(_) | Self::Ban { .. } | Self::Extend { .. } => None,
        }
    }

    /// Whether the lock-out check is forced, and the peers that the client requires, if this change can fail it.
    fn lockout_check(&self) -> Option<(bool, &[Dependency])> {
        match self {
            Self::Ban {
                force,
                required_peers,
                ..
            }
            | Self::Remove {
                force,
                required_peers,
                ..
            } => Some((*force, required_peers)),
            Self::Add(_) | Self::Extend { .. } => None,
        }
    }
}

/// The options of the lock-out check of changes that are made together, if one of them can fail it. It is forced only
/// if every change that can fail it is.
pub(super) fn lockout_options(changes: &[Change]) -> Option<ReloadOptions> {
    let checks = changes.iter().filter_map(Change::lockout_check);
    checks.fold(None, |options, (force, peers)| {
        let mut options = options.unwrap_or(ReloadOptions {
            force: true,
            required_peers: Vec::new(),
            keeps_accepted: true,
        });
        options.force &= force;
        options.required_peers.extend_from_slice(peers);
        Some(options)
    })
}

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

/// A refusal that is about the request itself.
pub(super) fn refuse(text: impl ToString) -> Failure {
    Failure::new(Cause::Request, text)
}

/// A failure that is no fault of the request.
pub(super) fn internal(error: impl ToString) -> Failure {
    Failure::new(Cause::Internal, error)
}

/// Refuses the name of an exception that exists.
fn refuse_taken_name(config: &Config, source: &ConfigSource, id: &str) -> Result<(), Failure> {
    if let Some(taken) = config.runtime.list.iter().find(|one| one.spec.id == id) {
        let ExceptionSpec { owner, reason, .. } = &taken.spec;
        return Err(refuse(format!(
            "the runtime exception {id} exists already (owner {owner}, reason {reason}): choose another name, or leave \
             it out; `geofence exception extend {id}` changes when it expires, and `geofence exception remove {id}` \
             removes it"
        )));
    }
    if config.policy.exceptions.iter().any(|one| one.id == id) {
        return Err(refuse(format!(
            "the exception {id} exists already, in {}: choose another name, or leave it out",
            file_name(source)
        )));
    }
    Ok(())
}

/// Refuses a name by which `geofence unban` would take an exception for a ban.
fn refuse_name_of_ban(spec: &ExceptionSpec) -> Result<(), Failure> {
    if spec.id.starts_with(BAN) && !spec.is_ban() {
        return Err(refuse(format!(
            "{} is the name of a ban: choose another name, or leave it out",
            spec.id
        )));
    }
    Ok(())
}

/// No runtime exception has this name.
pub(super) fn not_found(config: &Config, source: &ConfigSource, id: &str) -> Failure {
    let own = config.policy.exceptions.iter().map(|one| one.id.as_str());
    if own.clone().any(|one| one == id) {
        return of_configuration(source, id);
    }
    if id.starts_with(BAN) {
        return refuse(format!("there is no {id}; `geofence bans` shows all bans"));
    }
    let runtime = config.runtime.list.iter().map(|one| one.spec.id.as_str());
    let help = match nearest(id, own.chain(runtime)) {
        Some(near) => format!("did you mean {near}?"),
        None => "`geofence exception list` shows them all".to_owned(),
    };
    refuse(format!("there is no exception {id:?}; {help}"))
}

/// The exception belongs to the configuration.
fn of_configuration(source: &ConfigSource, id: &str) -> Failure {
    refuse(format!(
        "the exception {id} is in {}, which no command changes: change the file, then run `geofence reload`",
        file_name(source)
    ))
}

fn file_name(source: &ConfigSource) -> String {
    let file = source.file.as_ref();
    file.map_or_else(
        || "the configuration".to_owned(),
        |file| file.display().to_string(),
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::checks::lockout::Need;

    #[test]
    fn changes_together_are_forced_only_if_all_are() {
        let peer = Dependency {
            need: Need::Gateway,
            address: Ipv4Addr::LOCALHOST.into(),
        };
        let remove = |force| Change::Remove {
            id: "x-1".to_owned(),
            reason: None,
            force,
            required_peers: vec![peer],
        };
        let add = Change::Add(ExceptionSpec::default());
        assert_eq!(lockout_options(std::slice::from_ref(&add)), None);
        let (yes, no) = (remove(true), remove(false));
        let options = lockout_options(&[yes.clone(), add.clone(), no.clone()]);
        assert_eq!(options.unwrap().required_peers, [peer; 2]);
        let force = |changes: &[Change]| lockout_options(changes).map(|options| options.force);
        assert_eq!(force(&[add.clone(), yes.clone()]), Some(true));
        assert_eq!(force(&[yes.clone(), add, no.clone()]), Some(false));
        assert_eq!(force(&[no, yes]), Some(false));
    }
}
