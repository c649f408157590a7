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
    pub const RATE_LIMIT: usize = 22;
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

/// Lines of one protocol's services.
pub const SERVICES_LINES: usize = 65_536 * 2 / 32 / LINE_WORDS;

/// Lines of one family's root.
pub const ROOT_LINES: usize = 65_536 / LINE_WORDS;

/// Words of a class's record: the class, the group of prefixes it is excepted by, the lists it is on, one spare.
pub const CLASS_WORDS: usize = 4;

/// Words of a class's record, by position.
pub mod class_record {
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
