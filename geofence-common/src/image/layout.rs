//! The layout of the policy image: one flat block of 32-bit words. Userspace writes it, both sides read it.
//!
//! ```text
//! line 0              header: what most packets need, and what identifies the image
//! line 1              header: positions of optional sections
//! line 2              header: times and counts
//! line 3    ..  259   TCP port rules, two bits a port
//! line 259  ..  515   UDP port rules, two bits a port
//! line 515  .. 4611   IPv4 root, one entry for each value of the first 16 bits
//! line 4611 .. 8707   IPv6 root, likewise
//! line 8707 ..        class table, then in any order trie nodes and what the policy needs: host table, exceptions and
//!                     the pairs that lead to them, sets of lists, destination policies with their port rules and roots
//! ```
//!
//! A line is 16 words, one cache line. Trie nodes and leaves are described in `node`, records in `class_record` and
//! `destination`. All positions are absolute, so a look-up needs no header and each step is one array access.
//! docs/image-format.md has drawings and examples.

/// Words in a line.
pub const LINE_WORDS: usize = 16;

/// A line number shifted left by this is the position of its first word.
pub const LINE_SHIFT: u32 = LINE_WORDS.trailing_zeros();

/// A line as the kernel's array holds it.
pub type Line = [u32; LINE_WORDS];

/// The first word of every image: "GFPI".
pub const MAGIC: u32 = 0x4746_5049;

/// The layout described above; any change to the meaning of a word is a new number.
pub const LAYOUT: u32 = 9;

/// Words of the header, by position.
pub mod header {
    pub const MAGIC: usize = 0;
    pub const LAYOUT: usize = 1;
    pub const GENERATION: usize = 2;
    pub const FLAGS: usize = 3;
    /// When the image was compiled, seconds since 1970, low word then high word.
    pub const COMPILED: usize = 4;
    /// The word where the host table starts, and its lines.
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
    /// When the trial of an image expires, nanoseconds since boot, low word then high word.
    pub const TRIAL_ENDS: usize = 14;
    /// The lines of the roots of destinations.
    pub const DESTINATIONS_V4: usize = 16;
    pub const DESTINATIONS_V6: usize = 17;
    /// The line where the pairs start, and the number of lines that a hash selects from.
    pub const PAIRS: usize = 18;
    pub const PAIR_LINES: usize = 19;
    /// The word where the exceptions start, and how many there are.
    pub const EXCEPTIONS: usize = 20;
    pub const EXCEPTION_COUNT: usize = 21;
    /// Packets a second that one source may send to exempted services.
    pub const RATE_LIMIT: usize = 22;
    /// How many tenants there are.
    pub const TENANTS: usize = 23;
    /// One moment on two clocks, nanoseconds since boot and seconds since 1970, which converts deadlines after a
    /// reboot. Low word then high word each.
    pub const MOMENT_BOOT: usize = 24;
    pub const MOMENT: usize = 28;
    /// Identifies that boot.
    pub const BOOT_ID: usize = 27;
    /// How many trie nodes there are.
    pub const NODES: usize = 26;
    /// The word where the sets of lists start.
    pub const LISTS: usize = 30;
    /// When the GeoIP data was built, seconds since 1970, low word then high word.
    pub const DATA_BUILT: usize = 32;
}

/// Lines of one protocol's port rules.
pub const SERVICES_LINES: usize = 65_536 * 2 / 32 / LINE_WORDS;

/// Lines of one family's root.
pub const ROOT_LINES: usize = 65_536 / LINE_WORDS;

/// Words of a class record: the class, the group of prefixes that exceptions name, the set of lists, one spare.
pub const CLASS_WORDS: usize = 4;

/// Words of a class record, by position.
pub mod class_record {
    pub const CLASS: u32 = 0;
    /// The key of the group of prefixes that exceptions name, 0 for none.
    pub const GROUP: u32 = 1;
    /// The word where the set of lists starts, 0 for none; see `crate::image::list_set`.
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
