//! Why a change of an exception is refused because of the exceptions there are.

use crate::config::{BAN, Config, ExceptionSpec};
use crate::daemon::config_source::ConfigSource;
use crate::model::failure::{Cause, Failure};
use crate::model::text::nearest;

/// A refusal that is about the request itself.
pub(super) fn refuse(text: impl ToString) -> Failure {
    Failure::new(Cause::Request, text)
}

/// A failure that is no fault of the request.
pub(super) fn internal(error: impl ToString) -> Failure {
    Failure::new(Cause::Internal, error)
}

/// Refuses the name of an exception that exists.
pub(super) fn refuse_taken_name(
    config: &Config,
    source: &ConfigSource,
    id: &str,
) -> Result<(), Failure> {
    if let Some(taken) = config.runtime.list.iter().find(|one| one.spec.id == id) {
        let ExceptionSpec { owner, reason, .. } = &taken.spec;
        return Err(refuse(format!(
            "the runtime exception {id} exists already (owner {owner}, reason {reason}): choose another name, or none \
             to be given one; `geofence exception extend {id}` changes when it expires, and `geofence exception remove \
             {id}` removes it"
        )));
    }
    if config.policy.exceptions.iter().any(|one| one.id == id) {
        return Err(refuse(format!(
            "the exception {id} exists already, in {}: choose another name, or none to be given one",
            file_name(source)
        )));
    }
    Ok(())
}

/// Refuses a name by which `geofence unban` would take an exception for a ban.
pub(super) fn refuse_name_of_ban(spec: &ExceptionSpec) -> Result<(), Failure> {
    if spec.id.starts_with(BAN) && !spec.is_ban() {
        return Err(refuse(format!(
            "{} is the name of a ban: choose another name, or none to be given one",
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
pub(super) fn of_configuration(source: &ConfigSource, id: &str) -> Failure {
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
