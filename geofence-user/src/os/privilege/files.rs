//! Confines writing to some directories with Landlock.
//!
//! A process of root without capabilities still owns most files of a machine, and could regain everything by writing to
//! them. Reading stays free, because the next configuration may name a database anywhere.

use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

/// The TCP ports that the process may still listen on, and connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpPorts {
    pub listen: Vec<u16>,
    pub connect: Vec<u16>,
}

/// The newest version of Landlock that is used; an older kernel restricts what it can.
const KNOWN: ABI = ABI::V6;

/// Confines writing to these directories and TCP to these ports, and forbids running programs and signalling other
/// processes; returns whether the kernel supports it. Writing to a directory that does not exist stays forbidden. It
/// holds for this thread, and for those that it starts.
///
/// # Errors
/// When the kernel supports it and refuses.
pub fn confine(directories: &[PathBuf], ports: &TcpPorts) -> Result<bool, RulesetError> {
    let write = AccessFs::from_write(KNOWN);
    let mut rules = Ruleset::default()
        .handle_access(write | AccessFs::Execute)?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    for directory in directories {
        if let Ok(directory) = PathFd::new(directory) {
            rules = rules.add_rule(PathBeneath::new(directory, write))?;
        }
    }
    let access = [
        (&ports.listen, AccessNet::BindTcp),
        (&ports.connect, AccessNet::ConnectTcp),
    ];
    for (ports, access) in access {
        for port in ports {
            rules = rules.add_rule(NetPort::new(*port, access))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::thread;

    use super::*;

    #[test]
    fn writing_is_confined_and_reading_is_not() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(other.path().join("one"), "one").unwrap();
        let places = [own.path().to_owned(), other.path().to_owned()];
        let done = thread::spawn(move || {
            let [own, other] = places;
            let is_confined =
                confine(&[own.clone(), own.join("absent")], &TcpPorts::default()).unwrap();
            std::fs::write(own.join("new"), "new").unwrap();
            std::fs::rename(own.join("new"), own.join("kept")).unwrap();
            std::fs::remove_file(own.join("kept")).unwrap();
            assert_eq!(std::fs::read_to_string(other.join("one")).unwrap(), "one");
            let written = std::fs::write(other.join("one"), "two").map_err(|error| error.kind());
            let removed = std::fs::remove_file(other.join("one")).map_err(|error| error.kind());
            (is_confined, written, removed)
        });
        let (is_confined, written, removed) = done.join().unwrap();
        if is_confined {
            assert_eq!(written.unwrap_err(), ErrorKind::PermissionDenied);
            assert_eq!(removed.unwrap_err(), ErrorKind::PermissionDenied);
        } else {
            // A kernel without Landlock confines nothing, and `confine` returned that.
            written.unwrap();
            removed.unwrap();
        }
    }
}
