//! Keeping the filter attached: when an interface comes or returns, the filter is attached to it.
//!
//! A link follows its interface through a change of name or MTU and through down and up; it ends only with the
//! interface. An interface that an operator detached stays detached: its pin is gone, and without a pin nothing is
//! attached.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use rtnetlink::MulticastGroup;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::interface_state::{InterfaceState, InterfaceStatus};
use super::state::Daemon;
use super::sync::lock;
use crate::checks::topology::{coverage, refusal};
use crate::kernel::{AttachError, Attached, interfaces};
use crate::model::interface::Interface;

/// How often interfaces are examined when the kernel reports no change.
const PERIOD: Duration = Duration::from_secs(1);

/// Examines interfaces whenever the kernel reports a change, and every second; never ends.
pub async fn watch_interfaces(daemon: Arc<Daemon>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut messages = match rtnetlink::new_multicast_connection(&[MulticastGroup::Link]) {
        Ok((connection, _, messages)) => {
            tokio::spawn(connection);
            Some(messages)
        }
        Err(error) => {
            warn!(
                "cannot subscribe to interface changes, so interfaces are examined once a second: {error}"
            );
            None
        }
    };
    loop {
        match &mut messages {
            Some(stream) => tokio::select! {
                _ = ticks.tick() => {}
                message = stream.next() => {
                    // One examination covers every message that has arrived before it.
                    let mut last = message;
                    while last.is_some() {
                        match stream.next().now_or_never() {
                            Some(next) => last = next,
                            None => break,
                        }
                    }
                    if last.is_none() {
                        warn!("the kernel reports no more interface changes; interfaces are examined once a second");
                        messages = None;
                    }
                }
            },
            None => {
                ticks.tick().await;
            }
        }
        daemon.examine_interfaces().await;
    }
}

impl Daemon {
    /// Where the filter is attached, as the kernel says now.
    pub async fn protection(&self) -> Vec<InterfaceState> {
        self.examine_interfaces().await;
        lock(&self.interfaces).clone()
    }

    /// Where the filter is not, in sentences, as the kernel says now.
    pub async fn gaps(&self) -> Vec<String> {
        let states = self.protection().await;
        states.iter().filter_map(InterfaceState::gap).collect()
    }

    /// Examines every interface, and attaches the filter where it is missing and wanted.
    async fn examine_interfaces(&self) {
        let _examination = self.examination.lock().await;
        // Listing many interfaces takes a while; one found unfiltered may have been so from the beginning of it.
        let looked = Instant::now();
        let present = match interfaces().await {
            Ok(present) => present,
            // The states from before hold until the next attempt.
            Err(error) => return warn!("{error}"),
        };
        let mut states = lock(&self.interfaces);
        let taken: Vec<(String, u32)> = states
            .iter()
            .filter(|state| state.is_protected())
            .filter_map(|state| Some((state.name.clone(), state.attached.as_ref()?.index)))
            .collect();
        for state in states.iter_mut() {
            if let Some(found) = present.iter().find(|one| one.is_named(&state.name)) {
                state.driver.clone_from(&found.driver);
            }
            let status = self.status_of(state, &present, &taken, looked);
            state.update(judging(status, &state.name, &present), looked);
        }
        // A configured interface faces outside, whether or not the filter is on it at this moment.
        let attached = states.iter().filter_map(|state| state.attached.as_ref());
        let mut outside: BTreeSet<u32> = attached.map(|attached| attached.index).collect();
        let named = present
            .iter()
            .filter(|one| states.iter().any(|state| one.is_named(&state.name)));
        outside.extend(named.map(|one| one.index));
        let config = Arc::clone(&lock(&self.active).config);
        let inner = &config.inner_interfaces;
        let all: Vec<String> = states.iter().map(|state| state.name.clone()).collect();
        let is_in = |one: &Interface, names: &[String]| names.iter().any(|name| one.is_named(name));
        for state in states.iter_mut() {
            let found = present.iter().find(|one| one.is_named(&state.name));
            state.is_inner = found.is_some_and(|found| is_in(found, inner));
            let misses = found.map(|found| coverage(&present, found, |one| is_in(one, &all)));
            state.update_misses(misses.unwrap_or_default());
        }
        if let Err(error) = lock(&self.filter).mark_devices(&present, &outside, inner) {
            warn!(
                "cannot record which devices exist, so forwarded packets may open no flows: {error}"
            );
        }
    }

