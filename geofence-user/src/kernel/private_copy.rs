//! The program of a running filter once more, loaded beside it and attached to nothing: the same image, copies of its
//! flows, fragments and rate limits, and counters of its own. A question that is run there changes nothing.

use aya::Pod;
use aya::maps::HashMap;
use geofence_common::action::Action;
use geofence_common::decide::Verdict;
use geofence_common::flow::Table;
use geofence_common::frame::Link;
use geofence_common::image::{flag, header};
use geofence_common::maps::name;

use super::error::KernelError;
use super::filter::Filter;
use super::program_names::{programs, programs_with_rules};
use super::running::Running;
use crate::model::filter_options::FilterOptions;
use crate::model::policy::Lookup;

/// The length of an Ethernet header without tags.
const ETHERNET_BYTES: usize = 14;

/// The smallest table: below, the kernel's bookkeeping evicts entries in use.
const ENTRIES_MIN: usize = 1024;

/// A copy of a running filter.
pub struct PrivateCopy {
    filter: Filter,
    link: Link,
    is_same_program: bool,
}

impl Running {
    /// Loads a copy of this filter.
    pub fn private_copy(&self) -> Result<PrivateCopy, KernelError> {
        let entries = |count: usize| {
            let room = (2 * count).max(ENTRIES_MIN);
            u32::try_from(room).unwrap_or(u32::MAX)
        };
        let (datagrams, buckets) = (self.datagrams()?, self.buckets()?);
        let mut flows = [0; Table::ALL.len()];
        for (table, ..) in self.flows() {
            flows[*table as usize] += 1;
        }
        let mut filter = Filter::load(FilterOptions {
            // The image's own trie, which gives the answers of the other engine as well.
            lookup: Lookup::ArrayTrie,
            image_lines: u32::try_from(self.lines.len()).unwrap_or(u32::MAX),
            trie_entries: 1,
            flows: flows.map(entries),
            tenants: 1,
            exceptions: 1,
            buckets: entries(buckets.len()),
            interfaces: 0,
            traced: true,
        })?;
        if self.link == Link::Ip {
            filter.load_ip()?;
        }
        let is_same_program = filter.has_ingress_of(self.link, self.tag)?;
        for table in Table::ALL {
            let flows = self.flows().iter().filter(|(of, ..)| *of == table);
            let flows = flows.map(|(_, key, flow)| (*key, *flow));
            filter.fill(name::FLOWS[table as usize], flows)?;
        }
        filter.fill(name::DATAGRAMS, datagrams)?;
        filter.fill(name::BUCKETS, buckets)?;
        // The image of a trial is in force, or it would not be the one that was read.
        let mut lines = self.lines.clone();
        if let Some(head) = lines.first_mut() {
            head[header::FLAGS] &= !flag::TRIAL;
        }
        filter.install_lines(&lines)?;
        Ok(PrivateCopy {
            filter,
            link: self.link,
            is_same_program,
        })
    }
}

impl PrivateCopy {
    /// Whether the program is the running one to the instruction. One of another build may decide differently.
    #[must_use]
    pub const fn is_same_program(&self) -> bool {
        self.is_same_program
    }

    /// Runs the ingress program on an Ethernet frame. A program for devices without Ethernet headers gets what follows
    /// it.
    pub fn ask(&mut self, frame: &[u8]) -> Result<Verdict, KernelError> {
        let frame = self.on_link(frame);
        self.filter.ask_on(self.link, frame)
    }

    /// Runs the egress program on an Ethernet frame that this host sends.
    pub fn send(&mut self, frame: &[u8]) -> Result<Action, KernelError> {
        let frame = self.on_link(frame);
        self.filter.send_on(self.link, frame)
    }

    fn on_link<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        match self.link {
            Link::Ethernet => frame,
            Link::Ip => frame.get(ETHERNET_BYTES..).unwrap_or_default(),
        }
    }
}

impl Filter {
    /// Whether an ingress program for devices of this link has this tag: either may be the attached one.
    fn has_ingress_of(&self, link: Link, tag: u64) -> Result<bool, KernelError> {
        let mut found = false;
        for [name, _] in [programs(link), programs_with_rules(link)] {
            let program = self.ebpf.program(name).ok_or(KernelError::NoMap(name))?;
            found |= program.info()?.tag() == tag;
        }
        Ok(found)
    }

    /// Adds entries to a table.
    fn fill<K: Pod, V: Pod>(
        &mut self,
        table: &'static str,
        entries: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), KernelError> {
        let mut table: HashMap<_, K, V> = self.open_mut(table)?;
        for (key, value) in entries {
            table
                .insert(&key, &value, 0)
                .map_err(KernelError::map("copying a table of the running filter"))?;
        }
        Ok(())
    }
}
