//! Conditions, in the shape that Kubernetes gives them (`metav1.Condition`).

use geofence_user::model::units::UnixSeconds;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a message has at most.
const MESSAGE_CHARACTERS_MAX: usize = 4096;

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Truth {
    True,
    False,
    Unknown,
}

/// One aspect of what became of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Accepted: the resource is valid, and the fleet has it. Ready: it is in force on all connected nodes.
    #[serde(rename = "type")]
    #[schemars(length(max = 316), regex(pattern = r"^[A-Za-z][A-Za-z0-9_,:]*$"))]
    pub kind: String,
    /// Whether it holds.
    pub status: Truth,
    /// The generation of the resource that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When the status has changed last.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// Why, in one word.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    )]
    pub reason: String,
    /// Why, in a sentence.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// What is found out about one aspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: &'static str,
    pub truth: Truth,
    pub reason: &'static str,
    pub message: String,
}

impl Finding {
    /// Whether the resource is valid, and the fleet has it.
    #[must_use]
    pub fn accepted(truth: Truth, reason: &'static str, message: impl Into<String>) -> Self {
        let (kind, message) = ("Accepted", message.into());
        Self {
            kind,
            truth,
            reason,
            message,
        }
    }

    /// Whether it is in force on all connected nodes.
    #[must_use]
    pub fn ready(truth: Truth, reason: &'static str, message: impl Into<String>) -> Self {
        let kind = "Ready";
        Self {
            kind,
            ..Self::accepted(truth, reason, message)
        }
    }

    /// Puts it among the conditions in place of the one before of its kind.
    pub fn put(self, conditions: &mut Vec<Condition>, generation: Option<i64>, now: UnixSeconds) {
        let message = self.message.trim();
        let known = conditions.iter().position(|one| one.kind == self.kind);
        let since = known.and_then(|at| conditions.get(at));
        let since = since.filter(|one| one.status == self.truth);
        let new = Condition {
            kind: self.kind.to_owned(),
            status: self.truth,
            observed_generation: generation,
            last_transition_time: since.map_or_else(
                || now.to_string(),
                |known| known.last_transition_time.clone(),
            ),
            reason: self.reason.to_owned(),
            message: message.chars().take(MESSAGE_CHARACTERS_MAX).collect(),
        };
        match known.and_then(|at| conditions.get_mut(at)) {
            Some(known) => *known = new,
            None => conditions.push(new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_a_condition_changes_with_its_status_only() {
        let mut all = Vec::new();
        let mut put = |truth, reason, now| {
            let finding = Finding::ready(truth, reason, "a");
            finding.put(&mut all, Some(1), UnixSeconds(now));
            Finding::accepted(Truth::True, "Valid", "").put(&mut all, None, UnixSeconds(now));
            assert_eq!(all.len(), 2);
            let ready = all.iter().find(|one| one.kind == "Ready").unwrap();
            assert_eq!(ready.reason, reason);
            ready.last_transition_time.clone()
        };
        assert_eq!(put(Truth::False, "Waiting", 0), "1970-01-01T00:00:00Z");
        assert_eq!(put(Truth::False, "Stopped", 1), "1970-01-01T00:00:00Z");
        assert_eq!(put(Truth::True, "InForce", 2), "1970-01-01T00:00:02Z");
    }
}
