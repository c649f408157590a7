//! Which of the peers that this machine depends on a policy would cut off.

use std::fmt;

use geofence_common::action::{Action, Reason};
use geofence_common::decide::Verdict;

use super::dependency::{Dependency, Need};
use crate::explain::{explain, explain_egress};
use crate::model::countries;
use crate::model::policy::{self, Policy};

/// A peer that the policy would cut off, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOff {
    pub dependency: Dependency,
    pub verdict: Verdict,
}

/// Which replies will pass although the check sees them dropped, because the kernel remembers what this machine sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// Replies of resolvers to queries.
    pub dns: bool,
    /// ICMP errors about packets.
    pub errors: bool,
    /// Packets of connections that this machine has opened.
    pub connections: bool,
}

impl Replies {
    /// What the policy has the kernel remember.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self {
            dns: policy.replies != policy::Replies::None,
            errors: policy.replies == policy::Replies::All,
            connections: policy.replies == policy::Replies::All,
        }
    }

    fn pass(self, need: Need, reason: Reason) -> bool {
        let is_remembered = match need {
            Need::Resolver => self.dns,
            Need::Fleet { .. } => self.connections,
            Need::Ssh { .. } | Need::Gateway | Need::Metadata => false,
        };
        (reason == Reason::UnprovenReply && is_remembered)
            || (reason == Reason::UnprovenIcmpError && self.errors)
    }
}

/// The peers that an image, given by its words, would cut off.
#[must_use]
pub fn cut_off(dependencies: &[Dependency], words: &[u32], replies: Replies) -> Vec<CutOff> {
    let check = |dependency: &Dependency| {
        let [incoming, outgoing] = dependency.packets()?;
        let (egress, _) = explain_egress(&outgoing, words);
        let (ingress, _) = explain(&incoming, words);
        let is_dropped = |verdict: &Verdict| verdict.action == Action::Drop;
        let listed = egress.list_verdict().filter(is_dropped);
        let verdict = listed.or_else(|| {
            Some(ingress)
                .filter(is_dropped)
                .filter(|verdict| !replies.pass(dependency.need, verdict.reason))
        })?;
        Some(CutOff {
            dependency: *dependency,
            verdict,
        })
    };
    dependencies.iter().filter_map(check).collect()
}

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: dropped as {}, country {}",
            self.dependency,
            self.verdict.reason.name(),
            countries::described(self.verdict.country)
        )
    }
}

/// A policy would cut off peers that this machine depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockout(pub Vec<CutOff>);

impl std::error::Error for Lockout {}

impl fmt::Display for Lockout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this policy would cut off what this machine depends on:")?;
        let mut addresses: Vec<String> = Vec::new();
        for one in &self.0 {
            write!(f, "\n  {one}")?;
            let address = format!("\"{}\"", one.dependency.address);
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        write!(
            f,
            "\nAllow them with management = [{}] in the configuration, or apply the policy anyway with --force",
            addresses.join(", ")
        )
    }
}
