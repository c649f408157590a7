//! What to change so that the daemon of this machine has the exceptions and bans that the fleet wants.

use std::collections::{BTreeMap, BTreeSet};

use geofence_user::config::ExceptionSpec;
use geofence_user::daemon::Change;
use geofence_user::daemon::runtime_exceptions::CHANGES_MAX;
use geofence_user::model::units::UnixSeconds;
use geofence_user::serve::control::FLEET;

use super::daemon::Present;

/// A request has at most so many bytes; the daemon reads lines of twice this length.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Add(ExceptionSpec),
    /// Removes an exception, and adds the one that has its name now.
    Replace(ExceptionSpec),
    Extend {
        id: String,
        until: String,
    },
    Remove {
        id: String,
    },
    /// A ban of this agent has ended by itself.
    Forget {
        id: String,
    },
}

impl Step {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Add(spec) | Self::Replace(spec) => &spec.id,
            Self::Extend { id, .. } | Self::Remove { id } | Self::Forget { id } => id,
        }
    }

    /// What to ask the daemon for.
    pub(super) fn changes(&self) -> Vec<Change> {
        let addition = |spec: &ExceptionSpec| match spec.is_ban() {
            true => Change::Ban {
                ban: spec.clone(),
                force: false,
                required_peers: Vec::new(),
            },
            false => Change::Add(spec.clone()),
        };
        let removal = |id: &str| Change::Remove {
            id: id.to_owned(),
            reason: Some("the fleet no longer has it".to_owned()),
            force: false,
            required_peers: Vec::new(),
        };
        match self {
            Self::Add(spec) => vec![addition(spec)],
            Self::Replace(spec) => vec![removal(&spec.id), addition(spec)],
            Self::Extend { id, until } => vec![Change::Extend {
                id: id.clone(),
                until: until.clone(),
            }],
            Self::Remove { id } => vec![removal(id)],
            Self::Forget { .. } => Vec::new(),
        }
    }

    /// Whether it makes a ban, or makes one longer: then that is this agent's from now on, and the fleet's to end.
    pub(super) fn makes_own(&self) -> bool {
        match self {
            Self::Add(spec) | Self::Replace(spec) => spec.is_ban(),
            Self::Extend { .. } | Self::Remove { .. } | Self::Forget { .. } => false,
        }
    }

    /// How much of a request it takes, more or less.
    fn bytes(&self) -> usize {
        /// A removal, and the names of all fields.
        const REST: usize = 512;
        let spec = match self {
            Self::Add(spec) | Self::Replace(spec) => serde_json::to_string(spec).ok(),
            Self::Extend { .. } | Self::Remove { .. } | Self::Forget { .. } => None,
        };
        REST + self.id().len() + spec.map_or(0, |text| text.len())
    }
}

/// Steps that are taken with one request each group, in order.
pub(super) fn groups(steps: Vec<Step>) -> Vec<Vec<Step>> {
    let mut groups: Vec<Vec<Step>> = Vec::new();
    let (mut bytes, mut changes) = (0, 0);
    for step in steps {
        bytes += step.bytes();
        changes += step.changes().len();
        match groups.last_mut() {
            Some(group) if changes <= CHANGES_MAX && bytes <= REQUEST_BYTES_MAX => group.push(step),
            _ => {
                (bytes, changes) = (step.bytes(), step.changes().len());
                groups.push(vec![step]);
            }
        }
    }
    groups
}

