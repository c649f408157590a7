//! How to restart this daemon, for messages that ask for it: the commands to type, not a hint.

use std::ffi::OsString;

use procfs::process::Process;

use super::notify;

/// The commands that restart this daemon, in backticks, to be put behind "with".
#[must_use]
pub fn how() -> String {
    let groups = Process::myself().and_then(|process| process.cgroups());
    let groups = groups.into_iter().flatten().map(|group| group.pathname);
    let unit = groups
        .filter(|_| notify::is_wanted())
        .find_map(|group| unit(&group));
    commands(unit.as_deref(), std::process::id(), std::env::args_os())
}

/// The service that a control group is of (cgroups(7)).
fn unit(group: &str) -> Option<String> {
    let name = group.rsplit('/').next()?;
    name.ends_with(".service").then(|| name.to_owned())
}

fn commands(unit: Option<&str>, process: u32, arguments: impl Iterator<Item = OsString>) -> String {
    if let Some(unit) = unit {
        return format!("`systemctl restart {unit}`");
    }
    let words: Vec<String> = arguments
        .map(|word| quoted(&word.to_string_lossy()))
        .collect();
    format!("`kill {process}` and then `{}`", words.join(" "))
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@,+%".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_restarted_by_its_manager_and_a_process_by_its_command_line() {
        let service = unit("/system.slice/system-geofence.slice/geofence@edge.service");
        assert_eq!(unit("/user.slice/session-1.scope"), None);
        let said = |unit, words: &[&str]| commands(unit, 42, words.iter().map(OsString::from));
        assert_eq!(
            said(service.as_deref(), &["geofence", "run"]),
            "`systemctl restart geofence@edge.service`"
        );
        assert_eq!(
            said(None, &["/usr/bin/geofence", "run", "--config", "it's", ""]),
            "`kill 42` and then `/usr/bin/geofence run --config 'it'\\''s' ''`"
        );
    }
}
