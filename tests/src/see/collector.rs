//! pmacct as a flow collector.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::site::COLLECTOR;
use crate::edge::PATIENCE;
use crate::lab::server::Server;
use crate::namespace::Namespace;
use crate::wait::poll;

/// The elements of geofence's own: names and types for pmacct, by enterprise and number.
const PRIMITIVES: &str = "name=reason field_type=32473:1 len=24 semantics=str\n\
                          name=country field_type=32473:2 len=8 semantics=str\n\
                          name=list field_type=32473:3 len=24 semantics=str\n\
                          name=forwarding field_type=89 len=1 semantics=u_int\n\
                          name=event field_type=233 len=1 semantics=u_int\n";
/// What forwardingStatus says of a dropped packet, and firewallEvent of one that lists concern.
const DROPPED: &str = "130";
const ALERT: &str = "4";

/// pmacct, which writes each second what it has received.
pub(super) struct Collector {
    _server: Server,
    flows: PathBuf,
}

/// What a flow record says of its packets.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow {
    pub(super) country: String,
    pub(super) reason: String,
    /// The list, or the exception.
    pub(super) list: String,
    pub(super) is_dropped: bool,
    /// Whether it is about a list event, and not about a sample.
    pub(super) is_list_event: bool,
}

/// Packets by what their records say.
pub(super) type Flows = BTreeMap<Flow, u64>;

impl Collector {
    pub(super) fn start(namespace: &Namespace, folder: &Path) -> Result<Self> {
        let place = |name: &str| folder.join(name).display().to_string();
        let (host, port) = COLLECTOR.split_once(':').context("a port")?;
        fs::write(place("primitives.lst"), PRIMITIVES)?;
        let config = format!(
            "daemonize: false\nnfacctd_ip: {host}\nnfacctd_port: {port}\nnfacctd_time_new: true\nplugins: print\n\
             print_refresh_time: 1\nprint_output: json\nprint_output_file: {}\nprint_output_file_append: true\n\
             aggregate: src_host, reason, country, list, forwarding, event\naggregate_primitives: {}\n",
            place("flows.json"),
            place("primitives.lst"),
        );
        fs::write(place("nfacctd.conf"), config)?;
        let words = ["nfacctd", "-f", &place("nfacctd.conf")];
        let server = Server::start(namespace, "nfacctd", folder, &words)?;
        let listens = || {
            let listens = server.said().contains("waiting for NetFlow/IPFIX data");
            Ok(listens.then_some(()))
        };
        poll(PATIENCE, listens)?
            .with_context(|| format!("pmacct does not listen: {}", server.said()))?;
        Ok(Self {
            _server: server,
            flows: folder.join("flows.json"),
        })
    }

    /// What it has written so far.
    pub(super) fn flows(&self) -> Result<Flows> {
        let mut flows = Flows::new();
        let text = fs::read_to_string(&self.flows).unwrap_or_default();
        // The last line may not be whole yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        for line in whole.lines() {
            let record: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            let word = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
            let key = Flow {
                country: word("country"),
                reason: word("reason"),
                list: word("list"),
                is_dropped: word("forwarding") == DROPPED,
                is_list_event: word("event") == ALERT,
            };
            *flows.entry(key).or_default() += record["packets"].as_u64().context("packets")?;
        }
        Ok(flows)
    }
}
