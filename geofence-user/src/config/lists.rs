//! The keys of `[[list]]`.

use std::path::PathBuf;
use std::time::Duration;

use ureq::http::Uri;

use super::error::{Problem, quoted};
use super::keys::{Key, Kind, words};
use super::tables::{Places, Table};
use super::values;
use super::{Config, Fault};
use crate::model::duration;
use crate::model::list::{Action, Definition, Direction, Format, NAME_BYTES_MAX, Source, is_name};

/// An entry as far as it has been read.
pub(super) struct Draft {
    name: String,
    file: Option<PathBuf>,
    url: Option<String>,
    format: Format,
    action: Action,
    direction: Direction,
    expires: Option<Duration>,
}

/// The longest time after which entries lapse; whoever wants longer wants no expiry.
const EXPIRES_MAX: Duration = Duration::from_secs(3660 * 86_400);
/// The shortest: an entry must outlive the reading of its list.
const EXPIRES_MIN: Duration = Duration::from_secs(60);

pub(super) static LIST: Table<Draft> = Table {
    name: "list",
    meaning: "A list of addresses that somebody else keeps: indicators of compromise, or a block list.",
    details: "There may be any number of lists, each in a `[[list]]` of its own at the end of the file. \
              [Lists](lists.md) says how they are fetched, what keeps a broken one out, and which formats there are.",
    keys: &KEYS,
    required: &["name", "format"],
    blank: || Draft {
        name: String::new(),
        file: None,
        url: None,
        format: Format::Plain,
        action: Action::Block,
        direction: Direction::Both,
        expires: None,
    },
    default: |key| match key {
        "action" => "`\"block\"`",
        "direction" => "`\"both\"`",
        "expires" => "none: entries stay as long as they are on the list",
        "file" | "url" => "none; one of `file` and `url` must be given",
        _ => "none; must be given",
    },
    finish,
};

static KEYS: [Key<Draft>; 7] = [
    Key {
        name: "name",
        kind: Kind::Text("a name"),
        meaning: "What the list is called in messages, metrics and commands.",
        details: "",
        example: r#"name = "feodo""#,
        refused: "More than 64 bytes, other characters than letters, digits, `.`, `_` and `-`, a first character that \
                  is no letter or digit, and a name given twice.",
        set: |draft, given, faults| {
            if let Some(name) = given.one(faults, name) {
                draft.name = name;
            }
        },
    },
    Key {
        name: "url",
        kind: Kind::Text("a URL"),
        meaning: "Where `geofence update` fetches the list.",
        details: "Nothing else fetches it: the filter uses what was fetched last.",
        example: r#"url = "https://lists.example/feodo.csv""#,
        refused: "What is not an `http` or `https` URL; both `url` and `file`.",
        set: |draft, given, faults| draft.url = given.one(faults, url),
    },
    Key {
        name: "file",
        kind: Kind::Text("the path of a file"),
        meaning: "The file that has the list, instead of `url`.",
        details: "A relative path starts at the directory of the configuration file.",
        example: r#"# file = "/etc/geofence/feodo.csv""#,
        refused: "An empty path and a URL. Whether the file has a list shows when it is read.",
        set: |draft, given, faults| draft.file = given.one(faults, file),
    },
    Key {
        name: "format",
        kind: Kind::Word(words::<Format>),
        meaning: "How the list is written.",
        details: "",
        example: r#"format = "feodo""#,
        refused: "Other words, with the nearest.",
        set: |draft, given, faults| {
            if let Some(format) = given.one(faults, values::word) {
                draft.format = format;
            }
        },
    },
    Key {
        name: "action",
        kind: Kind::Word(words::<Action>),
        meaning: "What being on the list means.",
        details: "`management` and `allow` come before a list: what they name is neither dropped nor counted by one. \
                  Exceptions come before one that blocks, and so do the answers to what they let in.",
        example: r#"action = "block""#,
        refused: "Other words, with the nearest.",
        set: |draft, given, faults| {
            if let Some(action) = given.one(faults, values::word) {
                draft.action = action;
            }
        },
    },
    Key {
        name: "direction",
        kind: Kind::Word(words::<Direction>),
        meaning: "Which packets the list is about.",
        details: "",
        example: r#"direction = "both""#,
        refused: "Other words, with the nearest.",
        set: |draft, given, faults| {
            if let Some(direction) = given.one(faults, values::word) {
                draft.direction = direction;
            }
        },
    },
    Key {
        name: "expires",
        kind: Kind::Text("a duration such as \"12h\" or \"30d\""),
        meaning: "After which time without news an entry lapses.",
        details: "Counted from when the list was last fetched, or found unchanged at its source, or from when its \
                  file was last written. An entry that says itself how long it holds lapses at the earlier time.",
        example: r#"expires = "7d""#,
        refused: "What is no duration, less than a minute and more than ten years. Units are `s`, `m`, `h`, `d` and \
                  `w`.",
        set: |draft, given, faults| draft.expires = given.one(faults, expires),
    },
];

fn finish(config: &mut Config, draft: Draft, places: &Places, faults: &mut Vec<Fault>) {
    let source = match (draft.file, draft.url) {
        (Some(file), None) => Source::File(file),
        (None, Some(url)) => Source::Url(url),
        (None, None) => {
            faults.push(
                Problem::new(
                    format!("the list {} comes from nowhere", quoted(&draft.name)),
                    "neither `file` nor `url` in this table",
                    "add a line such as: file = \"/etc/geofence/list.txt\", or url = \"https://...\"",
                )
                .at(places.entry.clone()),
            );
            return;
        }
        (Some(_), Some(_)) => {
            let place = |key| places.keys.get(key).unwrap_or(&places.entry).clone();
            faults.push(
                Problem::new(
                    format!("the list {} comes from two places", quoted(&draft.name)),
                    "the other",
                    "keep `file` for a file of this machine, or `url` for what `geofence update` fetches",
                )
                .at(place("url"))
                .and(place("file"), "one of the two"),
            );
            return;
        }
    };
    config.lists.push(Definition {
        name: draft.name,
        source,
        format: draft.format,
        action: draft.action,
        direction: draft.direction,
        expires: draft.expires,
    });
}

fn name(text: &str) -> Result<String, Problem> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        format!("{} is no name for a list", quoted(text)),
        format!(
            "a letter or digit, then letters, digits, `.`, `_` and `-`, {NAME_BYTES_MAX} bytes at most"
        ),
        "the name stands in metrics and names files; write one such as \"feodo\"",
    ))
}

fn url(text: &str) -> Result<String, Problem> {
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
        return Err(refuse("this is no URL", form()));
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
        Some(_) => return Err(refuse("only http and https are spoken", form())),
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

/// Whether a list's URL is one that others can answer in the server's place.
pub(super) fn is_exposed(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    uri.scheme_str() == Some("http") && !is_here
}

fn file(text: &str) -> Result<PathBuf, Problem> {
    let (label, help) = if text.trim().is_empty() {
        ("the path is empty", "write the path of the list".to_owned())
    } else if text.contains("://") {
        (
            "this is a URL",
            format!("write url = \"{}\"", text.escape_debug()),
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

fn expires(text: &str) -> Result<Duration, Problem> {
    let refuse = |label: &str, help: String| {
        Problem::new(
            format!("{} is no time to keep entries", quoted(text)),
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
        None => Err(refuse("this is no duration", form.to_owned())),
    }
}
