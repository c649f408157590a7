//! Contacts with listed addresses, as the kernel tells of them: named, kept for a while, and logged within bounds.
//!
//! The kernel bounds the events of each list; here the log's lines are bounded besides, so that a flood neither fills a
//! disk nor hides the first contact of another list.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use geofence_common::action::Direction;
use geofence_common::country::Country;
use geofence_common::event::Event;
use geofence_common::image::list_set::identity;
use geofence_common::wire::protocol;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::config::Config;
use crate::daemon::Daemon;
use crate::explain::{end, tcp_flags};
use crate::kernel::events::{Arrivals, Events};

/// How many contacts are kept.
pub const KEPT: usize = 512;
/// How long events are let gather before they are read: a flood wakes the daemon ten times a second and no more.
const GATHER: Duration = Duration::from_millis(100);
/// How many are read at once: a few more than the kernel has room for.
const AT_ONCE: usize = 4096;
/// Lines of the log in a minute, of which so many for one list.
const LINES: u32 = 60;
const LINES_OF_A_LIST: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// What lists and tenants are called that the kernel knows by identity. Names that the configuration has no more stay,
/// for events that are under way.
#[derive(Clone, Debug, Default)]
pub struct Names {
    lists: BTreeMap<u32, String>,
    tenants: BTreeMap<u32, String>,
}

/// The identities of a configuration's lists and tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identities {
    pub lists: BTreeSet<u32>,
    pub tenants: BTreeSet<u32>,
}

impl Identities {
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let lists = config.lists.iter();
        let tenants = config.policy.tenants.iter();
        Self {
            lists: lists.map(|list| identity(list.name.as_bytes())).collect(),
            tenants: tenants
                .map(|tenant| identity(tenant.name.as_bytes()))
                .collect(),
        }
    }
}

impl Names {
    /// Learns the names in a configuration.
    pub fn learn(&mut self, config: &Config) {
        let named = |name: &String| (identity(name.as_bytes()), name.clone());
        let lists = config.lists.iter().map(|list| named(&list.name));
        let tenants = config.policy.tenants.iter();
        self.lists.extend(lists);
        self.tenants
            .extend(tenants.map(|tenant| named(&tenant.name)));
    }

    /// What a list is called; one that nobody knows, by its identity.
    #[must_use]
    pub fn list(&self, identity: u32) -> String {
        let name = self.lists.get(&identity).cloned();
        name.unwrap_or_else(|| format!("unknown {identity:08x}"))
    }

    /// What a tenant is called, if it is one.
    #[must_use]
    pub fn tenant(&self, identity: u32) -> Option<String> {
        if identity == 0 {
            return None;
        }
        let name = self.tenants.get(&identity).cloned();
        Some(name.unwrap_or_else(|| format!("unknown {identity:08x}")))
    }
}

/// An event, and what is known of it here.
#[derive(Clone, Copy, Debug)]
struct Contact {
    /// Counted from the start of the daemon.
    number: u64,
    /// Milliseconds since 1970.
    time: i64,
    event: Event,
}

/// The contacts that are kept.
#[derive(Debug, Default)]
pub struct Recent {
    contacts: VecDeque<Contact>,
    /// The number of the next.
    next: u64,
}

impl Recent {
    /// Keeps one that came when the clocks were so: nanoseconds since boot, milliseconds since 1970.
    pub fn keep(&mut self, event: Event, [boot, clock]: [i64; 2]) {
        if self.contacts.len() == KEPT {
            self.contacts.pop_front();
        }
        let ago = boot.saturating_sub(event.time.cast_signed()) / 1_000_000;
        self.contacts.push_back(Contact {
            number: self.next,
            time: clock.saturating_sub(ago),
            event,
        });
        self.next += 1;
    }

    /// How many have come.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.next
    }

    /// Those from this number on that are still kept, how many are not, and the number of the next.
    #[must_use]
    pub fn since(&self, number: u64, names: &Names) -> Value {
        let kept = self.contacts.iter().filter(|one| one.number >= number);
        let first = self.contacts.front().map_or(self.next, |one| one.number);
        json!({
            "events": kept.map(|one| one.to_json(names)).collect::<Vec<_>>(),
            "left_out": first.saturating_sub(number),
            "next": self.next,
        })
    }
}

