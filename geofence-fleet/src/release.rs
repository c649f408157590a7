//! A release: which content a policy, a list or a database has from now on, and on which nodes.
//!
//! A release reaches the nodes in waves. Each node has a position that follows from its name and the content, and a
//! release has a limit: nodes whose position is below it take the release. So a wave is one number, whatever the size
//! of the fleet, and which node comes first differs from release to release.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::keys::{Name, Subject};
use crate::signature::{SigningKey, VerifyKey};

/// A content by its digest, and where else than in the engine it is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub sha256: String,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// How nodes try a policy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// After how many seconds the kernel returns to the policy before, unless the node confirms.
    pub confirm_within: u64,
    /// For how many seconds a node watches itself before it confirms.
    pub observe: u64,
    /// The least share of the usual packets of each reason that must still pass; 0 does not look at packets.
    pub band: f64,
}

/// How long a node needs at least between the end of its observation and the end of the trial.
const MARGIN: u64 = 15;

/// A trial that no node takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTrial {
    #[error(
        "the time to confirm must be at least {MARGIN} s longer than the time to observe, and {} s at most",
        Trial::LONGEST
    )]
    Times,
    #[error("the band is a number from 0 to 1, such as 0.5")]
    Band,
}

impl Trial {
    /// The longest trial, in seconds.
    pub const LONGEST: u64 = 3600;

    /// The trial of what is no policy: nodes take it if the daemon does.
    pub const NONE: Self = Self {
        confirm_within: 60,
        observe: 0,
        band: 0.0,
    };

    /// The trial of a policy.
    ///
    /// # Errors
    /// When nodes would refuse it.
    pub fn new(confirm_within: Duration, observe: Duration, band: f64) -> Result<Self, BadTrial> {
        let (confirm_within, observe) = (confirm_within.as_secs(), observe.as_secs());
        if confirm_within < observe.saturating_add(MARGIN) || confirm_within > Self::LONGEST {
            return Err(BadTrial::Times);
        }
        if !(0.0..=1.0).contains(&band) {
            return Err(BadTrial::Band);
        }
        Ok(Self {
            confirm_within,
            observe,
            band,
        })
    }
}

/// Why a release went no further.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The node that failed, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    pub why: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "{node}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// A release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// Increases with each release of a subject.
    pub revision: u64,
    pub content: Content,
    /// Whether nodes may take it although they have had a later content.
    #[serde(default)]
    pub is_rollback: bool,
    /// The signature of all this.
    pub signature: String,
    /// Nodes with a position below it take the release. Zero is none, and the largest number is all.
    pub limit: u64,
    pub trial: Trial,
    pub owner: String,
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stop>,
    /// The content before this one, to return to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Content>,
}

/// A limit that every node is below.
pub const ALL: u64 = u64::MAX;

impl Content {
    /// How long a node may try to get it.
    #[must_use]
    pub fn fetch_max(&self) -> Duration {
        if self.urls.is_empty() {
            Duration::ZERO
        } else {
            Duration::from_secs(300)
        }
    }

    /// The content of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8], urls: Vec<String>) -> Self {
        Self {
            sha256: digest(bytes),
            size: bytes.len() as u64,
            urls,
        }
    }
}

/// The SHA-256 of bytes, in hexadecimal.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Release {
    /// What is signed.
    fn signed_text(&self, fleet: &Name, subject: &Subject) -> String {
        let Content { sha256, size, .. } = &self.content;
        let (path, revision) = (subject.path(), self.revision);
        let way = if self.is_rollback { "back" } else { "on" };
        let Trial {
            confirm_within,
            observe,
            band,
        } = self.trial;
        let limit = self.limit;
        format!(
            "geofence-fleet release 1\n{fleet}\n{path}\n{revision}\n{sha256}\n{size}\n{way}\n{limit}\n\
             {confirm_within}\n{observe}\n{band}\n"
        )
    }

    /// With a signature.
    #[must_use]
    pub fn signed(mut self, fleet: &Name, subject: &Subject, key: &SigningKey) -> Self {
        self.signature = key.sign(&self.signed_text(fleet, subject));
        self
    }

    /// Refuses a release that was not signed, or is older than what a node has had.
    ///
    /// # Errors
    /// Why, in a sentence.
    pub fn check(
        &self,
        fleet: &Name,
        subject: &Subject,
        key: &VerifyKey,
        had: u64,
    ) -> Result<(), String> {
        if !key.verifies(&self.signed_text(fleet, subject), &self.signature) {
            return Err(format!(
                "the signature of revision {} does not match the fleet's key",
                self.revision
            ));
        }
        let Trial {
            confirm_within,
            observe,
            ..
        } = self.trial;
        if confirm_within > Trial::LONGEST || observe > confirm_within {
            return Err(format!(
                "revision {} has a trial of {confirm_within} s with {observe} s of observation",
                self.revision
            ));
        }
        if self.revision < had {
            return Err(format!(
                "revision {} is older than revision {had}, which this node has already taken",
                self.revision
            ));
        }
        Ok(())
    }

    /// Whether a node is to take it.
    #[must_use]
    pub fn includes(&self, node: &Name) -> bool {
        self.limit == ALL || position(node, &self.content.sha256) < self.limit
    }
}

