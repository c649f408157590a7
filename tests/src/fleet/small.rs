//! A fleet of few nodes, without traffic.

use std::fs;

use anyhow::{Context as _, Result};

use super::engine::Engine;
use super::nodes::{Node, await_well};
use super::site::Site;
use crate::edge::PATIENCE;
use crate::wait::poll;

/// How much its engine may take, which is to be full soon.
const QUOTA: u64 = 4 << 20;

/// A fleet of few nodes, without traffic.
pub(super) struct Small {
    pub(super) site: Site,
    pub(super) engine: Engine,
    pub(super) nodes: Vec<Node>,
}

impl Small {
    /// Starts members and a node in each group, and waits until all are well.
    pub(super) fn start(members: u8, groups: &[&str]) -> Result<Self> {
        let site = Site::new()?;
        let engine = Engine::start(&site, members, Some(QUOTA))?;
        site.done(&["bootstrap", "roles"])?;
        let mut nodes = Vec::new();
        for (number, group) in (1..).zip(groups) {
            let mut node = Node::start(&site, number)?;
            node.join(&site, group)?;
            node.start_agent(&site)?;
            nodes.push(node);
        }
        await_well(&site)?;
        Ok(Self {
            site,
            engine,
            nodes,
        })
    }

    /// Lets `etcdctl` be a node.
    pub(super) fn be_node(&self, number: usize) -> Result<()> {
        let node = &self.nodes[number];
        for end in ["pem", "key"] {
            let name = format!("{}.{end}", node.name);
            let own = node.directory.join("fleet").join(&name);
            fs::copy(own, self.site.path("authority").join(&name))?;
        }
        Ok(())
    }

    /// Waits until a node has bans and has others no longer.
    pub(super) fn await_bans(&self, node: &Node, has: &[&str], has_not: &[&str]) -> Result<()> {
        let mut bans = Vec::new();
        let found = poll(PATIENCE, || {
            bans = node.bans()?;
            let has_it = |id: &&str| bans.contains(&format!("ban-{id}"));
            Ok((has.iter().all(has_it) && !has_not.iter().any(has_it)).then_some(()))
        })?;
        found.with_context(|| format!("{}: {bans:?}; {}", node.name, node.said()))
    }

    pub(super) fn stop(self) -> Result<()> {
        for node in self.nodes {
            node.stop()?;
        }
        self.engine.stop()
    }
}
