//! Every combination of rules that can concern one packet, one situation each, and what a naive model says of it.
//!
//! The model is the table in docs/exceptions.md, read from the top; it knows no image and no look-up. All situations
//! live in one policy: each has a source, a destination and a port of its own making.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use geofence_common::action::{Mode, Reason};
use geofence_common::country::Country;
use geofence_user::config::Config;
use geofence_user::data::geoip::Database;
use geofence_user::model::policy::{
    Action, CountryRule, Destination, Exception, Mail, Origin, Overrides, Policy, Protection,
    Service, ServiceProtocol, Tenant, Traffic,
};
use geofence_user::model::units::UnixSeconds;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Where the source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A country that the general policy allows and the tenant blocks.
    Open,
    /// A country that the general policy blocks and the tenant allows.
    Blocked,
    /// The same, with an exception for the country: to everywhere, TCP to `NAMED`.
    Excepted,
    Unknown,
    Special,
}

/// An exception for the source alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    None,
    /// All traffic.
    All,
    /// TCP, whatever the port.
    Protocol,
    /// TCP to `NAMED` and to the protected ports.
    Named,
    /// UDP to them.
    OtherProtocol,
    /// All traffic; but its time is over.
    Expired,
    /// All traffic, to other networks.
    Elsewhere,
    /// The source is banned, and all traffic is excepted as well.
    Banned,
    /// It was banned; the time is over.
    BannedBefore,
}

/// What a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Nothing is said of it.
    Plain,
    /// The one that exceptions name.
    Named,
    Mail,
    /// A service of the general policy; the tenant has its own.
    Service,
    TenantService,
    /// Protected for every destination; exceptions name it.
    Protected,
    /// Protected for the tenant; exceptions name it.
    TenantProtected,
    /// Protected for every destination; no exception names it.
    Unnamed,
}

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    pub is_v6: bool,
    pub is_management: bool,
    pub grant: Grant,
    pub is_allowed: bool,
    pub is_denied: bool,
    /// Whether protections name the source.
    pub has_access: bool,
    pub place: Place,
    pub is_tenant: bool,
    pub port: Port,
}

const PLACES: [Place; 5] = [
    Place::Open,
    Place::Blocked,
    Place::Excepted,
    Place::Unknown,
    Place::Special,
];
const GRANTS: [Grant; 9] = [
    Grant::None,
    Grant::All,
    Grant::Protocol,
    Grant::Named,
    Grant::OtherProtocol,
    Grant::Expired,
    Grant::Elsewhere,
    Grant::Banned,
    Grant::BannedBefore,
];
const PORTS: [Port; 8] = [
    Port::Plain,
    Port::Named,
    Port::Mail,
    Port::Service,
    Port::TenantService,
    Port::Protected,
    Port::TenantProtected,
    Port::Unnamed,
];

impl Port {
    const fn number(self) -> u16 {
        match self {
            Self::Plain => 7000,
            Self::Named => 7001,
            Self::Mail => 25,
            Self::Service => 7002,
            Self::TenantService => 7003,
            Self::Protected => 3389,
            Self::TenantProtected => 445,
            Self::Unnamed => 5985,
        }
    }
}