/// The position of a node in the waves of a content.
#[must_use]
pub fn position(node: &Name, sha256: &str) -> u64 {
    let digest = Sha256::digest(format!("{node}\n{sha256}"));
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first)
}

/// The limits of the waves for these nodes, and how many of them each wave includes: one node, 1 %, 10 %, all.
#[must_use]
pub fn waves(nodes: &[Name], sha256: &str) -> Vec<(u64, usize)> {
    let mut positions: Vec<u64> = nodes.iter().map(|node| position(node, sha256)).collect();
    positions.sort_unstable();
    let mut waves: Vec<(u64, usize)> = Vec::new();
    for count in [1, nodes.len().div_ceil(100), nodes.len().div_ceil(10)] {
        let is_wave = count < nodes.len() && waves.last().is_none_or(|(_, last)| *last < count);
        if let (true, Some(last)) = (is_wave, positions.get(count.saturating_sub(1))) {
            waves.push((last.saturating_add(1), count));
        }
    }
    waves.push((ALL, nodes.len()));
    waves
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::signature;

    fn release() -> Release {
        Release {
            revision: 7,
            content: Content::of(b"text", Vec::new()),
            is_rollback: false,
            signature: String::new(),
            limit: 0,
            trial: Trial {
                confirm_within: 60,
                observe: 10,
                band: 0.5,
            },
            owner: "a".to_owned(),
            reason: "b".to_owned(),
            stopped: None,
            before: None,
        }
    }

    fn names(count: usize) -> Vec<Name> {
        let names = (0..count).map(|number| format!("edge{number}"));
        names.filter_map(|name| name.parse().ok()).collect()
    }

    #[test]
    fn signature_covers_the_fleet_the_subject_the_revision_the_content_and_the_way() {
        let place = tempfile::tempdir().unwrap();
        let (private, public) = signature::generate().unwrap();
        let (signing, verify) = (place.path().join("key"), place.path().join("pub"));
        fs::write(&signing, private).unwrap();
        fs::write(&verify, public).unwrap();
        let key = SigningKey::load(&signing).unwrap();
        let verify = VerifyKey::load(&verify).unwrap();
        let (fleet, subject) = (Name::fixed("main"), Subject::Policy(Name::fixed("a")));
        let signed = release().signed(&fleet, &subject, &key);
        assert_eq!(signed.check(&fleet, &subject, &verify, 7), Ok(()));
        assert!(signed.check(&fleet, &subject, &verify, 8).is_err());
        assert!(
            signed
                .check(&Name::fixed("x"), &subject, &verify, 0)
                .is_err()
        );
        let other = Subject::List(Name::fixed("a"));
        assert!(signed.check(&fleet, &other, &verify, 0).is_err());
        for change in [
            |one: &mut Release| one.revision = 8,
            |one: &mut Release| one.content.sha256.push('0'),
            |one: &mut Release| one.content.size += 1,
            |one: &mut Release| one.is_rollback = true,
            |one: &mut Release| one.limit = ALL,
            |one: &mut Release| one.trial.observe = 0,
            |one: &mut Release| one.trial.band = 0.0,
        ] {
            let mut changed = signed.clone();
            change(&mut changed);
            assert!(changed.check(&fleet, &subject, &verify, 0).is_err());
        }
    }

    #[test]
    fn waves_of_fleets() {
        for (nodes, expected) in [
            (0, &[0][..]),
            (1, &[1]),
            (2, &[1, 2]),
            (5, &[1, 5]),
            (11, &[1, 2, 11]),
            (100, &[1, 10, 100]),
            (250, &[1, 3, 25, 250]),
        ] {
            let counts: Vec<_> = waves(&names(nodes), "x").iter().map(|one| one.1).collect();
            assert_eq!(counts, expected, "{nodes}");
        }
    }

    proptest! {
        #[test]
        fn wave_includes_as_many_nodes_as_it_says_and_all_of_the_wave_before(
            count in 1_usize..400, content in "[a-z]{1,8}"
        ) {
            let nodes = names(count);
            let mut one = release();
            one.content.sha256 = content;
            let mut before: Vec<Name> = Vec::new();
            for (limit, expected) in waves(&nodes, &one.content.sha256) {
                one.limit = limit;
                let included: Vec<Name> =
                    nodes.iter().filter(|node| one.includes(node)).cloned().collect();
                prop_assert_eq!(included.len(), expected);
                prop_assert!(before.iter().all(|node| included.contains(node)));
                before = included;
            }
            prop_assert_eq!(before.len(), count);
        }
    }
}
