//! The mail laboratory: real mail servers, real DNS and a filter between them, to prove that blocking countries costs
//! no mail and that what mail needs opens nothing else.
//!
//! Everything lives in namespaces of its own and in memory; see [`network`] for the map. A step sets something in
//! motion, waits for it with a deadline and says in rows what was expected and what was seen. What is seen comes from
//! mailboxes, queues, logs, a witness behind the filter and the filter's counters: never from the filter's code.

mod delivery;
mod dns;
mod filter;
mod flood;
mod forged;
mod ground;
mod hosts;
mod large;
mod network;
mod postfix;
pub mod report;
mod scan;
mod server;
mod witness;

use anyhow::{Context as _, Result, ensure};
use geofence_user::data::geoip::Database;

use filter::Filter;
pub use filter::Mode;
use ground::Ground;
use hosts::Hosts;
use network::Network;
use report::Row;

/// The programs that the laboratory is made of, with Debian's names of their packages.
pub const PROGRAMS: [(&str, &str); 6] = [
    ("postfix", "postfix"),
    ("unbound", "unbound"),
    ("nsd", "nsd"),
    ("nmap", "nmap"),
    ("openssl", "openssl"),
    ("ethtool", "ethtool"),
];

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// All of it.
    Whole,
    /// A tenth, the same shape.
    Short,
}

impl Scale {
    fn of(self, whole: u32) -> u32 {
        match self {
            Self::Whole => whole,
            Self::Short => whole / 10,
        }
    }

    fn messages(self) -> u32 {
        // Each way and each domain has its turn even in the short form.
        match self {
            Self::Whole => 200,
            Self::Short => 32,
        }
    }
}

/// All that a step needs.
struct Lab {
    // Stopped before what it protects is gone.
    filter: Filter,
    hosts: Hosts,
    network: Network,
    mode: Mode,
    _ground: Ground,
}

impl Lab {
    fn open(mode: Mode) -> Result<Self> {
        let ground = Ground::lay()?;
        let database = Database::embedded().context("reading the embedded GeoIP data")?;
        let network = Network::build(&database).context("building the network")?;
        // Before the servers: what they say on starting passes it too.
        let filter = Filter::start(&network, mode)?;
        let hosts = Hosts::start(&network, &ground)?;
        Ok(Self {
            filter,
            hosts,
            network,
            mode,
            _ground: ground,
        })
    }

    fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }
}

/// Runs the steps chosen, or all; `say` hears what is done next.
///
/// The calling thread is left in a mount namespace of its own.
pub fn mail(scale: Scale, mode: Mode, steps: &[u8], say: &mut dyn FnMut(&str)) -> Result<Vec<Row>> {
    say("building the network and starting its servers");
    let lab = Lab::open(mode)?;
    let mut rows = Vec::new();
    for (numbers, what, step) in STEPS {
        if steps.is_empty() || numbers.iter().any(|number| steps.contains(number)) {
            say(what);
            rows.extend(step(&lab, scale).with_context(|| what.to_owned())?);
        }
    }
    lab.filter.stop()?;
    ensure!(!rows.is_empty(), "no step was chosen, so nothing was seen");
    Ok(rows)
}

type Step = fn(&Lab, Scale) -> Result<Vec<Row>>;

const STEPS: [(&[u8], &str, Step); 5] = [
    (&[1], "step 1: mail in", delivery::inbound),
    (&[2], "step 2: mail out", delivery::outbound),
    (
        &[3, 4],
        "steps 3 and 4: long messages, and scans meanwhile",
        scan::long_messages_under_scan,
    ),
    (&[5], "step 5: forged ICMP errors", forged::errors),
    (&[6], "step 6: floods", flood::floods),
];
