//! Small databases and lists, checked address by address against the oracle and a second, independent trie.

mod classes;
mod engines;
mod helpers;
mod image;
mod list_sets;
mod lpm_prefixes;
mod trie;
