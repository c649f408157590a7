//! `geofence explain`: what the filter does with a packet, and why.

mod leaving;

use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use geofence_common::action::Action;
use geofence_common::country::Country;
use geofence_common::decide::Verdict;
use geofence_common::explain::Step;
use serde_json::{Value, json};

use super::options::{InstanceArgs, PolicyArgs};
use super::outcome::Outcome;
use crate::config::Config;
use crate::explain::pcap;
use crate::explain::simulated_tables::{PacketHistory, SimulatedTables};
use crate::explain::{
    Names, Protocol, Question, addresses, class_of, describe, explain as decide, explain_reply,
    explain_with, system_to_json,
};
use crate::kernel::{Filter, Running};
use crate::model::countries;
use crate::model::listing::naming;
use crate::model::policy::{Exception, Policy, Protection, Tenant};
use crate::model::units::UnixSeconds;
use crate::os::clock::boot_now;
use crate::prepare::{Opinions, Prepared, prepare};
use crate::serve::control::{Answer, Request, ask};

/// Explain what the filter does with a packet, or with every frame of a capture
///
/// Exits with 0 if the packet passes and 1 if it is dropped; for a capture, 1 if any frame is dropped.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Source address of the packet
    #[arg(
        value_name = "SRC",
        required_unless_present = "pcap",
        conflicts_with = "pcap"
    )]
    source: Option<IpAddr>,
    /// Destination address; a documentation address when left out
    #[arg(long, value_name = "IP", conflicts_with = "pcap")]
    dst: Option<IpAddr>,
    /// Protocol
    #[arg(long, default_value = "tcp", conflicts_with = "pcap")]
    proto: Protocol,
    /// Source port
    #[arg(long, default_value_t = 40_000, conflicts_with = "pcap")]
    sport: u16,
    /// Destination port
    #[arg(long, default_value_t = 443, conflicts_with = "pcap")]
    dport: u16,
    /// Explain it as an answer to a packet that our side has just sent there: a TCP segment with ACK, an echo reply
    #[arg(long, conflicts_with_all = ["pcap", "kernel"])]
    flow: bool,
    /// Explain it as a packet that leaves, from SRC inside to the destination
    #[arg(long, requires = "dst", conflicts_with_all = ["pcap", "kernel", "flow"])]
    out: bool,
    /// Explain every frame of a capture (pcap or pcapng, Ethernet) instead
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Ask the kernel's program: the running filter by its own policy, or one loaded for the purpose and attached to
    /// nothing where none runs; takes root
    #[arg(long)]
    kernel: bool,
    /// Print one JSON object, or one a line for a capture
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    instance: InstanceArgs,
}

impl Arguments {
    fn config(&self) -> anyhow::Result<Config> {
        let mut config = self.policy.config()?;
        self.instance.apply(&mut config)?;
        Ok(config)
    }
}

/// Who is asked.
enum Judge {
    /// This process, by the policy given.
    Host(Prepared),
    /// The kernel's program, loaded with the policy given.
    Loaded(Box<Filter>, Prepared),
    /// The filter that runs on this machine, by its own policy; and the names in that, if a daemon knows them.
    Running(Running, Option<Box<Policy>>),
}

impl Judge {
    /// The data, but that of the running filter.
    fn prepared(&self) -> Option<&Prepared> {
        match self {
            Self::Host(prepared) | Self::Loaded(_, prepared) => Some(prepared),
            Self::Running(..) => None,
        }
    }

