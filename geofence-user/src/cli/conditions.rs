//! The options that select frames: for `geofence events` and `geofence capture`.

use std::net::IpAddr;

use anyhow::anyhow;
use clap::Args;
use ipnet::IpNet;
use serde_json::Value;

use crate::config::prefix;
use crate::model::frame_conditions::FrameConditions;

/// Which frames.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ConditionArgs {
    /// Only sources of these countries: codes such as RU,CN, or special, unknown, none
    #[arg(long, value_name = "CC,...", value_delimiter = ',')]
    country: Vec<String>,
    /// Only these reasons, as metrics spell them, such as country_blocked,denied
    #[arg(long, value_name = "REASON,...", value_delimiter = ',')]
    reason: Vec<String>,
    /// Only sources in this prefix
    #[arg(long, value_name = "PREFIX", value_parser = net)]
    src: Option<IpNet>,
    /// Only destinations in this prefix
    #[arg(long, value_name = "PREFIX", value_parser = net)]
    dst: Option<IpNet>,
    /// Only packets to this tenant
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Only this protocol: tcp, udp, icmp, icmpv6 or a number
    #[arg(long, value_name = "PROTOCOL")]
    proto: Option<String>,
    /// Only packets from or to this port
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

fn net(text: &str) -> Result<IpNet, String> {
    prefix(text).map_err(|problem| format!("{}: {}", problem.title, problem.help))
}

impl ConditionArgs {
    /// The conditions, which name only what there is.
    pub(super) fn conditions(&self) -> anyhow::Result<FrameConditions> {
        let conditions = FrameConditions {
            action: None,
            countries: self.country.clone(),
            reasons: self.reason.clone(),
            source: self.src,
            destination: self.dst,
            tenant: self.tenant.clone(),
            protocol: self.proto.clone(),
            port: self.port,
        };
        // Only the daemon knows the tenants.
        conditions
            .compile(|_| Some(0))
            .map_err(|error| anyhow!("{error}"))?;
        Ok(conditions)
    }
}

/// Whether an event meets the conditions. One that does not say what a condition is about does not.
pub(super) fn meets(event: &Value, conditions: &FrameConditions) -> bool {
    let is_one = |key: &str, names: &[String]| {
        let value = event[key].as_str();
        names.is_empty()
            || value.is_some_and(|value| names.iter().any(|one| one.eq_ignore_ascii_case(value)))
    };
    let within = |key: &str, net: Option<IpNet>| {
        let address = event[key]
            .as_str()
            .and_then(|text| text.parse::<IpAddr>().ok());
        net.is_none_or(|net| address.is_some_and(|address| net.contains(&address)))
    };
    let is_named = |key: &str, name: &Option<String>| {
        let value = event[key].as_str();
        name.as_ref()
            .is_none_or(|name| value.is_some_and(|value| value.eq_ignore_ascii_case(name)))
    };
    let has_port = |port: u16| {
        ["src_port", "dst_port"]
            .iter()
            .any(|key| event[*key].as_u64() == Some(port.into()))
    };
    is_one("country", &conditions.countries)
        && is_one("reason", &conditions.reasons)
        && within("src", conditions.source)
        && within("dst", conditions.destination)
        && is_named("tenant", &conditions.tenant)
        && is_named("protocol", &conditions.protocol)
        && conditions.port.is_none_or(has_port)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_meets_the_conditions_that_it_speaks_of() {
        let event = json!({
            "country": "RU", "reason": "country_blocked", "src": "77.88.8.8", "dst": "192.0.2.2",
            "tenant": null, "protocol": "tcp", "src_port": 40000, "dst_port": 22,
        });
        let conditions = |change: fn(&mut ConditionArgs)| {
            let mut arguments = ConditionArgs::default();
            change(&mut arguments);
            arguments.conditions().unwrap()
        };
        let meets = |change| super::meets(&event, &conditions(change));
        assert!(meets(|_| {}));
        assert!(meets(|one| one.country = vec!["cn".into(), "ru".into()]));
        assert!(!meets(|one| one.country = vec!["CN".into()]));
        assert!(meets(|one| one.reason = vec!["country_blocked".into()]));
        assert!(!meets(|one| one.reason = vec!["denied".into()]));
        assert!(meets(|one| one.src = Some(net("77.88.0.0/16").unwrap())));
        assert!(!meets(|one| one.dst = Some(net("77.88.0.0/16").unwrap())));
        assert!(meets(|one| one.port = Some(22)));
        assert!(!meets(|one| one.port = Some(23)));
        assert!(!meets(|one| one.proto = Some("udp".into())));
        assert!(!meets(|one| one.tenant = Some("customer".into())));
        let list = json!({ "list": "feodo", "country": "RU" });
        let reason = conditions(|one| one.reason = vec!["denied".into()]);
        assert!(!super::meets(&list, &reason));
    }
}