/// What to do so that the daemon has what is wanted. `own_bans` are those that this agent has made.
pub(super) fn steps(
    wanted: &BTreeMap<String, ExceptionSpec>,
    present: &[Present],
    own_bans: &BTreeSet<String>,
    now: UnixSeconds,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let present = present.iter().filter(|one| one.is_runtime);
    let present: BTreeMap<&str, &ExceptionSpec> = present
        .map(|one| (one.spec.id.as_str(), &one.spec))
        .collect();
    let is_own = |id: &str| id.starts_with(FLEET) || own_bans.contains(id);
    for id in present.keys().filter(|id| is_own(id)) {
        if !wanted.contains_key(*id) {
            steps.push(Step::Remove {
                id: (*id).to_owned(),
            });
        }
    }
    for id in own_bans {
        if !present.contains_key(id.as_str())
            && !wanted.get(id).is_some_and(|one| is_live(one, now))
        {
            steps.push(Step::Forget { id: id.clone() });
        }
    }
    for (id, spec) in wanted.iter().filter(|(_, spec)| is_live(spec, now)) {
        match present.get(id.as_str()) {
            None => steps.push(Step::Add(spec.clone())),
            Some(known) if is_same(known, spec) => {}
            // An operator of this machine has banned it for longer.
            Some(known) if spec.is_ban() && !is_own(id) && lasts_longer(known, spec) => {}
            Some(known) => match &spec.until {
                // A ban that has expired meanwhile is made anew.
                Some(_) if spec.is_ban() && is_same_but_its_end(known, spec) => {
                    steps.push(Step::Add(spec.clone()));
                }
                Some(until) if is_same_but_its_end(known, spec) => steps.push(Step::Extend {
                    id: id.clone(),
                    until: until.clone(),
                }),
                _ => steps.push(Step::Replace(spec.clone())),
            },
        }
    }
    steps
}

fn end(spec: &ExceptionSpec) -> Option<UnixSeconds> {
    spec.expiry().ok().flatten()
}

pub(super) fn is_live(spec: &ExceptionSpec, now: UnixSeconds) -> bool {
    end(spec).is_none_or(|end| end > now)
}

/// Whether an end comes after another. What has no end lasts longest.
fn lasts_longer(one: &ExceptionSpec, other: &ExceptionSpec) -> bool {
    match (end(one), end(other)) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(other)) => one >= other,
    }
}

fn is_same(one: &ExceptionSpec, other: &ExceptionSpec) -> bool {
    is_same_but_its_end(one, other) && end(one) == end(other)
}

fn is_same_but_its_end(one: &ExceptionSpec, other: &ExceptionSpec) -> bool {
    let key = |spec: &ExceptionSpec| {
        let ExceptionSpec {
            id,
            from,
            to,
            owner,
            reason,
            ..
        } = spec.clone();
        (id, from, to, owner, reason)
    };
    // Of a ban, only its source and its end matter.
    if one.is_ban() && other.is_ban() {
        return one.from == other.from;
    }
    key(one) == key(other) && one.services == other.services && one.is_ban() == other.is_ban()
}

#[cfg(test)]
mod tests {
    use geofence_user::serve::control::Request;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn spec(id: &str, until: Option<u64>) -> ExceptionSpec {
        ExceptionSpec {
            id: id.to_owned(),
            from: vec!["192.0.2.1".to_owned()],
            to: vec!["any".to_owned()],
            owner: "a".to_owned(),
            reason: "b".to_owned(),
            until: until.map(|until| UnixSeconds(until).to_string()),
            ..ExceptionSpec::default()
        }
    }

    fn ban(id: &str, until: u64) -> ExceptionSpec {
        ExceptionSpec {
            action: Some("drop".to_owned()),
            ..spec(id, Some(until))
        }
    }