    /// What tenants and exceptions are called; of a running filter without a daemon, only their numbers are known.
    fn names(&self) -> Names<'_> {
        match self {
            Self::Host(prepared) | Self::Loaded(_, prepared) => {
                Names(Some(&prepared.config.policy))
            }
            Self::Running(_, names) => Names(names.as_deref()),
        }
    }

    fn new(arguments: &Arguments) -> anyhow::Result<Self> {
        let instance = arguments.instance.instance()?;
        if arguments.kernel
            && let Some(running) = Running::find(&instance)?
        {
            let names = match ask(&instance, &Request::Names) {
                Ok(Answer::Done(names)) => Some(Box::new(named(&names))),
                Ok(Answer::Refused { .. }) | Err(_) => None,
            };
            return Ok(Self::Running(running, names));
        }
        let prepared = prepare(arguments.config()?)?;
        if !arguments.kernel {
            return Ok(Self::Host(prepared));
        }
        let mut filter = Filter::load(prepared.options(true))?;
        filter.install(&prepared.image, prepared.tries()?.as_ref())?;
        Ok(Self::Loaded(Box::new(filter), prepared))
    }

    /// The verdict, and the steps of the host's decision. A kernel that decides otherwise is an error of geofence.
    fn judge(&mut self, frame: &[u8]) -> anyhow::Result<(Verdict, Vec<Step>)> {
        let asking = "asking the kernel's program";
        let (verdict, steps, theirs) = match self {
            Self::Host(prepared) => return Ok(decide(frame, prepared.image.words())),
            Self::Loaded(filter, prepared) => {
                let (verdict, steps) = decide(frame, prepared.image.words());
                (verdict, steps, filter.ask(frame).context(asking)?)
            }
            Self::Running(running, _) => {
                // A program that filters does not write its reasons down; what it does with the frame, it says.
                let (verdict, steps) = decide_with(frame, running)?;
                let action = running
                    .ask(frame)
                    .with_context(|| format!("{asking} (id {})", running.id()))?;
                (verdict, steps, Verdict { action, ..verdict })
            }
        };
        if theirs != verdict {
            bail!(
                "the kernel's program decides otherwise: {} for {}, where this process has {} for {}. This is a bug; \
                 please report it with the frame",
                theirs.action.name(),
                theirs.reason.name(),
                verdict.action.name(),
                verdict.reason.name()
            );
        }
        Ok((theirs, steps))
    }
}

