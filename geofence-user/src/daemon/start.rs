//! What filters from the start: the policy that was requested, or the last good image if its data cannot be used.

use std::collections::BTreeSet;

use geofence_common::action::Mode;
use geofence_common::country::Country;
use tracing::{error, info, warn};

use super::candidate::Candidate;
use super::facts::LastFailure;
use super::runtime_exceptions::RuntimeExceptionStore;
use crate::checks::lockout;
use crate::config::Config;
use crate::model::failure::{Cause, Failure};
use crate::model::policy::{CountryRule, Mail, Policy};
use crate::model::units::UnixSeconds;
use crate::os::state::StateDirectory;
use crate::prepare::boot;

/// What filters from the start.
pub struct Start {
    pub candidate: Candidate,
    /// Why it is not what was requested.
    pub last_failure: Option<LastFailure>,
    is_last_good: bool,
}

impl Start {
    /// Prepares the requested policy. If the data cannot be used, prepares the last good image instead.
    ///
    /// # Errors
    /// When neither can filter.
    pub fn prepare(config: Config, force: bool) -> Result<Self, Failure> {
        let (config, last_failure) = with_runtime_exceptions(config);
        let directory = StateDirectory::of(&config.instance);
        let last_good = directory.load().unwrap_or_else(|error| {
            warn!("the last good image cannot be used: {error}");
            None
        });
        let prepared = Candidate::prepare(config.clone(), last_good.as_ref(), None, 0, force);
        let failure = match prepared {
            Ok(candidate) => {
                return Ok(Self {
                    candidate,
                    last_failure,
                    is_last_good: false,
                });
            }
            Err(failure) => failure,
        };
        match last_good {
            Some(image)
                if matches!(failure.cause, Cause::Database | Cause::List | Cause::Sanity) =>
            {
                error!(
                    "{failure}\nFILTERING BY THE LAST GOOD IMAGE: its policy and data apply instead of the \
                     configuration, until a reload succeeds"
                );
                Ok(Self {
                    candidate: Candidate::last_good(
                        config,
                        image.in_boot(boot(), UnixSeconds::now()),
                    ),
                    last_failure: Some(LastFailure::now(failure)),
                    is_last_good: true,
                })
            }
            _ => Err(failure),
        }
    }

    /// Refuses a requested policy that locks out a required peer, unless it is forced. The last good image has filtered
    /// before.
    ///
    /// # Errors
    /// The peers that it locks out.
    pub async fn check_lockout(&self, force: bool) -> Result<(), Failure> {
        if self.is_last_good {
            return Ok(());
        }
        let interfaces = &self.candidate.config.interfaces;
        let (required, unknown) = lockout::dependencies(interfaces, None).await;
        for sentence in unknown {
            warn!("{sentence}");
        }
        self.candidate.check_lockout(&required, force)
    }

    /// Logs the data, the policy and the warnings.
    pub fn log(&self) {
        let Candidate {
            config,
            image,
            facts,
            attribution,
            warnings,
            ..
        } = &self.candidate;
        let names: Vec<&str> = facts
            .databases
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let [v4, v6] = image.prefixes();
        let days = UnixSeconds::now().days_since(image.data_built());
        info!(
            "GeoIP data: {}, {days} day{} old, {v4} IPv4 and {v6} IPv6 prefixes",
            names.join(", "),
            if days == 1 { "" } else { "s" }
        );
        if let Some(attribution) = attribution {
            info!("{attribution}");
        }
        for warning in warnings {
            warn!("{warning}");
        }
        match (facts.mode, self.is_last_good) {
            (Mode::Enforce, false) => info!("{}", sentence(&config.policy)),
            (Mode::Monitor, false) => warn!("{}", sentence(&config.policy)),
            (Mode::Enforce, true) => {}
            (Mode::Monitor, true) => warn!("monitor mode: nothing is dropped"),
        }
    }
}

/// Adds the runtime exceptions to the configuration. If their file is invalid, starts without them: a machine that
/// drops too much is safer than one without a filter, and a boot must not wait for an operator.
fn with_runtime_exceptions(config: Config) -> (Config, Option<LastFailure>) {
    match RuntimeExceptionStore::of(&config.instance).add_to(config.clone()) {
        Ok(config) => (config, None),
        Err(failure) => {
            error!("{failure}\nSTARTING WITHOUT RUNTIME EXCEPTIONS, until a reload succeeds");
            (config, Some(LastFailure::now(failure)))
        }
    }
}

/// The policy in one line: what it blocks, and whether it enforces that.
fn sentence(policy: &Policy) -> String {
    let countries = |countries: &BTreeSet<Country>| {
        let names: Vec<_> = countries.iter().map(|country| country.name()).collect();
        names.join(", ")
    };
    let blocked = match &policy.settings.rule {
        CountryRule::Block(blocked) => countries(blocked),
        CountryRule::AllowOnly(allowed) => format!("all countries except {}", countries(allowed)),
    };
    let mail = match policy.settings.mail {
        Mail::Full => "mail passes",
        Mail::Mta => "mail passes on port 25",
        Mail::Off => "mail does not pass",
    };
    match policy.settings.mode {
        Mode::Enforce => format!("enforce mode: packets from {blocked} are dropped; {mail}"),
        Mode::Monitor => {
            format!("monitor mode: packets from {blocked} are only counted, and nothing is dropped")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_line_says_what_is_blocked_and_whether_it_is_dropped() {
        let mut policy = Config::default().policy;
        assert_eq!(
            sentence(&policy),
            "enforce mode: packets from BY, CN, KP, RU, UA are dropped; mail passes"
        );
        let allowed = Country::from_code(*b"DE").unwrap();
        policy.settings.rule = CountryRule::AllowOnly([allowed].into());
        policy.settings.mode = Mode::Monitor;
        assert_eq!(
            sentence(&policy),
            "monitor mode: packets from all countries except DE are only counted, and nothing is dropped"
        );
    }
}
