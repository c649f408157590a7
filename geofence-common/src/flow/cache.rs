//! The flow cache: the last written state of a flow, in the one cache line that its key selects.
//!
//! A look-up in the kernel's table takes two calls and about four cache lines. Most replies answer what our side has
//! just sent, and find their flow here with one. The table is authoritative: if the line is absent or holds another
//! flow, the table is read.
//!
//! Lines are not locked. The last word of a line is a keyed checksum: the sum of all other words, each multiplied by a
//! secret number. A line that two CPUs wrote in part, or that is read while it is written, fails the checksum.

use crate::flow::key::{FlowKey, Table};
use crate::flow::state::Flow;

/// The number of lines, a power of two.
pub const CACHE_LINES: usize = 1 << 14;

/// The secret key of the checksum: an odd random number for each word of a line, chosen when the programs are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct ChecksumKey(pub [u64; 8]);

/// The last written state of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CacheLine {
    /// The key; the topmost byte of the last word is the flow's state.
    key: [u64; 5],
    deadline: u64,
    opened: u64,
    checksum: u64,
}

/// A flow's key as words, and their part of the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheKey {
    key: [u64; 5],
    sum: u64,
}

/// The bit where the state starts in the last word of a key.
const STATE: u32 = 56;

impl CacheKey {
    #[must_use]
    #[inline(always)]
    pub fn of(table: Table, key: &FlowKey, checksum_key: &ChecksumKey) -> Self {
        let last = key.local_port as u64
            | (key.remote_port as u64) << 16
            | (key.protocol as u64) << 32
            | (key.is_v6 as u64) << 40
            | (table as u64) << 48;
        let ([a, b], [c, d]) = (key.local, key.remote);
        let [k0, k1, k2, k3, k4, _, _, k7] = checksum_key.0;
        let sum = k7
            .wrapping_add(a.wrapping_mul(k0))
            .wrapping_add(b.wrapping_mul(k1))
            .wrapping_add(c.wrapping_mul(k2))
            .wrapping_add(d.wrapping_mul(k3))
            .wrapping_add(last.wrapping_mul(k4));
        Self {
            key: [a, b, c, d, last],
            sum,
        }
    }

    /// The position of the flow's line: the topmost bits of the sum, because only those depend on every bit of every
    /// word.
    #[must_use]
    #[inline(always)]
    pub const fn slot(&self) -> u32 {
        (self.sum >> (u64::BITS - CACHE_LINES.trailing_zeros())) as u32
    }

    /// The line to write for this state of the flow.
    #[must_use]
    #[inline(always)]
    pub fn line_of(&self, flow: &Flow, checksum_key: &ChecksumKey) -> CacheLine {
        let [a, b, c, d, last] = self.key;
        let last = last | (flow.state as u64) << STATE;
        CacheLine {
            key: [a, b, c, d, last],
            deadline: flow.deadline,
            opened: flow.opened,
            checksum: self.checksum(last, flow.deadline, flow.opened, checksum_key),
        }
    }

    #[inline(always)]
    fn checksum(&self, last: u64, deadline: u64, opened: u64, checksum_key: &ChecksumKey) -> u64 {
        let [_, _, _, _, _, k5, k6, k7] = checksum_key.0;
        self.sum
            .wrapping_add(deadline.wrapping_mul(k5))
            .wrapping_add(opened.wrapping_mul(k6))
            .wrapping_add((last >> STATE).wrapping_mul(k7))
    }

