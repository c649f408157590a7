//! A checked policy: what the operator wants, with every name resolved and every prefix parsed.
//!
//! `config` makes one from text, `compile` turns one and GeoIP data into an image. Nothing here can be invalid.

mod autonomous_system;
mod definition;
mod exception;
mod geo_override;
mod numbering;
mod service;
mod settings;

pub use autonomous_system::{AsRule, AutonomousSystem};
pub use definition::{CrossCheckRule, Lookup, Policy, Tenant};
pub use exception::{Destination, Exception, Origin, Protection, Traffic};
pub use geo_override::GeoOverride;
pub use geofence_common::action::Action;
pub use geofence_common::image::Replies;
pub use numbering::NewNumbers;
pub use service::{CountedService, Mail, MailDns, Service, ServiceProtocol};
pub use settings::{CountryRule, Overrides, Settings};
