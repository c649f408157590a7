//! The filter against a naive one that compares strings of bits and sets.

use core::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::country::Country;

/// A filter as a person would write it.
#[derive(Clone, Debug)]
struct Naive {
    reasons: Vec<Reason>,
    countries: Vec<u8>,
    source: Option<(IpAddr, u8)>,
    destination: Option<(IpAddr, u8)>,
    tenant: Option<u32>,
    port: Option<u16>,
    protocol: Option<u8>,
}

fn bits(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{:032b}", ip.to_bits()),
        IpAddr::V6(ip) => format!("{:0128b}", ip.to_bits()),
    }
}

fn is_within(address: IpAddr, prefix: Option<(IpAddr, u8)>) -> bool {
    prefix.is_none_or(|(base, length)| {
        let (address, base) = (bits(address), bits(base));
        let length = usize::from(length).min(base.len());
        address.len() == base.len() && address[..length] == base[..length]
    })
}

impl Naive {
    fn matches(&self, verdict: &TracedVerdict, five_tuple: Option<&FiveTuple>) -> bool {
        let reason = self.reasons.iter().any(|one| *one as u8 == verdict.reason);
        let country = self.countries.is_empty() || self.countries.contains(&verdict.country);
        let tenant = self.tenant.is_none_or(|tenant| tenant == verdict.tenant);
        let tuple = match five_tuple {
            Some(tuple) => {
                is_within(tuple.source.ip(), self.source)
                    && is_within(tuple.destination.ip(), self.destination)
                    && self.port.is_none_or(|port| tuple.ports.contains(&port))
                    && self.protocol.is_none_or(|one| one == tuple.protocol)
            }
            None => {
                self.source.is_none()
                    && self.destination.is_none()
                    && self.port.is_none()
                    && self.protocol.is_none()
            }
        };
        reason && country && tenant && tuple
    }

    fn filter(&self) -> FrameFilter {
        let prefix = |prefix: Option<(IpAddr, u8)>| {
            prefix.map_or(PrefixFilter::default(), |(ip, length)| {
                PrefixFilter::new(ip.into(), length)
            })
        };
        let mut countries = [0_u64; 4];
        for country in &self.countries {
            countries[usize::from(country / 64)] |= 1 << (country % 64);
        }
        FrameFilter {
            reasons: self
                .reasons
                .iter()
                .fold(0, |bits, one| bits | 1 << *one as u8),
            countries: if self.countries.is_empty() {
                [u64::MAX; 4]
            } else {
                countries
            },
            source: prefix(self.source),
            destination: prefix(self.destination),
            tenant: self.tenant.unwrap_or(ANY_TENANT),
            port: self.port.map_or(ANY_PORT, u32::from),
            protocol: self.protocol.map_or(ANY_PROTOCOL, u16::from),
            padding: [0; 3],
        }
    }
}

/// Addresses that often lie in each other's prefixes.
fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0_u32..4, 0_u32..4).prop_map(|(high, low)| IpAddr::from((high << 30 | low).to_be_bytes())),
        (0_u128..4, 0_u128..4, 0_u128..2).prop_map(|(high, middle, low)| {
            IpAddr::from((high << 126 | middle << 63 | low).to_be_bytes())
        }),
        any::<u32>().prop_map(|bits| IpAddr::from(bits.to_be_bytes())),
        any::<u128>().prop_map(|bits| IpAddr::from(bits.to_be_bytes())),
    ]
}

fn reason() -> impl Strategy<Value = Reason> {
    (0..Reason::ALL.len()).prop_map(|at| Reason::ALL[at])
}

fn naive() -> impl Strategy<Value = Naive> {
    let prefix = || proptest::option::of((address(), 0_u8..=128));
    (
        proptest::collection::vec(reason(), 0..30),
        proptest::collection::vec(any::<u8>(), 0..60),
        prefix(),
        prefix(),
        proptest::option::of(0_u32..3),
        proptest::option::of(0_u16..4),
        proptest::option::of(0_u8..4),
    )
        .prop_map(|parts| {
            let (reasons, countries, source, destination, tenant, port, protocol) = parts;
            Naive {
                reasons,
                countries,
                source,
                destination,
                tenant,
                port,
                protocol,
            }
        })
}

fn five_tuple() -> impl Strategy<Value = FiveTuple> {
    (
        address(),
        address(),
        any::<[bool; 2]>(),
        0_u16..4,
        0_u16..4,
        0_u8..4,
    )
        .prop_map(|(source, destination, _, from, to, protocol)| FiveTuple {
            source: source.into(),
            destination: destination.into(),
            ports: [from, to],
            protocol,
            flags: 0,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn filter_takes_what_the_naive_one_takes(
        naive in naive(),
        five_tuple in proptest::option::weighted(0.9, five_tuple()),
        reason in reason(),
        country in any::<u8>(),
        tenant in 0_u32..3,
    ) {
        let verdict = TracedVerdict { reason: reason as u8, country, tenant, ..TracedVerdict::default() };
        prop_assert_eq!(
            naive.filter().matches(&verdict, five_tuple.as_ref()),
            naive.matches(&verdict, five_tuple.as_ref())
        );
    }
}

#[test]
fn filters_without_conditions_take_everything_and_nothing() {
    for reason in Reason::ALL {
        for country in [Country::NONE, Country::SPECIAL, Country::from_number(255)] {
            let verdict = TracedVerdict {
                reason: *reason as u8,
                country: country.number(),
                tenant: 7,
                ..TracedVerdict::default()
            };
            assert!(FrameFilter::ALL.matches(&verdict, None));
            assert!(!FrameFilter::NONE.matches(&verdict, None));
        }
    }
}

#[test]
fn each_reason_is_a_drop_or_a_pass() {
    let [drops, passes] = [Action::Drop, Action::Pass].map(reasons_with);
    assert_eq!(drops & passes, 0);
    for reason in Reason::ALL {
        let bits = if flag_of(*reason) == flag::OBSERVE_DROPS {
            drops
        } else {
            passes
        };
        assert_eq!(bits >> *reason as u8 & 1, 1, "{reason:?}");
    }
}