/// A policy of which nothing is known but names.
fn named(names: &Value) -> Policy {
    let list = |key: &str| {
        names[key]
            .as_array()
            .cloned()
            .unwrap_or_default()
            .into_iter()
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| {
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.unwrap_or(u32::MAX)
    };
    let mut policy = Config::default().policy;
    policy.tenants.extend(list("tenants").map(|one| Tenant {
        name: text(&one["name"]),
        number: number(&one["number"]),
        ..Tenant::default()
    }));
    policy.exceptions.extend(list("exceptions").map(|one| {
        Arc::new(Exception {
            id: text(&one["id"]),
            slot: number(&one["slot"]),
            owner: text(&one["owner"]),
            reason: text(&one["reason"]),
            until: one["until"].as_u64().map(UnixSeconds),
            ..Exception::default()
        })
    }));
    policy
        .protections
        .extend(list("protections").map(|one| Protection {
            id: text(&one["id"]),
            slot: number(&one["slot"]),
            ..Protection::default()
        }));
    policy
}

/// This side's decision over the image and the flows of the running filter. It does not know which fragments passed.
fn decide_with(frame: &[u8], running: &Running) -> anyhow::Result<(Verdict, Vec<Step>)> {
    let flows = running.flows().iter();
    let history = PacketHistory {
        now: boot_now()?,
        flows: flows
            .map(|(table, key, flow)| ((*table, *key), *flow))
            .collect(),
        ..PacketHistory::default()
    };
    let tables = SimulatedTables::new(running.words(), history);
    Ok(explain_with(frame, &tables))
}

pub(super) fn explain(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let verdict = match (&arguments.pcap, arguments.source) {
        (Some(path), _) => return explain_capture(arguments, path, out),
        (None, Some(source)) => {
            let destination = arguments.dst.unwrap_or(match source {
                IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
                IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
            });
            let question = Question {
                source,
                destination,
                protocol: arguments.proto,
                source_port: arguments.sport,
                destination_port: arguments.dport,
                is_reply: arguments.flow,
            };
            let frame = question.frame()?;
            if arguments.out {
                return leaving::explain(
                    &frame,
                    prepare(arguments.config()?)?,
                    arguments.json,
                    out,
                );
            }
            let (verdict, steps, judge) = if arguments.flow {
                let prepared = prepare(arguments.config()?)?;
                let sent = question.reversed().frame()?;
                let (verdict, steps) = explain_reply(&frame, &sent, prepared.image.words());
                (verdict, steps, Judge::Host(prepared))
            } else {
                let mut judge = Judge::new(arguments)?;
                let (verdict, steps) = judge.judge(&frame)?;
                (verdict, steps, judge)
            };
            if arguments.json {
                writeln!(out, "{}", object(None, verdict, &steps, &judge)?)?;
            } else {
                write_steps(out, verdict, &steps, &judge)?;
            }
            verdict
        }
        (None, None) => bail!("give a source address, or a capture with --pcap"),
    };
    Ok(outcome(verdict))
}

fn explain_capture(
    arguments: &Arguments,
    path: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let file =
        File::open(path).with_context(|| format!("opening the capture {}", path.display()))?;
    let mut judge = Judge::new(arguments)?;
    let mut worst = Outcome::Yes;
    pcap::for_each_frame(file, |number, frame| {
        let (verdict, steps) = judge
            .judge(frame)
            .with_context(|| format!("frame {number}"))?;
        if outcome(verdict) == Outcome::No {
            worst = Outcome::No;
        }
        if arguments.json {
            writeln!(out, "{}", object(Some(number), verdict, &steps, &judge)?)?;
        } else {
            let (source, destination) = addresses(&steps)
                .map_or(("-".to_owned(), "-".to_owned()), |(source, to)| {
                    (source.to_string(), to.to_string())
                });
            writeln!(
                out,
                "{number:>6}  {:<4}  {:<24} {:<8} {source} -> {destination}",
                verdict.action.name(),
                verdict.reason.name(),
                verdict.country.name()
            )?;
        }
        Ok(())
    })
    .with_context(|| format!("reading the capture {}", path.display()))?;
    Ok(worst)
}

fn outcome(verdict: Verdict) -> Outcome {
    match verdict.action {
        Action::Pass => Outcome::Yes,
        Action::Drop => Outcome::No,
    }
}

fn object(
    frame: Option<u64>,
    verdict: Verdict,
    steps: &[Step],
    judge: &Judge,
) -> anyhow::Result<Value> {
    let names = judge.names();
    let addresses = addresses(steps);
    let listed = steps
        .iter()
        .filter_map(class_of)
        .flat_map(|address| naming(names.lists(), address));
    let systems = steps.iter().filter_map(class_of);
    let systems = systems.flat_map(|address| names.systems(address));
    let mut opinions = Vec::new();
    for step in steps {
        if let Some((address, one)) = opinions_on(step, judge)? {
            let mut one = one.to_json();
            one["address"] = address.to_string().into();
            opinions.push(one);
        }
    }
    let mut object = json!({
        "action": verdict.action.name(),
        "reason": verdict.reason.name(),
        "country": verdict.country.name(),
        "src": addresses.map(|(source, _)| source),
        "dst": addresses.map(|(_, destination)| destination),
        "tenant": (verdict.tenant != 0).then(|| names.tenant(verdict.tenant)),
        "exception": verdict.exception.checked_sub(1).map(|slot| names.exception(slot)),
        "lists": listed.map(|(list, entry)| list.to_json(entry)).collect::<Vec<_>>(),
        "opinions": opinions,
        "systems": systems.map(system_to_json).collect::<Vec<_>>(),
    });
    match frame {
        Some(number) => object["frame"] = number.into(),
        None => object["steps"] = steps.iter().map(|step| describe(step, names)).collect(),
    }
    Ok(object)
}

/// What two databases say of the address that a step has found the class of, where they differ and are asked at all.
fn opinions_on(step: &Step, judge: &Judge) -> anyhow::Result<Option<(IpAddr, Opinions)>> {
    let Step::Class { address, class } = step else {
        return Ok(None);
    };
    let Some(prepared) = judge.prepared() else {
        return Ok(None);
    };
    if class.country() == Country::SPECIAL {
        return Ok(None);
    }
    let opinions = prepared.opinions(address.ip())?;
    let opinions = opinions.filter(Opinions::differ);
    Ok(opinions.map(|opinions| (address.ip(), opinions)))
}

fn write_steps(
    out: &mut dyn Write,
    verdict: Verdict,
    steps: &[Step],
    judge: &Judge,
) -> anyhow::Result<()> {
    let names = judge.names();
    writeln!(
        out,
        "{}: {}, country {}",
        verdict.action.name(),
        verdict.reason.name(),
        countries::described(verdict.country)
    )?;
    for (number, step) in (1..).zip(steps) {
        write_step(out, number, step, names)?;
        if let Some((_, opinions)) = opinions_on(step, judge)? {
            writeln!(out, "     {opinions}")?;
        }
        let systems = class_of(step).into_iter();
        for (system, net) in systems.flat_map(|address| names.systems(address)) {
            writeln!(out, "     {} {system}: {net}", system.rule)?;
        }
    }
    if verdict.action != verdict.reason.action() {
        writeln!(out, "{MONITORED}")?;
    }
    Ok(())
}

const MONITORED: &str = "  monitor mode: passed, where enforce mode drops";

/// One step, and the lists that the address of it is on.
fn write_step(
    out: &mut dyn Write,
    number: usize,
    step: &Step,
    names: Names<'_>,
) -> std::io::Result<()> {
    writeln!(out, "  {number}. {}", describe(step, names))?;
    let listed = class_of(step).into_iter();
    for (list, entry) in listed.flat_map(|address| naming(names.lists(), address)) {
        writeln!(out, "     {}", list.describe(entry))?;
    }
    Ok(())
}
