//! The words of the settings of a policy.

use geofence_common::action::Mode;

use super::policy::{Action, CrossCheckRule, Lookup, Mail, MailDns, Replies};
use super::word::Word;

impl Word for Mode {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        ("enforce", Self::Enforce, "drop what the policy drops"),
        (
            "monitor",
            Self::Monitor,
            "pass everything and count what enforce would have dropped",
        ),
    ];
}

impl Word for CrossCheckRule {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "any",
            Self::Any,
            "what either database has in a blocked country is blocked",
        ),
        (
            "all",
            Self::All,
            "only what both databases have in a blocked country is blocked",
        ),
    ];
}

impl Word for Lookup {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "array-trie",
            Self::ArrayTrie,
            "the trie inside the policy image, the fast one",
        ),
        (
            "lpm-trie",
            Self::LpmTrie,
            "the kernel's longest-prefix trie, the reference",
        ),
    ];
}

impl Word for Mail {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "full",
            Self::Full,
            "transfer, submission and access: 25, 465, 587, 143, 993, 110 and 995",
        ),
        ("mta", Self::Mta, "transfer between servers only: 25"),
        (
            "off",
            Self::Off,
            "no mail port is open to blocked countries",
        ),
    ];
}

impl Word for MailDns {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "auto",
            Self::Auto,
            "they pass where mail is open and a name server of this machine listens on a protected address",
        ),
        ("on", Self::On, "they pass"),
        (
            "off",
            Self::Off,
            "they are dropped, unless `services` has the port",
        ),
    ];
}

impl Word for Replies {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "mail",
            Self::Mail,
            "to mail our side sends (TCP 25, 465, 587) or fetches (110, 143, 993, 995), and to DNS (53, 853)",
        ),
        (
            "all",
            Self::All,
            "to every TCP, UDP and echo exchange that our side opens",
        ),
        (
            "none",
            Self::None,
            "to nothing; mail to a blocked country does not get through",
        ),
    ];
}

impl Word for Action {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        ("pass", Self::Pass, "the packet passes"),
        ("drop", Self::Drop, "the packet is dropped"),
    ];
}