/// Every situation there is.
#[must_use]
pub fn situations() -> Vec<Situation> {
    let mut all = Vec::new();
    let both = [false, true];
    for is_v6 in both {
        for flags in 0..16_u8 {
            for grant in GRANTS {
                for place in PLACES {
                    for is_tenant in both {
                        for port in PORTS {
                            all.push(Situation {
                                is_v6,
                                is_management: flags & 1 != 0,
                                is_allowed: flags & 2 != 0,
                                is_denied: flags & 4 != 0,
                                has_access: flags & 8 != 0,
                                grant,
                                place,
                                is_tenant,
                                port,
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

impl Situation {
    /// What becomes of a TCP segment that opens a connection. The one reason, or two where either will do.
    #[must_use]
    pub fn expected(&self) -> Vec<Reason> {
        if self.is_management {
            return vec![Reason::Management];
        }
        if self.grant == Grant::Banned {
            return vec![Reason::Banned];
        }
        let is_protected = match self.port {
            Port::Protected | Port::Unnamed => true,
            Port::TenantProtected => self.is_tenant,
            Port::Plain | Port::Named | Port::Mail | Port::Service | Port::TenantService => false,
        };
        let names_port = matches!(
            self.port,
            Port::Named | Port::Protected | Port::TenantProtected
        );
        let is_excepted = match self.grant {
            Grant::All | Grant::Protocol => !is_protected,
            Grant::Named => names_port,
            Grant::None
            | Grant::OtherProtocol
            | Grant::Expired
            | Grant::Elsewhere
            | Grant::Banned
            | Grant::BannedBefore => false,
        } || (self.place == Place::Excepted && self.port == Port::Named);
        let mut passing = Vec::new();
        if is_excepted {
            passing.push(Reason::Exception);
        }
        if is_protected && self.has_access {
            passing.push(Reason::ProtectedAccess);
        }
        if !passing.is_empty() {
            return passing;
        }
        let is_service = match self.port {
            Port::Service => !self.is_tenant,
            Port::TenantService => self.is_tenant,
            Port::Plain
            | Port::Named
            | Port::Mail
            | Port::Protected
            | Port::TenantProtected
            | Port::Unnamed => false,
        };
        let exempt = |otherwise| {
            // The tenant has no mail.
            if self.port == Port::Mail && !self.is_tenant {
                Reason::Mail
            } else if is_service {
                Reason::Service
            } else {
                otherwise
            }
        };
        vec![if is_protected {
            Reason::ProtectedService
        } else if self.is_allowed {
            Reason::Allowed
        } else if self.is_denied {
            Reason::Denied
        } else {
            match (self.place, self.is_tenant) {
                (Place::Special, false) => Reason::SpecialUse,
                (Place::Special, true) => Reason::SpecialUseBlocked,
                (Place::Unknown, false) => Reason::CountryUnknown,
                (Place::Unknown, true) => exempt(Reason::CountryUnknownBlocked),
                (Place::Open, false) | (Place::Blocked | Place::Excepted, true) => {
                    Reason::CountryAllowed
                }
                (Place::Open, true) | (Place::Blocked | Place::Excepted, false) => {
                    exempt(Reason::CountryBlocked)
                }
            }
        }]
    }

    /// The tenant's mode is monitor, that of the general policy is enforce.
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.is_tenant {
            Mode::Monitor
        } else {
            Mode::Enforce
        }
    }

    /// The source: its country in the first half of the address, everything else about it in the second.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        let place = PLACES.iter().position(|place| *place == self.place);
        let grant = GRANTS.iter().position(|grant| *grant == self.grant);
        let (place, grant) = (place.unwrap_or(0) as u8, grant.unwrap_or(0) as u8);
        let lists = u8::from(self.is_management)
            | u8::from(self.is_allowed) << 1
            | u8::from(self.is_denied) << 2
            | u8::from(self.has_access) << 3;
        if self.is_v6 {
            let first = [0x2a01, 0x2a02, 0x2a03, 0x2a04, 0xfd00];
            let first = first[usize::from(place)];
            Ipv6Addr::new(first, 0, 0, 0, 0, 0, u16::from(grant), u16::from(lists)).into()
        } else {
            let first = [81, 82, 83, 84, 10][usize::from(place)];
            Ipv4Addr::new(first, 0, grant, lists).into()
        }
    }

    #[must_use]
    pub fn destination(&self) -> IpAddr {
        let text = match (self.is_v6, self.is_tenant) {
            (false, false) => "192.0.2.1",
            (false, true) => "198.51.100.1",
            (true, false) => "2001:db8:1::1",
            (true, true) => "2001:db8:2::1",
        };
        text.parse().unwrap_or(Ipv4Addr::UNSPECIFIED.into())
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }
}

fn country(code: &[u8; 2]) -> Country {
    Country::from_code(*code).unwrap_or(Country::UNKNOWN)
}

/// The data that places the sources.
#[must_use]
pub fn database() -> Database {
    let places = [
        (81, 0x2a01, b"DE"),
        (82, 0x2a02, b"RU"),
        (83, 0x2a03, b"IR"),
    ];
    let v4 = places.iter().filter_map(|(first, _, code)| {
        let net = Ipv4Net::new(Ipv4Addr::new(*first, 0, 0, 0), 16).ok()?;
        Some((net, country(code)))
    });
    let v6 = places.iter().filter_map(|(_, first, code)| {
        let net = Ipv6Net::new(Ipv6Addr::new(*first, 0, 0, 0, 0, 0, 0, 0), 32).ok()?;
        Some((net, country(code)))
    });
    Database::from_prefixes(v4.collect(), v6.collect())
}

/// Sources of which this holds, as prefixes of one address each.
fn sources(holds: impl Fn(&Situation) -> bool) -> Vec<IpNet> {
    let distinct: BTreeSet<IpNet> = situations()
        .iter()
        .filter(|situation| holds(situation))
        .map(|situation| situation.source().into())
        .collect();
    distinct.into_iter().collect()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn tcp(port: Port) -> Service {
    Service {
        protocol: ServiceProtocol::Tcp,
        first: port.number(),
        last: port.number(),
    }
}

/// The policy in which every situation is what it says it is.
#[must_use]
pub fn policy() -> Policy {
    let mut policy = Config::default().policy;
    policy.settings.rule = CountryRule::Block([country(b"RU"), country(b"IR")].into());
    policy.management = sources(|one| one.is_management);
    policy.allow = sources(|one| one.is_allowed);
    policy.deny = sources(|one| one.is_denied);
    policy.settings.services = vec![tcp(Port::Service)];
    policy.tenants = vec![Tenant {
        name: "tenant".into(),
        number: 1,
        prefixes: nets(&["198.51.100.0/24", "2001:db8:2::/48"]),
        own: Overrides {
            rule: Some(CountryRule::Block([country(b"DE")].into())),
            unknown: Some(Action::Drop),
            special_use: Some(Action::Drop),
            mode: Some(Mode::Monitor),
            mail: Some(Mail::Off),
            services: Some(vec![tcp(Port::TenantService)]),
            icmp_echo: None,
        },
    }];
    let named = |protocol: fn(Service) -> Service| -> Vec<Traffic> {
        [Port::Named, Port::Protected, Port::TenantProtected]
            .map(|port| Traffic::Service(protocol(tcp(port))))
            .to_vec()
    };
    let udp = |service| Service {
        protocol: ServiceProtocol::Udp,
        ..service
    };
    let here = nets(&["192.0.2.0/24", "2001:db8:1::/48"]).into_iter();
    let here: Vec<Destination> = here
        .map(Destination::Prefix)
        .chain([Destination::Tenant(1)])
        .collect();
    let elsewhere = nets(&["203.0.113.0/24", "2001:db8:3::/48", "198.51.100.128/25"]);
    let grants = [
        (Grant::All, vec![Traffic::Any], here.clone(), None),
        (
            Grant::Protocol,
            vec![Traffic::Protocol(6)],
            vec![Destination::Anywhere],
            None,
        ),
        (Grant::Named, named(|service| service), here.clone(), None),
        (Grant::OtherProtocol, named(udp), here, None),
        (
            Grant::Expired,
            vec![Traffic::Any],
            vec![Destination::Anywhere],
            Some(UnixSeconds(1)),
        ),
        (
            Grant::Elsewhere,
            vec![Traffic::Any],
            elsewhere.into_iter().map(Destination::Prefix).collect(),
            None,
        ),
    ];
    let exceptions = grants.into_iter().map(|(grant, traffic, to, until)| {
        let is_all = grant == Grant::All;
        let from = sources(|one| one.grant == grant || is_all && one.grant == Grant::Banned);
        let from = from.into_iter().map(Origin::Prefix);
        (from.collect(), to, traffic, until, false)
    });
    let bans = [
        (Grant::Banned, None),
        (Grant::BannedBefore, Some(UnixSeconds(1))),
    ];
    let bans = bans.into_iter().map(|(grant, until)| {
        let from = sources(|one| one.grant == grant);
        let from = from.into_iter().map(Origin::Prefix);
        let (to, traffic) = (vec![Destination::Anywhere], vec![Traffic::Any]);
        (from.collect(), to, traffic, until, true)
    });
    let for_country = (
        vec![Origin::Country(country(b"IR"))],
        vec![Destination::Anywhere],
        vec![Traffic::Service(tcp(Port::Named))],
        None,
        false,
    );
    policy.exceptions = (0..)
        .zip(exceptions.chain(bans).chain([for_country]))
        .map(|(slot, (from, to, traffic, until, is_ban))| Exception {
            id: format!("exception-{slot}"),
            slot,
            is_ban,
            from,
            to,
            traffic,
            owner: "test".into(),
            reason: "test".into(),
            until,
        })
        .map(Arc::new)
        .collect();
    let protection = |slot: u32, ports: &[Port], to: Destination| Protection {
        id: format!("protection-{slot}"),
        slot,
        services: ports.iter().copied().map(tcp).collect(),
        from: sources(|one| one.has_access),
        to: vec![to],
    };
    policy.protections = vec![
        protection(20, &[Port::Protected, Port::Unnamed], Destination::Anywhere),
        protection(21, &[Port::TenantProtected], Destination::Tenant(1)),
    ];
    policy
}
