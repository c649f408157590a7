//! Secrets from where they are kept: a credential that systemd passes to the service, or a file of root's.

use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::input::Input;
use crate::model::secret::{Secret, SecretSource};

/// The longest secret.
const SECRET_BYTES_MAX: u64 = 16 << 10;
/// What systemd calls the directory with the credentials of a service.
const DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error(
        "the credential {name} is not there: this process has no directory of credentials; run it as the service \
         geofence-update with LoadCredential={name}:FILE, or write {{ file = \"FILE\" }} in the configuration"
    )]
    NoDirectory { name: String },
    #[error(
        "the credential {name} cannot be read: {cause}; the service needs LoadCredential={name}:FILE"
    )]
    Credential { name: String, cause: io::Error },
    #[error("the secret in {path} cannot be read: {cause}")]
    File { path: String, cause: io::Error },
    #[error(
        "{path} has the mode {mode:03o}, so other users may read the secret in it; run: chmod 600 {path}"
    )]
    Exposed { path: String, mode: u32 },
    #[error(
        "{path} belongs to user {owner}, who could replace the secret in it; run: chown root {path}"
    )]
    Stranger { path: String, owner: u32 },
    #[error("{place} is empty, or is not a single line of text; write only the secret into it")]
    Unfit { place: String },
}

/// Reads a secret.
///
/// # Errors
/// When it is not there, others may read it, or it is no line of text.
pub fn read(source: &SecretSource) -> Result<Secret, CredentialError> {
    let directory = std::env::var_os(DIRECTORY).map(PathBuf::from);
    read_from(source, directory.as_deref())
}

fn read_from(source: &SecretSource, directory: Option<&Path>) -> Result<Secret, CredentialError> {
    let bytes = match source {
        SecretSource::Credential(name) => {
            let directory =
                directory.ok_or_else(|| CredentialError::NoDirectory { name: name.clone() })?;
            let input = Input::open(&directory.join(name), SECRET_BYTES_MAX);
            let read = input.and_then(Input::read);
            read.map_err(|cause| CredentialError::Credential {
                name: name.clone(),
                cause,
            })?
        }
        SecretSource::File(path) => read_private(path)?,
    };
    let text = String::from_utf8(bytes).unwrap_or_default();
    let text = text.trim_end_matches(['\n', '\r']);
    // A header has no control characters, and a secret with blanks around it was pasted wrongly.
    if text.is_empty() || text.contains(char::is_control) || text.trim() != text {
        let place = source.to_string();
        return Err(CredentialError::Unfit { place });
    }
    Ok(Secret::new(text.to_owned()))
}

/// The bytes of a file that belongs to root or to this user, and that no other user may read.
fn read_private(path: &Path) -> Result<Vec<u8>, CredentialError> {
    let name = || path.display().to_string();
    let failed = |cause| CredentialError::File {
        path: name(),
        cause,
    };
    let input = Input::open(path, SECRET_BYTES_MAX).map_err(failed)?;
    ensure_private(path, input.owner_and_mode(), geteuid().as_raw())?;
    input.read().map_err(failed)
}

/// Refuses a file that another user than root and this one owns, or that others may read.
fn ensure_private(path: &Path, (owner, mode): (u32, u32), own: u32) -> Result<(), CredentialError> {
    let path = path.display().to_string();
    if owner != 0 && owner != own {
        return Err(CredentialError::Stranger { path, owner });
    }
    if mode & 0o077 != 0 {
        return Err(CredentialError::Exposed { path, mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secret_is_read_from_a_credential_or_a_private_file() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("key");
        let file = SecretSource::File(path.clone());
        let named = SecretSource::Credential("key".to_owned());
        let read = |source: &SecretSource| {
            let read = read_from(source, Some(place.path()));
            read.map(|secret| secret.reveal().to_owned())
                .map_err(|error| error.to_string())
        };
        let refused = read(&file).unwrap_err();
        assert!(refused.contains("No such file"), "{refused}");
        fs::write(&path, "hunter2\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let refused = read(&file).unwrap_err();
        assert!(
            refused.contains("has the mode 640") && refused.contains("chmod 600"),
            "{refused}"
        );
        // The service manager has made the credential what it is.
        assert_eq!(read(&named).unwrap(), "hunter2");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&file).unwrap(), "hunter2");
        for unfit in ["", "\n", "a\nb\n", "a\tb", " a", "\u{fffd}\0"] {
            fs::write(&path, unfit).unwrap();
            let refused = read(&file).unwrap_err();
            assert!(
                refused.contains("write only the secret"),
                "{unfit:?}: {refused}"
            );
        }
        let refused = read_from(&named, None).unwrap_err().to_string();
        assert!(refused.contains("LoadCredential=key:FILE"), "{refused}");
        let absent = SecretSource::Credential("other".to_owned());
        let refused = read(&absent).unwrap_err();
        assert!(refused.contains("LoadCredential=other:FILE"), "{refused}");
    }

    #[test]
    fn secret_of_another_user_is_refused() {
        let ensure = |owner, own| ensure_private(Path::new("key"), (owner, 0o600), own);
        for (owner, own) in [(0, 0), (0, 1000), (1000, 1000)] {
            assert!(ensure(owner, own).is_ok(), "{owner} {own}");
        }
        for own in [0, 1000] {
            let refused = ensure(1234, own).unwrap_err().to_string();
            assert!(refused.contains("belongs to user 1234"), "{refused}");
        }
    }
}
