//! Addresses, prefixes and ranges as lists write them, to the prefixes they stand for.
//!
//! Lists are written by programs for programs, so bits behind a prefix's length are cut off silently, as the tools that
//! lists are made for do.

use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

use super::problem::{Problem, quoted};

/// The addresses that a word stands for.
#[derive(Clone, Debug)]
pub(super) enum Span {
    One(IpNet),
    Range(IpSubnets),
}

/// Reads an address, a prefix, or a range from one address to another.
pub(super) fn parse(word: &str) -> Result<Span, Problem> {
    match word.split_once('-') {
        Some((first, last)) => range(word, first.trim(), last.trim()),
        None => match prefix(word) {
            Some(net) => Ok(Span::One(net)),
            None => Err(Problem::new(
                format!("{} is not an address or prefix", quoted(word)),
                // The reader of the configuration knows common misspellings.
                crate::config::prefix(word).map_or_else(|problem| problem.help, |_| String::new()),
            )),
        },
    }
}

fn prefix(word: &str) -> Option<IpNet> {
    let (address, length) = match word.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (word, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let length: u8 = match length {
        None if address.is_ipv4() => 32,
        None => 128,
        Some(length) if length.bytes().all(|byte| byte.is_ascii_digit()) => length.parse().ok()?,
        Some(_) => return None,
    };
    let (address, length) = match address {
        IpAddr::V6(v6) if length >= 96 => match v6.to_ipv4_mapped() {
            Some(v4) => (v4.into(), length - 96),
            None => (address, length),
        },
        IpAddr::V4(_) | IpAddr::V6(_) => (address, length),
    };
    Some(IpNet::new(address, length).ok()?.trunc())
}

fn range(word: &str, first: &str, last: &str) -> Result<Span, Problem> {
    let refuse = |why: &str, help: String| {
        Err(Problem::new(
            format!("{} is not a range: {why}", quoted(word)),
            help,
        ))
    };
    let form = || "write both ends, such as 5.9.0.1-5.9.0.20".to_owned();
    let (Ok(from), Ok(to)) = (first.parse::<IpAddr>(), last.parse::<IpAddr>()) else {
        return refuse("its ends are not addresses", form());
    };
    if from.is_ipv4() == to.is_ipv4() && from > to {
        return refuse(
            "it ends before it begins",
            format!("did you mean {last}-{first}?"),
        );
    }
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            Ok(Span::Range(IpSubnets::V4(Ipv4Subnets::new(from, to, 0))))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            Ok(Span::Range(IpSubnets::V6(Ipv6Subnets::new(from, to, 0))))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            refuse("its ends are of two families", form())
        }
    }
}
