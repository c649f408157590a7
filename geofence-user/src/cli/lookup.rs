//! `geofence lookup`: what the data says of an address, and what the policy makes of it.

use std::io::Write;
use std::net::IpAddr;

use clap::Args;
use geofence_common::address::Address;
use geofence_common::decide::classify;
use serde_json::json;

use super::options::{InstanceArgs, PolicyArgs};
use super::outcome::Outcome;
use crate::explain::{Names, Recorder, class_of, describe, system_to_json};
use crate::model::countries;
use crate::model::listing::naming;
use crate::prepare::prepare;

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
    let mut config = arguments.policy.config()?;
    arguments.instance.apply(&mut config)?;
    let prepared = prepare(config)?;
    for ip in &arguments.addresses {
        let mut recorder = Recorder::default();
        let address = Address::from(*ip);
        let class =
            classify(&address, &prepared.image.words(), &mut recorder).ok_or_else(|| {
                anyhow::anyhow!(
                    "the image has no class for {ip}; please report this with the database's name"
                )
            })?;
        // An address that carries another is looked up as both.
        let addresses = recorder.0.iter().filter_map(class_of);
        let listed: Vec<_> = addresses
            .flat_map(|address| naming(&prepared.config.policy.lists, address))
            .collect();
        let names = Names(Some(&prepared.config.policy));
        let addresses = recorder.0.iter().filter_map(class_of);
        let systems: Vec<_> = addresses
            .flat_map(|address| names.systems(address))
            .collect();
        let origin = match &prepared.others.autonomous_systems {
            Some(data) => data.find(*ip)?,
            None => None,
        };
        let opinions = prepared.cross_check(*ip)?;
        let mut records = Vec::new();
        let second = prepared.others.cross_check.iter();
        let second = second.flat_map(|second| &second.readers);
        for reader in prepared.readers.iter().chain(second) {
            if let Some((network, record)) = reader.record(*ip)? {
                records.push((reader.info().name.clone(), network, record));
            }
        }
        if arguments.json {
            let object = json!({
                "address": ip,
                "country": class.country().name(),
                "blocked": class.is_blocked(),
                "management": class.is_management(),
                "allowed": class.is_allowed(),
                "denied": class.is_denied(),
                "class": class.to_word(),
                "lists": listed.iter().map(|(list, entry)| list.to_json(entry)).collect::<Vec<_>>(),
                "systems": systems.iter().copied().map(system_to_json).collect::<Vec<_>>(),
                "asn": origin.map(|(network, number, name)| {
                    json!({ "number": number, "name": name, "network": network })
                }),
                "opinions": opinions.map(|opinions| opinions.to_json()),
                "records": records
                    .iter()
                    .map(|(database, network, record)| {
                        json!({ "database": database, "network": network, "record": record })
                    })
                    .collect::<Vec<_>>(),
            });
            writeln!(out, "{object}")?;
            continue;
        }
        writeln!(out, "{ip}: {}", countries::described(class.country()))?;
        for step in &recorder.0 {
            writeln!(
                out,
                "  class   {} (0x{:x})",
                describe(step, names),
                class.to_word()
            )?;
        }
        for (list, entry) in listed {
            writeln!(out, "  list    {}", list.describe(entry))?;
        }
        for (system, net) in systems {
            writeln!(out, "  rule    {} {system}: {net}", system.rule)?;
        }
        if let Some(opinions) = opinions {
            writeln!(out, "  opinion {opinions}")?;
        }
        if let Some(data) = &prepared.others.autonomous_systems {
            match origin {
                Some((network, number, name)) => {
                    writeln!(out, "  system  AS{number} ({name}), {network}")?
                }
                None => writeln!(out, "  system  none: {} has no AS for it", data.info().name)?,
            }
        }
        if records.is_empty() {
            writeln!(out, "  record  none: no database has the address")?;
        }
        for (database, network, record) in records {
            writeln!(out, "  record  {network} in {database}: {record}")?;
        }
    }
    if !arguments.json
        && let Some(attribution) = prepared.database.info().attribution
    {
        writeln!(out, "{attribution}")?;
    }
    Ok(Outcome::Yes)
}
