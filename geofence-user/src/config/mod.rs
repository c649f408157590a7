//! Configuration: text to a checked `Config`, or to every error in it at once.
//!
//! The shipped file `deploy/geofence.toml` is the default; a key that a file leaves out keeps the value it has there.
//! Nothing here touches the kernel, an interface or a database, and nothing is fetched.

mod addresses;
mod asn;
mod docs;
mod error;
mod exceptions;
mod keys;
mod lists;
pub mod overrides;
mod runtime_exceptions;
mod tables;
mod targets;
mod tenants;
#[cfg(test)]
mod tests;
mod value;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use geofence_common::action::Mode;
use toml::de::DeTable;

pub(crate) use addresses::prefix;
pub use asn::{Mention, Named};
pub use docs::docs;
pub use error::{ConfigErrors, Located, Problem};
pub use runtime_exceptions::{Grant, Granted};

use crate::model::list::{Definition, Source};
use crate::model::policy::{
    Action, CountryRule, CrossCheckRule, Lookup, Mail, Policy, Replies, Tenant,
};
use crate::model::text::nearest;
use crate::model::word::Word;
use crate::os::instance::Instance;
use error::{Fault, quoted};
use keys::KEYS;
use tables::TABLES;
use value::Given;

/// The default configuration as it is shipped.
pub const DEFAULT: &str = include_str!("../../../deploy/geofence.toml");

/// The name errors would give to the shipped file.
const DEFAULT_NAME: &str = "deploy/geofence.toml";

/// The most that is read of a file: a hundred thousand prefixes fit three times, /dev/zero does not.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// How many of the parser's complaints are looked at: behind so many, the file is something else.
const SYNTAX_ERRORS_MAX: usize = 1000;

/// Everything an operator can set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub policy: Policy,
    pub interfaces: Vec<String>,
    /// Files to read instead of the embedded database; empty for the embedded one.
    pub databases: Vec<PathBuf>,
    /// Files to read for a second opinion on the countries of addresses; empty for none.
    pub cross_check_databases: Vec<PathBuf>,
    /// The file that says which prefixes an autonomous system has.
    pub asn_database: Option<PathBuf>,
    /// The autonomous systems that rules name; their prefixes are the policy's when the file has been read.
    pub systems: Vec<Mention>,
    pub listen: SocketAddr,
    pub xdp_mode: XdpMode,
    /// Bytes of each image slot; nothing for automatic.
    pub image_capacity: Option<u64>,
    pub flows: FlowCapacity,
    pub instance: Instance,
    /// The lists to read; what is on them is the policy's when they have been.
    pub lists: Vec<Definition>,
    /// The exceptions granted by command; those that hold are the policy's as well.
    pub granted: Vec<Arc<Granted>>,
    /// What the configuration's own exceptions are called; known while granted ones are read beside them.
    pub own_names: HashSet<String>,
    /// Tells the text that has the exceptions granted by command from others; nothing before one was read.
    pub granted_print: Option<u64>,
}

/// How many flows each table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowCapacity {
    pub mail: u32,
    pub dns: u32,
    pub other: u32,
}

/// Where on a packet's way the filter is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    Native,
    Generic,
    /// Native where the driver can, generic elsewhere.
    Auto,
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

impl Default for Config {
    fn default() -> Self {
        // The shipped file sets every key, so nothing of the blank remains; a test holds it to that.
        static SHIPPED: LazyLock<Config> = LazyLock::new(|| {
            Config::blank()
                .read(DEFAULT, DEFAULT_NAME)
                .unwrap_or_else(|_| Config::blank())
        });
        SHIPPED.clone()
    }
}

