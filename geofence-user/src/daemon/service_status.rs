//! The line that `systemctl status` shows: what is enforced where, what is missing, and how much is dropped now.
//!
//! The service manager gets a line when a reload has ended, and when it differs from the last one.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use geofence_common::action::{Action, Mode};
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::interface_state::InterfaceState;
use super::state::Daemon;
use super::sync::lock;
use crate::kernel::KernelError;
use crate::os::notify;

/// How often the line is made.
const PERIOD: Duration = Duration::from_secs(5);

/// What the line says.
#[derive(Clone, Debug, Default, PartialEq)]
struct ServiceStatus {
    is_monitor: bool,
    interfaces: usize,
    unprotected: Vec<String>,
    is_on_trial: bool,
    is_degraded: bool,
    /// Packets dropped a second.
    rate: f64,
}

impl ServiceStatus {
    fn line(&self) -> String {
        let mut line = if self.is_monitor {
            "monitoring, nothing is dropped".to_owned()
        } else {
            "enforcing".to_owned()
        };
        let protected = self.interfaces - self.unprotected.len();
        line += &match (protected, self.interfaces) {
            (1, 1) => ", 1 interface".to_owned(),
            (protected, all) if protected == all => format!(", {all} interfaces"),
            (protected, all) => format!(", {protected} of {all} interfaces"),
        };
        let rate = pps(self.rate);
        line += &match (rate, self.is_monitor) {
            (None, _) => String::new(),
            (Some(rate), false) => format!(", {rate} dropped"),
            (Some(rate), true) => format!(", {rate} would be dropped"),
        };
        if self.is_on_trial {
            line += ", a policy is on trial";
        }
        if self.is_degraded {
            line += ", degraded: see `geofence status`";
        }
        if !self.unprotected.is_empty() {
            line += &format!("; NOT PROTECTED: {}", self.unprotected.join(", "));
        }
        line
    }
}

/// A rate in the unit that fits it; none below one packet a second.
fn pps(rate: f64) -> Option<String> {
    match rate {
        rate if rate < 1.0 => None,
        rate if rate < 1e3 => Some(format!("{rate:.0} pps")),
        rate if rate < 1e6 => Some(format!("{:.1} kpps", rate / 1e3)),
        rate => Some(format!("{:.1} Mpps", rate / 1e6)),
    }
}

/// Reports the state to the service manager, if there is one; never ends otherwise.
pub async fn keep_reporting(daemon: Arc<Daemon>) {
    if !notify::is_wanted() {
        return;
    }
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = None;
    loop {
        ticks.tick().await;
        let line = daemon.service_status(&mut before).await.line();
        let last = std::mem::replace(&mut *lock(&daemon.service_line), line.clone());
        if line != last {
            note(notify::status(&line));
        }
    }
}

/// The watchdog reports the same trouble, and aloud.
fn note(reported: io::Result<()>) {
    if let Err(error) = reported {
        debug!("cannot report the state to the service manager: {error}");
    }
}

impl Daemon {
    /// Reports to the service manager, if there is one, that a reload has ended, and what holds now.
    pub(super) async fn report_reloaded(&self) {
        if notify::is_wanted() {
            let line = self.service_status(&mut None).await.line();
            note(notify::ready(&line));
            *lock(&self.service_line) = line;
        }
    }

    /// What the line says now. `before` is when the dropped packets were last counted, and how many there were.
    async fn service_status(&self, before: &mut Option<(Instant, u64)>) -> ServiceStatus {
        let interfaces = self.protection().await;
        let unprotected = interfaces.iter().filter(|one| !one.is_protected());
        let unprotected = unprotected.map(|one| one.name.clone()).collect();
        let dropped = self.dropped(&interfaces).ok();
        let now = dropped.map(|dropped| (Instant::now(), dropped));
        let rate = match (now, *before) {
            (Some((now, after)), Some((then, before))) => {
                after.saturating_sub(before) as f64 / (now - then).as_secs_f64()
            }
            _ => 0.0,
        };
        *before = now;
        ServiceStatus {
            is_monitor: self.facts().mode == Mode::Monitor,
            interfaces: interfaces.len(),
            unprotected,
            is_on_trial: lock(&self.trial).is_some(),
            is_degraded: self.reloads().last_failure.is_some() || !self.shortfalls().is_empty(),
            rate,
        }
    }

    /// How many packets were dropped on these interfaces, or in monitor mode would have been.
    fn dropped(&self, interfaces: &[InterfaceState]) -> Result<u64, KernelError> {
        let filter = lock(&self.filter);
        let mut dropped = 0;
        for interface in interfaces {
            let counters = filter.counters(interface.slot)?;
            let drops = counters
                .iter()
                .filter(|((_, _, reason), _)| reason.action() == Action::Drop);
            dropped += drops.map(|(_, counter)| counter.packets).sum::<u64>();
        }
        Ok(dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_enforced_where_and_what_is_missing() {
        let whole = ServiceStatus {
            interfaces: 2,
            rate: 3_140_000.0,
            ..ServiceStatus::default()
        };
        assert_eq!(whole.line(), "enforcing, 2 interfaces, 3.1 Mpps dropped");
        let one = ServiceStatus {
            interfaces: 1,
            is_monitor: true,
            rate: 812.3,
            ..ServiceStatus::default()
        };
        assert_eq!(
            one.line(),
            "monitoring, nothing is dropped, 1 interface, 812 pps would be dropped"
        );
        let partial = ServiceStatus {
            interfaces: 2,
            unprotected: vec!["eth1".to_owned()],
            is_on_trial: true,
            is_degraded: true,
            rate: 0.2,
            ..ServiceStatus::default()
        };
        assert_eq!(
            partial.line(),
            "enforcing, 1 of 2 interfaces, a policy is on trial, degraded: see `geofence status`; NOT PROTECTED: eth1"
        );
    }
}
