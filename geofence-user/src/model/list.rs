//! A third-party list as a configuration defines it: where it comes from, its format, and what a match does.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use geofence_common::action::Direction as Way;

use super::secret::Access;
use super::word::Word;

/// A list as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    pub name: String,
    pub source: Source,
    pub format: Format,
    /// The interface that its server has.
    pub api: Api,
    pub action: Action,
    pub direction: Direction,
    /// How long entries stay when the list is not refreshed.
    pub expires: Option<Duration>,
    /// What happens to entries in special-use space.
    pub special_use: SpecialUseEntries,
    /// The most that the list may cover of the public addresses of a family, in percent.
    pub max_share: Option<u8>,
    /// How its server learns who asks.
    pub access: Access,
}

/// The share of the public addresses of a family, and of the traffic that passes, that a list covers at most, unless
/// its configuration says more. In percent.
const SHARE_MAX_PERCENT: u8 = 10;

impl Definition {
    /// The most that it may cover, in percent.
    #[must_use]
    pub fn share_max(&self) -> u8 {
        self.max_share.unwrap_or(SHARE_MAX_PERCENT)
    }
}

/// Where a list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    File(PathBuf),
    /// `http` or `https`.
    Url(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// The interface by which a server gives a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Api {
    /// The URL is the list.
    #[default]
    None,
    Crowdsec,
    Taxii,
    Misp,
}

impl Api {
    /// The format of what the interface gives, if it is one.
    #[must_use]
    pub const fn format(self) -> Option<Format> {
        match self {
            Self::None => None,
            Self::Crowdsec => Some(Format::Crowdsec),
            Self::Taxii => Some(Format::Stix),
            Self::Misp => Some(Format::Misp),
        }
    }
}

impl Word for Api {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        ("none", Self::None, "the URL is that of the list itself"),
        (
            "crowdsec",
            Self::Crowdsec,
            "the local API of CrowdSec, from which all decisions and then their changes are read",
        ),
        (
            "taxii",
            Self::Taxii,
            "a collection of a TAXII 2.1 server, which is read page by page",
        ),
        (
            "misp",
            Self::Misp,
            "a MISP server, which is searched for attributes about addresses",
        ),
    ];
}

/// What happens to packets that match a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The packet is dropped.
    Block,
    /// The packet is reported, and passes if nothing else drops it.
    Alert,
}

/// Which packets are compared with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Those that come from a listed address.
    In,
    /// Those that go to one.
    Out,
    Both,
}

impl Direction {
    /// Whether packets of this direction are compared with the list.
    #[must_use]
    pub fn is(self, way: Way) -> bool {
        match self {
            Self::In => way == Way::In,
            Self::Out => way == Way::Out,
            Self::Both => true,
        }
    }
}

/// What happens to entries of a list in special-use space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpecialUseEntries {
    /// The list is refused.
    #[default]
    Refuse,
    /// They are left out and counted.
    Skip,
}

impl Word for SpecialUseEntries {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "refuse",
            Self::Refuse,
            "a list that names special-use space is refused",
        ),
        (
            "skip",
            Self::Skip,
            "such entries are left out and counted; for lists that name it on purpose, as FireHOL level 1 does",
        ),
    ];
}

/// The format of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// The only format that the text can be in.
    Auto,
    /// One address, prefix or range a line.
    Plain,
    /// The same with FireHOL's heading.
    Netset,
    /// The same, or what `ipset save` writes.
    Ipset,
    Spamhaus,
    SpamhausJson,
    Feodo,
    Crowdsec,
    Stix,
    Misp,
    Nftables,
}

impl Word for Format {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "plain",
            Self::Plain,
            "an address, a prefix or a range a line; `#`, `;` and `//` begin comments",
        ),
        (
            "netset",
            Self::Netset,
            "FireHOL netset: prefixes, and a heading that says how many",
        ),
        (
            "ipset",
            Self::Ipset,
            "FireHOL ipset: addresses, and a heading that says how many; or what `ipset save` writes",
        ),
        ("spamhaus", Self::Spamhaus, "Spamhaus DROP as text"),
        (
            "spamhaus-json",
            Self::SpamhausJson,
            "Spamhaus DROP as JSON lines",
        ),
        ("feodo", Self::Feodo, "abuse.ch Feodo Tracker as CSV"),
        (
            "crowdsec",
            Self::Crowdsec,
            "CrowdSec decisions as JSON; bans of addresses and ranges count",
        ),
        (
            "stix",
            Self::Stix,
            "STIX 2.1 bundle; indicators with `ipv4-addr` and `ipv6-addr` patterns count",
        ),
        (
            "misp",
            Self::Misp,
            "MISP event or attributes as JSON; `ip-src` and `ip-dst` for detection count",
        ),
        (
            "nftables",
            Self::Nftables,
            "nftables sets of addresses, as `nft list` prints them or a file defines them",
        ),
        (
            "auto",
            Self::Auto,
            "the only one of these that the text can be in; refused if it could be in two",
        ),
    ];
}

impl Word for Action {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "block",
            Self::Block,
            "packets are dropped, whatever the country, mail included, and reported as events",
        ),
        (
            "alert",
            Self::Alert,
            "packets are counted and reported as events; none is dropped for being listed",
        ),
    ];
}

impl Word for Direction {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        ("in", Self::In, "packets that come from a listed address"),
        (
            "out",
            Self::Out,
            "packets that go to a listed address, answers included",
        ),
        ("both", Self::Both, "either"),
    ];
}

/// The longest name: the counters have room for no longer label.
pub const NAME_BYTES_MAX: usize = 64;

/// Whether a text can name a list. The name becomes a label of metrics and the name of a file.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(is_fit)
}