impl Config {
    /// Reads a configuration; keys that are left out keep their defaults.
    ///
    /// # Errors
    /// All that is wrong with the text, each with its place under the name of the file.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigErrors> {
        Self::default().read(text, file_name)
    }

    /// Reads a configuration file; relative paths in it start at its directory.
    ///
    /// # Errors
    /// As for `parse`, and when the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        let mut config = Self::parse(&text(path, &name)?, &name)?;
        if let Some(directory) = path.parent() {
            let databases = config.databases.iter_mut();
            let databases = databases.chain(&mut config.cross_check_databases);
            for database in databases.chain(&mut config.asn_database) {
                *database = directory.join(&*database);
            }
            for list in &mut config.lists {
                if let Source::File(path) = &mut list.source {
                    *path = directory.join(&*path);
                }
            }
        }
        Ok(config)
    }

    /// What holds before anything is read.
    fn blank() -> Self {
        Self {
            policy: Policy {
                rule: CountryRule::Block(BTreeSet::new()),
                unknown: Action::Pass,
                special_use: Action::Pass,
                mode: Mode::Enforce,
                lookup: Lookup::ArrayTrie,
                mail: Mail::Full,
                replies: Replies::None,
                mta_sts: false,
                services: Vec::new(),
                icmp_echo: Action::Drop,
                management: Vec::new(),
                allow: Vec::new(),
                deny: Vec::new(),
                systems: Vec::new(),
                cross_check: CrossCheckRule::Any,
                tenants: Vec::new(),
                exceptions: Vec::new(),
                protections: Vec::new(),
                rate_limit: None,
                lists: Vec::new(),
            },
            interfaces: Vec::new(),
            databases: Vec::new(),
            cross_check_databases: Vec::new(),
            asn_database: None,
            systems: Vec::new(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            xdp_mode: XdpMode::Native,
            image_capacity: None,
            flows: FlowCapacity {
                mail: 0,
                dns: 0,
                other: 0,
            },
            instance: Instance::default(),
            lists: Vec::new(),
            granted: Vec::new(),
            own_names: HashSet::new(),
            granted_print: None,
        }
    }

    fn read(self, text: &str, name: &str) -> Result<Self, ConfigErrors> {
        self.read_by(text, name, Self::set)
    }

    /// Reads a text whose keys and tables `set` takes.
    fn read_by(
        mut self,
        text: &str,
        name: &str,
        set: fn(&mut Self, &DeTable<'_>, (&str, &str), &mut Vec<Fault>),
    ) -> Result<Self, ConfigErrors> {
        // Some editors put a mark before the text that shows nowhere and would shift every column of the first line.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut faults = Vec::new();
        let mut broken = BTreeSet::new();
        for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
            let span = error.span().unwrap_or(0..0);
            if error.message() == "duplicate key" {
                faults.push(duplicate_key(text, span, table.get_ref()));
                continue;
            }
            // One mistake makes the parser stumble several times in a line; the first is the one to mend.
            let line = text.get(..span.start).unwrap_or(text).matches('\n').count();
            if broken.insert(line) {
                faults.push(not_toml(error.message()).at(visible(text, span)));
            }
        }
        // What could be made of broken text would only be complained about.
        if broken.is_empty() {
            set(&mut self, table.get_ref(), (name, text), &mut faults);
        }
        ConfigErrors::of(name, text, faults).map(|()| self)
    }

    fn set(&mut self, table: &DeTable<'_>, source: (&str, &str), faults: &mut Vec<Fault>) {
        let mut places = BTreeMap::new();
        // In their own order, because some name others.
        for one in TABLES {
            if let Some((name, value)) = table.get_key_value(one.name()) {
                one.read(self, name.span(), value, faults);
            }
        }
        for (name, value) in table {
            if TABLES.iter().any(|table| table.name() == name.get_ref()) {
                continue;
            }
            let Some(key) = keys::find(name.get_ref()) else {
                let is_table = value.get_ref().is_table();
                faults.push(unknown_key(name.get_ref(), is_table).at(name.span()));
                continue;
            };
            places.insert(key.name, name.span());
            if let Some(given) = Given::from_toml(key, name.span(), value, faults) {
                (key.set)(self, &given, faults);
            }
        }
        if let (Some(block), Some(allow_only)) = (places.get("block"), places.get("allow-only")) {
            let (first, second) = if block.start < allow_only.start {
                (block, allow_only)
            } else {
                (allow_only, block)
            };
            let problem = Problem::new(
                "`block` and `allow-only` are both set",
                "the other",
                "keep `block` to block the countries listed, or `allow-only` to block all but those listed",
            );
            faults.push(
                problem
                    .at(second.clone())
                    .and(first.clone(), "one of the two"),
            );
        }
        asn::settle(self, source, &places, faults);
    }

    /// What is legal but seldom meant, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let policy = &self.policy;
        let mut warnings = Vec::new();
        warnings.extend(self.granted.iter().filter_map(|one| one.warning()));
        if policy.rule == CountryRule::Block(BTreeSet::new()) {
            warnings.push("the block list is empty: no country is blocked".to_owned());
        }
        for prefix in policy
            .allow
            .iter()
            .filter(|prefix| prefix.prefix_len() == 0)
        {
            warnings.push(format!(
                "allow has {prefix}: nothing of that family is filtered"
            ));
        }
        for prefix in policy.deny.iter().filter(|prefix| prefix.prefix_len() == 0) {
            warnings.push(format!(
                "deny has {prefix}: all of it is dropped but what management and allow list"
            ));
        }
        for prefix in policy
            .deny
            .iter()
            .filter(|prefix| policy.allow.contains(prefix))
        {
            warnings.push(format!("{prefix} is in both allow and deny: it is allowed"));
        }
        for list in &self.lists {
            if let Source::Url(url) = &list.source
                && lists::is_exposed(url)
            {
                warnings.push(format!(
                    "the list {} is fetched by http, so whoever is on the way can change it; use https",
                    list.name
                ));
            }
        }
        let has_own = |tenant: &Tenant| tenant.rule.is_some() || tenant.unknown.is_some();
        if !self.cross_check_databases.is_empty() && policy.tenants.iter().any(has_own) {
            warnings.push(
                "tenants that block other countries than everybody are judged by the country that `agreement` chose \
                 for everybody"
                    .to_owned(),
            );
        }
        if !self.listen.ip().is_loopback() {
            warnings.push(format!(
                "{} can be reached from other machines: they can read the counters",
                self.listen
            ));
        }
        warnings
    }
}

