//! The walk over a file's search tree: every network with the fields of its record.
//!
//! The tree is input. The number of branches a walk follows is bounded by the number of nodes, so a tree whose nodes
//! point back at each other ends in an error, however many paths lead through it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::record::Record;

/// The reader that decodes records. It shares its bytes with the walk.
pub(super) type Mmdb = maxminddb::Reader<Arc<[u8]>>;

/// Where the IPv4 part of a tree for both families begins: ::/96.
const V4_DEPTH: u8 = 96;

/// Branches that a walk may follow for each node of the file. A tree has two; the rest allows for shared subtrees.
const BRANCHES_PER_NODE_MAX: usize = 4;

/// What decoding all records may cost, in units of `Record::cost`. A whole city database costs a third of it.
const COST_MAX: u64 = 1 << 28;

/// Walks the whole tree, decodes every record once, and calls `found` with each network, in order of address, and with
/// what `read` made of its record. An error says what is wrong with the file.
pub(super) fn walk<A>(
    mmdb: &Mmdb,
    bytes: &[u8],
    read: fn(Record) -> A,
    mut found: impl FnMut(IpNet, &A),
) -> Result<(), String> {
    let tree = Tree::new(mmdb, bytes);
    let v4_root = tree.v4_root()?;
    let mut records = Records {
        mmdb,
        bits_max: tree.bits_max,
        cost: 0,
        read,
        answers: HashMap::new(),
    };
    let mut branches_left = tree.node_count.saturating_mul(BRANCHES_PER_NODE_MAX);
    let mut pending = vec![Branch {
        entry: 0,
        bits: 0,
        depth: 0,
    }];
    while let Some(branch) = pending.pop() {
        if branch.entry == tree.node_count {
            continue;
        }
        if branch.entry > tree.node_count {
            let answer = records.answer(&branch)?;
            if let Some(network) = branch.network(tree.bits_max) {
                found(network, answer);
            }
            continue;
        }
        // 2002::/16 and the like may lead to the IPv4 part again; the country of an embedded address is the image's to
        // decide.
        if Some(branch.entry) == v4_root && branch.bits >> (128 - V4_DEPTH) != 0 {
            continue;
        }
        if branch.depth == tree.bits_max {
            return Err("its search tree is deeper than an address is long".to_owned());
        }
        branches_left = branches_left
            .checked_sub(2)
            .ok_or("its search tree runs into itself")?;
        // The right branch waits below the left one, so networks come in order of address.
        for side in [1, 0] {
            pending.push(Branch {
                entry: tree.entry(branch.entry, side)?,
                bits: branch.bits | (side as u128) << (127 - branch.depth),
                depth: branch.depth + 1,
            });
        }
    }
    Ok(())
}

/// A path through the tree from its root to an entry.
struct Branch {
    /// A node if less than the node count, empty if equal, a record if more.
    entry: usize,
    /// The address bits that led here, left-aligned.
    bits: u128,
    depth: u8,
}

impl Branch {
    /// The network that ends here.
    fn network(&self, bits_max: u8) -> Option<IpNet> {
        let v4 = match bits_max {
            32 => Some((self.bits >> 96, self.depth)),
            _ if self.depth >= V4_DEPTH && self.bits >> 32 == 0 => {
                Some((self.bits, self.depth - V4_DEPTH))
            }
            _ => None,
        };
        match v4 {
            Some((bits, length)) => Ipv4Net::new(Ipv4Addr::from(bits as u32), length)
                .ok()
                .map(IpNet::V4),
            None => Ipv6Net::new(Ipv6Addr::from(self.bits), self.depth)
                .ok()
                .map(IpNet::V6),
        }
    }
}

/// The search tree's nodes.
struct Tree<'a> {
    bytes: &'a [u8],
    record_size: u16,
    node_count: usize,
    bits_max: u8,
}

impl<'a> Tree<'a> {
    fn new(mmdb: &Mmdb, bytes: &'a [u8]) -> Self {
        let metadata = mmdb.metadata();
        Self {
            bytes,
            record_size: metadata.record_size,
            node_count: metadata.node_count as usize,
            bits_max: if metadata.ip_version == 4 { 32 } else { 128 },
        }
    }

    /// The node of ::/96, if IPv4 has one of its own.
    fn v4_root(&self) -> Result<Option<usize>, String> {
        if self.bits_max == 32 {
            return Ok(None);
        }
        let mut node = 0;
        for _ in 0..V4_DEPTH {
            if node >= self.node_count {
                return Ok(None);
            }
            node = self.entry(node, 0)?;
        }
        Ok((node < self.node_count).then_some(node))
    }

    /// One of the two entries of a node. Two entries of 24, 28 or 32 bits make a node; of 28 bits, the high halves
    /// share the byte in the middle.
    fn entry(&self, node: usize, side: usize) -> Result<usize, String> {
        let size = usize::from(self.record_size) / 4;
        let node = node
            .checked_mul(size)
            .and_then(|at| self.bytes.get(at..)?.get(..size))
            .ok_or("its search tree runs past its end")?;
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | usize::from(*byte))
        };
        Ok(match (self.record_size, side) {
            (28, 0) => number(&node[..3]) | usize::from(node[3] >> 4) << 24,
            (28, _) => number(&node[4..]) | usize::from(node[3] & 15) << 24,
            (_, 0) => number(&node[..size / 2]),
            (_, _) => number(&node[size / 2..]),
        })
    }
}

/// The records, each decoded once.
struct Records<'a, A> {
    mmdb: &'a Mmdb,
    bits_max: u8,
    cost: u64,
    read: fn(Record) -> A,
    answers: HashMap<usize, A>,
}

impl<A> Records<'_, A> {
    fn answer(&mut self, branch: &Branch) -> Result<&A, String> {
        use std::collections::hash_map::Entry;
        match self.answers.entry(branch.entry) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => {
                let first: IpAddr = if self.bits_max == 32 {
                    Ipv4Addr::from((branch.bits >> 96) as u32).into()
                } else {
                    Ipv6Addr::from(branch.bits).into()
                };
                let record: Record = self
                    .mmdb
                    .lookup(first)
                    .and_then(|found| found.decode())
                    .map_err(|error| error.to_string())?
                    .ok_or("its search tree points in front of its records")?;
                self.cost += record.cost;
                if self.cost > COST_MAX {
                    return Err("its records unfold to far more than their size".to_owned());
                }
                Ok(place.insert((self.read)(record)))
            }
        }
    }
}
