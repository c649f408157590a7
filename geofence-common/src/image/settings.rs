//! Settings that an image holds: the header's flags, which replies pass, and the rule of a port.

use crate::action::{Direction, Mode};
use crate::opaque::opaque;

/// Bits of the header's flags.
pub mod flag {
    /// Count what would be dropped and pass it.
    pub const MONITOR: u32 = 1;
    /// Drop sources in special-use space.
    pub const SPECIAL_USE_BLOCKED: u32 = 1 << 1;
    /// Pass ICMP echo requests from blocked countries.
    pub const ICMP_ECHO: u32 = 1 << 2;
    /// The kernel's tries of the second slot belong to this image.
    pub const SECOND_SLOT: u32 = 1 << 3;
    /// Pass replies to mail and DNS that our side asked for.
    pub const REPLIES_MAIL: u32 = 1 << 4;
    /// Pass replies to all flows that our side opened.
    pub const REPLIES_ALL: u32 = 1 << 5;
    /// Track HTTPS to a blocked country as mail, for MTA-STS policies.
    pub const MTA_STS: u32 = 1 << 6;
    /// The image is on trial: it expires, and the previous one becomes active again.
    pub const TRIAL: u32 = 1 << 7;
    /// There are tenants, so every destination is looked up.
    pub const TENANTS: u32 = 1 << 8;
    /// There are exceptions for some destinations only, so the destination of a packet from an excepted source is
    /// looked up.
    pub const TARGETS: u32 = 1 << 9;
    /// There are exceptions for every destination.
    pub const ANYWHERE: u32 = 1 << 10;
    /// There are exceptions.
    pub const EXCEPTIONS: u32 = 1 << 11;
    /// Some ports are protected.
    pub const PROTECTED: u32 = 1 << 12;
    /// Sources are rate-limited at exempted services.
    pub const RATE_LIMIT: u32 = 1 << 13;
    /// Some lists cover packets that leave, so the destination of every such packet is looked up.
    pub const LISTS_OUT: u32 = 1 << 14;
    /// There are third-party lists.
    pub const LISTS: u32 = 1 << 15;
    /// There is a host table.
    pub const HOSTS: u32 = 1 << 16;
    /// Frames that are dropped, or would be in monitor mode, are observed. This flag and the next are no part of the
    /// policy: the daemon sets and clears them in the image that filters.
    pub const OBSERVE_DROPS: u32 = 1 << 17;
    /// Frames that pass are observed.
    pub const OBSERVE_PASSES: u32 = 1 << 18;
    /// What is observed.
    pub const OBSERVE: u32 = OBSERVE_DROPS | OBSERVE_PASSES;
    /// What only the programs with rules can judge.
    pub const RULES: u32 = TENANTS
        | TARGETS
        | ANYWHERE
        | EXCEPTIONS
        | PROTECTED
        | RATE_LIMIT
        | LISTS_OUT
        | LISTS
        | HOSTS;
    /// What concerns every packet that enters. Each other rule concerns some, and the fast path tells which.
    pub const EVERY_PACKET_IN: u32 = TENANTS | OBSERVE;
    /// What concerns packets that leave.
    pub const RULES_OUT: u32 = TENANTS | LISTS_OUT | HOSTS;
}

/// The settings in the header that a verdict depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

opaque!(Flags { 0 });

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

    /// The same flags, with replies to mail and DNS where no replies pass.
    #[must_use]
    #[inline(always)]
    pub const fn at_least_mail(self) -> Self {
        match self.replies() {
            Replies::None => Self(self.0 | flag::REPLIES_MAIL),
            Replies::Mail | Replies::All => self,
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

    /// Whether only a program with rules can judge some packets of this direction: by the policy, or because they are
    /// observed.
    #[must_use]
    #[inline(always)]
    pub const fn need_rules(self, direction: Direction) -> bool {
        self.has(match direction {
            Direction::In => flag::RULES | flag::OBSERVE,
            Direction::Out => flag::RULES_OUT,
        })
    }

    /// Whether rules concern every packet that enters, so that the fast path would judge none.
    #[must_use]
    #[inline(always)]
    pub const fn concern_every_packet(self) -> bool {
        self.has(flag::EVERY_PACKET_IN)
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

/// Which packets of our side get replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replies {
    None,
    /// Mail, and the DNS look-ups that mail needs.
    Mail,
    All,
}

/// The rule for a local port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PortRule {
    None = 0,
    Mail = 1,
    Service = 2,
    /// Only named sources may reach the port.
    Protected = 3,
}
