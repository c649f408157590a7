//! `geofence doctor`: what keeps the filter from working well on this machine, and what to type.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write;

use anyhow::bail;
use clap::Args;
use geofence_common::frame::Link;
use serde::Serialize;

use super::options::ListArgs;
use super::outcome::Outcome;
use crate::checks::doctor::{
    Device, Forwarding, Machine, Mode, judge_device, judge_forwarding, judge_machine, mpls_inputs,
};
use crate::checks::finding::{Finding, Level};
use crate::checks::topology::{placement, tunnel_findings};
use crate::config::Config;
use crate::kernel::{Filter, Running, find_interface, interfaces, is_private};
use crate::model::framing::describe;
use crate::model::interface::Interface;
use crate::prepare::prepare;

/// Examine the kernel and the interfaces: whether the filter works there, and what to change
///
/// Changes nothing without --probe. Exits with 0 if nothing needs to change, 1 if something should change and 2 if the
/// filter would not work.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Interface to examine [default: every hardware interface]
    #[arg(value_name = "IF")]
    interface: Option<String>,
    /// Attach a filter without a policy for a moment, to see which mode it gets. It passes every packet. Some drivers
    /// take the link down while a program is being attached
    #[arg(long, requires = "interface")]
    probe: bool,
    #[command(flatten)]
    policy: ListArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Those that examine one interface and change nothing.
    pub(super) fn of(interface: &str) -> Self {
        Self {
            interface: Some(interface.to_owned()),
            probe: false,
            policy: ListArgs::default(),
            json: false,
        }
    }
}

/// The findings. The names of the fields are those of the JSON.
#[derive(Serialize)]
struct Report {
    machine: Machine,
    machine_findings: Vec<Finding>,
    /// What this machine takes out of other packets.
    tunnel_findings: Vec<Finding>,
    interfaces: Vec<Examined>,
}

/// An interface and its findings. The names of the fields are those of the JSON.
#[derive(Serialize)]
struct Examined {
    #[serde(flatten)]
    device: Device,
    /// The mode that a filter would get.
    mode: Mode,
    /// The result of --probe: the mode, or the kernel's error.
    probed: Option<Result<String, String>>,
    findings: Vec<Finding>,
}

pub(super) fn doctor(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let runtime = super::runtime::new()?;
    // A configuration that cannot be read is for `check` to judge.
    let config = arguments.policy.config().ok();
    let config = config.map_or_else(Config::default, |(config, _)| config);
    let report = runtime.block_on(examine(arguments, &config))?;
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        out.write_all(report.text().as_bytes())?;
    }
    let worst = report.findings().map(|finding| finding.level).max();
    match worst {
        Some(Level::Trouble) => {
            out.flush()?;
            bail!("the filter would not work here; see above")
        }
        Some(Level::Change) => Ok(Outcome::No),
        Some(Level::Note) | None => Ok(Outcome::Yes),
    }
}

async fn examine(arguments: &Arguments, config: &Config) -> anyhow::Result<Report> {
    let machine = Machine {
        private_pins: is_private(),
        ..Machine::read()
    };
    let all = interfaces().await?;
    let chosen: Vec<_> = match &arguments.interface {
        None => all.iter().filter(|one| one.is_hardware).cloned().collect(),
        Some(name) => vec![find_interface(&all, name)?.clone()],
    };
    let mut examined = Vec::new();
    for interface in chosen {
        let device = Device::read(interface).await;
        let interface = &device.interface;
        let is_ours = is_filtered(interface);
        let (mode, mut findings) = judge_device(&device, is_ours);
        let is_named = |one: &Interface| one.index == interface.index || is_filtered(one);
        findings.extend(placement(&all, interface, is_named));
        let mut probed = None;
        if arguments.probe {
            let result = probe(&interface.name).await;
            probed = Some(result.map_err(|error| format!("{error:#}")));
        }
        if let Some(Err(error)) = &probed {
            findings.push(Finding {
                level: Level::Change,
                text: error.clone(),
                line: None,
            });
        }
        examined.push(Examined {
            device,
            mode,
            probed,
            findings,
        });
    }
    let is_protected = |one: &Interface| is_filtered(one);
    let findings = tunnel_findings(&all, is_protected, &mpls_inputs());
    let mut machine_findings = judge_machine(&machine);
    let is_named = |one: &Interface, names: &[String]| names.iter().any(|name| one.is_named(name));
    let protected = all
        .iter()
        .filter(|one| is_filtered(one) || is_named(one, &config.interfaces));
    let inner = all
        .iter()
        .filter(|one| is_named(one, &config.inner_interfaces));
    let protected: BTreeSet<u32> = protected.map(|one| one.index).collect();
    let inner: BTreeSet<u32> = inner.map(|one| one.index).collect();
    let forwarding = Forwarding::read().await?;
    machine_findings.extend(judge_forwarding(&forwarding, &all, &protected, &inner));
    Ok(Report {
        tunnel_findings: findings,
        machine_findings,
        machine,
        interfaces: examined,
    })
}

