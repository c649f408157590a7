//! From one spelling to one value: words, countries, services, paths; `addresses` has what concerns the network.
//!
//! Each reader takes the text alone, so a file and the command line accept the same spellings and give the same help.
//! A reader that refuses says what would have been accepted, in the spelling that would have been.

use std::fmt;
use std::path::PathBuf;

use geofence_common::action::Mode;

use super::XdpMode;
use super::error::{Problem, quoted};
use crate::data::countries::{self, Entry, Guess};
use crate::model::policy::{Agreement, Fate, Lookup, Mail, Replies, Service, ServiceProtocol};
use crate::os::instance::Instance;

/// A setting that is one of a few words.
pub(crate) trait Word: Copy + PartialEq + 'static {
    /// The words, what they stand for and what they mean.
    const WORDS: &'static [(&'static str, Self, &'static str)];

    /// The spelling of this value.
    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, value, _)| *value == self)
            .map_or("", |(word, _, _)| word)
    }
}

impl Word for Mode {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        ("enforce", Self::Enforce, "drop what the policy drops"),
        (
            "monitor",
            Self::Monitor,
            "pass everything and count what enforce would have dropped",
        ),
    ];
}

impl Word for Agreement {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "any",
            Self::Any,
            "what either database has in a blocked country is blocked",
        ),
        (
            "all",
            Self::All,
            "only what both databases have in a blocked country is blocked",
        ),
    ];
}

impl Word for XdpMode {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "native",
            Self::Native,
            "in the driver; an interface whose driver cannot do so is an error",
        ),
        (
            "generic",
            Self::Generic,
            "in the network stack, on every interface, slower",
        ),
        (
            "auto",
            Self::Auto,
            "native where the driver can, generic elsewhere; the mode achieved is logged and exported",
        ),
    ];
}

impl Word for Lookup {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "array-trie",
            Self::ArrayTrie,
            "the trie inside the policy image, the fast one",
        ),
        (
            "lpm-trie",
            Self::LpmTrie,
            "the kernel's longest-prefix trie, the reference",
        ),
    ];
}

impl Word for Mail {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "full",
            Self::Full,
            "transfer, submission and access: 25, 465, 587, 143, 993, 110 and 995",
        ),
        ("mta", Self::Mta, "transfer between servers only: 25"),
        (
            "off",
            Self::Off,
            "no mail port is open to blocked countries",
        ),
    ];
}

impl Word for Replies {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "mail",
            Self::Mail,
            "to mail our side sends (TCP 25, 465 and 587) and to its DNS queries (53 and 853)",
        ),
        (
            "all",
            Self::All,
            "to every TCP, UDP and echo exchange that our side opens",
        ),
        (
            "none",
            Self::None,
            "to nothing; mail to a blocked country does not get through",
        ),
    ];
}

impl Word for Fate {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        ("pass", Self::Pass, "the packet passes"),
        ("drop", Self::Drop, "the packet is dropped"),
    ];
}

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

/// The candidate that looks most like the text, when one looks enough like it; case and `_` make no difference.
pub(crate) fn nearest<'a>(
    text: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = text.trim().to_lowercase().replace(['_', ' '], "-");
    // Words that share a beginning or differ in a letter or two; measured on the keys and words there are.
    const ALIKE: f64 = 0.8;
    let score = |candidate: &str| match strsim::damerau_levenshtein(&plain, candidate) {
        // One slip in a word of three letters already looks like another word to the other measure.
        0 | 1 => 1.0,
        _ => strsim::jaro_winkler(&plain, candidate),
    };
    candidates
        .map(|candidate| (score(candidate), candidate))
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|(one, _), (two, _)| one.total_cmp(two))
        .map(|(_, candidate)| candidate)
}

/// Reads an entry of a country list.
pub(super) fn entry(text: &str) -> Result<Entry, Problem> {
    Entry::parse(text).map_err(|guess| {
        let help = match guess {
            Guess::Country(country) => {
                format!("did you mean \"{}\" ({})?", country.name(), countries::name(country))
            }
            Guess::Group(name) => format!("did you mean \"{name}\"?"),
            Guess::Unknown => {
                "addresses whose country is not known are the business of the key `unknown`: \
                 \"pass\" or \"drop\""
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

fn protocol_name(protocol: ServiceProtocol) -> &'static str {
    match protocol {
        ServiceProtocol::Tcp => "tcp",
        ServiceProtocol::Udp => "udp",
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = protocol_name(self.protocol);
        if self.first == self.last {
            write!(f, "{protocol}/{}", self.first)
        } else {
            write!(f, "{protocol}/{}-{}", self.first, self.last)
        }
    }
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
                meant(&format!("{}/{trimmed}", protocol_name(protocol)), form)
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
