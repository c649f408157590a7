//! The policy image: one flat block of 32-bit words that holds all a verdict needs, read the same way on both sides.
//!
//! ```text
//! line 0              header: what most packets need, and what tells one image from another
//! line 1              header: where the sections are that a policy need not have
//! line 2              header: times and counts
//! line 3    ..  259   TCP services, two bits a port
//! line 259  ..  515   UDP services, two bits a port
//! line 515  .. 4611   IPv4 root, one entry for each value of the first 16 bits
//! line 4611 .. 8707   IPv6 root, likewise
//! line 8707 ..        class table, then in any order trie nodes and what the policy calls for: hosts (`crate::hosts`),
//!                     exceptions and the pairs that lead to them, sets of lists, zones of destinations with their
//!                     services and two more roots
//! ```
//!
//! A line is 16 words, one cache line. A trie node is one line or many: an entry for each value of the next four to
//! sixteen bits of an address, as its own entry tells, so that where prefixes are dense a walk is short. An entry is a
//! leaf (top bit set) or names a node: its line is in the lower 25 bits, above them 64 less the bits it takes. A line
//! is absolute, so a look-up needs no header and each step is one array access.
//!
//! An entry may also name a tail (the two top bits set, the rest is the word where it starts). A tail is a line that
//! ends the walk: leaves, and the addresses at which one gives way to the next. It stands where so little is left to
//! tell apart that nodes down to it would be a chain, so that a few prefixes cost one line and not one for every four
//! bits of each. A short tail has eight leaves, and of the addresses only the 32 bits that tell them apart: those
//! behind as many as the lowest four bits of its entry say, times four. A long tail, where these are zero, has four
//! leaves and whole addresses, of IPv6 only.
//!
//! A leaf names a class by its number, which is the lowest 10 bits. Each of the 19 above is set if it is the mark of a
//! host among its addresses (`crate::hosts`); so one test tells nearly all who are none. The leaf of a class with a
//! larger number has the third bit set, and the rest is the word where the class stands; there hosts are looked for in
//! any case.
//!
//! A class is a record of four words, of which all but the first matter to few packets, and flags in the first say so.
//! The tries of destinations are alike; their leaves say where zones stand (`crate::zone`).
//!
//! Userspace compiles images; nothing here writes.

use crate::address::Address;
use crate::class::Class;
use crate::hosts::{self, Mark};
use crate::verdict::Mode;

/// Words in a line.
pub const LINE_WORDS: usize = 16;
/// A line's number, shifted so far to the left, is the position of its first word.
pub const LINE_SHIFT: u32 = LINE_WORDS.trailing_zeros();
/// A line as the kernel's array holds it.
pub type Line = [u32; LINE_WORDS];

/// The first word of every image: "GFPI".
pub const MAGIC: u32 = 0x4746_5049;
/// The layout described above; any change to the meaning of a word is a new number.
pub const LAYOUT: u32 = 7;

/// Words of the header, by position.
pub mod header {
    pub const MAGIC: usize = 0;
    pub const LAYOUT: usize = 1;
    pub const GENERATION: usize = 2;
    pub const FLAGS: usize = 3;
    /// When the image was compiled, seconds since 1970, low word then high word.
    pub const COMPILED: usize = 4;
    /// The word where the hosts start, and how many lines of them there are.
    pub const HOSTS: usize = 6;
    pub const HOST_LINES: usize = 7;
    pub const LINES: usize = 8;
    pub const CLASSES: usize = 9;
    /// Where the class table starts, a word position.
    pub const CLASS_TABLE: usize = 10;
    pub const PREFIXES_V4: usize = 11;
    pub const PREFIXES_V6: usize = 12;
    /// CRC-32 of the image with this word zero.
    pub const CHECKSUM: usize = 13;
    /// When an image on trial stops counting, nanoseconds since boot, low word then high word.
    pub const TRIAL_ENDS: usize = 14;
    /// The lines of the roots of destinations.
    pub const DESTINATIONS_V4: usize = 16;
    pub const DESTINATIONS_V6: usize = 17;
    /// The line where the pairs start, and how many of them a pair may start in.
    pub const PAIRS: usize = 18;
    pub const PAIR_LINES: usize = 19;
    /// The word where the exceptions start, and how many there are.
    pub const EXCEPTIONS: usize = 20;
    pub const EXCEPTION_COUNT: usize = 21;
    /// Packets a second that one source may send to exempted services.
    pub const PRESSURE: usize = 22;
    /// How many tenants there are.
    pub const TENANTS: usize = 23;
    /// A moment by two clocks, nanoseconds since boot and seconds since 1970, by which the deadlines of exceptions
    /// can be told after another boot. Low word then high word each.
    pub const MOMENT_BOOT: usize = 24;
    pub const MOMENT: usize = 28;
    /// Tells that boot from others.
    pub const BOOT_ID: usize = 27;
    /// How many trie nodes there are.
    pub const NODES: usize = 26;
    /// The word where the sets of lists start.
    pub const LISTS: usize = 30;
    /// When the GeoIP data was built, seconds since 1970, low word then high word.
    pub const DATA_BUILT: usize = 32;
}

