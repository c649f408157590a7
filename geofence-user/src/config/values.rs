//! From one spelling to one value: words, countries, services, paths; `addresses` has what concerns the network.
//!
//! Each reader takes the text alone, so a file and the command line accept the same spellings and give the same help.
//! A reader that refuses says what would have been accepted, in the spelling that would have been.

use std::path::PathBuf;

use super::error::{Problem, quoted};
use crate::model::countries::{self, Entry, Guess};
use crate::model::policy::{Service, ServiceProtocol};
use crate::model::text::nearest;
use crate::model::word::Word;
use crate::os::instance::Instance;

/// Reads the name of an instance.
pub(super) fn instance(text: &str) -> Result<Instance, Problem> {
    text.parse::<Instance>().map_err(|error| {
        Problem::new(
            error.to_string(),
            "it becomes the name of directories",
            "for example: instance = \"geofence-lan\"",
        )
    })
}

/// Reads the type of a database, as its file says it.
pub(super) fn database_type(text: &str) -> Result<String, Problem> {
    if !text.trim().is_empty() {
        return Ok(text.to_owned());
    }
    Err(Problem::new(
        "a type of databases is missing",
        "it is empty",
        "write the type that `geofence check` shows, such as \"GeoLite2-Country\"",
    ))
}

/// Reads a word.
pub(super) fn word<T: Word>(text: &str) -> Result<T, Problem> {
    if let Some((_, value, _)) = T::WORDS.iter().find(|(word, _, _)| *word == text) {
        return Ok(*value);
    }
    let words: Vec<_> = T::WORDS.iter().map(|(word, _, _)| *word).collect();
    let expected = either(&words);
    Err(Problem::new(
        format!("{} is not a value this setting takes", quoted(text)),
        format!("expected {expected}"),
        match nearest(text, words.iter().copied()) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None => format!("write {expected}"),
        },
    ))
}

/// `"a", "b" or "c"`.
pub(super) fn either(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Reads an entry of a country list.
pub(super) fn country(text: &str) -> Result<Entry, Problem> {
    Entry::parse(text).map_err(|guess| {
        let help = match guess {
            Guess::Country(country) => {
                format!("did you mean \"{}\" ({})?", country.name(), countries::name(country))
            }
            Guess::Group(name) => format!("did you mean \"{name}\"?"),
            Guess::Unknown => {
                "for addresses whose country is not known, set the key `unknown` to \"pass\" or \"drop\""
                    .to_owned()
            }
            Guess::Codes(codes) => format!("the codes with that letter are {}", codes.join(", ")),
            Guess::Nothing => {
                "write a code such as \"RU\", or \"EU\", \"africa\", \"antarctica\", \"asia\", \"europe\", \
                 \"north-america\", \"oceania\" or \"south-america\""
                    .to_owned()
            }
        };
        Problem::new(
            format!("{} is not a country", quoted(text)),
            "neither an ISO 3166-1 alpha-2 code in upper case nor a group",
            help,
        )
    })
}

/// Reads a service: `tcp/443`, `udp/9000-9010`.
pub(super) fn service(text: &str) -> Result<Service, Problem> {
    let refuse = |label: &str, help: String| {
        Problem::new(format!("{} is not a service", quoted(text)), label, help)
    };
    let form = "protocol/port or protocol/first-last, such as \"tcp/443\" or \"udp/9000-9010\"";
    let Some((protocol, ports)) = text.split_once('/') else {
        let help = match text.trim().parse::<u16>() {
            Ok(port) if port > 0 => format!("write \"tcp/{port}\" or \"udp/{port}\""),
            _ => match text.split_once([':', ' ']) {
                Some((protocol, ports)) => meant(&format!("{protocol}/{ports}"), form),
                None => format!("write {form}"),
            },
        };
        return Err(refuse("protocol and port are separated by `/`", help));
    };
    let protocol = match protocol {
        "tcp" => ServiceProtocol::Tcp,
        "udp" => ServiceProtocol::Udp,
        other => {
            let help = if ports == "tcp" || ports == "udp" {
                meant(&format!("{ports}/{other}"), form)
            } else if let Some(near) = nearest(other, ["tcp", "udp"].into_iter()) {
                meant(&format!("{near}/{ports}"), form)
            } else {
                format!("only the ports of \"tcp\" and \"udp\" can be exempted: {form}")
            };
            return Err(refuse(
                &format!("`{other}` is not a protocol with exempt ports"),
                help,
            ));
        }
    };
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let port = |text: &str| match text.parse::<u16>() {
        Ok(0) => Err(refuse(
            "there is no port 0",
            "ports are 1 to 65535".to_owned(),
        )),
        // `parse` takes a sign, a file has no use for one.
        Ok(port) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        _ => {
            let trimmed = ports.replace(' ', "");
            let help = if trimmed == ports {
                format!("ports are numbers from 1 to 65535: {form}")
            } else {
                meant(&format!("{protocol}/{trimmed}"), form)
            };
            Err(refuse(&format!("{} is not a port", quoted(text)), help))
        }
    };
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        let swapped = Service {
            protocol,
            first: last,
            last: first,
        };
        return Err(refuse(
            "the range ends before it begins",
            format!("did you mean \"{swapped}\"?"),
        ));
    }
    Ok(Service {
        protocol,
        first,
        last,
    })
}

/// Offers a corrected service if it is one, and the general form if not.
fn meant(corrected: &str, form: &str) -> String {
    if service(corrected).is_ok() {
        format!("did you mean \"{corrected}\"?")
    } else {
        format!("write {form}")
    }
}

/// Reads the path of a database; whether it can be read shows when it is.
pub(super) fn database(text: &str) -> Result<PathBuf, Problem> {
    let label = if text.trim().is_empty() {
        "the path is empty"
    } else if text.contains("://") {
        "databases are files, nothing is fetched"
    } else if text.contains('\0') {
        "no path contains a zero byte"
    } else {
        return Ok(PathBuf::from(text));
    };
    Err(Problem::new(
        format!("{} is not the path of a database", quoted(text)),
        label,
        "write the path of an MMDB file, such as \"/var/lib/geofence/country.mmdb\", or leave the list \
         empty for the embedded data",
    ))
}

/// Reads the user of the fleet agent, of which there need not be one.
pub(super) fn user(text: &str) -> Result<Option<String>, Problem> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() {
        return Ok(None);
    }
    if text.starts_with('-') || !text.bytes().all(is_fit) {
        return Err(Problem::new(
            format!("{} is not the name of a user", quoted(text)),
            "a name has letters, digits, `-`, `_` and `.`",
            "write the user that the fleet agent runs as, such as \"geofence-fleet\", or \"\" for none",
        ));
    }
    Ok(Some(text.to_owned()))
}

/// Reads the path of a web configuration that there need not be.
pub(super) fn optional_path(text: &str) -> Result<Option<PathBuf>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.trim().is_empty() || text.contains("://") || text.contains('\0') {
        return Err(Problem::new(
            format!("{} is not the path of a file", quoted(text)),
            "the path is empty, a URL, or has a zero byte",
            "write the path of the file, such as \"/etc/geofence/web.yml\", or \"\" for none",
        ));
    }
    Ok(Some(PathBuf::from(text)))
}

/// Reads the path of a database that there need not be.
pub(super) fn optional_database(text: &str) -> Result<Option<PathBuf>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = database(text).map(Some);
    read.map_err(|problem| Problem {
        help: "write the path of an MMDB file, or \"\" for none".to_owned(),
        ..problem
    })
}
