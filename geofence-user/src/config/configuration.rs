//! Everything an operator can set: a configuration that has been read and checked.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use geofence_common::action::Mode;

use super::asn::AsMention;
use super::exception_spec::RuntimeExceptions;
use crate::model::event_settings::EventSettings;
use crate::model::geoip_source::GeoipSource;
use crate::model::list::Definition;
use crate::model::policy::{
    Action, CountryRule, CrossCheckRule, Lookup, Mail, MailDns, Policy, Replies, Settings,
};
use crate::model::word::Word;
use crate::os::instance::Instance;

/// Everything an operator can set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub policy: Policy,
    pub interfaces: Vec<String>,
    /// Those behind which our own machines are.
    pub inner_interfaces: Vec<String>,
    /// Files to read instead of the embedded database; empty for the embedded one.
    pub databases: Vec<PathBuf>,
    /// A second database to compare the countries of addresses with; empty for none.
    pub cross_check_databases: Vec<PathBuf>,
    /// The types of databases whose vendor is accepted, however much they differ from another vendor's.
    pub accepted_database_types: Vec<String>,
    /// The database that has the prefixes of autonomous systems.
    pub asn_database: Option<PathBuf>,
    /// The autonomous systems that rules name; the policy has their prefixes once the database has been read.
    pub as_mentions: Vec<AsMention>,
    pub listen: SocketAddr,
    /// Names of this machine by which clients of the listener ask, besides its own.
    pub listen_names: Vec<String>,
    /// The file with TLS and users for the listener.
    pub web_config: Option<PathBuf>,
    /// The user that the fleet agent runs as.
    pub fleet_user: Option<String>,
    pub xdp_mode: XdpMode,
    /// Bytes of each image slot; nothing for automatic.
    pub image_capacity: Option<u64>,
    pub flows: FlowCapacity,
    pub events: EventSettings,
    pub instance: Instance,
    /// The lists to read; the policy has their entries once they have been read.
    pub lists: Vec<Definition>,
    /// Where `geofence update` gets the databases.
    pub geoip_sources: Vec<GeoipSource>,
    pub runtime: RuntimeExceptions,
    /// A warning for each key that was given by its former name.
    pub former_names: Vec<String>,
}

/// How many flows each table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCapacity {
    pub mail: u32,
    pub dns: u32,
    pub other: u32,
}

/// Where on a packet's way the filter is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    Native,
    Generic,
    /// Native where the driver can, generic elsewhere.
    Auto,
}

impl Word for XdpMode {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        (
            "native",
            Self::Native,
            "in the driver; an interface whose driver cannot do so is an error",
        ),
        (
            "generic",
            Self::Generic,
            "in the network stack, on every interface, slower",
        ),
        (
            "auto",
            Self::Auto,
            "native where the driver can, generic elsewhere; the mode achieved is logged and exported",
        ),
    ];
}

impl Config {
    /// The files of all databases.
    pub fn database_files(&self) -> impl Iterator<Item = &PathBuf> {
        let countries = self.databases.iter().chain(&self.cross_check_databases);
        countries.chain(&self.asn_database)
    }

    /// What holds before anything is read.
    pub(super) fn blank() -> Self {
        Self {
            policy: Policy {
                settings: Settings {
                    rule: CountryRule::Block(BTreeSet::new()),
                    unknown: Action::Pass,
                    special_use: Action::Pass,
                    mode: Mode::Enforce,
                    mail: Mail::Full,
                    services: Vec::new(),
                    icmp_echo: Action::Drop,
                },
                lookup: Lookup::ArrayTrie,
                replies: Replies::None,
                mta_sts: false,
                mail_dns: MailDns::Off,
                name_servers: Vec::new(),
                translation_prefixes: Vec::new(),
                management: Vec::new(),
                allow: Vec::new(),
                deny: Vec::new(),
                autonomous_systems: Vec::new(),
                cross_check: CrossCheckRule::Any,
                geo_overrides: Vec::new(),
                tenants: Vec::new(),
                exceptions: Vec::new(),
                protections: Vec::new(),
                rate_limit: None,
                lists: Vec::new(),
            },
            interfaces: Vec::new(),
            inner_interfaces: Vec::new(),
            databases: Vec::new(),
            cross_check_databases: Vec::new(),
            accepted_database_types: Vec::new(),
            asn_database: None,
            as_mentions: Vec::new(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            listen_names: Vec::new(),
            web_config: None,
            fleet_user: None,
            xdp_mode: XdpMode::Native,
            image_capacity: None,
            flows: FlowCapacity::default(),
            events: EventSettings::default(),
            instance: Instance::default(),
            lists: Vec::new(),
            geoip_sources: Vec::new(),
            runtime: RuntimeExceptions::default(),
            former_names: Vec::new(),
        }
    }
}
