//! What the daemon answers when it is asked for its state: `geofence status`, the names behind numbers, and a scrape.

use std::collections::BTreeMap;
use std::sync::Arc;

use geofence_common::flow::Table;
use serde_json::{Value, json};

use super::active::{ActivePolicy, Trial};
use super::facts::{InterfaceCounters, ListCount, ListCounts, Snapshot, TenantCounts};
use super::runtime_exceptions::summary;
use super::state::Daemon;
use super::sync::lock;
use crate::data::lists::ListReport;
use crate::kernel::{Filter, KernelError, TableFacts, is_private};
use crate::model::policy::Policy;
use crate::model::shortfall::Shortfall;
use crate::model::units::UnixSeconds;
use crate::model::word::Word as _;

impl Daemon {
    /// What `geofence status` shows.
    pub async fn status(&self) -> Value {
        let interfaces = self.protection().await;
        let ActivePolicy { config, facts, .. } = lock(&self.active).clone();
        let interfaces: Vec<_> = interfaces
            .iter()
            .map(|state| {
                let mut json = state.to_json();
                json["encapsulated"] = json!(lock(&self.filter).encapsulated(state.slot).ok());
                json
            })
            .collect();
        let lists: Vec<_> = facts.lists.iter().map(ListReport::to_json).collect();
        let databases = facts.databases.iter().map(|(name, built)| {
            json!({
                "name": name,
                "built": built,
                "age_days": UnixSeconds::now().days_since(*built),
            })
        });
        json!({
            "instance": config.instance.name(),
            "process": std::process::id(),
            "configuration": self.source.file.as_ref().and_then(|file| std::path::absolute(file).ok()),
            "program_version": env!("CARGO_PKG_VERSION"),
            "mode": facts.mode.word(),
            "generation": facts.generation,
            "mail_dns": config.policy.mail_dns_in_words(),
            "listen": config.listen.to_string(),
            "databases": databases.collect::<Vec<_>>(),
            "lists": lists,
            "exceptions": summary(&config),
            "interfaces": interfaces,
            "private_pins": is_private(),
            "reloads": self.reloads().to_json(),
            "shortfalls": self.shortfalls().iter().map(Shortfall::to_json).collect::<Vec<_>>(),
            "privilege": self.privilege.to_json(),
            "trial": lock(&self.trial).as_ref().map(Trial::to_json),
        })
    }

    /// The names of the tenants, exceptions and protections that a verdict gives by number.
    pub fn names(&self) -> Value {
        let config = Arc::clone(&lock(&self.active).config);
        let policy = &config.policy;
        let tenants = policy.tenants.iter();
        let exceptions = policy.exceptions.iter().map(|one| {
            json!({
                "id": one.id,
                "slot": one.slot,
                "owner": one.owner,
                "reason": one.reason,
                "until": one.until,
            })
        });
        let protections = policy.protections.iter();
        json!({
            "tenants": tenants.map(|one| json!({ "name": one.name, "number": one.number })).collect::<Vec<_>>(),
            "exceptions": exceptions.collect::<Vec<_>>(),
            "protections": protections.map(|one| json!({ "id": one.id, "slot": one.slot })).collect::<Vec<_>>(),
        })
    }

    /// Reads every counter.
    pub async fn snapshot(&self) -> Result<Snapshot, KernelError> {
        let states = self.protection().await;
        let lists = self.list_counts()?;
        let filter = lock(&self.filter);
        let mut interfaces = Vec::with_capacity(states.len());
        for state in states {
            interfaces.push(InterfaceCounters {
                counters: filter.counters(state.slot)?,
                is_protected: state.is_protected(),
                unprotected: state.unprotected(),
                mode: state.mode(),
                name: state.name,
            });
        }
        let mut flows = [TableFacts::default(); Table::ALL.len()];
        for (facts, table) in flows.iter_mut().zip(Table::ALL) {
            *facts = filter.table_facts(table)?;
        }
        let ActivePolicy { config, facts, .. } = lock(&self.active).clone();
        Ok(Snapshot {
            interfaces,
            flows,
            tenants: tenant_counts(&filter, &config.policy)?,
            lists,
            facts,
            reloads: self.reloads(),
            shortfalls: self.shortfalls(),
        })
    }

    fn list_counts(&self) -> Result<ListCounts, KernelError> {
        let counts = lock(&self.filter).list_counts()?;
        let names = lock(&self.names);
        let config = Arc::clone(&lock(&self.active).config);
        let mut lists: ListCounts = config
            .lists
            .iter()
            .map(|list| {
                let count = ListCount {
                    direction: list.direction,
                    tenants: BTreeMap::from([(String::new(), Default::default())]),
                };
                (list.name.clone(), count)
            })
            .collect();
        for (key, counters) in counts {
            if let Some(list) = lists.get_mut(&names.list(key.list)) {
                let tenant = names.tenant(key.tenant).unwrap_or_default();
                *list.tenants.entry(tenant).or_default() += counters;
            }
        }
        Ok(lists)
    }
}

fn tenant_counts(filter: &Filter, policy: &Policy) -> Result<TenantCounts, KernelError> {
    let mut counts = TenantCounts::default();
    for tenant in &policy.tenants {
        let counters = filter.tenant_counters(tenant.number)?;
        counts.tenants.push((tenant.name.clone(), counters));
    }
    let exceptions = policy.exceptions.iter();
    let exceptions = exceptions.map(|one| ("exception", &one.id, one.slot));
    let protections = policy.protections.iter();
    let protections = protections.map(|one| ("protect", &one.id, one.slot));
    let hits = filter.hits()?;
    for (kind, id, slot) in exceptions.chain(protections) {
        let packets = hits.get(slot as usize).map_or(0, |hits| hits.packets);
        // There may be a hundred thousand exceptions; only those in use get a series.
        if packets != 0 {
            counts.hits.push((kind, id.clone(), packets));
        }
    }
    let now = UnixSeconds::now();
    counts.exceptions = policy.live_exceptions(now).count();
    counts.expiring = policy.expiring_exceptions(now).count();
    Ok(counts)
}
