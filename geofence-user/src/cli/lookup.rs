//! `geofence lookup`: what the databases, the lists and the policy say about an address.

use std::io::Write;
use std::net::IpAddr;

use anyhow::Context as _;
use clap::Args;
use geofence_common::address::Address;
use geofence_common::country::Country;
use geofence_common::decide::classify;
use geofence_common::explain::Step;
use geofence_common::image::class::Class;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::asked::Asked;
use super::options::{InstanceArgs, PolicyArgs};
use super::outcome::Outcome;
use crate::explain::{Names, Recorder, class_of, describe, override_to_json, system_to_json};
use crate::model::countries;
use crate::model::listing::{Entry, Listing, naming};
use crate::model::policy::{AutonomousSystem, GeoOverride};
use crate::prepare::{CrossCheckAnswer, Prepared};

/// Show the database record, the class and the country of addresses
#[derive(Args, Debug)]
pub struct Arguments {
    /// Addresses to look up
    #[arg(required = true, value_name = "IP")]
    addresses: Vec<IpAddr>,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    instance: InstanceArgs,
    /// Print one JSON object a line, one for each address
    #[arg(long)]
    json: bool,
}

pub(super) fn lookup(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let asked = Asked::find(&arguments.policy, &arguments.instance)?;
    let prepared = asked.prepared()?;
    let words = asked.running.as_ref().map(|running| running.words());
    if !arguments.json {
        writeln!(out, "policy: {}", asked.describe())?;
    }
    for ip in &arguments.addresses {
        let found = Found::new(&prepared, words.unwrap_or(prepared.image.words()), *ip)?;
        if arguments.json {
            let mut object = found.to_json();
            object["policy"] = asked.describe().into();
            writeln!(out, "{object}")?;
        } else {
            found.write(out)?;
        }
    }
    if !arguments.json
        && let Some(attribution) = prepared.database.info().attribution
    {
        writeln!(out, "{attribution}")?;
    }
    Ok(Outcome::Yes)
}

/// Everything that policy and data say about one address.
struct Found<'a> {
    prepared: &'a Prepared,
    ip: IpAddr,
    class: Class,
    steps: Vec<Step>,
    lists: Vec<(&'a Listing, &'a Entry)>,
    systems: Vec<(&'a AutonomousSystem, IpNet)>,
    /// The overrides that give the addresses their country, and what the database says instead.
    overrides: Vec<(&'a GeoOverride, Country)>,
    asn: Option<(IpNet, u32, String)>,
    cross_check: Option<CrossCheckAnswer>,
    /// The record of each database, with its name and network.
    records: Vec<(&'a str, IpNet, Value)>,
}

impl<'a> Found<'a> {
    fn new(prepared: &'a Prepared, words: &[u32], ip: IpAddr) -> anyhow::Result<Self> {
        let policy = &prepared.config.policy;
        let others = &prepared.others;
        let names = Names(Some(policy));
        let mut recorder = Recorder::default();
        let class = classify(&Address::from(ip), &words, &mut recorder);
        let class = class.with_context(|| {
            format!("the image has no class for {ip}; report this with the name of the database")
        })?;
        // An address that embeds another is looked up as both.
        let addresses: Vec<IpAddr> = recorder.0.iter().filter_map(class_of).collect();
        let mut records = Vec::new();
        let cross_check = others.cross_check.iter().flat_map(|data| &data.readers);
        for reader in prepared.readers.iter().chain(cross_check) {
            if let Some((network, record)) = reader.record(ip)? {
                records.push((reader.info().name.as_str(), network, record));
            }
        }
        let asn = others.autonomous_systems.as_ref();
        Ok(Self {
            prepared,
            ip,
            class,
            steps: recorder.0,
            lists: addresses
                .iter()
                .flat_map(|address| naming(&policy.lists, *address))
                .collect(),
            systems: addresses
                .iter()
                .flat_map(|address| names.systems(*address))
                .collect(),
            overrides: addresses
                .iter()
                .filter_map(|address| names.override_of(*address))
                .collect(),
            asn: asn.map(|data| data.find(ip)).transpose()?.flatten(),
            cross_check: prepared.cross_check(ip)?,
            records,
        })
    }

    fn to_json(&self) -> Value {
        let lists = self.lists.iter().map(|(list, entry)| list.to_json(entry));
        let systems = self.systems.iter().copied().map(system_to_json);
        let overrides = self.overrides.iter().copied().map(override_to_json);
        let asn = self.asn.as_ref().map(
            |(network, number, name)| json!({ "number": number, "name": name, "network": network }),
        );
        let records = self.records.iter().map(|(database, network, record)| {
            json!({ "database": database, "network": network, "record": record })
        });
        json!({
            "address": self.ip,
            "country": self.class.country().name(),
            "blocked": self.class.is_blocked(),
            "management": self.class.is_management(),
            "allowed": self.class.is_allowed(),
            "denied": self.class.is_denied(),
            "class": self.class.to_word(),
            "lists": lists.collect::<Vec<_>>(),
            "systems": systems.collect::<Vec<_>>(),
            "overrides": overrides.collect::<Vec<_>>(),
            "asn": asn,
            "opinions": self.cross_check.map(|answer| answer.to_json()),
            "records": records.collect::<Vec<_>>(),
        })
    }

    fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let names = Names(Some(&self.prepared.config.policy));
        let country = countries::described(self.class.country());
        writeln!(out, "{}: {country}", self.ip)?;
        for step in &self.steps {
            let (step, class) = (describe(step, names), self.class.to_word());
            writeln!(out, "  class   {step} (0x{class:x})")?;
        }
        for (list, entry) in &self.lists {
            writeln!(out, "  list    {}", list.describe(entry))?;
        }
        for (system, net) in &self.systems {
            writeln!(out, "  rule    {} {system}: {net}", system.rule)?;
        }
        for step in self.steps.iter().filter_map(class_of) {
            if let Some(said) = names.geo_override(step) {
                writeln!(out, "  country {}", said.trim_start_matches("country "))?;
            }
        }
        if let Some(answer) = self.cross_check {
            writeln!(out, "  check   {answer}")?;
        }
        match (&self.prepared.others.autonomous_systems, &self.asn) {
            (Some(_), Some((network, number, name))) => {
                writeln!(out, "  system  AS{number} ({name}), {network}")?;
            }
            (Some(data), None) => {
                writeln!(out, "  system  none: {} has no AS for it", data.info().name)?;
            }
            (None, _) => {}
        }
        if self.records.is_empty() {
            writeln!(out, "  record  none: no database has the address")?;
        }
        for (database, network, record) in &self.records {
            writeln!(out, "  record  {network} in {database}: {record}")?;
        }
        Ok(())
    }
}
