//! The packet counters of a running filter, read from its metrics.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a filter may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Packet counters, in the spelling of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By country, action and reason. Packets to tenants count here too.
    pub countries: BTreeMap<(String, String, String), u64>,
    /// By tenant, action and reason.
    pub tenants: BTreeMap<(String, String, String), u64>,
}

/// Why the counters cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CountersError {
    #[error("cannot read counters from {url}: {source}")]
    Http {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error(
        "{url} has no metrics of geofence; name the address of a running filter with --counters"
    )]
    Foreign { url: String },
}

/// Reads the counters from this URL.
pub fn counters(url: &str) -> Result<Counters, CountersError> {
    let failed = |source| CountersError::Http {
        url: url.to_owned(),
        source: Box::new(source),
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .build()
        .into();
    let mut answer = agent.get(url).call().map_err(failed)?;
    let text = answer.body_mut().read_to_string().map_err(failed)?;
    // A filter that has seen no packet yet has no packet counters.
    if !text.contains("geofence_build_info") {
        return Err(CountersError::Foreign {
            url: url.to_owned(),
        });
    }
    Ok(parse(&text))
}

/// The packet counters in the text format, summed over interfaces.
fn parse(text: &str) -> Counters {
    let mut counters = Counters::default();
    for line in text.lines() {
        if let Some((key, value)) = series(line, "geofence_packets_total{", "country") {
            *counters.countries.entry(key).or_default() += value;
        } else if let Some((key, value)) = series(line, "geofence_tenant_packets_total{", "tenant")
        {
            *counters.tenants.entry(key).or_default() += value;
        }
    }
    counters
}

/// A line of a family: the label of this name, the action and the reason, and the value.
fn series(line: &str, family: &str, name: &str) -> Option<((String, String, String), u64)> {
    let (labels, value) = line.strip_prefix(family)?.rsplit_once("} ")?;
    // An interface name comes first and may contain anything; the other labels have values of closed sets, or names of
    // tenants, which have no quotes.
    let label = |name: &str| {
        let (_, rest) = labels.rsplit_once(&format!("{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let key = (label(name)?, label("action")?, label("reason")?);
    Some((key, value.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_over_interfaces_of_any_name() {
        let text = concat!(
            "# HELP geofence_packets_total Packets\n",
            "geofence_packets_total{interface=\"a\",country=\"RU\",action=\"drop\",reason=\"country_blocked\"} 3\n",
            "geofence_packets_total{interface=\"x,country=\\\"CN\",country=\"RU\",action=\"drop\",",
            "reason=\"country_blocked\"} 4\n",
            "geofence_packets_total{interface=\"a\",country=\"RU\",action=\"pass\",reason=\"mail\"} 1\n",
            "geofence_tenant_packets_total{tenant=\"a-1\",action=\"drop\",reason=\"country_blocked\"} 5\n",
            "geofence_bytes_total{interface=\"a\",country=\"RU\",action=\"pass\",reason=\"mail\"} 60\n",
        );
        let key = |of: &str, action: &str, reason: &str| (of.into(), action.into(), reason.into());
        assert_eq!(
            parse(text),
            Counters {
                countries: BTreeMap::from([
                    (key("RU", "drop", "country_blocked"), 7),
                    (key("RU", "pass", "mail"), 1)
                ]),
                tenants: BTreeMap::from([(key("a-1", "drop", "country_blocked"), 5)]),
            }
        );
    }
}
