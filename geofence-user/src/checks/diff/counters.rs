//! The packet counters of a running filter, read from its metrics.

use std::collections::BTreeMap;
use std::time::Duration;

/// How long a filter may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Packets by country, action and reason, in the spelling of metrics.
pub type Counters = BTreeMap<(String, String, String), u64>;

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
    let mut counters = Counters::new();
    for line in text.lines() {
        let series = line
            .strip_prefix("geofence_packets_total{")
            .and_then(|rest| rest.rsplit_once("} "));
        let Some((labels, value)) = series else {
            continue;
        };
        let Ok(value) = value.trim().parse::<u64>() else {
            continue;
        };
        // An interface name comes first and may contain anything; the other labels have values of closed sets.
        let label = |name: &str| {
            let (_, rest) = labels.rsplit_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        if let (Some(country), Some(action), Some(reason)) =
            (label("country"), label("action"), label("reason"))
        {
            *counters.entry((country, action, reason)).or_default() += value;
        }
    }
    counters
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
            "geofence_bytes_total{interface=\"a\",country=\"RU\",action=\"pass\",reason=\"mail\"} 60\n",
        );
        let key = |action: &str, reason: &str| ("RU".into(), action.into(), reason.into());
        assert_eq!(
            parse(text),
            Counters::from([
                (key("drop", "country_blocked"), 7),
                (key("pass", "mail"), 1)
            ])
        );
    }
}
