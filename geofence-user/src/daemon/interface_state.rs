//! The state of each configured interface, as the last look at the kernel found it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::attempts::Attempts;
use crate::checks::finding::{Finding, Level};
use crate::kernel::{AttachError, Attached, Placed};

/// What a look at an interface found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceStatus {
    /// The filter is attached.
    Protected,
    /// The filter is attached, and the interface has this name now.
    Renamed(String),
    /// The interface has not existed since this daemon started.
    Missing,
    /// The interface does not exist any more.
    Gone,
    /// Another XDP program is attached.
    Foreign,
    /// The interface exists and the filter cannot be attached; why, in a sentence.
    Bare(String),
    /// An operator detached the filter.
    Detached,
}

impl InterfaceStatus {
    /// What a start leaves behind that could not attach the filter.
    fn after(error: &AttachError) -> Self {
        if error.is_missing() {
            Self::Missing
        } else if matches!(error, AttachError::Foreign { .. }) {
            Self::Foreign
        } else {
            Self::Bare(error.to_string())
        }
    }

    /// The spelling in JSON.
    const fn name(&self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Renamed(_) => "renamed",
            Self::Missing => "missing",
            Self::Gone => "gone",
            Self::Foreign => "foreign",
            Self::Bare(_) => "bare",
            Self::Detached => "detached",
        }
    }

    /// Whether packets can pass unfiltered.
    const fn is_open(&self) -> bool {
        match self {
            Self::Foreign | Self::Bare(_) | Self::Detached => true,
            Self::Protected | Self::Renamed(_) | Self::Missing | Self::Gone => false,
        }
    }
}

/// A configured interface.
#[derive(Clone, Debug)]
pub struct InterfaceState {
    /// The name in the configuration, even if the interface was renamed since.
    pub name: String,
    /// The slot of its counters.
    pub slot: u32,
    /// The module of its driver, or the kind of a virtual interface, as the kernel named it last.
    pub driver: Option<String>,
    /// Whether our own machines are behind it, as the configuration says.
    pub is_inner: bool,
    /// Where the filter is, or was last; nothing before it was attached for the first time.
    pub attached: Option<Attached>,
    pub status: InterfaceStatus,
    /// What a filter on this device misses, as the devices are stacked now.
    pub misses: Vec<Finding>,
    pub(super) attempts: Attempts,
    /// Since when packets can pass unfiltered, if they can, and for how long they could before.
    pub(super) open_since: Option<Instant>,
    open_before: Duration,
}

impl InterfaceState {
    pub(super) fn new(placed: Placed) -> Self {
        let (attached, status) = match placed.attached {
            Ok(attached) => (Some(attached), InterfaceStatus::Protected),
            Err(error) => (None, InterfaceStatus::after(&error)),
        };
        Self {
            name: placed.interface,
            slot: placed.slot,
            driver: None,
            is_inner: false,
            attached,
            open_since: status.is_open().then(Instant::now),
            status,
            misses: Vec::new(),
            attempts: Attempts::default(),
            open_before: Duration::ZERO,
        }
    }

    #[must_use]
    pub fn is_protected(&self) -> bool {
        use InterfaceStatus::{Protected, Renamed};
        matches!(self.status, Protected | Renamed(_))
    }

    /// Why it is not filtered, in words, if packets can pass it unfiltered or it does not exist.
    #[must_use]
    pub fn gap(&self) -> Option<String> {
        use InterfaceStatus::{Bare, Detached, Foreign, Gone, Missing, Protected, Renamed};
        let why = match &self.status {
            Protected | Renamed(_) => return None,
            Missing => "it does not exist",
            Gone => "it is gone",
            Foreign => "another XDP program is attached to it",
            Bare(why) => why,
            Detached => "the filter was detached; `geofence run` attaches it",
        };
        Some(format!("{} is NOT PROTECTED: {why}", self.name))
    }

    /// The mode the kernel reported last; `none` before the filter was attached.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        self.attached.as_ref().map_or("none", |one| one.mode)
    }

    /// For how long packets could pass unfiltered since this daemon started.
    #[must_use]
    pub fn unprotected(&self) -> Duration {
        let open = self.open_since.map_or(Duration::ZERO, |at| at.elapsed());
        self.open_before + open
    }

    /// Why it is not protected, in words.
    #[must_use]
    pub fn missing(&self) -> String {
        let why = match &self.status {
            InterfaceStatus::Bare(why) => why,
            InterfaceStatus::Protected
            | InterfaceStatus::Renamed(_)
            | InterfaceStatus::Missing
            | InterfaceStatus::Gone
            | InterfaceStatus::Foreign
            | InterfaceStatus::Detached => self.status.name(),
        };
        format!("{} is not protected: {why}", self.name)
    }

    pub(super) fn to_json(&self) -> Value {
        use InterfaceStatus::{Bare, Detached, Foreign, Gone, Missing, Protected, Renamed};
        let detail = match &self.status {
            Renamed(detail) | Bare(detail) => Some(detail),
            Protected | Missing | Gone | Foreign | Detached => None,
        };
        json!({
            "interface": self.name,
            "index": self.attached.as_ref().map(|one| one.index),
            "mode": self.mode(),
            "driver": self.driver,
            "inner": self.is_inner,
            "link_type": self.attached.as_ref().map(|one| one.link_type),
            "protected": self.is_protected(),
            "standing": self.status.name(),
            "detail": detail,
            "misses": self.misses,
            "adopted": self.attached.as_ref().is_some_and(|one| one.is_adopted),
            "unprotected_seconds": self.unprotected().as_secs_f64(),
        })
    }

    /// Stores what a filter on this device misses, and logs what is news.
    pub(super) fn update_misses(&mut self, mut misses: Vec<Finding>) {
        // A device that cannot carry the filter is refused, and notes ask for no change.
        misses.retain(|one| one.level == Level::Change);
        for one in misses.iter().filter(|one| !self.misses.contains(one)) {
            let line = one.line.as_deref().unwrap_or_default();
            warn!("{}. Advice: {line}", one.text);
        }
        self.misses = misses;
    }

    /// Stores what a look that began at `looked` found, and logs a change.
    pub(super) fn update(&mut self, status: InterfaceStatus, looked: Instant) {
        let name = &self.name;
        if status.is_open() {
            self.open_since.get_or_insert(looked);
        } else if let Some(since) = self.open_since.take() {
            self.open_before += since.elapsed();
        }
        if self.status == status {
            return;
        }
        match &status {
            InterfaceStatus::Protected => info!("{name} is protected again"),
            InterfaceStatus::Renamed(now) => info!(
                "{name} was renamed to {now} and stays protected; change `interfaces` in the configuration to {now}"
            ),
            InterfaceStatus::Missing => {
                warn!("{name} does not exist; the filter is attached when the interface appears")
            }
            InterfaceStatus::Gone => {
                warn!("{name} is gone; the filter is attached again when the interface returns")
            }
            InterfaceStatus::Foreign => {
                error!("{name} is NOT PROTECTED: another XDP program is attached to it")
            }
            InterfaceStatus::Bare(why) => error!("{name} is NOT PROTECTED: {why}"),
            InterfaceStatus::Detached => {
                warn!(
                    "{name} is NOT PROTECTED: the filter was detached; `geofence run` attaches it"
                )
            }
        }
        self.status = status;
    }
}
