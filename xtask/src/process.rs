//! Starting other programs: found on a search path that includes what setup installs, and never silently failing.
//!
//! Long work is captured and shown only when it fails, so that a log holds one line for each thing done.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// How much of a failed program's output is worth showing.
const LINES_SHOWN: usize = 25;

/// Starts a command line whose program, and whatever that starts in turn, is looked up on [`search_path`].
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let path = search_path();
    // The program itself is looked up by this process's own PATH, so resolve it here.
    let program = find_in(program.as_ref(), &path)
        .map_or_else(|| program.as_ref().to_owned(), OsString::from);
    let mut command = Command::new(program);
    command.env("PATH", path);
    command
}

/// Starts a cargo command line with the cargo that started this process, but without what that one says about xtask: a
/// crate whose build asks for it would be built anew, and a cargo tool would take the manifest of xtask for its own.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = command(cargo_program());
    command.args(arguments);
    without_package(command)
}

/// The same, at a priority as for nice(1).
pub(crate) fn nice_cargo(nice: &str, arguments: &[&str]) -> Command {
    let mut command = command("nice");
    command
        .args(["-n", nice])
        .arg(cargo_program())
        .args(arguments);
    without_package(command)
}

fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn without_package(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if is_about_package(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether this variable is one by which cargo tells a program about its own package.
fn is_about_package(name: &str) -> bool {
    ["CARGO_MANIFEST_", "CARGO_PKG_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Returns the PATH that our children see: the caller's, then the places where setup puts programs. System
/// directories come too, because a user's PATH often lacks `/usr/sbin`, where `ip` may live.
pub(crate) fn search_path() -> OsString {
    let mut directories: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let ours = [
        cargo_binaries(),
        tools().ok(),
        Some("/usr/sbin".into()),
        Some("/sbin".into()),
    ];
    for directory in ours.into_iter().flatten() {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    std::env::join_paths(directories)
        .unwrap_or_else(|_| std::env::var_os("PATH").unwrap_or_default())
}

/// Returns the directory where `cargo install` puts programs.
fn cargo_binaries() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cargo")));
    home.map(|home| home.join("bin"))
}

/// Returns the directory for programs that only this repository's tests use.
pub(crate) fn tools() -> Result<PathBuf> {
    Ok(workspace::target_directory()?.join("xtask").join("tools"))
}

/// Finds a program on [`search_path`].
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    find_in(OsStr::new(program), &search_path())
}

fn find_in(program: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if Path::new(program).components().count() > 1 {
        return None;
    }
    std::env::split_paths(path)
        .map(|directory| directory.join(program))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Runs a command with its output on standard error, and fails when it does.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let status = command
        // Our own standard output carries the answer only.
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("starting {}", describe(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", describe(command));
    }
    Ok(())
}

/// Runs a command without showing its output, unless it fails; returns its standard output.
pub(crate) fn capture(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {}", describe(command)))?;
    if !output.status.success() {
        let shown = [&output.stdout, &output.stderr]
            .map(|stream| last_lines(&String::from_utf8_lossy(stream)));
        bail!(
            "{} failed ({})\n{}",
            describe(command),
            output.status,
            shown.concat().trim_end()
        );
    }
    Ok(output.stdout)
}

/// Runs a command quietly and returns its standard output as text, or nothing if it cannot be had.
pub(crate) fn text_of(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Writes a command the way one would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    // Cargo's own path is long and says nothing; other programs may be the very thing to run by hand.
    let program = match program.file_name() {
        Some(name) if name == "cargo" => name.to_owned(),
        _ => program.into(),
    };
    std::iter::once(program.as_os_str())
        .chain(command.get_args())
        .map(quoted)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Quotes a word for a shell where it needs it.
pub(crate) fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |letter: char| letter.is_alphanumeric() || "-_./:=,+@%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Writes one line of an answer to standard output. A reader that has gone away is no error.
pub(crate) fn answer(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
    shown.iter().map(|line| format!("    {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_that_need_it_are_quoted() {
        assert_eq!(quoted(OsStr::new("--block=RU,CN")), "--block=RU,CN");
        assert_eq!(quoted(OsStr::new("two words")), "'two words'");
        assert_eq!(quoted(OsStr::new("it's")), r"'it'\''s'");
        assert_eq!(quoted(OsStr::new("")), "''");
    }

    #[test]
    fn cargo_hears_nothing_about_the_package_of_this_program() {
        let cargo = cargo(&["build"]);
        for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME"] {
            assert!(std::env::var_os(name).is_some(), "this test needs {name}");
            let mut changes = cargo.get_envs();
            assert!(changes.any(|change| change == (OsStr::new(name), None)));
        }
    }

    #[test]
    fn a_failure_shows_the_end_of_the_output() {
        let error = capture(command("sh").args(["-c", "seq 100; echo the cause >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("the cause") && error.contains("    100\n"),
            "{error}"
        );
        assert!(!error.contains("    50\n"), "{error}");
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn programs_are_found_on_the_path_given() {
        assert!(find_in(OsStr::new("sh"), OsStr::new("/nowhere:/bin")).is_some());
        assert!(find_in(OsStr::new("sh"), OsStr::new("/nowhere")).is_none());
        assert!(
            find_in(OsStr::new("passwd"), OsStr::new("/etc")).is_none(),
            "a file that cannot be executed"
        );
    }
}
