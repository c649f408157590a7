//! `geofence doctor`: what stands between this machine and the filter, and the line that mends it.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::{Context as _, bail};
use clap::Args;
use serde::Serialize;

use super::outcome::Outcome;
use crate::checks::doctor::{
    Device, Finding, Level, Machine, Mode, judge_device, judge_machine, present, read,
};
use crate::config::Config;
use crate::kernel::{Filter, Running};
use crate::prepare::prepare;

/// Examine the kernel and interfaces: what the filter would meet there, and what to change
///
/// Disturbs nothing unless told to probe. Exits with 0 if all is well, 1 if something is to be changed and 2 if the
/// filter would not work.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Interface to examine; without one, every interface with a device behind it
    #[arg(value_name = "IF")]
    interface: Option<String>,
    /// Attach a filter without a policy, which passes everything, for a moment, to see which mode it gets. Some drivers
    /// take the link down while a program is attached
    #[arg(long, requires = "interface")]
    probe: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was found. The names of the fields are those of the JSON.
#[derive(Serialize)]
struct Report {
    machine: Machine,
    machine_findings: Vec<Finding>,
    interfaces: Vec<Examined>,
}

#[derive(Serialize)]
struct Examined {
    #[serde(flatten)]
    device: Device,
    /// The mode that a filter would get.
    mode: Mode,
    /// What attaching for a moment brought: the mode, or what the kernel said.
    probed: Option<Result<String, String>>,
    findings: Vec<Finding>,
}

pub(super) fn doctor(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let runtime = super::runtime::new()?;
    let report = runtime.block_on(examine(arguments))?;
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

async fn examine(arguments: &Arguments) -> anyhow::Result<Report> {
    let machine = Machine::read();
    let all = present()
        .await
        .context("asking the kernel for its interfaces")?;
    let chosen: Vec<Device> = match &arguments.interface {
        None => all.into_iter().filter(|one| one.is_hardware).collect(),
        Some(name) => {
            let names: Vec<_> = all.iter().map(|one| one.name.clone()).collect();
            let found = all.into_iter().find(|one| one.name == *name);
            vec![found.with_context(|| {
                format!(
                    "interface {name:?} does not exist; this machine has {}",
                    names.join(", ")
                )
            })?]
        }
    };
    let mut interfaces = Vec::new();
    for device in chosen {
        let device = read(device).await;
        let is_ours = device.program.is_some_and(Running::is_filter);
        let (mode, mut findings) = judge_device(&device, is_ours);
        let probed = if arguments.probe {
            Some(
                probe(&device.name)
                    .await
                    .map_err(|error| format!("{error:#}")),
            )
        } else {
            None
        };
        if let Some(Err(error)) = &probed {
            findings.push(Finding {
                level: Level::Change,
                text: error.clone(),
                line: None,
            });
        }
        interfaces.push(Examined {
            device,
            mode,
            probed,
            findings,
        });
    }
    Ok(Report {
        machine_findings: judge_machine(&machine),
        machine,
        interfaces,
    })
}

/// The mode that the kernel gives the filter, in native mode if it can.
async fn probe(interface: &str) -> anyhow::Result<String> {
    let config = Config {
        interfaces: vec![interface.to_owned()],
        ..Config::default()
    };
    let prepared = prepare(config)?;
    let mut filter = Filter::load(prepared.options(false))?;
    Ok(filter.probe(interface).await?.to_owned())
}

impl Report {
    fn findings(&self) -> impl Iterator<Item = &Finding> {
        let of_interfaces = self.interfaces.iter().flat_map(|one| &one.findings);
        self.machine_findings.iter().chain(of_interfaces)
    }

    fn text(&self) -> String {
        let mut out = String::new();
        let yes = |is: bool| if is { "yes" } else { "no" };
        let machine = &self.machine;
        // Writing to a string cannot fail, here and below.
        _ = writeln!(
            out,
            "kernel       Linux {}; JIT {}, BPF file system {}, type information {}",
            machine.kernel,
            yes(machine.jit),
            yes(machine.bpffs),
            yes(machine.btf)
        );
        let may = match machine.capabilities.as_slice() {
            [] => "none of those that matter".to_owned(),
            capabilities => capabilities.join(", "),
        };
        _ = writeln!(out, "privilege    {may}");
        write_findings(&mut out, &self.machine_findings);
        if self.interfaces.is_empty() {
            _ = writeln!(
                out,
                "\nno interface has a device behind it; name one: geofence doctor IF"
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
        let device = &self.device;
        let driver = device.driver.as_deref().unwrap_or("unknown driver");
        _ = writeln!(out, "\n{:<12} {driver}, MTU {}", device.name, device.mtu);
        let mode = match self.mode {
            Mode::Native => "native",
            Mode::Generic => "generic",
            Mode::Hindered => "generic, and native once what is named below is changed",
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
            device.queues_rx, device.queues_tx
        );
        if let Some(channels) = &device.channels {
            let kinds = [
                ("combined", channels.combined, channels.combined_max),
                ("rx", channels.rx, channels.rx_max),
                ("tx", channels.tx, channels.tx_max),
            ];
            for (kind, used, max) in kinds.iter().filter(|(_, _, max)| *max > 0) {
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
        if let Some(id) = device.program {
            _ = writeln!(
                out,
                "  program    id {id} in {} mode",
                device.program_mode.unwrap_or("unknown")
            );
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
