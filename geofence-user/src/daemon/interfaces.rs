//! Interfaces that come and go: what each is found to be, and putting the filter back on one that returns.
//!
//! A link follows its interface through a change of name or MTU and through down and up; only with the interface itself
//! does it go. What the operator detached stays detached: its pin is gone, and without a pin nothing is put back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::{Daemon, lock};
use crate::kernel::{Attached, Interface, interfaces};

/// What an interface was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The filter runs there.
    Protected,
    /// The filter runs there, and the interface has another name by now.
    Renamed(String),
    /// There is no such interface.
    Gone,
    /// Somebody else's program runs there.
    Foreign,
    /// It is there and does not take the filter; why, in a sentence.
    Bare(String),
    /// The operator has detached it.
    Detached,
}

impl Standing {
    /// The spelling in JSON.
    const fn name(&self) -> &'static str {
        match self {
            Self::Protected => "protected",
            Self::Renamed(_) => "renamed",
            Self::Gone => "gone",
            Self::Foreign => "foreign",
            Self::Bare(_) => "bare",
            Self::Detached => "detached",
        }
    }

    /// Whether packets could be passing unfiltered.
    const fn is_open(&self) -> bool {
        match self {
            Self::Foreign | Self::Bare(_) | Self::Detached => true,
            Self::Protected | Self::Renamed(_) | Self::Gone => false,
        }
    }
}

/// An interface of the configuration.
#[derive(Clone, Debug)]
pub struct Place {
    pub attached: Attached,
    pub standing: Standing,
    /// Since when it has been open, if it is, and for how long it was before that.
    open: Option<Instant>,
    open_before: Duration,
}

impl Place {
    pub(super) fn new(attached: Attached) -> Self {
        Self {
            attached,
            standing: Standing::Protected,
            open: None,
            open_before: Duration::ZERO,
        }
    }

    #[must_use]
    pub fn is_protected(&self) -> bool {
        matches!(self.standing, Standing::Protected | Standing::Renamed(_))
    }

    /// For how long packets could pass unfiltered, since this daemon has been watching.
    #[must_use]
    pub fn unprotected(&self) -> Duration {
        let open = self.open.map_or(Duration::ZERO, |since| since.elapsed());
        self.open_before + open
    }

    pub(super) fn to_json(&self) -> Value {
        let detail = match &self.standing {
            Standing::Renamed(detail) | Standing::Bare(detail) => Some(detail),
            Standing::Protected | Standing::Gone | Standing::Foreign | Standing::Detached => None,
        };
        json!({
            "interface": self.attached.interface,
            "index": self.attached.index,
            "mode": self.attached.mode,
            "protected": self.is_protected(),
            "standing": self.standing.name(),
            "detail": detail,
            "adopted": self.attached.is_adopted,
            "unprotected_seconds": self.unprotected().as_secs_f64(),
        })
    }

    /// Notes what the interface was found to be by a look that began then, and tells of a change.
    fn note(&mut self, standing: Standing, looked: Instant) {
        let name = &self.attached.interface;
        if standing.is_open() {
            self.open.get_or_insert(looked);
        } else if let Some(since) = self.open.take() {
            self.open_before += since.elapsed();
        }
        if self.standing == standing {
            return;
        }
        match &standing {
            Standing::Protected => info!("{name} is protected again"),
            Standing::Renamed(now) => {
                info!("{name} is now called {now} and stays protected; name it so in `interfaces`");
            }
            Standing::Gone => warn!("{name} is gone; it is protected again as soon as it is back"),
            Standing::Foreign => {
                error!("{name} is NOT PROTECTED: somebody else's program is on it")
            }
            Standing::Bare(why) => error!("{name} is NOT PROTECTED: {why}"),
            Standing::Detached => warn!("{name} was detached and is NOT PROTECTED"),
        }
        self.standing = standing;
    }
}

impl Daemon {
    /// Looks at every interface, and puts the filter back where it is missing and wanted.
    pub async fn look_after_interfaces(&self) {
        // Asking takes a while, and more where there are many; an interface found bare has been for that long.
        let looked = Instant::now();
        let present = match interfaces().await {
            Ok(present) => present,
            // What was seen last holds until somebody can look again.
            Err(error) => return warn!("{error}"),
        };
        let mut places = lock(&self.places);
        for place in places.iter_mut() {
            let standing = self.standing(place, &present, looked);
            place.note(standing, looked);
        }
    }

    fn standing(&self, place: &mut Place, present: &[Interface], looked: Instant) -> Standing {
        let program = Some(place.attached.program);
        let named = present
            .iter()
            .find(|one| one.name == place.attached.interface);
        match named {
            Some(found) if found.program == program => {
                place.attached.index = found.index;
                Standing::Protected
            }
            Some(found) if found.program.is_some() => Standing::Foreign,
            Some(_) if !self.pins.has(place.attached.index) => Standing::Detached,
            Some(found) => {
                place.open.get_or_insert(looked);
                self.put_back(place, found, present)
            }
            None => {
                let index = place.attached.index;
                let renamed = present
                    .iter()
                    .find(|one| one.index == index && one.program == program);
                renamed.map_or(Standing::Gone, |one| Standing::Renamed(one.name.clone()))
            }
        }
    }

    fn put_back(&self, place: &mut Place, found: &Interface, present: &[Interface]) -> Standing {
        let mode = lock(&self.current).config.xdp_mode;
        let attached =
            lock(&self.filter).attach_again(&self.pins, found, place.attached.slot, mode);
        if let Err(error) = attached {
            return Standing::Bare(error.to_string());
        }
        let before = std::mem::replace(&mut place.attached.index, found.index);
        place.attached.is_adopted = false;
        let is_used = present
            .iter()
            .any(|one| one.index == before && one.program == Some(place.attached.program));
        if before != found.index && !is_used {
            self.pins.forget(before);
        }
        info!(
            "{} came back (index {}) and is protected again",
            found.name, found.index
        );
        // The change has been told of.
        place.standing = Standing::Protected;
        Standing::Protected
    }
}
