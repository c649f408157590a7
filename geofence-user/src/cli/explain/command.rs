//! The command: builds the packet or reads the capture, has it decided, and prints the decision.

use std::fs::File;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use geofence_common::decide::Verdict;
use geofence_common::explain::Step;
use serde_json::json;

use super::decider::Decider;
use super::egress;
use super::report::{outcome, to_json, write};
use crate::cli::asked::Asked;
use crate::cli::options::{InstanceArgs, PolicyArgs};
use crate::cli::outcome::Outcome;
use crate::explain::pcap::{self, Captured};
use crate::explain::{Protocol, Question, addresses};

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
    /// Destination address; by default a documentation address
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
    /// Explain it as a reply to a packet that this side has just sent: a TCP segment with ACK, an echo reply
    #[arg(long, conflicts_with = "pcap")]
    flow: bool,
    /// Explain it as a packet that leaves, from SRC inside to the destination
    #[arg(long, requires = "dst", conflicts_with_all = ["pcap", "kernel", "flow"])]
    out: bool,
    /// Explain every frame of a capture (pcap or pcapng; Ethernet, LINUX_SLL, raw IP or loopback) instead
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Run the kernel's program on the packet: a copy of the running filter with its own policy and flows, or else one
    /// that is loaded with this policy. Neither is attached, and no counter of the running filter changes. Needs root
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
    /// Who decides, and by which policy in words.
    fn decider(&self) -> anyhow::Result<(Decider, String)> {
        let instance = self.instance.instance()?;
        let asked = Asked::find(&self.policy, &self.instance)?;
        let policy = asked.describe();
        if self.kernel {
            let decider = Decider::kernel(&instance, || asked.config())?;
            let policy = match &decider {
                Decider::Running(seen, ..) => {
                    format!("the running filter (program {})", seen.running.id())
                }
                Decider::Process(_) | Decider::Image(..) | Decider::Loaded(..) => policy,
            };
            return Ok((decider, policy));
        }
        Ok((Decider::process(&instance, asked)?, policy))
    }

    fn question(&self, source: IpAddr) -> Question {
        let destination = self.dst.unwrap_or(Question::any_destination(source));
        Question {
            source,
            destination,
            protocol: self.proto,
            source_port: self.sport,
            destination_port: self.dport,
            is_reply: self.flow,
        }
    }
}

/// Runs `geofence explain`.
pub fn explain(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let source = match (&arguments.pcap, arguments.source) {
        (Some(path), _) => return explain_capture(arguments, path, out),
        (None, Some(source)) => source,
        (None, None) => bail!("give a source address, or a capture with --pcap"),
    };
    let question = arguments.question(source);
    let frame = question.frame()?;
    let (mut decider, policy) = arguments.decider()?;
    if !arguments.json {
        writeln!(out, "policy: {policy}")?;
    }
    if arguments.out {
        let policy = arguments.json.then_some(policy.as_str());
        return egress::explain(&frame, &decider, policy, out);
    }
    let sent = arguments.flow.then(|| question.reversed().frame());
    let (verdict, steps) = decider.decide(&frame, sent.transpose()?.as_deref())?;
    if arguments.json {
        let mut object = to_json(None, verdict, &steps, &decider)?;
        object["policy"] = policy.into();
        writeln!(out, "{object}")?;
    } else {
        write(out, verdict, &steps, &decider)?;
    }
    Ok(outcome(verdict.action))
}

fn explain_capture(
    arguments: &Arguments,
    path: &Path,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("opening the capture {name}"))?;
    let (mut decider, policy) = arguments.decider()?;
    if !arguments.json {
        writeln!(out, "policy: {policy}")?;
    }
    let mut worst = Outcome::Yes;
    let mut is_judged = false;
    pcap::for_each_frame(file, |number, captured| {
        let judged = captured.and_then(|captured| {
            let judged = judge(&mut decider, &captured).map_err(|error| format!("{error:#}"))?;
            Ok((captured.is_cut(), judged))
        });
        let (is_cut, (verdict, steps, matters)) = match judged {
            Ok(judged) => judged,
            Err(why) if arguments.json => {
                let object = json!({ "frame": number, "policy": policy, "not_judged": why });
                return Ok(writeln!(out, "{object}")?);
            }
            Err(why) => return Ok(writeln!(out, "{number:>6}  not judged: {why}")?),
        };
        is_judged = true;
        if outcome(verdict.action) == Outcome::No {
            worst = Outcome::No;
        }
        if arguments.json {
            let mut object = to_json(Some(number), verdict, &steps, &decider)?;
            object["policy"] = policy.as_str().into();
            object["cut"] = is_cut.into();
            object["cut_matters"] = matters.into();
            writeln!(out, "{object}")?;
        } else {
            let (source, destination) = addresses(&steps)
                .map_or(("-".to_owned(), "-".to_owned()), |(source, to)| {
                    (source.to_string(), to.to_string())
                });
            let note = if matters {
                "  (cut: the verdict depends on bytes that were not captured)"
            } else {
                ""
            };
            writeln!(
                out,
                "{number:>6}  {:<4}  {:<24} {:<8} {source} -> {destination}{note}",
                verdict.action.name(),
                verdict.reason.name(),
                verdict.country.name()
            )?;
        }
        Ok(())
    })
    .with_context(|| format!("reading the capture {name}"))?;
    if !is_judged {
        bail!("none of the frames of {name} could be judged");
    }
    Ok(worst)
}

/// The verdict about a captured frame, the steps that led to it, and whether what was not captured matters: whether
/// other bytes in its place change the verdict. The kernel does not take every frame for a test run.
fn judge(decider: &mut Decider, captured: &Captured) -> anyhow::Result<(Verdict, Vec<Step>, bool)> {
    let (verdict, steps) = decider.decide(&captured.filled(0), None)?;
    let matters = captured.is_cut() && decider.decide(&captured.filled(0xff), None)?.0 != verdict;
    Ok((verdict, steps, matters))
}
