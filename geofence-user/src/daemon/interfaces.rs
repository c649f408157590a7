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
use crate::kernel::{AttachError, Attached, interfaces, with_egress};
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

/// What a look at the kernel found.
struct Look {
    present: Vec<Interface>,
    /// The names and indexes of the interfaces that were protected before.
    taken: Vec<(String, u32)>,
    /// The indexes of those that run the egress program, if the kernel says.
    with_egress: Option<BTreeSet<u32>>,
    began: Instant,
}

impl Look {
    fn find(&self, name: &str) -> Option<&Interface> {
        self.present.iter().find(|one| one.is_named(name))
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
        let began = Instant::now();
        let present = match interfaces().await {
            Ok(present) => present,
            // The states from before hold until the next attempt.
            Err(error) => return warn!("{error}"),
        };
        let before = lock(&self.interfaces).clone();
        let taken = before.iter().filter(|state| state.is_protected());
        let taken = taken
            .filter_map(|state| Some((state.name.clone(), state.attached.as_ref()?.index)))
            .collect();
        let is_named = |one: &&Interface| before.iter().any(|state| one.is_named(&state.name));
        let indexes = present.iter().filter(is_named).map(|one| one.index);
        let with_egress = with_egress(&self.pins, &indexes.collect::<Vec<_>>()).await;
        let with_egress = with_egress.inspect_err(|error| {
            warn!("cannot tell whether the egress programs are attached: {error}");
        });
        let look = Look {
            with_egress: with_egress.ok(),
            present,
            taken,
            began,
        };
        let present = &look.present;
        let mut states = lock(&self.interfaces);
        for state in states.iter_mut() {
            if let Some(found) = look.find(&state.name) {
                state.driver.clone_from(&found.driver);
            }
            let status = self.status_of(state, &look);
            state.update(judging(status, &state.name, present), began);
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
            let misses = found.map(|found| coverage(present, found, |one| is_in(one, &all)));
            state.update_misses(misses.unwrap_or_default());
        }
        if let Err(error) = lock(&self.filter).mark_devices(present, &outside, inner) {
            warn!(
                "cannot record which devices exist, so forwarded packets may open no flows: {error}"
            );
        }
    }

    fn status_of(&self, state: &mut InterfaceState, look: &Look) -> InterfaceStatus {
        let Some(found) = look.find(&state.name) else {
            return self.status_of_absent(state, &look.present);
        };
        match (found.program, &mut state.attached) {
            (Some(program), Some(attached)) if program == attached.program => {
                attached.index = found.index;
                attached.mode = found.mode.unwrap_or(attached.mode);
                let status = self.follow_link_type(attached, found);
                if status == InterfaceStatus::Protected {
                    return self.keep_egress(state, found, look);
                }
                state.attempts.succeed();
                return status;
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
        state.open_since.get_or_insert(look.began);
        if !state.attempts.is_due(found, look.began) {
            return state.status.clone();
        }
        match self.attach(state, found, look) {
            Ok(attached) => {
                self.note_attached(state, found, attached, &look.present);
                InterfaceStatus::Protected
            }
            Err(error) => {
                state.attempts.fail(found, look.began);
                InterfaceStatus::Bare(error.to_string())
            }
        }
    }

    /// Attaches the egress program again to an interface that has lost it and runs the ingress program. `geofence
    /// detach` removes the ingress pin first, so what it takes off stays off.
    fn keep_egress(
        &self,
        state: &mut InterfaceState,
        found: &Interface,
        look: &Look,
    ) -> InterfaceStatus {
        let has_egress = |all: &BTreeSet<u32>| all.contains(&found.index);
        if look.with_egress.as_ref().is_none_or(has_egress) || !self.pins.has(found.index) {
            state.attempts.succeed();
            return InterfaceStatus::Protected;
        }
        state.open_since.get_or_insert(look.began);
        if !state.attempts.is_due(found, look.began) {
            return state.status.clone();
        }
        match lock(&self.filter).attach_egress(&self.pins, found) {
            Ok(()) => {
                state.attempts.succeed();
                warn!(
                    "another program detached the egress program from {}; geofence attached it again. Meanwhile no \
                     packet of this machine opened a flow, and lists about outgoing packets blocked nothing",
                    state.name
                );
                InterfaceStatus::Protected
            }
            Err(error) => {
                state.attempts.fail(found, look.began);
                InterfaceStatus::Bare(format!(
                    "another program detached the egress program, and geofence cannot attach it again: {error}"
                ))
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
        look: &Look,
    ) -> Result<Attached, AttachError> {
        if let Some(why) = refusal(&look.present, found) {
            return Err(AttachError::Misplaced(why));
        }
        let others = look.taken.iter().filter(|(name, _)| *name != state.name);
        AttachError::if_clashing(found.index, others.map(|(_, index)| *index))?;
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
                "{} appeared with index {} and is protected",
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
