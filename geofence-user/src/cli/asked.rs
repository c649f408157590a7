//! Whose policy `lookup` and `explain` answer by: that of the running filter, or that of a configuration.
//!
//! An option that names a policy decides; without one, the running filter answers where one runs.

use super::options::{InstanceArgs, PolicyArgs};
use crate::config::Config;
use crate::kernel::Running;
use crate::prepare::{Prepared, prepare};

/// The policy that an answer is about.
pub(super) struct Asked {
    /// The filter that answers, if one does.
    pub running: Option<Box<Running>>,
    /// The configuration: the policy, or else where names and records are from.
    policy: PolicyArgs,
    instance: InstanceArgs,
    /// Why a filter that may run does not answer.
    refusal: Option<String>,
}

impl Asked {
    pub(super) fn find(policy: &PolicyArgs, instance: &InstanceArgs) -> anyhow::Result<Self> {
        let mut asked = Self {
            running: None,
            policy: policy.clone(),
            instance: instance.clone(),
            refusal: None,
        };
        if policy.is_named() {
            return Ok(asked);
        }
        match Running::find(&instance.instance()?) {
            Ok(running) => asked.running = running.map(Box::new),
            Err(error) => asked.refusal = Some(error.to_string()),
        }
        if asked.running.is_some() {
            asked.policy.config = instance.daemon_file();
        }
        Ok(asked)
    }

    /// The configuration.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let mut config = self.policy.config()?;
        self.instance.apply(&mut config)?;
        Ok(config)
    }

    /// The configuration with its data.
    pub(super) fn prepared(&self) -> anyhow::Result<Prepared> {
        Ok(prepare(self.config()?)?)
    }

    /// The policy in words, for the first line of an answer.
    pub(super) fn describe(&self) -> String {
        match (&self.running, &self.refusal) {
            (Some(running), _) => format!("the running filter (program {})", running.id()),
            (None, Some(refusal)) => format!(
                "{}, because the running filter cannot be asked: {refusal}",
                self.policy.describe()
            ),
            (None, None) => self.policy.describe(),
        }
    }
}