impl Contact {
    fn to_json(self, names: &Names) -> Value {
        let event = &self.event;
        let has_ports = event.ports != [0; 2];
        json!({
            "number": self.number,
            "time": moment(self.time),
            "direction": event.direction().name(),
            "action": event.action().name(),
            "list": names.list(event.list),
            "tenant": names.tenant(event.tenant),
            "country": Country::from_number(event.country).name(),
            "protocol": protocol_name(event.protocol),
            "src": event.source().ip(),
            "src_port": has_ports.then_some(event.ports[0]),
            "dst": event.destination().ip(),
            "dst_port": has_ports.then_some(event.ports[1]),
            "tcp_flags": (event.flags != 0).then(|| tcp_flags(event.flags)),
        })
    }
}

/// A contact as a line for people, from what the daemon answers.
#[must_use]
pub fn line(contact: &Value) -> String {
    let text = |key: &str| contact[key].as_str().unwrap_or("-").to_owned();
    let end = |address: &str, port: &str| {
        let parsed = text(address).parse::<std::net::IpAddr>();
        match (parsed, contact[port].as_u64()) {
            (Ok(address), Some(port)) => end(address.into(), port as u16),
            _ => text(address),
        }
    };
    let flags = contact["tcp_flags"].as_str();
    let tenant = contact["tenant"].as_str();
    format!(
        "list {}, {}, {}: {} -> {}, {}{}, country {}{}",
        text("list"),
        text("direction"),
        text("action"),
        end("src", "src_port"),
        end("dst", "dst_port"),
        text("protocol"),
        flags.map_or_else(String::new, |flags| format!(" {flags}")),
        text("country"),
        tenant.map_or_else(String::new, |tenant| format!(", tenant {tenant}")),
    )
}

/// A time in milliseconds since 1970, as RFC 3339 in UTC.
fn moment(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| milliseconds.to_string(), |time| time.to_string())
}

fn protocol_name(number: u8) -> String {
    match number {
        protocol::TCP => "tcp".to_owned(),
        protocol::UDP => "udp".to_owned(),
        protocol::ICMP => "icmp".to_owned(),
        protocol::ICMPV6 => "icmpv6".to_owned(),
        other => other.to_string(),
    }
}

/// What may be logged in the present minute.
#[derive(Debug)]
struct Log {
    ends: Instant,
    lines: u32,
    by_list: BTreeMap<u32, u32>,
    left_out: u64,
}

impl Log {
    fn new(now: Instant) -> Self {
        Self {
            ends: now + MINUTE,
            lines: 0,
            by_list: BTreeMap::new(),
            left_out: 0,
        }
    }

    /// Whether there is a line left for a contact on this list; if not, it is counted as left out.
    fn has_line(&mut self, list: u32) -> bool {
        let of_list = self.by_list.entry(list).or_default();
        if self.lines >= LINES || *of_list >= LINES_OF_A_LIST {
            self.left_out += 1;
            return false;
        }
        self.lines += 1;
        *of_list += 1;
        true
    }

    /// Ends the minute if it is over; answers with how many were left out in it.
    fn turn(&mut self, now: Instant) -> u64 {
        if now < self.ends {
            return 0;
        }
        let left_out = self.left_out;
        *self = Self::new(now);
        left_out
    }
}

/// Reads what the kernel sends; never ends.
pub async fn watch(events: Events, daemon: Arc<Daemon>) {
    let mut arrivals = match Arrivals::of(events) {
        Ok(arrivals) => arrivals,
        Err(error) => {
            warn!("contacts with listed addresses are counted and not told of: {error}");
            return;
        }
    };
    let mut log = Log::new(Instant::now());
    loop {
        tokio::select! {
            taken = arrivals.take(AT_ONCE) => {
                let taken = taken.unwrap_or_default().into_iter();
                let told = taken.map(|event| (event, log.has_line(event.list)));
                daemon.keep_contacts(told.collect());
            }
            () = sleep_until(log.ends), if log.left_out != 0 => {}
        }
        let left_out = log.turn(Instant::now());
        if left_out != 0 {
            warn!(
                "{left_out} more contacts with listed addresses were not logged in the last minute; `geofence events` \
                 shows the last {KEPT}, and the metrics have counted all"
            );
        }
        sleep(GATHER).await;
    }
}