    fn asked(wanted: &[ExceptionSpec], present: &[ExceptionSpec], own: &[&str]) -> Vec<Step> {
        let wanted = wanted.iter().map(|one| (one.id.clone(), one.clone()));
        let present: Vec<_> = present
            .iter()
            .map(|spec| Present {
                spec: spec.clone(),
                is_runtime: true,
            })
            .collect();
        let own = own.iter().map(|id| (*id).to_owned()).collect();
        steps(&wanted.collect(), &present, &own, NOW)
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_the_fleets_is_removed() {
        let (a, b) = (spec("fleet-a", None), spec("fleet-b", Some(1_900_000_000)));
        assert_eq!(
            asked(&[a.clone(), b.clone()], &[], &[]),
            [Step::Add(a.clone()), Step::Add(b.clone())]
        );
        assert!(asked(&[a.clone(), b.clone()], &[a.clone(), b.clone()], &[]).is_empty());
        let local = spec("ticket-1", None);
        let id = "fleet-b".to_owned();
        assert_eq!(
            asked(
                std::slice::from_ref(&a),
                &[local, a.clone(), b.clone()],
                &[]
            ),
            [Step::Remove { id }]
        );
    }

    #[test]
    fn another_end_extends_and_other_words_replace() {
        let known = spec("fleet-a", Some(1_900_000_000));
        let later = spec("fleet-a", Some(1_950_000_000));
        let until = later.until.clone().unwrap();
        let id = "fleet-a".to_owned();
        assert_eq!(
            asked(
                std::slice::from_ref(&later),
                std::slice::from_ref(&known),
                &[]
            ),
            [Step::Extend { id, until }]
        );
        let endless = spec("fleet-a", None);
        assert_eq!(
            asked(
                std::slice::from_ref(&endless),
                std::slice::from_ref(&known),
                &[]
            ),
            [Step::Replace(endless)]
        );
        let mut other = known.clone();
        other.to = vec!["192.0.2.9".to_owned()];
        assert_eq!(
            asked(std::slice::from_ref(&other), &[known], &[]),
            [Step::Replace(other)]
        );
    }

    #[test]
    fn ban_of_an_operator_is_never_ended_by_the_fleet() {
        let one = ban("ban-192.0.2.1", 1_900_000_000);
        assert!(asked(&[], std::slice::from_ref(&one), &[]).is_empty());
        let id = one.id.clone();
        assert_eq!(
            asked(&[], std::slice::from_ref(&one), &["ban-192.0.2.1"]),
            [Step::Remove { id: id.clone() }]
        );
        assert_eq!(asked(&[], &[], &["ban-192.0.2.1"]), [Step::Forget { id }]);
    }

    #[test]
    fn ban_of_an_operator_that_lasts_longer_stays_and_a_shorter_one_is_extended() {
        let (short, long) = (
            ban("ban-192.0.2.1", 1_900_000_000),
            ban("ban-192.0.2.1", 1_950_000_000),
        );
        assert!(
            asked(
                std::slice::from_ref(&short),
                std::slice::from_ref(&long),
                &[]
            )
            .is_empty()
        );
        let steps = asked(
            std::slice::from_ref(&long),
            std::slice::from_ref(&short),
            &[],
        );
        assert_eq!(steps, [Step::Add(long.clone())]);
        // Its own ban follows the fleet in either direction.
        let steps = asked(
            std::slice::from_ref(&short),
            std::slice::from_ref(&long),
            &[&short.id],
        );
        assert_eq!(steps, [Step::Add(short.clone())]);
        // One that has no end any more cannot be extended.
        let endless = ExceptionSpec {
            until: None,
            ..short.clone()
        };
        let steps = asked(
            std::slice::from_ref(&endless),
            std::slice::from_ref(&short),
            &[&short.id],
        );
        assert_eq!(steps, [Step::Replace(endless)]);
    }

    #[test]
    fn steps_are_taken_together_as_far_as_a_request_holds_them() {
        let lengths = |steps: Vec<Step>| -> Vec<usize> {
            groups(steps).iter().map(|group| group.len()).collect()
        };
        let small = |number: usize| Step::Add(spec(&format!("fleet-{number}"), None));
        assert_eq!(lengths(Vec::new()), [0; 0]);
        assert_eq!(lengths((0..250).map(small).collect()), [100, 100, 50]);
        let replaced = |number: usize| Step::Replace(spec(&format!("fleet-{number}"), None));
        assert_eq!(lengths((0..99).map(replaced).collect()), [50, 49]);
        let large = |number: usize| {
            let mut spec = spec(&format!("fleet-{number}"), None);
            spec.reason = "r".repeat(300 << 10);
            Step::Replace(spec)
        };
        let steps: Vec<Step> = (0..7).map(large).collect();
        let all = steps.clone();
        assert_eq!(lengths(steps), [3, 3, 1]);
        assert_eq!(groups(all.clone()).concat(), all);
        // A request is read whole by the daemon, with everything that is around its steps.
        let changes = groups(all)[0].iter().flat_map(Step::changes).collect();
        let request = Request::Changes { changes };
        assert!(serde_json::to_string(&request).unwrap().len() < 2 * REQUEST_BYTES_MAX);
    }

    #[test]
    fn what_has_expired_is_not_added() {
        let old = spec("fleet-a", Some(1_700_000_000));
        assert!(asked(std::slice::from_ref(&old), &[], &[]).is_empty());
        assert!(asked(std::slice::from_ref(&old), std::slice::from_ref(&old), &[]).is_empty());
    }
}
