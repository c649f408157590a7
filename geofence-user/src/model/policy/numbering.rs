//! The numbers that counters have, kept from one policy to the next.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::definition::Policy;
use super::exception::Destination;

/// Numbers whose counters start anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewNumbers {
    pub tenants: Vec<u32>,
    pub slots: Vec<u32>,
}

impl Policy {
    /// Gives tenants, exceptions and protections the numbers they have in another policy, and new ones the free
    /// numbers, so that counters continue. Returns the numbers that are new.
    pub fn keep_numbers(&mut self, before: &Self) -> NewNumbers {
        let (tenants, new_tenants) = renumbered(self.tenant_names(), before.tenant_names(), 1);
        let (slots, new_slots) = renumbered(self.slot_names(), before.slot_names(), 0);

        let numbers = self.tenants.iter().map(|one| one.number);
        let moved = numbers.zip(tenants.iter().copied());
        let moved: HashMap<u32, u32> = moved.filter(|(number, kept)| number != kept).collect();
        let is_moved = |to: &Destination| matches!(to, Destination::Tenant(number) if moved.contains_key(number));
        let renumber = |to: &mut Vec<Destination>| {
            for destination in to {
                if let Destination::Tenant(number) = destination
                    && let Some(kept) = moved.get(number)
                {
                    *number = *kept;
                }
            }
        };
        let mut slots = slots.into_iter();
        for (one, slot) in self.exceptions.iter_mut().zip(slots.by_ref()) {
            // An exception that does not change stays shared.
            if one.slot != slot || one.to.iter().any(is_moved) {
                let one = Arc::make_mut(one);
                one.slot = slot;
                renumber(&mut one.to);
            }
        }
        for (one, slot) in self.protections.iter_mut().zip(slots) {
            one.slot = slot;
            renumber(&mut one.to);
        }
        for (tenant, number) in self.tenants.iter_mut().zip(tenants) {
            tenant.number = number;
        }
        NewNumbers {
            tenants: new_tenants,
            slots: new_slots,
        }
    }

    fn tenant_names(&self) -> impl Iterator<Item = (&str, u32)> {
        let tenants = self.tenants.iter();
        tenants.map(|tenant| (tenant.name.as_str(), tenant.number))
    }

    /// What has a counter, exceptions first: whether it is a protection, its name, and the position of the counter.
    fn slot_names(&self) -> impl Iterator<Item = ((bool, &str), u32)> {
        let exceptions = self.exceptions.iter();
        let exceptions = exceptions.map(|one| ((false, one.id.as_str()), one.slot));
        let protections = self.protections.iter();
        let protections = protections.map(|one| ((true, one.id.as_str()), one.slot));
        exceptions.chain(protections)
    }
}

/// The number of each name, which is its number before if it had one; and the numbers that are new.
fn renumbered<Name: Eq + Hash>(
    names: impl Iterator<Item = (Name, u32)>,
    before: impl Iterator<Item = (Name, u32)>,
    first: u32,
) -> (Vec<u32>, Vec<u32>) {
    let known: HashMap<Name, u32, FixedState> = before.collect();
    let kept: Vec<Option<u32>> = names.map(|(name, _)| known.get(&name).copied()).collect();
    let taken: HashSet<u32, FixedState> = kept.iter().copied().flatten().collect();
    let mut free = (first..).filter(|number| !taken.contains(number));
    let mut new = Vec::new();
    let numbers = kept.into_iter().map(|kept| {
        kept.unwrap_or_else(|| {
            let number = free.next().unwrap_or(u32::MAX);
            new.push(number);
            number
        })
    });
    (numbers.collect(), new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::model::policy::{Exception, Tenant};

    fn tenant(name: &str, number: u32) -> Tenant {
        Tenant {
            name: name.into(),
            number,
            ..Tenant::default()
        }
    }

    fn exception(id: &str, slot: u32, tenant: u32) -> Arc<Exception> {
        Arc::new(Exception {
            id: id.into(),
            slot,
            to: vec![Destination::Tenant(tenant)],
            ..Exception::default()
        })
    }

    #[test]
    fn kept_names_keep_their_numbers_and_new_names_take_free_ones() {
        let blank = Config::default().policy;
        let before = Policy {
            tenants: vec![tenant("a", 1), tenant("b", 2), tenant("c", 3)],
            exceptions: vec![exception("x", 0, 1), exception("y", 1, 3)],
            ..blank.clone()
        };
        let mut after = Policy {
            tenants: vec![tenant("d", 1), tenant("c", 2), tenant("a", 3)],
            exceptions: vec![exception("y", 0, 2), exception("z", 1, 1)],
            ..blank
        };
        let new = after.keep_numbers(&before);
        let numbers: Vec<_> = after.tenants.iter().map(|tenant| tenant.number).collect();
        assert_eq!(numbers, [2, 3, 1]);
        assert_eq!(
            after.exceptions,
            [exception("y", 1, 3), exception("z", 0, 2)]
        );
        assert_eq!((new.tenants, new.slots), (vec![2], vec![0]));
    }
}