/// Writes a contact to the log. Whoever calls home is worth a warning; who knocks is not.
pub fn log(contact: &Value, direction: Direction) {
    match direction {
        Direction::Out => warn!("contact: {}", line(contact)),
        Direction::In => info!("contact: {}", line(contact)),
    }
}

impl Recent {
    /// The contact that came last.
    #[must_use]
    pub fn last(&self, names: &Names) -> Option<Value> {
        self.contacts.back().map(|one| one.to_json(names))
    }
}

#[cfg(test)]
mod tests {
    use geofence_common::wire::transport::tcp;

    use super::*;

    fn event(list: &str, tenant: u32) -> Event {
        Event {
            time: 5_000_000_000,
            source: [0xc000_0201 << 32, 0],
            destination: [0x0509_0001 << 32, 0],
            list: identity(list.as_bytes()),
            tenant,
            ports: [51_234, 443],
            protocol: protocol::TCP,
            flags: tcp::SYN,
            direction: Direction::Out as u8,
            ..Event::default()
        }
    }

    fn names() -> Names {
        let mut names = Names::default();
        names.lists.insert(identity(b"feodo"), "feodo".into());
        names.tenants.insert(7, "customer-17".into());
        names
    }

    #[test]
    fn a_contact_is_told_with_names_and_by_the_clock() {
        let mut recent = Recent::default();
        // Two seconds after the event, by both clocks.
        recent.keep(event("feodo", 7), [7_000_000_000, 1_780_272_002_250]);
        recent.keep(event("lost", 0), [7_000_000_000, 1_780_272_002_250]);
        let told = recent.since(0, &names());
        assert_eq!(told["next"], 2);
        let first = &told["events"][0];
        assert_eq!(first["time"], "2026-06-01T00:00:00.25Z");
        assert_eq!(
            line(first),
            "list feodo, out, pass: 192.0.2.1:51234 -> 5.9.0.1:443, tcp SYN, country none, tenant customer-17"
        );
        let other = &told["events"][1];
        assert!(other["list"].as_str().unwrap().starts_with("unknown "));
        assert!(other["tenant"].is_null());
    }

    #[test]
    fn so_many_are_kept_and_the_rest_is_counted() {
        let mut recent = Recent::default();
        for _ in 0..KEPT + 10 {
            recent.keep(event("feodo", 0), [0, 0]);
        }
        let all = recent.since(0, &names());
        assert_eq!(all["events"].as_array().unwrap().len(), KEPT);
        assert_eq!(
            (&all["left_out"], &all["next"]),
            (&json!(10), &json!(KEPT + 10))
        );
        let last = recent.since(KEPT as u64 + 9, &names());
        assert_eq!(last["events"].as_array().unwrap().len(), 1);
        assert_eq!(last["left_out"], 0);
    }

    #[test]
    fn a_flood_of_one_list_leaves_lines_for_others() {
        let start = Instant::now();
        let mut log = Log::new(start);
        let logged = (0..100_000).filter(|_| log.has_line(1)).count();
        assert_eq!(logged, LINES_OF_A_LIST as usize);
        assert!(log.has_line(2));
        let others = (3..1000).filter(|list| log.has_line(*list)).count();
        assert_eq!(others as u32 + LINES_OF_A_LIST + 1, LINES);
        assert_eq!(log.turn(start), 0, "the minute is not over");
        let left_out = 100_001 + 997 - u64::from(LINES);
        assert_eq!(log.turn(start + MINUTE), left_out);
        assert!(log.has_line(1), "another minute, other lines");
    }
}
