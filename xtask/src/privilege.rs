//! Root privileges: whether this process has them, whether sudo can give them, and what to say when neither holds.
//!
//! Keeps root for one command at a time, and asks for sudo at a terminal only.

use std::ffi::OsStr;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// How a command comes to run as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// We are root.
    Root,
    /// Through sudo, which keeps our environment where its policy lets it.
    Sudo,
}

impl Way {
    /// Returns the words that go before a command line, `environment` reaching it whatever sudo's policy drops.
    pub(crate) fn prefix(self, environment: &[(&str, &OsStr)]) -> Vec<String> {
        match self {
            Self::Root => Vec::new(),
            Self::Sudo => {
                let assignments = environment
                    .iter()
                    .map(|(name, value)| format!("{name}={}", value.to_string_lossy()));
                ["sudo", "-E", "env"]
                    .map(String::from)
                    .into_iter()
                    .chain(assignments)
                    .collect()
            }
        }
    }

    /// Starts a command line that runs as root.
    pub(crate) fn command(self, program: impl AsRef<OsStr>) -> Command {
        let path = process::search_path();
        match self.prefix(&[("PATH", &path)]).split_first() {
            None => process::command(program),
            Some((sudo, words)) => {
                let mut command = process::command(sudo);
                command.args(words).arg(program);
                command
            }
        }
    }
}

/// Finds a way to root that needs no answer from anybody.
pub(crate) fn silent() -> Option<Way> {
    if nix::unistd::geteuid().is_root() {
        return Some(Way::Root);
    }
    let mut probe = process::command("sudo");
    probe
        .args(["-n", "-E", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    probe
        .status()
        .is_ok_and(|status| status.success())
        .then_some(Way::Sudo)
}

/// Finds a way to root, asking at a terminal whether sudo may be used when it wants a password.
///
/// `purpose` completes the sentence "... needs root".
pub(crate) fn offer(purpose: &str) -> Result<Option<Way>> {
    if let Some(way) = silent() {
        if way == Way::Sudo {
            eprintln!("{purpose} needs root: using sudo");
        }
        return Ok(Some(way));
    }
    if process::find("sudo").is_none()
        || !std::io::stdin().is_terminal()
        || !std::io::stderr().is_terminal()
    {
        return Ok(None);
    }
    eprint!("{purpose} needs root. Use sudo? [Y/n] ");
    std::io::stderr().flush().context("asking for sudo")?;
    let mut reply = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut reply)
        .context("reading the answer")?;
    if !agrees(&reply) {
        return Ok(None);
    }
    let entered = process::command("sudo")
        .arg("-v")
        .status()
        .context("starting sudo")?;
    if !entered.success() {
        bail!("sudo refused; run as root instead");
    }
    Ok(Some(Way::Sudo))
}

/// Decides what an answer to `[Y/n]` means. The end of the input is no agreement.
fn agrees(reply: &str) -> bool {
    reply.ends_with('\n') && matches!(reply.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes")
}

/// Makes a command that runs as root, or the error that names the command to run instead.
pub(crate) fn required(purpose: &str, command: &Command) -> Result<Command> {
    let Some(way) = offer(purpose)? else {
        bail!(
            "{purpose} needs root; run it as root:\n    sudo {}",
            process::describe(command)
        );
    };
    let mut elevated = way.command(command.get_program());
    elevated.args(command.get_args());
    Ok(elevated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        assert!(agrees("\n") && agrees("y\n") && agrees("Yes\n"));
        assert!(!agrees("") && !agrees("n\n") && !agrees("what?\n"));
    }

    #[test]
    fn the_environment_reaches_the_command_behind_sudo() {
        assert!(Way::Root.prefix(&[("PATH", OsStr::new("/bin"))]).is_empty());
        assert_eq!(
            Way::Sudo.prefix(&[("PATH", OsStr::new("/a b"))]),
            ["sudo", "-E", "env", "PATH=/a b"]
        );
    }
}
