//! The policy itself, and its tenants.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use geofence_common::action::Action;
use geofence_common::country::Country;
use geofence_common::image::Replies;
use geofence_common::image::class::Class;
use geofence_common::wire::dns;
use ipnet::{IpNet, Ipv6Net};

use super::autonomous_system::{AsRule, AutonomousSystem};
use super::exception::{Exception, Protection};
use super::geo_override::GeoOverride;
use super::service::{CountedService, Mail, MailDns, ServiceProtocol};
use super::settings::{Overrides, Settings};
use crate::model::listing::Listing;
use crate::model::units::UnixSeconds;

/// Everything a verdict depends on except the GeoIP data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub settings: Settings,
    pub lookup: Lookup,
    /// Which packets from our side a blocked country may reply to.
    pub replies: Replies,
    /// Whether replies to HTTPS pass, for the policies of MTA-STS.
    pub mta_sts: bool,
    pub mail_dns: MailDns,
    /// Where name servers listen that a protected interface reaches, known once the machine has been looked at.
    pub name_servers: Vec<SocketAddr>,
    /// Prefixes of a NAT64: an address in one has the class of the IPv4 address that it embeds.
    pub translation_prefixes: Vec<Ipv6Net>,
    pub management: Vec<IpNet>,
    pub allow: Vec<IpNet>,
    pub deny: Vec<IpNet>,
    /// The autonomous systems that rules name, with the prefixes they have in the data.
    pub autonomous_systems: Vec<AutonomousSystem>,
    /// Which database decides that an address is blocked, if there are two.
    pub cross_check: CrossCheckRule,
    /// Prefixes whose country is another than the database's.
    pub geo_overrides: Vec<GeoOverride>,
    /// Third-party lists, in the order of the configuration.
    pub lists: Vec<Listing>,
    pub tenants: Vec<Tenant>,
    /// Each is shared with other policies that have it too, because there may be a hundred thousand.
    pub exceptions: Vec<Arc<Exception>>,
    pub protections: Vec<Protection>,
    /// How many packets per second one source of a blocked country may send to exempted services, if that is limited.
    pub rate_limit: Option<NonZeroU32>,
}

/// Which of two databases must place an address in a blocked country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossCheckRule {
    /// Either.
    Any,
    /// Both.
    All,
}

/// The engine that finds the class of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The trie of cache lines inside the image.
    ArrayTrie,
    /// The kernel's own longest-prefix trie, which is the reference.
    LpmTrie,
}

/// Networks with settings of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tenant {
    pub name: String,
    /// From 1 up to the number of tenants there is room for; its counters have this number.
    pub number: u32,
    pub prefixes: Vec<IpNet>,
    pub own: Overrides,
}

impl Policy {
    /// Whether the policy blocks an address of this class in the data, without regard to lists and tenants.
    #[must_use]
    pub fn blocks(&self, class: Class) -> bool {
        self.settings.blocks(class)
    }

    /// The settings for the tenant of this number; for number 0, which no tenant has, those of the policy.
    #[must_use]
    pub fn settings_of(&self, tenant: u32) -> Cow<'_, Settings> {
        match self.tenant(tenant) {
            Some(tenant) => Cow::Owned(tenant.own.over(&self.settings)),
            None => Cow::Borrowed(&self.settings),
        }
    }

    /// Whether DNS queries from blocked countries pass to destinations with these settings.
    #[must_use]
    pub fn opens_dns(&self, settings: &Settings) -> bool {
        match self.mail_dns {
            MailDns::Auto => settings.mail != Mail::Off && !self.name_servers.is_empty(),
            MailDns::On => true,
            MailDns::Off => false,
        }
    }

    /// The services that blocked countries may reach at some destination: each mail port, DNS where it is open, others
    /// as they are written, and echo requests.
    #[must_use]
    pub fn counted_services(&self) -> BTreeSet<CountedService> {
        let numbers = self.tenants.iter().map(|tenant| tenant.number);
        let mut services = BTreeSet::new();
        for number in std::iter::once(0).chain(numbers) {
            let settings = self.settings_of(number);
            let mail = settings.mail.ports().iter();
            services.extend(mail.map(|port| CountedService::port(ServiceProtocol::Tcp, *port)));
            services.extend(settings.services.iter().copied().map(CountedService::Ports));
            if self.opens_dns(&settings) {
                let both = [ServiceProtocol::Tcp, ServiceProtocol::Udp];
                services.extend(both.map(|protocol| CountedService::port(protocol, dns::PORT)));
            }
            if settings.icmp_echo == Action::Pass {
                services.insert(CountedService::Echo);
            }
        }
        services
    }

    /// Whether DNS is open to blocked countries, and why.
    #[must_use]
    pub fn mail_dns_in_words(&self) -> String {
        let servers: Vec<_> = self.name_servers.iter().map(ToString::to_string).collect();
        match self.mail_dns {
            MailDns::On => "open: UDP and TCP 53 from blocked countries, as configured".to_owned(),
            MailDns::Off => "closed, as configured".to_owned(),
            MailDns::Auto if servers.is_empty() => {
                "closed: no name server listens on a protected address".to_owned()
            }
            MailDns::Auto if self.settings.mail == Mail::Off => "closed: mail is off".to_owned(),
            MailDns::Auto => format!(
                "open: UDP and TCP 53 from blocked countries, so that senders find the mail servers; a name server \
                 listens on {}",
                servers.join(", ")
            ),
        }
    }

    /// The tenant of this number.
    #[must_use]
    pub fn tenant(&self, number: u32) -> Option<&Tenant> {
        self.tenants.iter().find(|tenant| tenant.number == number)
    }

    /// The exceptions that have not expired.
    pub fn live_exceptions(&self, now: UnixSeconds) -> impl Iterator<Item = &Exception> {
        self.live(now).filter(|exception| !exception.is_ban)
    }

    /// The bans that have not expired.
    pub fn live_bans(&self, now: UnixSeconds) -> impl Iterator<Item = &Exception> {
        self.live(now).filter(|exception| exception.is_ban)
    }

    fn live(&self, now: UnixSeconds) -> impl Iterator<Item = &Exception> {
        let exceptions = self.exceptions.iter().map(Arc::as_ref);
        exceptions.filter(move |exception| exception.until.is_none_or(|until| until > now))
    }

    /// The exceptions that expire within a week.
    pub fn expiring_exceptions(&self, now: UnixSeconds) -> impl Iterator<Item = &Exception> {
        const WEEK: Duration = Duration::from_secs(7 * 86_400);
        let soon = now.plus(WEEK);
        self.live_exceptions(now)
            .filter(move |exception| exception.until.is_some_and(|until| until <= soon))
    }

    /// The overrides of the country data that have not expired.
    pub fn overrides_in_force(&self, now: UnixSeconds) -> impl Iterator<Item = &GeoOverride> {
        let overrides = self.geo_overrides.iter();
        overrides.filter(move |one| one.is_in_force(now))
    }

    /// The override that gives an address its country, with what the database says instead.
    #[must_use]
    pub fn override_of(&self, address: IpAddr) -> Option<(&GeoOverride, Country)> {
        let mut overrides = self.geo_overrides.iter();
        overrides.find_map(|one| Some((one, one.replaced(address)?)))
    }

    /// The prefixes of the autonomous systems that the rule names.
    pub fn prefixes_of_systems(&self, rule: &AsRule) -> impl Iterator<Item = &IpNet> {
        let systems = self.autonomous_systems.iter();
        let systems = systems.filter(move |one| one.rule == *rule);
        systems.flat_map(|system| &system.prefixes)
    }
}
