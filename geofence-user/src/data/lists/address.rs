//! Addresses, prefixes and ranges as lists write them, to the prefixes they stand for.
//!
//! Lists are written by machines for machines, so bits behind a prefix's length are cut off without a word, as the
//! tools that the lists are made for do.

use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

/// What a word of a list stands for.
#[derive(Clone, Debug)]
pub(super) enum Span {
    One(IpNet),
    Range(IpSubnets),
}

/// Why a word stands for no address, and the way out.
pub(super) struct NoSpan {
    pub(super) what: String,
    pub(super) help: String,
}

/// Reads an address, a prefix, or a range from one address to another.
pub(super) fn parse(word: &str) -> Result<Span, NoSpan> {
    match word.split_once('-') {
        Some((first, last)) => range(word, first.trim(), last.trim()),
        None => prefix(word).map(Span::One),
    }
}

/// Reads an address or a prefix.
pub(super) fn prefix(word: &str) -> Result<IpNet, NoSpan> {
    let refuse = || {
        // The configuration's reader knows what people write instead, and its suggestions serve here too.
        let problem = crate::config::prefix(word).err();
        NoSpan {
            what: format!("{} is no address or prefix", shown(word)),
            help: problem.map_or_else(String::new, |problem| problem.help),
        }
    };
    let (address, length) = match word.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (word, None),
    };
    let address: IpAddr = address.parse().map_err(|_| refuse())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => longest,
        Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map_err(|_| refuse())?
        }
        Some(_) => return Err(refuse()),
    };
    let (address, length) = match address {
        IpAddr::V6(v6) if length >= 96 => match v6.to_ipv4_mapped() {
            Some(v4) => (v4.into(), length - 96),
            None => (address, length),
        },
        IpAddr::V4(_) | IpAddr::V6(_) => (address, length),
    };
    let net = IpNet::new(address, length).map_err(|_| refuse())?;
    Ok(net.trunc())
}

fn range(word: &str, first: &str, last: &str) -> Result<Span, NoSpan> {
    let refuse = |why: &str, help: String| NoSpan {
        what: format!("{} is no range: {why}", shown(word)),
        help,
    };
    let form = || "write both ends, such as 5.9.0.1-5.9.0.20".to_owned();
    let (Ok(from), Ok(to)) = (first.parse::<IpAddr>(), last.parse::<IpAddr>()) else {
        return Err(refuse("its ends are no addresses", form()));
    };
    match (from, to) {
        _ if from.is_ipv4() != to.is_ipv4() => Err(refuse("its ends are of two families", form())),
        _ if from > to => Err(refuse(
            "it ends before it begins",
            format!("did you mean {last}-{first}?"),
        )),
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            Ok(Span::Range(IpSubnets::V4(Ipv4Subnets::new(from, to, 0))))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            Ok(Span::Range(IpSubnets::V6(Ipv6Subnets::new(from, to, 0))))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            Err(refuse("its ends are of two families", form()))
        }
    }
}

/// A word from outside as messages show it: control characters spelled out, and no more than fits a line.
pub(super) fn shown(word: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown: String = word.chars().take(SHOWN_MAX).collect();
    if shown.len() < word.len() {
        shown.push('…');
    }
    if shown.is_empty() {
        "an empty text".to_owned()
    } else {
        format!("`{}`", shown.escape_debug())
    }
}
