//! The file that a list is read from.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::model::units::UnixSeconds;
use crate::os::input::Input;

/// The most bytes that are read of a list: twenty million addresses fit.
pub(super) const LIST_BYTES_MAX: u64 = 320 << 20;

/// The bytes of a file, and when it was written.
pub(super) fn read_file(path: &Path) -> Result<(Vec<u8>, UnixSeconds), String> {
    let name = path.display();
    let failed = |error: io::Error| {
        let kind = error.kind();
        if kind == ErrorKind::NotFound {
            return format!("{name}: there is no such file; check the path in the configuration");
        }
        let help = if kind == ErrorKind::FileTooLarge {
            "; split it, or use one that is aggregated"
        } else if matches!(kind, ErrorKind::IsADirectory | ErrorKind::InvalidInput) {
            "; name the file that has the list"
        } else {
            ""
        };
        format!("{name}: {error}{help}")
    };
    let file = Input::open(path, LIST_BYTES_MAX).map_err(failed)?;
    let written = file.modified();
    let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let written = UnixSeconds(written.map_or(0, |time| time.as_secs()));
    Ok((file.read().map_err(failed)?, written))
}
