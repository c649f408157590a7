//! What a node says of itself, as the kernel and the daemon there have it.

use std::collections::BTreeMap;

use geofence_user::model::units::UnixSeconds;
use serde::{Deserialize, Serialize};

use crate::keys::{Name, Subject};
use crate::release::Release;

/// How far a node is with a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Progress {
    /// Its content is in use.
    Active,
    /// It is on trial.
    Trying,
    /// It was tried, or could not be, and the content before is in use.
    Failed,
    /// It was refused before its content was read.
    Refused,
}

impl Progress {
    /// The word that people read.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Trying => "trying",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// A node's release of a policy, a list or a database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseStatus {
    pub revision: u64,
    pub sha256: String,
    pub progress: Progress,
    /// Why it is not active: the gate that it failed, and the figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub node: Name,
    /// The group that the operator has put it in; a node's own word does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Name>,
    /// The version of the agent.
    pub version: String,
    /// The engine's revision up to which the node does what the fleet wants.
    pub revision: i64,
    pub since: UnixSeconds,
    /// What the daemon says; nothing while none answers.
    pub filter: Option<FilterStatus>,
    /// Why the daemon does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon_error: Option<String>,
    /// How many exceptions and bans of the fleet are in force.
    pub exceptions: usize,
    pub bans: usize,
    /// Those that the daemon has refused, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
    /// By subject: `policy/default`.
    pub releases: BTreeMap<String, ReleaseStatus>,
}

/// What the daemon of a node says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilterStatus {
    pub version: String,
    pub mode: String,
    pub policy_hash: String,
    pub generation: u64,
    /// Interfaces that are protected, and those that are not.
    pub protected: Vec<String>,
    pub unprotected: Vec<String>,
    /// What else is missing.
    pub shortfalls: Vec<String>,
}

impl FilterStatus {
    /// Reads the daemon's answer.
    #[must_use]
    pub fn of(status: &serde_json::Value) -> Self {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let interfaces = status["interfaces"].as_array().into_iter().flatten();
        let (protected, unprotected): (Vec<_>, Vec<_>) =
            interfaces.partition(|one| one["protected"] == true);
        let names = |some: Vec<&serde_json::Value>| {
            some.into_iter()
                .map(|one| text(&one["interface"]))
                .collect()
        };
        let shortfalls = status["shortfalls"].as_array().into_iter().flatten();
        Self {
            version: text(&status["program_version"]),
            mode: text(&status["mode"]),
            policy_hash: text(&status["policy_hash"]),
            generation: status["generation"].as_u64().unwrap_or_default(),
            protected: names(protected),
            unprotected: names(unprotected),
            shortfalls: shortfalls.map(|one| text(&one["text"])).collect(),
        }
    }
}

/// What the engine has, by which nodes are measured.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// The revision of the last change that is for all nodes.
    pub latest: i64,
    pub releases: BTreeMap<Subject, Release>,
    pub is_frozen: bool,
}

impl NodeStatus {
    /// What the node says of a release: of this revision, and with this content.
    #[must_use]
    pub fn says_of(&self, subject: &Subject, release: &Release) -> Option<&ReleaseStatus> {
        let own = self.releases.get(&subject.path())?;
        let is_same = own.revision == release.revision && own.sha256 == release.content.sha256;
        is_same.then_some(own)
    }

    /// Why the node does not do all that the fleet wants, in sentences.
    #[must_use]
    pub fn lacks(&self, wants: &Wants) -> Vec<String> {
        let mut all = Vec::new();
        if self.revision < wants.latest {
            all.push(format!(
                "it has seen revision {} of {}",
                self.revision, wants.latest
            ));
        }
        match (&self.filter, &self.daemon_error) {
            (_, Some(error)) => all.push(format!("its daemon does not answer: {error}")),
            (None, None) => all.push("its daemon has not answered yet".to_owned()),
            (Some(filter), None) => {
                for interface in &filter.unprotected {
                    all.push(format!("{interface} is not protected"));
                }
                if filter.protected.is_empty() {
                    all.push("it protects no interface".to_owned());
                }
                all.extend(filter.shortfalls.iter().cloned());
            }
        }
        for (id, why) in &self.refused {
            all.push(format!("{id} is refused: {why}"));
        }
        all.extend(self.releases_that_failed());
        all.extend(self.releases_that_lack(wants));
        all
    }

    /// What the node itself says of releases that it does not use. Those of another group are of no account.
    fn releases_that_failed(&self) -> impl Iterator<Item = String> {
        let own = self.releases.iter().filter(|(path, one)| {
            let subject = Subject::parse(path);
            let is_followed = subject.is_some_and(|one| one.is_followed_in(self.group.as_ref()));
            is_followed && one.progress != Progress::Active
        });
        own.map(|(path, one)| {
            let why = one.why.as_deref().unwrap_or("no result yet");
            let (revision, progress) = (one.revision, one.progress.word());
            format!("{path} revision {revision} {progress}: {why}")
        })
    }