/// Bits of the header's flags.
pub mod flag {
    /// Count what would be dropped and pass it.
    pub const MONITOR: u32 = 1;
    /// Drop sources in special-use space.
    pub const SPECIAL_USE_BLOCKED: u32 = 1 << 1;
    /// Pass ICMP echo requests from blocked countries.
    pub const ICMP_ECHO: u32 = 1 << 2;
    /// Set when the kernel's tries of the second slot belong to this image.
    pub const SECOND_SLOT: u32 = 1 << 3;
    /// Pass replies to mail and DNS that our side asked for.
    pub const REPLIES_MAIL: u32 = 1 << 4;
    /// Pass replies to whatever our side opened.
    pub const REPLIES_ALL: u32 = 1 << 5;
    /// Count HTTPS to a blocked country among mail, for MTA-STS policies.
    pub const MTA_STS: u32 = 1 << 6;
    /// The image counts until a certain time, and after that the one before it does.
    pub const TRIAL: u32 = 1 << 7;
    /// There are tenants, so every destination is looked up.
    pub const TENANTS: u32 = 1 << 8;
    /// There are exceptions for some destinations only, so that of an excepted source is looked up.
    pub const TARGETS: u32 = 1 << 9;
    /// There are exceptions for every destination.
    pub const ANYWHERE: u32 = 1 << 10;
    /// There are exceptions.
    pub const EXCEPTIONS: u32 = 1 << 11;
    /// Some ports are protected.
    pub const PROTECTED: u32 = 1 << 12;
    /// What one source may send to exempted services is bounded.
    pub const PRESSURE: u32 = 1 << 13;
    /// Some lists are about what goes out, so the destination of every packet that leaves is looked up.
    pub const LISTS_OUT: u32 = 1 << 14;
}

/// Lines of one protocol's services.
pub const SERVICES_LINES: usize = 65_536 * 2 / 32 / LINE_WORDS;
/// Lines of one family's root.
pub const ROOT_LINES: usize = 65_536 / LINE_WORDS;
/// Words of a class's record: the class, the group of prefixes it is excepted by, the lists it is on, one spare.
pub const CLASS_WORDS: usize = 4;
/// Words of a class's record, by position.
pub mod class {
    pub const CLASS: u32 = 0;
    /// The key of the group of prefixes that exceptions name, 0 for none.
    pub const GROUP: u32 = 1;
    /// The word where the set of lists starts, 0 for none; see `crate::contact`.
    pub const LISTS: u32 = 2;
}
pub const TCP_SERVICES_LINE: usize = 3;
pub const UDP_SERVICES_LINE: usize = TCP_SERVICES_LINE + SERVICES_LINES;
pub const ROOT_V4_LINE: usize = UDP_SERVICES_LINE + SERVICES_LINES;
pub const ROOT_V6_LINE: usize = ROOT_V4_LINE + ROOT_LINES;
/// The first line that no fixed section occupies.
pub const FREE_LINE: usize = ROOT_V6_LINE + ROOT_LINES;
/// The word where the class table starts.
pub const CLASS_TABLE: u32 = (FREE_LINE * LINE_WORDS) as u32;

