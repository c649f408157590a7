//! As much of the MaxMind DB format as it takes to describe a database: when it was built and what it holds.
//!
//! The product reads databases with a real library; this is for the refresh command, which must build in seconds.

use anyhow::{Context as _, Result, bail, ensure};

/// What stands before the metadata, the last thing in the file.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// An IPv4 address is an IPv6 address with as many leading zero bits.
const IPV4_DEPTH: usize = 96;

/// What there is to say about a database.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Seconds since 1970.
    pub(crate) built: u64,
    pub(crate) ipv4_networks: usize,
    pub(crate) ipv6_networks: usize,
}

/// Describes a database that covers both families.
pub(crate) fn summarise(file: &[u8]) -> Result<Summary> {
    let marker = file
        .windows(MARKER.len())
        .rposition(|window| window == MARKER);
    let metadata = &file
        [marker.context("no MaxMind DB metadata: not a database, or cut short")? + MARKER.len()..];
    let number =
        |key| number(metadata, key).with_context(|| format!("the metadata has no number {key}"));
    ensure!(number("ip_version")? == 6, "the database covers IPv4 only");
    let tree = Tree {
        file,
        nodes: usize::try_from(number("node_count")?)?,
        record_bits: number("record_size")?,
    };
    let ipv4_root =
        (0..IPV4_DEPTH).try_fold(0, |node, _| Ok::<_, anyhow::Error>(tree.records(node)?[0]))?;
    let all = tree.networks_below(0)?;
    let ipv4_networks = tree.networks_below(ipv4_root)?;
    Ok(Summary {
        built: number("build_epoch")?,
        ipv4_networks,
        ipv6_networks: all - ipv4_networks,
    })
}

/// Writes seconds since 1970 as a date, by Gregorian rules.
pub(crate) fn date(seconds: u64) -> String {
    let mut days = seconds / 86_400;
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [
        31,
        28 + u64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let mut month = 1;
    for length in lengths {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

/// The search tree: nodes of two records, a record being a node, nothing, or data.
struct Tree<'file> {
    file: &'file [u8],
    nodes: usize,
    record_bits: u64,
}

impl Tree<'_> {
    /// Reads the two records of a node.
    fn records(&self, node: usize) -> Result<[usize; 2]> {
        let length = match self.record_bits {
            24 => 6,
            28 => 7,
            32 => 8,
            other => bail!("records of {other} bits are not in the format"),
        };
        let bytes = self
            .file
            .get(node * length..(node + 1) * length)
            .context("the search tree is cut short")?;
        let join = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |number, &byte| number << 8 | usize::from(byte))
        };
        Ok(match bytes {
            [left @ .., middle, a, b, c] if length == 7 => {
                let (high, low) = (usize::from(middle >> 4), usize::from(middle & 0xf));
                [high << 24 | join(left), low << 24 | join(&[*a, *b, *c])]
            }
            _ => [join(&bytes[..length / 2]), join(&bytes[length / 2..])],
        })
    }

    /// Counts the records below a node that hold data. A node shared by several parents counts once.
    fn networks_below(&self, start: usize) -> Result<usize> {
        if start >= self.nodes {
            return Ok(usize::from(start > self.nodes));
        }
        let mut seen = vec![false; self.nodes];
        let mut waiting = vec![start];
        let mut networks = 0;
        while let Some(node) = waiting.pop() {
            if std::mem::replace(&mut seen[node], true) {
                continue;
            }
            for record in self.records(node)? {
                match record.cmp(&self.nodes) {
                    std::cmp::Ordering::Less => waiting.push(record),
                    std::cmp::Ordering::Equal => {}
                    std::cmp::Ordering::Greater => networks += 1,
                }
            }
        }
        Ok(networks)
    }
}

/// Reads an unsigned number of the metadata map: the key, then a control byte, then the number, big end first.
fn number(metadata: &[u8], key: &str) -> Option<u64> {
    let at = metadata
        .windows(key.len())
        .position(|window| window == key.as_bytes())?;
    let mut rest = metadata[at + key.len()..].iter();
    let control = *rest.next()?;
    let length = usize::from(control & 0x1f);
    match control >> 5 {
        // Extended types: their number, less seven, follows; 9 is the 64-bit integer.
        0 if *rest.next()? == 2 => {}
        // 16-bit and 32-bit integers.
        5 | 6 => {}
        _ => return None,
    }
    let bytes: Vec<u8> = rest.take(length).copied().collect();
    (bytes.len() == length && length <= 8).then(|| {
        bytes
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database of 97 nodes: zero bits down to ::/96, then 0.0.0.0/1 with data and 128.0.0.0/1 without; 8000::/1 has
    /// data too.
    fn database() -> Vec<u8> {
        const NODES: u32 = 97;
        let mut file = Vec::new();
        for node in 0..NODES {
            let one = if node == 0 { NODES + 16 } else { NODES };
            let zero = if node == NODES - 1 {
                NODES + 16
            } else {
                node + 1
            };
            file.extend(
                [zero, one]
                    .iter()
                    .flat_map(|record| record.to_be_bytes()[1..].to_vec()),
            );
        }
        file.extend([0; 16]);
        file.extend(MARKER);
        file.extend(b"\xe4Kbuild_epoch\x04\x02\x6a\x1d\xec\x7aJip_version\xa1\x06");
        file.extend(b"Jnode_count\xc1\x61Krecord_size\xa1\x18");
        file
    }

    #[test]
    fn a_database_is_described() {
        let summary = summarise(&database()).unwrap();
        assert_eq!(
            summary,
            Summary {
                built: 0x6a1d_ec7a,
                ipv4_networks: 1,
                ipv6_networks: 1
            }
        );
    }

    #[test]
    fn what_is_no_database_is_refused() {
        assert!(summarise(b"not a database").is_err());
        let whole = database();
        let metadata = whole
            .windows(MARKER.len())
            .position(|window| window == MARKER)
            .unwrap();
        let error = summarise(&whole[metadata..]).unwrap_err().to_string();
        assert!(error.contains("cut short"), "{error}");
    }

    #[test]
    fn records_of_28_bits_share_a_byte() {
        let file = [0x11, 0x22, 0x33, 0xab, 0x44, 0x55, 0x66];
        let tree = Tree {
            file: &file,
            nodes: 1,
            record_bits: 28,
        };
        assert_eq!(tree.records(0).unwrap(), [0x0a11_2233, 0x0b44_5566]);
    }

    #[test]
    fn dates_are_gregorian() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(951_782_400), "2000-02-29");
        assert_eq!(date(951_868_800), "2000-03-01");
        assert_eq!(date(1_780_272_250), "2026-06-01");
        assert_eq!(date(1_798_761_599), "2026-12-31");
    }
}
