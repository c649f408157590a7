//! Replacing a file in one step: written under another name, renamed, and on the disk when the call returns.
//!
//! A new text that cannot be written whole is removed at once, so that on a full disk it takes no room from others.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::input;

/// What the name of a file that is being written ends in.
const UNFINISHED: &str = "new";

/// Replaces a file by these parts, readable by its owner only.
///
/// # Errors
/// When the file cannot be written; what was there before then stays.
pub fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    put(path, &path.with_added_extension(UNFINISHED), parts, None)?;
    // The rename has to survive a power cut as well.
    let directory = path.parent().unwrap_or(Path::new("/"));
    input::directory(directory).and_then(|directory| directory.sync_all())
}

/// Makes a file of this name anew, for its owner only. What has the name goes: a pipe would block the process
/// that opens it, and a link leads elsewhere.
///
/// # Errors
/// Also if a directory has the name.
pub fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Writes these parts under the name `new` and gives them the name of the file. Of a text that cannot be put there
/// nothing stays.
///
/// # Errors
/// When the file cannot be written; what was there before then stays.
pub fn put(
    path: &Path,
    new: &Path,
    parts: &[&[u8]],
    permissions: Option<Permissions>,
) -> io::Result<()> {
    let written = write(new, parts, permissions).and_then(|()| fs::rename(new, path));
    if written.is_err() {
        // On a full disk it takes no room from others. If this fails as well, the next start removes it.
        let _ = fs::remove_file(new);
    }
    written
}

fn write(path: &Path, parts: &[&[u8]], permissions: Option<Permissions>) -> io::Result<()> {
    let mut file = create(path)?;
    for part in parts {
        file.write_all(part)?;
    }
    if let Some(permissions) = permissions {
        file.set_permissions(permissions)?;
    }
    file.sync_all()
}

/// Removes what earlier processes left half-written in a directory. The caller is the only one that writes there.
pub fn remove_unfinished(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_directory && path.extension().is_some_and(|end| end == UNFINISHED) {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_cannot_be_replaced_leaves_nothing_half_written() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("image");
        replace(&path, &[b"one", b"two"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"onetwo");
        let directory = place.path().join("directory");
        fs::create_dir(&directory).unwrap();
        assert!(replace(&directory, &[b"one"]).is_err());
        assert!(!place.path().join("directory.new").exists());
        fs::write(place.path().join("image.new"), "half").unwrap();
        remove_unfinished(place.path());
        assert!(!place.path().join("image.new").exists());
        assert!(path.exists());
    }

    #[test]
    fn pipe_and_link_of_that_name_are_replaced_and_not_opened() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let new = path("image.new");
        nix::unistd::mkfifo(&new, nix::sys::stat::Mode::S_IRUSR).unwrap();
        replace(&path("image"), &[b"one"]).unwrap();
        fs::write(path("other"), "theirs").unwrap();
        std::os::unix::fs::symlink(path("other"), &new).unwrap();
        replace(&path("image"), &[b"two"]).unwrap();
        assert_eq!(fs::read(path("image")).unwrap(), b"two");
        assert_eq!(fs::read(path("other")).unwrap(), b"theirs");
        nix::unistd::mkfifo(&new, nix::sys::stat::Mode::S_IRUSR).unwrap();
        remove_unfinished(place.path());
        assert!(!new.exists());
    }
}