    /// The state of the flow, if the line holds this flow.
    #[must_use]
    #[inline(always)]
    pub fn read(&self, line: &CacheLine, checksum_key: &ChecksumKey) -> Option<Flow> {
        let [a, b, c, d, last] = self.key;
        let [x, y, z, w, found] = line.key;
        let checksum = self.checksum(found, line.deadline, line.opened, checksum_key);
        // All words at once: one branch, and no difference in time.
        let differs = (a ^ x)
            | (b ^ y)
            | (c ^ z)
            | (d ^ w)
            | ((last ^ found) << 8)
            | (checksum ^ line.checksum);
        (differs == 0).then_some(Flow {
            deadline: line.deadline,
            opened: line.opened,
            state: (found >> STATE) as u32,
            // Flows with bounded answers are not cached.
            answers: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::address::Address;
    use crate::flow::State;

    prop_compose! {
        fn key()(
            is_v6: bool,
            local: u128,
            remote: u128,
            ports: (u16, u16),
            protocol: u8,
        ) -> FlowKey {
            let address = |bits: u128| {
                if is_v6 { Address::v6(bits) } else { Address::v4(bits as u32) }
            };
            FlowKey::new(&address(local), &address(remote), protocol, ports.0, ports.1)
        }
    }

    fn table() -> impl Strategy<Value = Table> {
        prop::sample::select(Table::ALL.as_slice())
    }

    fn flow() -> impl Strategy<Value = Flow> {
        let states = [
            State::Opening,
            State::Established,
            State::Closing,
            State::Closed,
            State::Datagram,
        ];
        (
            any::<u32>(),
            any::<u32>(),
            prop::sample::select(states.to_vec()),
        )
            .prop_map(|(lifetime, now, state)| Flow::new(state, lifetime as u64, now as u64))
    }

    fn checksum_key() -> impl Strategy<Value = ChecksumKey> {
        any::<[u64; 8]>().prop_map(|words| ChecksumKey(words.map(|word| word | 1)))
    }

    fn words(line: &CacheLine) -> [u64; 8] {
        let [a, b, c, d, e] = line.key;
        [a, b, c, d, e, line.deadline, line.opened, line.checksum]
    }

    fn line([a, b, c, d, e, deadline, opened, checksum]: [u64; 8]) -> CacheLine {
        CacheLine {
            key: [a, b, c, d, e],
            deadline,
            opened,
            checksum,
        }
    }

    proptest! {
        #[test]
        fn written_flow_is_read_back(table in table(), key in key(), flow in flow(), checksum_key in checksum_key()) {
            let cache_key = CacheKey::of(table, &key, &checksum_key);
            prop_assert_eq!(cache_key.read(&cache_key.line_of(&flow, &checksum_key), &checksum_key), Some(flow));
            prop_assert!((cache_key.slot() as usize) < CACHE_LINES);
        }

        #[test]
        fn line_of_another_flow_is_not_read(
            tables in (table(), table()), keys in (key(), key()), flow in flow(), checksum_key in checksum_key(),
        ) {
            prop_assume!(tables.0 != tables.1 || keys.0 != keys.1);
            let written = CacheKey::of(tables.0, &keys.0, &checksum_key).line_of(&flow, &checksum_key);
            prop_assert_eq!(CacheKey::of(tables.1, &keys.1, &checksum_key).read(&written, &checksum_key), None);
        }

        /// Keys that differ by one bit, which a sum of words could well confuse.
        #[test]
        fn line_of_a_flow_that_differs_by_one_bit_is_not_read(
            table in table(), key in key(), bit in 0_usize..272, flow in flow(), checksum_key in checksum_key(),
        ) {
            let mut other = key;
            match bit {
                0..128 => other.local[bit / 64] ^= 1 << (bit % 64),
                128..256 => other.remote[(bit - 128) / 64] ^= 1 << (bit % 64),
                _ => other.remote_port ^= 1 << (bit - 256),
            }
            let written = CacheKey::of(table, &key, &checksum_key).line_of(&flow, &checksum_key);
            prop_assert_eq!(CacheKey::of(table, &other, &checksum_key).read(&written, &checksum_key), None);
        }

        /// Some words of one writing and the rest of another, whether of the same flow or not.
        #[test]
        fn mixture_of_two_writes_is_one_of_them_or_not_read(
            table in table(), keys in (key(), key()), is_same: bool, flows in (flow(), flow()), which: u8,
            checksum_key in checksum_key(),
        ) {
            let second = if is_same { keys.0 } else { keys.1 };
            let names = (CacheKey::of(table, &keys.0, &checksum_key), CacheKey::of(table, &second, &checksum_key));
            let written = (names.0.line_of(&flows.0, &checksum_key), names.1.line_of(&flows.1, &checksum_key));
            let mut mixed = words(&written.0);
            for (at, word) in words(&written.1).into_iter().enumerate() {
                if which >> at & 1 != 0 {
                    mixed[at] = word;
                }
            }
            if let Some(found) = names.0.read(&line(mixed), &checksum_key) {
                prop_assert!(found == flows.0 || (is_same && found == flows.1));
            }
        }

        #[test]
        fn line_with_another_key_is_not_read(
            table in table(), key in key(), flow in flow(), secrets in (checksum_key(), checksum_key()),
        ) {
            prop_assume!(secrets.0 != secrets.1);
            let written = CacheKey::of(table, &key, &secrets.0).line_of(&flow, &secrets.0);
            prop_assert_eq!(CacheKey::of(table, &key, &secrets.1).read(&written, &secrets.1), None);
        }

        #[test]
        fn empty_line_is_not_read(table in table(), key in key(), checksum_key in checksum_key()) {
            prop_assert_eq!(CacheKey::of(table, &key, &checksum_key).read(&CacheLine::default(), &checksum_key), None);
        }
    }
}
