//! Reading a configuration file, and the errors that are about the file and not about its text.

use std::io::ErrorKind;
use std::path::Path;

use super::error::{ConfigErrors, Fault, Problem};
use crate::os::input;

/// The text of a file.
pub(super) fn text(path: &Path, name: &str) -> Result<String, ConfigErrors> {
    let whole =
        |problem| ConfigErrors::of(name, "", vec![Fault::whole(problem)]).map(|()| String::new());
    match input::read(path, input::TEXT_BYTES_MAX) {
        Err(error) => whole(unreadable(name, &error)),
        Ok(bytes) => String::from_utf8(bytes).or_else(|error| {
            let start = error.utf8_error().valid_up_to();
            let utf16 = error.as_bytes().starts_with(&[0xff, 0xfe])
                || error.as_bytes().starts_with(&[0xfe, 0xff]);
            let text = String::from_utf8_lossy(error.as_bytes());
            let problem = Problem::new(
                "the configuration is not UTF-8 text",
                "these bytes are not a valid character",
                if utf16 {
                    "the file looks like UTF-16; save it as UTF-8"
                } else {
                    "save the file as UTF-8"
                },
            );
            let span = start..start + char::REPLACEMENT_CHARACTER.len_utf8();
            ConfigErrors::of(name, &text, vec![problem.at(span)]).map(|()| String::new())
        }),
    }
}

/// Whether the files of a directory can be found. Without the directory there are none.
pub(super) fn directory(path: &Path, name: &str) -> Result<(), ConfigErrors> {
    match std::fs::read_dir(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let problem = Problem::new(
                format!("cannot list the directory {name}: {error}"),
                "",
                "make it a directory that this user may read, or remove it",
            );
            ConfigErrors::of(name, "", vec![Fault::whole(problem)])
        }
        _ => Ok(()),
    }
}

fn unreadable(name: &str, error: &std::io::Error) -> Problem {
    let kind = error.kind();
    if kind == ErrorKind::NotFound {
        return Problem::new(
            format!("there is no configuration file {name}"),
            "",
            "check the path; without `--config` the default policy applies",
        );
    }
    let help = if kind == ErrorKind::PermissionDenied {
        "make the file readable for this user, or run as a user who may read it"
    } else if kind == ErrorKind::IsADirectory {
        "give `--config` the path of a file"
    } else {
        "check the path given to `--config`; without it the default policy applies"
    };
    Problem::new(
        format!("cannot read the configuration file {name}: {error}"),
        "",
        help,
    )
}