/// The text of a file.
fn text(path: &Path, name: &str) -> Result<String, ConfigErrors> {
    let whole =
        |problem| ConfigErrors::of(name, "", vec![Fault::whole(problem)]).map(|()| String::new());
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => whole(unreadable(name, &error)),
        Ok(length) if length as u64 > FILE_BYTES_MAX => whole(Problem::new(
            format!(
                "{name} is no configuration: it has more than {} MiB",
                FILE_BYTES_MAX >> 20
            ),
            "",
            "check the path given to `--config`",
        )),
        Ok(_) => String::from_utf8(bytes).or_else(|error| {
            let start = error.utf8_error().valid_up_to();
            let utf16 = error.as_bytes().starts_with(&[0xff, 0xfe])
                || error.as_bytes().starts_with(&[0xfe, 0xff]);
            let text = String::from_utf8_lossy(error.as_bytes());
            let problem = Problem::new(
                "the configuration is not UTF-8 text",
                "these bytes are no character",
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

/// The span, or the character behind it where the parser points between two.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    let next = text.get(span.end..).and_then(|rest| rest.chars().next());
    match next {
        Some(next) if span.is_empty() && next != '\n' && next != '\r' => {
            span.start..span.end + next.len_utf8()
        }
        _ => span,
    }
}

fn not_toml(message: &str) -> Problem {
    /// What the parser says first, and the way out of it.
    const WAYS_OUT: [(&str, &str); 5] = [
        ("string values must be quoted", "put the value in quotes"),
        (
            "key with no value",
            "write `=` and a value behind the key: mode = \"enforce\"",
        ),
        ("unclosed array", "end the list with `]`"),
        (
            "invalid basic string",
            "end the string with `\"` on its own line",
        ),
        (
            "missing escaped value",
            "write a backslash as `\\\\`, or put the string in single quotes",
        ),
    ];
    let known = WAYS_OUT
        .iter()
        .find(|(start, _)| message.starts_with(start));
    let help = known.map_or(
        "a line is: key = \"word\", key = [\"one\", \"two\"] or key = 1; `#` begins a comment",
        |(_, help)| help,
    );
    Problem::new(format!("this is not TOML: {message}"), "here", help)
}

fn duplicate_key(text: &str, span: Range<usize>, table: &DeTable<'_>) -> Fault {
    let name = text.get(span.clone()).unwrap_or_default();
    let plain = name.trim_matches(['"', '\'']);
    let fault = Problem::new(
        format!("{} is set twice", quoted(plain)),
        "set again here",
        "keep one of the two lines",
    )
    .at(span.clone());
    match table.get_key_value(plain) {
        Some((first, _)) if first.span() != span => fault.and(first.span(), "first set here"),
        _ => fault,
    }
}

fn unknown_key(name: &str, is_table: bool) -> Problem {
    let names = || KEYS.iter().map(|key| key.name);
    let tables = || TABLES.iter().map(|table| table.name());
    let help = match nearest(name, names().chain(tables())) {
        Some(near) if tables().any(|table| table == near) => format!("did you mean `[[{near}]]`?"),
        Some(near) => format!("did you mean `{near}`?"),
        None if is_table => {
            let tables: Vec<_> = tables().map(|table| format!("[[{table}]]")).collect();
            format!(
                "the only tables are {}: every other key stands at the top, without a header",
                tables.join(", ")
            )
        }
        None => format!("the keys are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Problem::new(
        format!("there is no key {}", quoted(name)),
        "unknown key",
        help,
    )
}
