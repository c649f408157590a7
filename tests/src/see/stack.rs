//! Prometheus and Alertmanager, in the namespace of the protected machine.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::ask::{ALERTMANAGER, PROMETHEUS};
use crate::edge::LISTEN;
use crate::lab::Scale;
use crate::lab::server::Server;
use crate::namespace::Namespace;

const RULES: &str = include_str!("../../../deploy/prometheus/geofence.rules.yml");

/// The two servers.
pub(super) struct Stack {
    _alertmanager: Server,
    _prometheus: Server,
}

impl Stack {
    /// Starts both and waits until they answer.
    pub(super) fn start(namespace: &Namespace, folder: &Path, scale: Scale) -> Result<Self> {
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).with_context(|| path.display().to_string())?;
            Ok::<_, anyhow::Error>(path.display().to_string())
        };
        write("rules.yml", &rules(scale))?;
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: [rules.yml]\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{ALERTMANAGER}']}}]}}]}}\n\
             scrape_configs:\n- job_name: geofence\n  static_configs: [{{targets: ['{LISTEN}']}}]\n"
        );
        let config = write("prometheus.yml", &config)?;
        let routes = write(
            "alertmanager.yml",
            "route: {receiver: none, group_wait: 0s}\nreceivers: [{name: none}]\n",
        )?;
        let option = |name: &str, value: &str| format!("--{name}={value}");
        let place = |name: &str| folder.join(name).display().to_string();
        let mut alertmanager = Server::start(
            namespace,
            "alertmanager",
            folder,
            &[
                "prometheus-alertmanager",
                &option("config.file", &routes),
                &option("storage.path", &place("alerts")),
                &option("web.listen-address", ALERTMANAGER),
                "--cluster.listen-address=",
            ],
        )?;
        let mut prometheus = Server::start(
            namespace,
            "prometheus",
            folder,
            &[
                "prometheus",
                &option("config.file", &config),
                &option("storage.tsdb.path", &place("series")),
                &option("web.listen-address", PROMETHEUS),
            ],
        )?;
        alertmanager.wait_port(namespace, ALERTMANAGER.parse()?)?;
        prometheus.wait_port(namespace, PROMETHEUS.parse()?)?;
        Ok(Self {
            _alertmanager: alertmanager,
            _prometheus: prometheus,
        })
    }
}

/// The rules as they are shipped, but for how long an alert waits: the laboratory waits seconds.
fn rules(scale: Scale) -> String {
    let wait = match scale {
        Scale::Whole => "30s",
        Scale::Short => "2s",
    };
    let lines = RULES.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: {wait}\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}
