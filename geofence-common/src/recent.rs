//! Flows at hand: what was last written of a flow, in one cache line where its key says, beside the tables of flows.
//!
//! To ask the kernel's table takes two calls and some four cache lines; most answers are to what our side has just
//! sent, and find it here by one. The table is what counts: a line that is not there, or is another flow's by now,
//! means nothing but that the table is asked.
//!
//! Nobody locks a line. Its last word proves the others: it is a sum of all of them, each times a secret number, so a
//! line of which two CPUs wrote a part each, or of which half has been read before it was written anew, is nobody's.

use crate::flow::{Flow, FlowKey, Table};

/// Lines that there are; a power of two.
pub const LINES: usize = 1 << 14;

/// Odd numbers that nobody else knows, chosen when the programs are loaded: one for each word of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Secret(pub [u64; 8]);

/// What was last written of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Line {
    /// The key, and the flow's state in the topmost byte of the last word.
    key: [u64; 5],
    deadline: u64,
    opened: u64,
    proof: u64,
}

/// A flow's key as words, and their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    key: [u64; 5],
    sum: u64,
}

/// Where the state stands in the last word of a key.
const STATE: u32 = 56;

impl Name {
    #[must_use]
    #[inline(always)]
    pub fn of(table: Table, key: &FlowKey, secret: &Secret) -> Self {
        let last = key.local_port as u64
            | (key.remote_port as u64) << 16
            | (key.protocol as u64) << 32
            | (key.is_v6 as u64) << 40
            | (table as u64) << 48;
        let ([a, b], [c, d]) = (key.local, key.remote);
        let [k0, k1, k2, k3, k4, _, _, k7] = secret.0;
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

    /// The flow's line. The topmost bits of the sum, as only those depend on every bit of every word.
    #[must_use]
    #[inline(always)]
    pub const fn line(&self) -> u32 {
        (self.sum >> (u64::BITS - LINES.trailing_zeros())) as u32
    }

    /// What is to be written there.
    #[must_use]
    #[inline(always)]
    pub fn written(&self, flow: &Flow, secret: &Secret) -> Line {
        let [a, b, c, d, last] = self.key;
        let last = last | (flow.state as u64) << STATE;
        Line {
            key: [a, b, c, d, last],
            deadline: flow.deadline,
            opened: flow.opened,
            proof: self.proof(last, flow.deadline, flow.opened, secret),
        }
    }

    #[inline(always)]
    fn proof(&self, last: u64, deadline: u64, opened: u64, secret: &Secret) -> u64 {
        let [_, _, _, _, _, k5, k6, k7] = secret.0;
        self.sum
            .wrapping_add(deadline.wrapping_mul(k5))
            .wrapping_add(opened.wrapping_mul(k6))
            .wrapping_add((last >> STATE).wrapping_mul(k7))
    }

    /// What a line says of the flow, if it is of that.
    #[must_use]
    #[inline(always)]
    pub fn read(&self, line: &Line, secret: &Secret) -> Option<Flow> {
        let [a, b, c, d, last] = self.key;
        let [x, y, z, w, found] = line.key;
        let proof = self.proof(found, line.deadline, line.opened, secret);
        // All of them at once: one branch, and nothing to tell by the time it takes.
        let differs =
            (a ^ x) | (b ^ y) | (c ^ z) | (d ^ w) | ((last ^ found) << 8) | (proof ^ line.proof);
        (differs == 0).then_some(Flow {
            deadline: line.deadline,
            opened: line.opened,
            state: (found >> STATE) as u32,
            padding: 0,
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

    fn secret() -> impl Strategy<Value = Secret> {
        any::<[u64; 8]>().prop_map(|words| Secret(words.map(|word| word | 1)))
    }

    fn words(line: &Line) -> [u64; 8] {
        let [a, b, c, d, e] = line.key;
        [a, b, c, d, e, line.deadline, line.opened, line.proof]
    }

    fn line([a, b, c, d, e, deadline, opened, proof]: [u64; 8]) -> Line {
        Line {
            key: [a, b, c, d, e],
            deadline,
            opened,
            proof,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(table in table(), key in key(), flow in flow(), secret in secret()) {
            let name = Name::of(table, &key, &secret);
            prop_assert_eq!(name.read(&name.written(&flow, &secret), &secret), Some(flow));
            prop_assert!((name.line() as usize) < LINES);
        }

        #[test]
        fn a_line_is_of_no_other_flow(
            tables in (table(), table()), keys in (key(), key()), flow in flow(), secret in secret(),
        ) {
            prop_assume!(tables.0 != tables.1 || keys.0 != keys.1);
            let written = Name::of(tables.0, &keys.0, &secret).written(&flow, &secret);
            prop_assert_eq!(Name::of(tables.1, &keys.1, &secret).read(&written, &secret), None);
        }

        /// Keys that differ by one bit, which a sum of words could well confuse.
        #[test]
        fn a_line_is_of_no_flow_that_is_nearly_the_same(
            table in table(), key in key(), bit in 0_usize..272, flow in flow(), secret in secret(),
        ) {
            let mut other = key;
            match bit {
                0..128 => other.local[bit / 64] ^= 1 << (bit % 64),
                128..256 => other.remote[(bit - 128) / 64] ^= 1 << (bit % 64),
                _ => other.remote_port ^= 1 << (bit - 256),
            }
            let written = Name::of(table, &key, &secret).written(&flow, &secret);
            prop_assert_eq!(Name::of(table, &other, &secret).read(&written, &secret), None);
        }

        /// Some words of one writing and the rest of another, whether of the same flow or not.
        #[test]
        fn a_mixture_is_read_as_one_of_the_two_or_not_at_all(
            table in table(), keys in (key(), key()), is_same: bool, flows in (flow(), flow()), which: u8,
            secret in secret(),
        ) {
            let second = if is_same { keys.0 } else { keys.1 };
            let names = (Name::of(table, &keys.0, &secret), Name::of(table, &second, &secret));
            let written = (names.0.written(&flows.0, &secret), names.1.written(&flows.1, &secret));
            let mut mixed = words(&written.0);
            for (at, word) in words(&written.1).into_iter().enumerate() {
                if which >> at & 1 != 0 {
                    mixed[at] = word;
                }
            }
            if let Some(found) = names.0.read(&line(mixed), &secret) {
                prop_assert!(found == flows.0 || (is_same && found == flows.1));
            }
        }

        #[test]
        fn a_line_of_another_secret_is_nobodys(
            table in table(), key in key(), flow in flow(), secrets in (secret(), secret()),
        ) {
            prop_assume!(secrets.0 != secrets.1);
            let written = Name::of(table, &key, &secrets.0).written(&flow, &secrets.0);
            prop_assert_eq!(Name::of(table, &key, &secrets.1).read(&written, &secrets.1), None);
        }

        #[test]
        fn an_empty_line_is_nobodys(table in table(), key in key(), secret in secret()) {
            prop_assert_eq!(Name::of(table, &key, &secret).read(&Line::default(), &secret), None);
        }
    }
}
