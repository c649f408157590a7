//! Asks Prometheus and Alertmanager by their HTTP interfaces.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::http;
use crate::namespace::Namespace;

/// Where Prometheus answers.
pub(crate) const PROMETHEUS: &str = "127.0.0.1:9090";
/// Where Alertmanager answers.
pub(super) const ALERTMANAGER: &str = "127.0.0.1:9093";

fn json(namespace: &Namespace, server: &str, path: &str) -> Result<Value> {
    let address: SocketAddr = server.parse()?;
    let answer = http::get(namespace, address, path, &[])?;
    let body = &answer.body;
    ensure!(answer.status == 200, "{path}: {} {body}", answer.status);
    serde_json::from_str(body).with_context(|| body.clone())
}

/// Whether a server has started as far as to answer queries.
pub(super) fn is_ready(namespace: &Namespace, server: &str) -> Result<bool> {
    Ok(http::get(namespace, server.parse()?, "/-/ready", &[])?.status == 200)
}

/// The series that answer a query now.
pub(crate) fn query(namespace: &Namespace, expr: &str) -> Result<Vec<Value>> {
    let path = format!("/api/v1/query?query={}", encoded(expr));
    let answer = json(namespace, PROMETHEUS, &path)?;
    let result = answer["data"]["result"].as_array();
    Ok(result.with_context(|| answer.to_string())?.clone())
}

/// The one value that answers a query now; nothing if there is none.
pub(super) fn value(namespace: &Namespace, expr: &str) -> Result<Option<f64>> {
    let series = query(namespace, expr)?;
    let value = series.first().and_then(|one| one["value"][1].as_str());
    Ok(value.map(str::parse).transpose()?)
}

/// The names of the alerts that Alertmanager has as active.
pub(super) fn alerts(namespace: &Namespace) -> Result<BTreeSet<String>> {
    let answer = json(namespace, ALERTMANAGER, "/api/v2/alerts?active=true")?;
    let alerts = answer.as_array().context("no list of alerts")?;
    let names = alerts
        .iter()
        .filter_map(|one| one["labels"]["alertname"].as_str());
    Ok(names.map(str::to_owned).collect())
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte.into());
        } else {
            // Writing to a string cannot fail.
            _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
