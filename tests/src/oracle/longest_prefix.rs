//! A longest-prefix table at its plainest: one hash table for each prefix length, every length tried.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Finds the value of the longest prefix by trying every length.
///
/// Addresses of both families are given as numbers of `bits` bits.
#[derive(Clone, Debug)]
pub struct LongestPrefix<T> {
    bits: u8,
    /// By length; lengths that no prefix has cost nothing.
    tables: Vec<HashMap<u128, T, BuildHasherDefault<Multiply>>>,
    lengths: Vec<u8>,
}

impl<T: Copy> LongestPrefix<T> {
    #[must_use]
    pub fn new(bits: u8) -> Self {
        Self {
            bits,
            tables: (0..=bits).map(|_| HashMap::default()).collect(),
            lengths: Vec::new(),
        }
    }

    /// The address with all but the first `length` bits zero.
    fn masked(&self, address: u128, length: u8) -> u128 {
        let host_bits = u32::from(self.bits - length);
        address
            .checked_shr(host_bits)
            .unwrap_or(0)
            .checked_shl(host_bits)
            .unwrap_or(0)
    }

    /// The value of exactly this prefix, `absent` if there was none.
    pub fn entry(&mut self, address: u128, length: u8, absent: T) -> &mut T {
        let masked = self.masked(address, length);
        if !self.lengths.contains(&length) {
            self.lengths.push(length);
            self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        }
        self.tables[usize::from(length)]
            .entry(masked)
            .or_insert(absent)
    }

    /// The values of all prefixes that hold the address, the longest prefix's first.
    pub fn all(&self, address: u128) -> impl Iterator<Item = T> {
        self.lengths.iter().filter_map(move |length| {
            let masked = self.masked(address, *length);
            self.tables[usize::from(*length)].get(&masked).copied()
        })
    }

    /// The value of the longest prefix that holds the address.
    #[must_use]
    pub fn get(&self, address: u128) -> Option<T> {
        self.all(address).next()
    }
}

/// Hashes one number by a multiplication: the keys are addresses that no attacker chooses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Multiply(u64);

impl Hasher for Multiply {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let product = u128::from(self.0 ^ number) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64(number as u64);
        self.write_u64((number >> 64) as u64);
    }
}
