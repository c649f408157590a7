//! The packet and byte counters of /metrics, and what changed between two looks at them.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

/// The lines of the packet counters start with this.
pub const PACKETS: &str = "geofence_packets_total{";
const BYTES: &str = "geofence_bytes_total{";

/// Under which labels something is counted; the interface is always the same here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    pub country: String,
    pub action: String,
    pub reason: String,
}

/// Packets and bytes by labels; nothing has a count of zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<Labels, (u64, u64)>);

impl Counters {
    /// Reads them from the text of /metrics.
    pub fn parse(metrics: &str) -> Result<Self> {
        let mut counters = Self::default();
        for line in metrics.lines() {
            for (prefix, is_packets) in [(PACKETS, true), (BYTES, false)] {
                let Some(rest) = line.strip_prefix(prefix) else {
                    continue;
                };
                let (labels, value) =
                    parse(rest).with_context(|| format!("/metrics has a broken line: {line}"))?;
                if value > 0 {
                    let (packets, bytes) = counters.0.entry(labels).or_default();
                    *(if is_packets { packets } else { bytes }) += value;
                }
            }
        }
        Ok(counters)
    }

    /// All packets, passed and dropped.
    pub fn packets(&self) -> u64 {
        self.0.values().map(|(packets, _)| packets).sum()
    }

    /// Packets of this action and, if given, this reason.
    #[must_use]
    pub fn of(&self, action: &str, reason: Option<&str>) -> u64 {
        self.0
            .iter()
            .filter(|(labels, _)| labels.action == action)
            .filter(|(labels, _)| reason.is_none_or(|reason| labels.reason == reason))
            .map(|(_, (packets, _))| packets)
            .sum()
    }

    /// What was counted since `earlier`: labels, packets, bytes.
    pub fn since(&self, earlier: &Self) -> Vec<(Labels, u64, u64)> {
        let changes = self.0.iter().map(|(labels, (packets, bytes))| {
            let (before, bytes_before) = earlier.0.get(labels).copied().unwrap_or_default();
            let packets = packets.saturating_sub(before);
            (labels.clone(), packets, bytes.saturating_sub(bytes_before))
        });
        changes
            .filter(|(_, packets, bytes)| (*packets, *bytes) != (0, 0))
            .collect()
    }
}

/// `interface="edge0",country="RU",action="drop",reason="country_blocked"} 3`
fn parse(rest: &str) -> Option<(Labels, u64)> {
    let (labels, value) = rest.rsplit_once("} ")?;
    let label = |name: &str| {
        let found = labels
            .split(',')
            .find_map(|label| label.strip_prefix(name))?;
        Some(found.strip_prefix("=\"")?.strip_suffix('"')?.to_owned())
    };
    let labels = Labels {
        country: label("country")?,
        action: label("action")?,
        reason: label("reason")?,
    };
    Some((labels, value.trim().parse().ok()?))
}
