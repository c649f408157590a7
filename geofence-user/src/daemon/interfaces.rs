//! Keeping the filter attached: when an interface returns, the filter is attached to it again.
//!
//! A link follows its interface through a change of name or MTU and through down and up; it ends only with the
//! interface. An interface that an operator detached stays detached: its pin is gone, and without a pin nothing is
//! attached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use rtnetlink::MulticastGroup;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::interface_state::{InterfaceState, InterfaceStatus};
use super::state::Daemon;
use super::sync::lock;
use crate::kernel::interfaces;
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

    /// Examines every interface, and attaches the filter where it is missing and wanted.
    async fn examine_interfaces(&self) {
        // Listing many interfaces takes a while; one found unfiltered may have been so from the beginning of it.
        let looked = Instant::now();
        let present = match interfaces().await {
            Ok(present) => present,
            // The states from before hold until the next attempt.
            Err(error) => return warn!("{error}"),
        };
        for state in lock(&self.interfaces).iter_mut() {
            let status = self.status_of(state, &present, looked);
            state.update(status, looked);
        }
    }

    fn status_of(
        &self,
        state: &mut InterfaceState,
        present: &[Interface],
        looked: Instant,
    ) -> InterfaceStatus {
        let program = Some(state.attached.program);
        let named = present
            .iter()
            .find(|one| one.name == state.attached.interface);
        match named {
            Some(found) if found.program == program => {
                state.attached.index = found.index;
                InterfaceStatus::Protected
            }
            Some(found) if found.program.is_some() => InterfaceStatus::Foreign,
            Some(_) if !self.pins.has(state.attached.index) => InterfaceStatus::Detached,
            Some(found) => {
                state.open_since.get_or_insert(looked);
                self.reattach(state, found, present)
            }
            None => {
                let index = state.attached.index;
                let renamed = present
                    .iter()
                    .find(|one| one.index == index && one.program == program);
                renamed.map_or(InterfaceStatus::Gone, |one| {
                    InterfaceStatus::Renamed(one.name.clone())
                })
            }
        }
    }

    fn reattach(
        &self,
        state: &mut InterfaceState,
        found: &Interface,
        present: &[Interface],
    ) -> InterfaceStatus {
        let mode = lock(&self.active).config.xdp_mode;
        let attached =
            lock(&self.filter).attach_again(&self.pins, found, state.attached.slot, mode);
        if let Err(error) = attached {
            return InterfaceStatus::Bare(error.to_string());
        }
        let before = std::mem::replace(&mut state.attached.index, found.index);
        state.attached.is_adopted = false;
        let is_used = present
            .iter()
            .any(|one| one.index == before && one.program == Some(state.attached.program));
        if before != found.index && !is_used {
            self.pins.forget(before);
        }
        info!(
            "{} returned with index {} and is protected again",
            found.name, found.index
        );
        // The change is logged already.
        state.status = InterfaceStatus::Protected;
        InterfaceStatus::Protected
    }
}