/// Set in a trie entry that ends the walk.
pub const LEAF: u32 = 1 << 31;
/// Set beside `LEAF` in an entry that names a tail.
pub const TAIL: u32 = 1 << 30;
/// Set beside `LEAF` in a leaf that has the position of its class, and neither number nor marks.
pub const FAR: u32 = 1 << 29;
/// Where a tail, a far class or a zone stands, in an entry that ends the walk.
pub const POSITION: u32 = FAR - 1;
/// The number of the class, in a leaf that is not far.
pub const NUMBER: u32 = (1 << NUMBER_BITS) - 1;
/// The lowest bit that may be a mark, and how many may be.
pub const NUMBER_BITS: u32 = 10;
pub const MARKS: u32 = FAR.trailing_zeros() - NUMBER_BITS;
/// Of the position of a tail, which is that of a line: a quarter of the address bits that a short one skips.
pub const SKIP: u32 = LINE_WORDS as u32 - 1;
/// How many addresses a tail has at which its leaves change, each from its highest word to its lowest. They stand
/// behind the leaves, of which there is one more. One that is not needed is the last address of all.
pub const SHORT_STEPS: usize = 7;
pub const LONG_STEPS: usize = 3;
/// Address bits the root consumes.
pub const ROOT_BITS: u32 = 16;
/// The fewest address bits a node consumes, those of one line, and the most.
pub const NODE_BITS: u32 = 4;
pub const NODE_BITS_MAX: u32 = 16;
/// Where a node's entry keeps the shift that leaves the bits it consumes of 64.
const SHIFT: u32 = 25;
/// The lines that an entry can name.
pub const LINES_MAX: usize = 1 << SHIFT;
/// Nodes on the longest walks behind the root: through 32 address bits, through 64, and through 64 without a root.
const NODES_V4: u32 = (32 - ROOT_BITS) / NODE_BITS;
const NODES_V6_HIGH: u32 = (64 - ROOT_BITS) / NODE_BITS;
const NODES_V6_LOW: u32 = 64 / NODE_BITS;

/// A trie node as its entry names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(u32);

impl Node {
    /// The node that starts at this line and consumes this many bits.
    #[must_use]
    pub const fn new(line: u32, bits: u32) -> Self {
        Self((64 - bits) << SHIFT | line)
    }

    /// The node that an entry names, unless it is a leaf.
    #[must_use]
    #[inline(always)]
    pub const fn of(entry: u32) -> Option<Self> {
        if entry & LEAF == 0 {
            Some(Self(entry))
        } else {
            None
        }
    }

    #[must_use]
    pub const fn entry(self) -> u32 {
        self.0
    }

    /// The position of the node's first entry.
    #[must_use]
    #[inline(always)]
    pub const fn position(self) -> u32 {
        (self.0 & (LINES_MAX as u32 - 1)) << LINE_WORDS.trailing_zeros()
    }

    /// What 64 address bits are shifted right by, so that those the node consumes are left.
    #[inline(always)]
    const fn shift(self) -> u32 {
        self.0 >> SHIFT
    }

    /// How many address bits the node consumes.
    #[must_use]
    #[inline(always)]
    pub const fn bits(self) -> u32 {
        64_u32.wrapping_sub(self.shift())
    }
}

/// The leaf of a class of this number, without hosts.
#[must_use]
pub const fn class_leaf(number: u32) -> u32 {
    if number <= NUMBER {
        LEAF | number
    } else {
        LEAF | FAR | (CLASS_TABLE + number * CLASS_WORDS as u32)
    }
}

/// The word where the class of a leaf stands.
#[must_use]
#[inline(always)]
pub const fn class_position(leaf: u32) -> u32 {
    if leaf & FAR == 0 {
        CLASS_TABLE + (leaf & NUMBER) * CLASS_WORDS as u32
    } else {
        leaf & POSITION
    }
}

/// What the services section says of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exemption {
    None = 0,
    Mail = 1,
    Service = 2,
    /// Only named sources may reach the port; the opposite of exempt.
    Protected = 3,
}

/// To which packets of ours replies are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    None,
    /// To mail, and to the DNS look-ups that mail needs.
    Mail,
    All,
}