    /// Releases that have reached the node by its position in the waves, and of which it says nothing.
    fn releases_that_lack(&self, wants: &Wants) -> impl Iterator<Item = String> {
        let due = wants.releases.iter().filter(|(subject, release)| {
            let is_due = release.stopped.is_none() && release.includes(&self.node);
            is_due && subject.is_followed_in(self.group.as_ref())
        });
        due.filter_map(|(subject, release)| {
            if self.says_of(subject, release).is_some() {
                return None;
            }
            let path = subject.path();
            let own = self.releases.get(&path).map_or_else(
                || "it has none".to_owned(),
                |own| format!("it has revision {}", own.revision),
            );
            let frozen = if wants.is_frozen && !release.is_rollback {
                ", and the fleet is frozen"
            } else {
                ""
            };
            let revision = release.revision;
            Some(format!(
                "{path} revision {revision} is not in use: {own}{frozen}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::release::{ALL, Content, Stop, Trial, position};

    fn at(latest: i64) -> Wants {
        Wants {
            latest,
            ..Wants::default()
        }
    }

    #[test]
    fn node_lacks_what_it_says_and_nothing_else() {
        let daemon = json!({
            "program_version": "1", "mode": "enforce", "policy_hash": "h", "generation": 4,
            "interfaces": [
                {"interface": "eth0", "protected": true}, {"interface": "eth1", "protected": false}
            ],
            "shortfalls": [{"text": "the list a is empty"}],
        });
        let mut status = NodeStatus {
            node: Name::fixed("n"),
            group: Some(Name::fixed("default")),
            version: "1".to_owned(),
            revision: 7,
            since: UnixSeconds(0),
            filter: Some(FilterStatus::of(&daemon)),
            daemon_error: None,
            exceptions: 0,
            bans: 0,
            refused: [("fleet-a".to_owned(), "no tenant x".to_owned())].into(),
            releases: BTreeMap::new(),
        };
        assert_eq!(
            status.lacks(&at(7)),
            [
                "eth1 is not protected",
                "the list a is empty",
                "fleet-a is refused: no tenant x"
            ]
        );
        status.refused.clear();
        if let Some(filter) = &mut status.filter {
            filter.unprotected.clear();
            filter.shortfalls.clear();
        }
        assert!(status.lacks(&at(7)).is_empty());
        assert_eq!(status.lacks(&at(9)), ["it has seen revision 7 of 9"]);
        status.daemon_error = Some("away".to_owned());
        assert_eq!(status.lacks(&at(7)), ["its daemon does not answer: away"]);
    }

    /// A node of the group `a` that is well and says this of the policies of its group and of another.
    fn node(says: &[(&str, u64, Progress)]) -> NodeStatus {
        let releases = says.iter().map(|(path, revision, progress)| {
            let status = ReleaseStatus {
                revision: *revision,
                sha256: "x".to_owned(),
                progress: *progress,
                why: None,
            };
            ((*path).to_owned(), status)
        });
        NodeStatus {
            node: Name::fixed("n"),
            group: Some(Name::fixed("a")),
            version: "1".to_owned(),
            revision: 7,
            since: UnixSeconds(0),
            filter: Some(FilterStatus {
                version: String::new(),
                mode: String::new(),
                policy_hash: String::new(),
                generation: 1,
                protected: vec!["eth0".to_owned()],
                unprotected: Vec::new(),
                shortfalls: Vec::new(),
            }),
            daemon_error: None,
            exceptions: 0,
            bans: 0,
            refused: BTreeMap::new(),
            releases: releases.collect(),
        }
    }

    #[test]
    fn node_that_does_not_use_a_release_that_has_reached_it_lacks_it() {
        let release = |revision: u64, limit: u64, stopped: Option<Stop>| Release {
            revision,
            content: Content {
                sha256: "x".to_owned(),
                size: 1,
                urls: Vec::new(),
            },
            is_rollback: false,
            signature: String::new(),
            limit,
            trial: Trial {
                confirm_within: 60,
                observe: 10,
                band: 0.5,
            },
            owner: "a".to_owned(),
            reason: "b".to_owned(),
            stopped,
            before: None,
        };
        let own = Subject::Policy(Name::fixed("a"));
        let wants = |subject: &Subject, release: Release| Wants {
            releases: [(subject.clone(), release)].into(),
            ..at(7)
        };
        let position = position(&Name::fixed("n"), "x");
        let active = node(&[("policy/a", 3, Progress::Active)]);
        let behind = ["policy/a revision 4 is not in use: it has revision 3"];
        for (limit, expected) in [
            (ALL, &behind[..]),
            (position + 1, &behind),
            (position, &[]),
            (0, &[]),
        ] {
            let wants = wants(&own, release(4, limit, None));
            assert_eq!(active.lacks(&wants), expected, "{limit}");
        }
        let why = Stop {
            node: None,
            why: String::new(),
        };
        let stopped = wants(&own, release(4, ALL, Some(why)));
        assert!(active.lacks(&stopped).is_empty());
        assert!(active.lacks(&wants(&own, release(3, ALL, None))).is_empty());
        // It says that it uses the same revision, and has another content.
        let mut other = release(3, ALL, None);
        other.content.sha256 = "y".to_owned();
        assert_eq!(active.lacks(&wants(&own, other)).len(), 1);
        let list = Subject::List(Name::fixed("l"));
        assert_eq!(
            active.lacks(&wants(&list, release(1, ALL, None))),
            ["list/l revision 1 is not in use: it has none"]
        );
        let frozen = Wants {
            is_frozen: true,
            ..wants(&own, release(4, ALL, None))
        };
        assert_eq!(
            active.lacks(&frozen),
            ["policy/a revision 4 is not in use: it has revision 3, and the fleet is frozen"]
        );
        // What another group has is nothing to this node, and neither is what it says of that.
        let other = Subject::Policy(Name::fixed("b"));
        assert!(
            active
                .lacks(&wants(&other, release(4, ALL, None)))
                .is_empty()
        );
        let moved = node(&[
            ("policy/a", 3, Progress::Active),
            ("policy/b", 9, Progress::Failed),
        ]);
        assert!(moved.lacks(&wants(&own, release(3, ALL, None))).is_empty());
        let failed = node(&[("policy/a", 4, Progress::Failed)]);
        assert_eq!(
            failed.lacks(&wants(&own, release(4, ALL, None))),
            ["policy/a revision 4 failed: no result yet"]
        );
    }
}