    fn status_of(
        &self,
        state: &mut InterfaceState,
        present: &[Interface],
        taken: &[(String, u32)],
        looked: Instant,
    ) -> InterfaceStatus {
        let Some(found) = present.iter().find(|one| one.is_named(&state.name)) else {
            return self.status_of_absent(state, present);
        };
        match (found.program, &mut state.attached) {
            (Some(program), Some(attached)) if program == attached.program => {
                attached.index = found.index;
                attached.mode = found.mode.unwrap_or(attached.mode);
                state.attempts.succeed();
                return self.follow_link_type(attached, found);
            }
            // It has got the name of another interface of this filter.
            (Some(program), attached) if self.pins.is_on(found).unwrap_or(false) => {
                *attached = Some(Attached {
                    index: found.index,
                    mode: found.mode.unwrap_or("none"),
                    program,
                    link_type: found.link_type,
                    is_adopted: false,
                });
                return InterfaceStatus::Protected;
            }
            (Some(_), _) => return InterfaceStatus::Foreign,
            (None, Some(attached)) if !self.pins.has(attached.index) => {
                return InterfaceStatus::Detached;
            }
            (None, _) if !self.pins.is_prepared() => return InterfaceStatus::Detached,
            (None, _) => {}
        }
        state.open_since.get_or_insert(looked);
        if !state.attempts.is_due(found, looked) {
            return state.status.clone();
        }
        let others = taken.iter().filter(|(name, _)| *name != state.name);
        let others: Vec<u32> = others.map(|(_, index)| *index).collect();
        match self.attach(state, found, present, &others) {
            Ok(attached) => {
                self.note_attached(state, found, attached, present);
                InterfaceStatus::Protected
            }
            Err(error) => {
                state.attempts.fail(found, looked);
                InterfaceStatus::Bare(error.to_string())
            }
        }
    }

    /// Puts the right programs on an interface whose link type has changed beneath its program.
    fn follow_link_type(&self, attached: &mut Attached, found: &Interface) -> InterfaceStatus {
        let before = attached.link_type;
        if found.link_type == before {
            return InterfaceStatus::Protected;
        }
        match lock(&self.filter).follow_link_type(&self.pins, found) {
            Ok(program) => {
                info!(
                    "{} changed its link type from {} to {}, and runs the program for it",
                    found.name, before.0, found.link_type.0
                );
                attached.program = program;
                attached.link_type = found.link_type;
                InterfaceStatus::Protected
            }
            Err(error) => InterfaceStatus::Bare(error.to_string()),
        }
    }

    fn status_of_absent(&self, state: &InterfaceState, present: &[Interface]) -> InterfaceStatus {
        let Some(attached) = &state.attached else {
            return InterfaceStatus::Missing;
        };
        let renamed = present
            .iter()
            .find(|one| one.index == attached.index && one.program == Some(attached.program));
        renamed.map_or(InterfaceStatus::Gone, |one| {
            InterfaceStatus::Renamed(one.name.clone())
        })
    }

    /// Attaches the filter to an interface that has come or returned.
    fn attach(
        &self,
        state: &InterfaceState,
        found: &Interface,
        present: &[Interface],
        others: &[u32],
    ) -> Result<Attached, AttachError> {
        if let Some(why) = refusal(present, found) {
            return Err(AttachError::Misplaced(why));
        }
        AttachError::if_clashing(found.index, others.iter().copied())?;
        let mode = lock(&self.active).config.xdp_mode;
        lock(&self.filter).attach_again(&self.pins, found, state.slot, mode)
    }

    fn note_attached(
        &self,
        state: &mut InterfaceState,
        found: &Interface,
        attached: Attached,
        present: &[Interface],
    ) {
        let before = state.attached.replace(attached);
        state.attempts.succeed();
        // The change is logged here.
        state.status = InterfaceStatus::Protected;
        let Some(before) = before else {
            return info!(
                "{} has come with index {} and is protected",
                found.name, found.index
            );
        };
        let is_used = present
            .iter()
            .any(|one| one.index == before.index && one.program == Some(before.program));
        if before.index != found.index && !is_used {
            self.pins.forget(before.index);
        }
        info!(
            "{} returned with index {} and is protected again",
            found.name, found.index
        );
    }
}

/// Attached is not protected: a filter on a device that hands its packets to others first judges nothing.
fn judging(status: InterfaceStatus, name: &str, present: &[Interface]) -> InterfaceStatus {
    let found = present.iter().find(|one| one.is_named(name));
    let why = found.and_then(|found| refusal(present, found));
    match (status, why) {
        (InterfaceStatus::Protected, Some(why)) => InterfaceStatus::Bare(why),
        (status, _) => status,
    }
}