/// The settings in the header that a verdict depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    #[must_use]
    #[inline(always)]
    pub const fn mode(self) -> Mode {
        if self.0 & flag::MONITOR != 0 {
            Mode::Monitor
        } else {
            Mode::Enforce
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn blocks_special_use(self) -> bool {
        self.0 & flag::SPECIAL_USE_BLOCKED != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn passes_icmp_echo(self) -> bool {
        self.0 & flag::ICMP_ECHO != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn replies(self) -> Replies {
        if self.0 & flag::REPLIES_ALL != 0 {
            Replies::All
        } else if self.0 & flag::REPLIES_MAIL != 0 {
            Replies::Mail
        } else {
            Replies::None
        }
    }

    #[must_use]
    #[inline(always)]
    pub const fn fetches_mta_sts(self) -> bool {
        self.0 & flag::MTA_STS != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    #[must_use]
    #[inline(always)]
    pub const fn is_on_trial(self) -> bool {
        self.0 & flag::TRIAL != 0
    }

    /// Which of the kernel's two slots of tries belongs to the image: 0 or 1.
    #[must_use]
    #[inline(always)]
    pub const fn slot(self) -> u32 {
        if self.0 & flag::SECOND_SLOT != 0 {
            1
        } else {
            0
        }
    }
}

/// Reads an image.
pub trait Words {
    /// The word at this position, or nothing past the end.
    fn word(&self, at: u32) -> Option<u32>;

    /// Four words from this position, which are within or not as one.
    #[inline(always)]
    fn quad(&self, at: u32) -> Option<[u32; 4]> {
        Some([
            self.word(at)?,
            self.word(at.wrapping_add(1))?,
            self.word(at.wrapping_add(2))?,
            self.word(at.wrapping_add(3))?,
        ])
    }

    /// The words of a line from this position, which are within or not as one.
    #[inline(always)]
    fn line(&self, at: u32) -> Option<Line> {
        let mut line = [0; LINE_WORDS];
        for (word, at) in line.iter_mut().zip(at..) {
            *word = self.word(at)?;
        }
        Some(line)
    }

    /// The number itself, of which the verifier knows nothing any more; see `Frame::forget`.
    #[inline(always)]
    fn forget(&self, number: u32) -> u32 {
        number
    }

    /// The header's settings.
    #[inline(always)]
    fn flags(&self) -> Option<Flags> {
        self.word(header::FLAGS as u32).map(Flags)
    }

    /// Whether the image was on trial and nobody has confirmed it in time; the clock is only asked about one on trial.
    #[inline(always)]
    fn is_past_trial(&self, now: impl FnOnce() -> u64) -> bool {
        if !self.flags().is_some_and(Flags::is_on_trial) {
            return false;
        }
        let word = |at: usize| self.word(at as u32).map_or(0, u64::from);
        let ends = word(header::TRIAL_ENDS) | word(header::TRIAL_ENDS + 1) << 32;
        now() >= ends
    }

    /// Whether traffic to this port is exempt, by the services section that starts at this line.
    #[inline(always)]
    fn exemption(&self, section: u32, port: u16) -> Option<Exemption> {
        let word = self.word((section << LINE_SHIFT).wrapping_add(u32::from(port >> 4)))?;
        Some(match (word >> ((u32::from(port) & 15) * 2)) & 3 {
            1 => Exemption::Mail,
            2 => Exemption::Service,
            3 => Exemption::Protected,
            _ => Exemption::None,
        })
    }

    /// The position of the class of the longest prefix that holds the address.
    #[inline(always)]
    fn class_lookup(&self, address: &Address) -> Option<u32> {
        let [high, low] = address.words();
        let leaf = if address.is_v6() {
            walk::<_, NODES_V6_HIGH, NODES_V6_LOW>(self, ROOT_V6_LINE as u32, high, low)?
        } else {
            walk::<_, NODES_V4, 0>(self, ROOT_V4_LINE as u32, high, 0)?
        };
        // What comes next need not know how the walk went.
        let leaf = self.forget(leaf);
        let mark = Mark::of(address);
        if leaf & (mark.in_leaf() | FAR) == 0 {
            return Some(class_position(leaf));
        }
        // Only here, where few come, are the two sorts of leaves told from each other.
        let class = self.forget(class_position(self.forget(leaf)));
        let host = self.forget(hosts::find(self, address, mark));
        Some(if host == 0 { class } else { host })
    }

    /// The position of the zone of the longest prefix that holds the address, in an image that has zones.
    #[inline(always)]
    fn zone_lookup(&self, address: &Address) -> Option<u32> {
        let [high, low] = address.words();
        let leaf = if address.is_v6() {
            let root = self.word(header::DESTINATIONS_V6 as u32)?;
            walk::<_, NODES_V6_HIGH, NODES_V6_LOW>(self, root, high, low)?
        } else {
            let root = self.word(header::DESTINATIONS_V4 as u32)?;
            walk::<_, NODES_V4, 0>(self, root, high, 0)?
        };
        Some(leaf & POSITION)
    }

    /// The class stored at a position that a look-up gave.
    #[inline(always)]
    fn class_at(&self, position: u32) -> Option<Class> {
        self.word(position).map(Class::from_word)
    }
}

/// Walks from a root to a leaf; `high` and `low` are the address, left-aligned in 128 bits. No node takes bits of both.
#[inline(always)]
fn walk<W: Words + ?Sized, const NODES_HIGH: u32, const NODES_LOW: u32>(
    words: &W,
    root: u32,
    high: u64,
    low: u64,
) -> Option<u32> {
    let first = (root << LINE_SHIFT).wrapping_add((high >> (64 - ROOT_BITS)) as u32);
    let entry = words.word(first)?;
    let entry = descend::<_, NODES_HIGH>(words, entry, high << ROOT_BITS, 64 - ROOT_BITS)?;
    let entry = words.forget(descend::<_, NODES_LOW>(words, entry, low, 64)?);
    if entry & LEAF == 0 {
        None
    } else if entry & TAIL == 0 {
        Some(entry)
    } else if NODES_LOW == 0 || entry & SKIP != 0 {
        short_tail(words, entry, high)
    } else {
        long_tail(words, entry & POSITION, high, low)
    }
}

/// The leaf of an address by the short tail that an entry names.
#[inline(always)]
fn short_tail<W: Words + ?Sized>(words: &W, entry: u32, high: u64) -> Option<u32> {
    let at = entry & POSITION & !SKIP;
    let [_, _, _, _, _, _, _, _, starts @ .., _] = words.line(at)?;
    let starts: [u32; SHORT_STEPS] = starts;
    // With a bit above the 32 that are told apart, which a subtraction takes away if it is of something greater. By
    // arithmetic, because a comparison is a branch, and the verifier follows both ways of each.
    let told_apart = high << ((entry & SKIP) * NODE_BITS) >> 32 | 1 << 32;
    let mut leaf = at;
    for start in starts {
        let is_reached = told_apart.wrapping_sub(u64::from(start)) >> 32;
        leaf = leaf.wrapping_add(is_reached as u32);
    }
    words.word(leaf)
}

/// The leaf of an address by the long tail that starts at this word.
#[inline(always)]
fn long_tail<W: Words + ?Sized>(words: &W, at: u32, high: u64, low: u64) -> Option<u32> {
    let mut leaf = at.wrapping_add(LONG_STEPS as u32);
    for step in 0..LONG_STEPS {
        let [one, two, three, four] =
            words.quad(at.wrapping_add((LONG_STEPS + 1 + 4 * step) as u32))?;
        let start_high = u64::from(one) << 32 | u64::from(two);
        let start_low = u64::from(three) << 32 | u64::from(four);
        let is_below = borrow(high, start_high, borrow(low, start_low, 0));
        leaf = leaf.wrapping_sub(is_below as u32);
    }
    words.word(leaf)
}

/// What a subtraction of words borrows from the next one. By arithmetic, because a comparison is a branch, and the
/// verifier follows both ways of each.
#[inline(always)]
const fn borrow(from: u64, word: u64, borrowed: u64) -> u64 {
    let difference = from.wrapping_sub(word).wrapping_sub(borrowed);
    ((!from & word) | ((!from | word) & difference)) >> 63
}

/// Follows nodes down to a leaf, or until these left-aligned bits of an address are used up.
#[inline(always)]
fn descend<W: Words + ?Sized, const NODES: u32>(
    words: &W,
    mut entry: u32,
    mut address: u64,
    mut left: u32,
) -> Option<u32> {
    for _ in 0..NODES {
        let Some(node) = Node::of(entry) else { break };
        if left == 0 {
            break;
        }
        let value = address.wrapping_shr(node.shift()) as u32;
        entry = words.word(node.position().wrapping_add(value))?;
        // A node of a damaged image may say any number of bits; these then wrap, and lead astray within the image.
        address = address.wrapping_shl(node.bits());
        left = left.wrapping_sub(node.bits());
    }
    Some(entry)
}

impl Words for &[u32] {
    #[inline(always)]
    fn word(&self, at: u32) -> Option<u32> {
        self.get(at as usize).copied()
    }
}

impl Words for &[Line] {
    #[inline(always)]
    fn word(&self, at: u32) -> Option<u32> {
        self.get(at as usize / LINE_WORDS)?
            .get(at as usize % LINE_WORDS)
            .copied()
    }
}
