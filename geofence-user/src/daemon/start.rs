//! What filters from the start: the policy that was requested, or as much of it as is possible.

use std::collections::BTreeSet;

use geofence_common::action::Mode;
use geofence_common::country::Country;
use tracing::{error, info, warn};

use super::candidate::{Base, Candidate};
use super::config_source::ConfigSource;
use super::facts::LastFailure;
use super::runtime_exceptions::RuntimeExceptionStore;
use crate::checks::lockout::{self, Replies};
use crate::compile::Image;
use crate::config::Config;
use crate::model::failure::{Cause, Failure};
use crate::model::policy::{CountryRule, Mail, Policy};
use crate::model::shortfall::Tolerance;
use crate::model::units::UnixSeconds;
use crate::os::instance::Instance;
use crate::os::state::StateDirectory;
use crate::prepare::boot;

/// What filters from the start.
pub struct Start {
    pub candidate: Candidate,
    /// Why it is not what was requested.
    pub last_failure: Option<LastFailure>,
    /// What filters if the requested policy would lock out a required peer.
    last_good: Option<Image>,
    is_last_good: bool,
}

impl Start {
    /// Prepares the requested policy, without lists that cannot be used. If its data cannot be used, prepares the last
    /// good image instead; without one, the requested policy without the data that cannot be used.
    ///
    /// # Errors
    /// When none of these can filter. If `is_strict`, also when a list is missing, or data without a last good image.
    pub fn prepare(config: Config, force: bool, is_strict: bool) -> Result<Self, Failure> {
        let (config, last_failure) = with_runtime_exceptions(config);
        let last_good = load_last_good(&config.instance);
        let types = StateDirectory::of(&config.instance).database_types();
        let base = Base {
            active: last_good.as_ref(),
            types: &types,
            ..Base::default()
        };
        let tolerance = if is_strict {
            Tolerance::Nothing
        } else {
            Tolerance::Lists
        };
        let failure = match Candidate::prepare(config.clone(), base, force, tolerance) {
            Ok(candidate) => {
                return Ok(Self {
                    candidate,
                    last_failure,
                    last_good,
                    is_last_good: false,
                });
            }
            Err(failure) => failure,
        };
        let is_data = matches!(failure.cause, Cause::Database | Cause::List | Cause::Sanity);
        match last_good {
            Some(image) if is_data || !is_strict => {
                Ok(Self::last_good(config, image, failure, "the configuration"))
            }
            None if is_data && !is_strict => {
                let base = Base::default();
                match Candidate::prepare(config, base, force, Tolerance::Everything) {
                    Ok(candidate) => Ok(Self {
                        candidate,
                        last_failure,
                        last_good: None,
                        is_last_good: false,
                    }),
                    Err(_) => Err(failure),
                }
            }
            _ => Err(failure),
        }
    }

    /// Prepares the last good image for a configuration that cannot be read, with the settings of the configuration
    /// that the image came with.
    #[must_use]
    pub fn without_configuration(
        source: &ConfigSource,
        instance: &Instance,
        error: &anyhow::Error,
    ) -> Option<Self> {
        source.file.as_ref()?;
        let copy = StateDirectory::of(instance).configuration();
        let config = (source.read)(Some(&copy)).ok();
        let config = config.filter(|config| config.instance == *instance)?;
        let image = load_last_good(instance)?;
        let failure = Failure::new(Cause::Configuration, format!("{error:#}"));
        let (config, _) = with_runtime_exceptions(config);
        Some(Self::last_good(
            config,
            image,
            failure,
            "the configuration, which cannot be read",
        ))
    }

    fn last_good(config: Config, image: Image, failure: Failure, instead: &str) -> Self {
        error!(
            "{failure}\nFILTERING BY THE LAST GOOD IMAGE: its policy and data apply instead of {instead}, until a \
             reload succeeds"
        );
        let types = StateDirectory::of(&config.instance).database_types();
        Self {
            candidate: Candidate::last_good(
                config,
                image.in_boot(boot(), UnixSeconds::now()),
                types,
            ),
            last_failure: Some(LastFailure::now(failure)),
            last_good: None,
            is_last_good: true,
        }
    }

    /// Refuses a requested policy that locks out a required peer, unless that is forced, or was for the policy that was
    /// saved last. Then the last good image filters if it locks out none. As what was requested, the last good image
    /// has filtered before.
    ///
    /// # Errors
    /// The peers that are locked out.
    pub async fn check_lockout(mut self, force: bool) -> Result<Self, Failure> {
        let state = StateDirectory::of(&self.candidate.config.instance);
        self.candidate.accepted = state.accepted_peers();
        if self.is_last_good {
            return Ok(self);
        }
        let interfaces = &self.candidate.config.interfaces;
        let (mut required, unknown) = lockout::dependencies(interfaces, None).await;
        for sentence in unknown {
            warn!("{sentence}");
        }
        required.extend(self.candidate.fleet_servers());
        let Err(failure) = self.candidate.check_lockout(&required, force, true) else {
            return Ok(self);
        };
        let Some(image) = self.last_good.take() else {
            return Err(failure);
        };
        let replies = Replies::of(&self.candidate.config.policy);
        if !lockout::cut_off(&required, image.words(), replies).is_empty() {
            return Err(failure);
        }
        let config = self.candidate.config;
        Ok(Self::last_good(config, image, failure, "the configuration"))
    }

    /// Logs the data, the policy and the warnings.
    pub fn log(&self) {
        let Candidate {
            config,
            image,
            facts,
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
        if let Some(attribution) = facts.attribution {
            info!("{attribution}");
        }
        for warning in warnings {
            warn!("{warning}");
        }
        for shortfall in &facts.shortfalls {
            error!("{}", shortfall.text);
        }
        match (facts.mode, self.is_last_good) {
            (Mode::Enforce, false) => info!("{}", sentence(&config.policy)),
            (Mode::Monitor, false) => warn!("{}", sentence(&config.policy)),
            (Mode::Enforce, true) => {}
            (Mode::Monitor, true) => warn!("monitor mode: nothing is dropped"),
        }
    }
}

fn load_last_good(instance: &Instance) -> Option<Image> {
    StateDirectory::of(instance).load().unwrap_or_else(|error| {
        warn!("the last good image cannot be used: {error}");
        None
    })
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
pub(super) fn sentence(policy: &Policy) -> String {
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
