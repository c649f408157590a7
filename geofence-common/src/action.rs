//! `Action`, what happens to a packet, and `Reason`, why: the closed, numbered list of all outcomes.
//!
//! A number is never reused: counters, recorded metrics and `explain` refer to reasons by it. To add a reason, add a
//! line to the macro below; the exhaustive matches elsewhere then ask what it means to them. This file imports nothing.

/// How many reasons the counters have room for: a power of two, so that the kernel can mask an index.
pub const REASONS_MAX: usize = 64;

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Pass,
    Drop,
}

impl Action {
    /// The spelling used in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Drop => "drop",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $action:ident;)+) => {
        /// Why a packet was passed or dropped. Every packet ends in exactly one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason { $($(#[doc = $doc])+ $variant = $number,)+ }

        impl Reason {
            /// Every reason, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The spelling used in metrics, JSON and the documentation.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What this reason does to the packet in enforce mode. Monitor mode passes every packet.
            #[must_use]
            pub const fn action(self) -> Action {
                match self { $(Self::$variant => Action::$action,)+ }
            }

            /// The reason with this number, if one has it.
            #[must_use]
            #[inline(always)]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// The meaning of the reason, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    /// Not IP and no encapsulation of IP: ARP, LLDP, 802.2 frames and the like.
    NonIp = 0, "non_ip", Pass;
    /// Traffic that keeps the link itself alive: neighbour discovery, MLD, DHCP, IGMP, OSPF, VRRP.
    LinkControl = 1, "link_control", Pass;
    /// The source is one of the operator's management prefixes.
    Management = 2, "management", Pass;
    /// The source is in the allow list.
    Allowed = 3, "allowed", Pass;
    /// The source's country is not blocked.
    CountryAllowed = 4, "country_allowed", Pass;
    /// No database knows the source's country, and the policy lets unknown countries pass.
    CountryUnknown = 5, "country_unknown", Pass;
    /// The source is special-use space (RFC 6890), which belongs to no country.
    SpecialUse = 6, "special_use", Pass;
    /// From a blocked country, but addressed to a mail port over TCP.
    Mail = 7, "mail", Pass;
    /// From a blocked country, but addressed to a service the policy exempts.
    Service = 8, "service", Pass;
    /// No policy image is in place; the filter passes rather than cut the machine off.
    NoPolicy = 9, "no_policy", Pass;
    /// From a blocked country, in reply to what our side sent there: the exact flow is tracked.
    Reply = 10, "reply", Pass;
    /// An ICMP error by a router of a blocked country about a tracked flow or an exempted service of ours.
    IcmpError = 11, "icmp_error", Pass;
    /// From a blocked country, a later fragment of a datagram whose first fragment passed.
    Fragment = 12, "fragment", Pass;
    /// An exception for this source, destination and service lets the packet pass.
    Exception = 13, "exception", Pass;
    /// The source is one of those that may reach this protected port.
    ProtectedAccess = 14, "protected_access", Pass;

    /// An encapsulation that is not read and may carry IP packets: MPLS, MACsec, batman-adv, NSH and their like.
    Encapsulated = 15, "encapsulated", Pass;

    /// The IPv4 header cannot be read: version, header length or total length is wrong.
    MalformedIpv4 = 16, "malformed_ipv4", Drop;
    /// The IPv6 header cannot be read: version or payload length is wrong.
    MalformedIpv6 = 17, "malformed_ipv6", Drop;
    /// More VLAN tags than the two that are read, so the source is unknown.
    TooManyTags = 18, "too_many_tags", Drop;
    /// An IPv4-mapped or IPv4-compatible IPv6 source, which may not appear on a wire.
    Mapped = 19, "mapped", Drop;
    /// The source is in the deny list, or on a list that blocks what comes from there.
    Denied = 20, "denied", Drop;
    /// The source is special-use space and the policy drops it.
    SpecialUseBlocked = 21, "special_use_blocked", Drop;
    /// The source's country is blocked and nothing exempts the packet.
    CountryBlocked = 22, "country_blocked", Drop;
    /// No database knows the source's country, and the policy drops unknown countries.
    CountryUnknownBlocked = 23, "country_unknown_blocked", Drop;
    /// From a blocked country, and its transport header is cut short or contradicts itself.
    MalformedTransport = 24, "malformed_transport", Drop;
    /// From a blocked country, and its IPv6 extension headers are too many, out of order or cut short.
    ExtensionHeaders = 25, "extension_headers", Drop;
    /// From a blocked country, a first fragment that ends before its transport header does (RFC 7112, RFC 1858).
    ShortFirstFragment = 26, "short_first_fragment", Drop;
    /// From a blocked country, a later fragment; nothing shows that it belongs to an accepted datagram.
    LaterFragment = 27, "later_fragment", Drop;
    /// From a blocked country, with a second IPv6 fragment header.
    DoubleFragment = 28, "double_fragment", Drop;
    /// From a blocked country, with a source-route or record-route option or a live routing header (RFC 7126).
    SourceRoute = 29, "source_route", Drop;
    /// From a blocked country, shaped like a reply to mail or DNS; our side has not asked.
    UnprovenReply = 30, "unproven_reply", Drop;
    /// From a blocked country, an ICMP error; what it quotes is no tracked flow and no exempted service of ours.
    UnprovenIcmpError = 31, "unproven_icmp_error", Drop;
    /// From a blocked country, a later fragment that starts inside the first one (RFC 1858, RFC 5722).
    OverlappingFragment = 32, "overlapping_fragment", Drop;
    /// To a port that only named sources may reach, or to a host with such ports and hiding which port it is for.
    ProtectedService = 33, "protected_service", Drop;
    /// From a blocked country to an exempted service; the source has sent more than one may.
    RateLimit = 34, "pressure", Drop;
    /// A packet that leaves, to an address on a list that blocks what goes there.
    ListedDestination = 35, "listed_destination", Drop;
    /// The source is banned for a time.
    Banned = 36, "banned", Drop;
}

/// Whether drops are enforced or only counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    Monitor,
}

/// The direction of a packet, seen from this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    In = 0,
    Out = 1,
}

impl Direction {
    pub const ALL: [Self; 2] = [Self::In, Self::Out];

    /// The spelling used in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// Counters of one country: one for each reason and action.
pub const COUNTERS: usize = 2 * REASONS_MAX;

/// The position of a counter: passed packets first, then dropped ones.
#[must_use]
pub const fn counter(reason: Reason, action: Action) -> usize {
    let base = match action {
        Action::Pass => 0,
        Action::Drop => REASONS_MAX,
    };
    (base | reason as usize) & (COUNTERS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_distinct_names_numbers_and_counters() {
        for (at, one) in Reason::ALL.iter().enumerate() {
            assert!((*one as usize) < REASONS_MAX);
            assert_eq!(Reason::from_number(*one as u8), Some(*one));
            for other in &Reason::ALL[at + 1..] {
                assert_ne!(one.name(), other.name());
                assert_ne!(counter(*one, Action::Drop), counter(*other, Action::Drop));
            }
            assert_ne!(counter(*one, Action::Pass), counter(*one, Action::Drop));
        }
    }
}
