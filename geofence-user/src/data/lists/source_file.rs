//! The file that a list is read from.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::model::units::UnixSeconds;

/// The most bytes that are read of a list: twenty million addresses fit.
pub(super) const LIST_BYTES_MAX: u64 = 320 << 20;

/// The bytes of a file, and when it was written.
pub(super) fn read_file(path: &Path) -> Result<(Vec<u8>, UnixSeconds), String> {
    let name = path.display();
    let failed = |error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            format!("{name}: there is no such file; check the path in the configuration")
        } else {
            format!("{name}: {error}")
        }
    };
    // Checked before opening: opening a pipe blocks.
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(format!(
            "{name}: this is not a regular file; name the file that has the list"
        ));
    }
    let file = File::open(path).map_err(failed)?;
    let written = metadata.modified().ok();
    let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let mut bytes = Vec::new();
    file.take(LIST_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > LIST_BYTES_MAX {
        return Err(format!(
            "{name}: it has more than {} MiB; split it, or use one that is aggregated",
            LIST_BYTES_MAX >> 20
        ));
    }
    let written = UnixSeconds(written.map_or(0, |time| time.as_secs()));
    Ok((bytes, written))
}