/// Whether geofence runs on an interface.
fn is_filtered(interface: &Interface) -> bool {
    interface.program.is_some_and(Running::is_filter)
}

/// Attaches in native mode for a moment and returns the mode that the kernel reports.
async fn probe(interface: &str) -> anyhow::Result<String> {
    let config = Config {
        interfaces: vec![interface.to_owned()],
        ..Config::default()
    };
    let prepared = prepare(config)?;
    let mut filter = Filter::load(prepared.options(false))?;
    let present = interfaces().await?;
    if find_interface(&present, interface)?.link() == Ok(Link::Ip) {
        filter.load_ip()?;
    }
    Ok(filter.probe(interface).await?.to_owned())
}

impl Report {
    fn findings(&self) -> impl Iterator<Item = &Finding> {
        let of_interfaces = self.interfaces.iter().flat_map(|one| &one.findings);
        let of_machine = self.machine_findings.iter().chain(&self.tunnel_findings);
        of_machine.chain(of_interfaces)
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let machine = &self.machine;
        // Writing to a string cannot fail, here and below.
        _ = writeln!(out, "kernel       {}", machine.features());
        let may = match machine.capabilities.as_slice() {
            [] => "none of those that geofence needs".to_owned(),
            capabilities => capabilities.join(", "),
        };
        _ = writeln!(out, "privilege    {may}");
        write_findings(&mut out, &self.machine_findings);
        write_findings(&mut out, &self.tunnel_findings);
        if self.interfaces.is_empty() {
            _ = writeln!(
                out,
                "\nno hardware interface found; name one: geofence doctor IF"
            );
        }
        for one in &self.interfaces {
            one.write(&mut out);
        }
        if self.findings().all(|finding| finding.level == Level::Note) {
            _ = writeln!(out, "\nnothing to change");
        }
        out
    }
}

impl Examined {
    fn write(&self, out: &mut String) {
        let (device, interface) = (&self.device, &self.device.interface);
        let driver = interface.driver.as_deref().unwrap_or("unknown driver");
        let (name, mtu) = (&interface.name, interface.mtu);
        let carried = interface.link().map_or("not judged", describe);
        let number = interface.link_type.0;
        _ = writeln!(out, "\n{name:<12} {driver}, MTU {mtu}");
        _ = writeln!(out, "  carries    {carried} (link type {number})");
        let mode = match self.mode {
            Mode::Native => "native",
            Mode::Generic => "generic",
            Mode::Hindered => "generic now; native after the changes below",
            Mode::Unknown => "unknown",
        };
        _ = writeln!(out, "  mode       {mode}");
        match &self.probed {
            Some(Ok(mode)) => _ = writeln!(out, "  probed     {mode}"),
            Some(Err(_)) => _ = writeln!(out, "  probed     refused, see below"),
            None => {}
        }
        _ = write!(
            out,
            "  queues     {} rx, {} tx",
            interface.queues_rx, interface.queues_tx
        );
        if let Some(channels) = &device.channels {
            let sending = ("tx", channels.tx, channels.tx_max);
            let kinds = channels.receiving().into_iter().chain([sending]);
            for (kind, used, max) in kinds.filter(|(_, _, max)| *max > 0) {
                _ = write!(out, "; {used} of {max} {kind} channels in use");
            }
        }
        out.push('\n');
        let offloads: Vec<_> = device
            .offloads
            .iter()
            .map(|(name, is_on)| format!("{name} {}", if *is_on { "on" } else { "off" }))
            .collect();
        if !offloads.is_empty() {
            _ = writeln!(out, "  offloads   {}", offloads.join(", "));
        }
        if let Some(id) = interface.program {
            let mode = interface.mode.unwrap_or("unknown");
            _ = writeln!(out, "  program    id {id} in {mode} mode");
        }
        write_findings(out, &self.findings);
    }
}

fn write_findings(out: &mut String, findings: &[Finding]) {
    for finding in findings {
        let level = match finding.level {
            Level::Note => "note",
            Level::Change => "change",
            Level::Trouble => "trouble",
        };
        _ = writeln!(out, "  {level:<10} {}", finding.text);
        if let Some(line) = &finding.line {
            _ = writeln!(out, "  {:<10} {line}", "");
        }
    }
}
