//! From one spelling to one value of `[[list]]`: its name, its source, and when its entries expire.

use std::path::PathBuf;
use std::time::Duration;

use ureq::http::Uri;

use super::error::{Problem, quoted};
use crate::model::duration;
use crate::model::list::{NAME_BYTES_MAX, Source, is_name};
use crate::model::server_url::{self, hide_secrets};

/// The longest time after which entries expire; for a longer one, there is no expiry.
const EXPIRES_MAX: Duration = Duration::from_secs(3660 * 86_400);
/// The shortest: an entry must outlive the reading of its list.
const EXPIRES_MIN: Duration = Duration::from_secs(60);

/// Reads the name of a list.
pub(super) fn name(text: &str) -> Result<String, Problem> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        format!("{} is not a name for a list", quoted(text)),
        format!(
            "a letter or digit, then letters, digits, `.`, `_` and `-`, {NAME_BYTES_MAX} bytes at most"
        ),
        "the name stands in metrics and names files; write one such as \"feodo\"",
    ))
}

/// Reads the URL of a list.
pub(super) fn url(text: &str) -> Result<String, Problem> {
    let refuse = |label: &str, help: String| {
        Problem::new(
            format!("{} is not a URL to fetch from", quoted(text)),
            label,
            help,
        )
    };
    let form =
        || "write the address of a list, such as \"https://lists.example/drop.txt\"".to_owned();
    let Ok(uri) = text.parse::<Uri>() else {
        return Err(refuse("this is not a URL", form()));
    };
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => {}
        Some("http" | "https") => return Err(refuse("there is no host in it", form())),
        Some("file") => {
            let path = text.trim_start_matches("file://");
            return Err(refuse(
                "files have a key of their own",
                format!("write file = \"{}\"", path.escape_debug()),
            ));
        }
        Some(_) => return Err(refuse("only http and https are supported", form())),
        None if text.starts_with(['/', '.']) => {
            return Err(refuse(
                "this is the path of a file",
                format!("write file = \"{}\"", text.escape_debug()),
            ));
        }
        None => {
            return Err(refuse("it does not begin with http:// or https://", form()));
        }
    }
    Ok(text.to_owned())
}

/// Whether another machine could answer in place of the server of a URL, because it is plain HTTP.
pub(super) fn is_exposed(url: &str) -> bool {
    url.parse::<Uri>()
        .is_ok_and(|uri| server_url::is_exposed(&uri))
}

/// Why no secret is sent to a source.
pub(super) fn unfit_for_secrets(source: &Source) -> Option<Problem> {
    match source {
        Source::File(_) => Some(Problem::new(
            "a list in a file has no server that wants a secret",
            "in this table",
            "remove `header`, `basic` and `bearer`, or replace `file` by `url`",
        )),
        Source::Url(url) if is_exposed(url) => Some(exposed()),
        Source::Url(_) => None,
    }
}

/// A secret that others on the way could read.
pub(super) fn exposed() -> Problem {
    Problem::new(
        "a secret would be sent over plain http, where others can read it",
        "in this table",
        "write https:// in `url`",
    )
}

/// Reads the path of a list.
pub(super) fn file(text: &str) -> Result<PathBuf, Problem> {
    let (label, help) = if text.trim().is_empty() {
        ("the path is empty", "write the path of the list".to_owned())
    } else if text.contains("://") {
        (
            "this is a URL",
            format!("write url = \"{}\"", hide_secrets(text).escape_debug()),
        )
    } else if text.contains('\0') {
        (
            "no path contains a zero byte",
            "write the path of the list".to_owned(),
        )
    } else {
        return Ok(PathBuf::from(text));
    };
    Err(Problem::new(
        format!("{} is not the path of a list", quoted(text)),
        label,
        help,
    ))
}

/// Reads the time after which entries expire.
pub(super) fn expires(text: &str) -> Result<Duration, Problem> {
    let refuse = |label: &str, help: String| {
        Problem::new(
            format!("{} is not a valid time to keep entries", quoted(text)),
            label,
            help,
        )
    };
    let form = "write a number and a unit, such as \"12h\", \"7d\" or \"4w\"";
    match duration::parse(text) {
        Some(time) if time < EXPIRES_MIN => Err(refuse("less than a minute", form.to_owned())),
        Some(time) if time > EXPIRES_MAX => Err(refuse(
            "more than ten years",
            format!("{form}; to keep entries as long as they are listed, remove the line"),
        )),
        Some(time) => Ok(time),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => Err(refuse(
            "the unit is missing",
            format!("did you mean \"{text}d\" ({text} days)?"),
        )),
        None => Err(refuse("expected a number and a unit", form.to_owned())),
    }
}
