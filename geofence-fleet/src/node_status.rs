//! What a node says of itself, as the kernel and the daemon there have it.

use std::collections::BTreeMap;

use geofence_user::model::units::UnixSeconds;
use serde::{Deserialize, Serialize};

use crate::keys::Name;

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
    pub group: Name,
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

impl NodeStatus {
    /// Why the node does not do all that the fleet wants, in sentences; `latest` is the engine's revision of the last
    /// change that nodes follow.
    #[must_use]
    pub fn lacks(&self, latest: i64) -> Vec<String> {
        let mut all = Vec::new();
        if self.revision < latest {
            all.push(format!(
                "it has seen revision {} of {latest}",
                self.revision
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
        for (subject, release) in &self.releases {
            let ReleaseStatus {
                revision,
                progress,
                why,
                ..
            } = release;
            if *progress != Progress::Active {
                let why = why.as_deref().unwrap_or("no result yet");
                let progress = progress.word();
                all.push(format!("{subject} revision {revision} {progress}: {why}"));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
            group: Name::fixed("default"),
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
            status.lacks(7),
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
        assert!(status.lacks(7).is_empty());
        assert_eq!(status.lacks(9), ["it has seen revision 7 of 9"]);
        status.daemon_error = Some("away".to_owned());
        assert_eq!(status.lacks(7), ["its daemon does not answer: away"]);
    }
}
