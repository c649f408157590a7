//! `geofence check`: reads a configuration and its databases as `run` would, and prints the policy they amount to.
//!
//! It compiles the image and discards it. `run` accepts what `check` accepts, unless the kernel refuses.

use std::io::Write;

use clap::Args;

use super::effective::Effective;
use crate::checks::sanity::FirstData;
use crate::cli::options::{InstanceArgs, PolicyArgs};
use crate::cli::outcome::Outcome;
use crate::prepare::prepare;

/// Check a configuration and its databases, and print the policy they amount to
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    #[command(flatten)]
    pub(super) policy: PolicyArgs,
    #[command(flatten)]
    pub(super) instance: InstanceArgs,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(in crate::cli) fn check(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut config = arguments.policy.config()?;
    arguments.instance.apply(&mut config)?;
    let prepared = prepare(config)?;
    let mut effective = Effective::of(&prepared);
    let first = FirstData::of(&prepared)?;
    let refusals = first
        .refusals
        .iter()
        .map(|refusal| format!("`geofence run` takes this data with --force only: {refusal}"));
    effective.warnings.extend(refusals.chain(first.warnings));
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string(&effective)?)?;
    } else {
        out.write_all(effective.text().as_bytes())?;
    }
    Ok(Outcome::Yes)
}
