//! Sets of addresses to ask about: each distribution flatters another structure, so there are four.
//!
//! Everything is drawn from a seed, so that every run asks the same.

use anyhow::{Context as _, Result, ensure};
use geofence_common::address::Address;
use geofence_tests::oracle::Draw;
use geofence_user::data::geoip::Database;
use rand::distr::Distribution as _;
use rand::distr::weighted::WeightedIndex;

/// Addresses among which the popular ones are drawn.
const ZIPF_ADDRESSES: usize = 100_000;

/// An address family; its number is its place in lists of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// How the addresses of a set are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Distribution {
    /// The same address again and again.
    One,
    /// Every address is as likely as any other.
    Uniform,
    /// Every prefix of the table is as likely as any other, and so is every address in it.
    Prefix,
    /// A hundred thousand addresses drawn like that, the n-th as popular as one n-th of the first.
    Zipf,
}

impl Distribution {
    pub(crate) const ALL: [Self; 4] = [Self::One, Self::Uniform, Self::Prefix, Self::Zipf];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::One => "one address",
            Self::Uniform => "uniform",
            Self::Prefix => "table prefix",
            Self::Zipf => "Zipf",
        }
    }
}

/// Addresses in the order in which they are asked about.
#[derive(Clone, Debug)]
pub(crate) struct Set {
    pub(crate) family: Family,
    pub(crate) addresses: Vec<Address>,
}

impl Set {
    /// Draws a set of this size.
    pub(crate) fn draw(
        database: &Database,
        family: Family,
        distribution: Distribution,
        size: usize,
        seed: u64,
    ) -> Result<Self> {
        let mut draw = Draw::new(seed);
        let mut one = || {
            address(
                &mut draw,
                database,
                family,
                distribution == Distribution::Uniform,
            )
        };
        let addresses = match distribution {
            Distribution::One => vec![one()?; size],
            Distribution::Uniform | Distribution::Prefix => {
                (0..size).map(|_| one()).collect::<Result<_>>()?
            }
            Distribution::Zipf => {
                let popular: Vec<Address> =
                    (0..ZIPF_ADDRESSES).map(|_| one()).collect::<Result<_>>()?;
                let weights = (1..=ZIPF_ADDRESSES).map(|rank| 1.0 / rank as f64);
                let choice = WeightedIndex::new(weights).context("weighing the addresses")?;
                let mut random = <rand::rngs::SmallRng as rand::SeedableRng>::seed_from_u64(seed);
                (0..size)
                    .map(|_| popular[choice.sample(&mut random)])
                    .collect()
            }
        };
        Ok(Self { family, addresses })
    }

    /// Gives the place of each unwanted address to the one before it.
    pub(crate) fn replace(&mut self, is_unwanted: impl Fn(&Address) -> bool) {
        let size = self.addresses.len();
        for at in 0..size {
            if is_unwanted(&self.addresses[at]) {
                self.addresses[at] = self.addresses[(at + size - 1) % size];
            }
        }
    }

    /// Draws a set of the addresses that are `wanted`, uniformly or by prefix.
    pub(crate) fn of(
        database: &Database,
        family: Family,
        uniform: bool,
        size: usize,
        seed: u64,
        wanted: impl Fn(&Address) -> bool,
    ) -> Result<Self> {
        /// A search that finds nothing by then looks for what does not exist.
        const TRIES_MAX: usize = 10_000;

        let mut draw = Draw::new(seed);
        let mut addresses = Vec::with_capacity(size);
        let mut missed = 0;
        while addresses.len() < size {
            let address = address(&mut draw, database, family, uniform)?;
            if wanted(&address) {
                addresses.push(address);
                missed = 0;
            } else {
                missed += 1;
                ensure!(
                    missed < TRIES_MAX,
                    "no {} address of the wanted kind",
                    family.name()
                );
            }
        }
        Ok(Self { family, addresses })
    }
}

/// An address: any, or one in a prefix of the table.
fn address(draw: &mut Draw, database: &Database, family: Family, uniform: bool) -> Result<Address> {
    let any = draw.long();
    let empty = "the table is empty";
    Ok(match family {
        Family::V4 => {
            let any = any as u32;
            let bits = if uniform {
                any
            } else {
                let (net, _) = draw.one_of(database.prefixes_v4()).context(empty)?;
                net.network().to_bits()
                    | any & u32::MAX.checked_shr(net.prefix_len().into()).unwrap_or(0)
            };
            Address::v4(bits)
        }
        Family::V6 => {
            let bits = if uniform {
                any
            } else {
                let (net, _) = draw.one_of(database.prefixes_v6()).context(empty)?;
                net.network().to_bits()
                    | any & u128::MAX.checked_shr(net.prefix_len().into()).unwrap_or(0)
            };
            Address::v6(bits)
        }
    })
}
