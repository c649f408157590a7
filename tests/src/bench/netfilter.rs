//! The kernel's other ways to drop by source prefix: nftables and ipset, each in a namespace of its own.
//!
//! Rules are as lean as they come: one set, one rule that drops and counts, one behind it that counts what got so far.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use geofence_tests::namespace::Namespace;
use ipnet::Ipv4Net;
use tempfile::NamedTempFile;

/// A way to drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// nftables at the netdev hook: before the stack knows the packet.
    NftIngress,
    /// nftables at the raw priority of prerouting.
    NftRaw,
    /// ipset from the raw table of iptables.
    IpsetRaw,
}

impl Peer {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NftIngress => "nftables, netdev ingress set",
            Self::NftRaw => "nftables, raw prerouting set",
            Self::IpsetRaw => "ipset in iptables raw",
        }
    }

    /// Fills the namespace's set and adds the rules.
    pub(crate) fn install(
        self,
        namespace: &Namespace,
        interface: &str,
        blocked: &[Ipv4Net],
    ) -> Result<()> {
        match self {
            Self::NftIngress => {
                let chain = format!(
                    "type filter hook ingress device \"{interface}\" priority 0; policy accept;"
                );
                nftables(namespace, "netdev", &chain, blocked)
            }
            Self::NftRaw => nftables(
                namespace,
                "ip",
                "type filter hook prerouting priority raw; policy accept;",
                blocked,
            ),
            Self::IpsetRaw => ipset(namespace, blocked),
        }
        .with_context(|| format!("setting up {}", self.name()))
    }

    /// Packets dropped by the rule, and packets that came as far as the rule behind it.
    pub(crate) fn counters(self, namespace: &Namespace) -> Result<(u64, u64)> {
        let counters = match self {
            Self::NftIngress | Self::NftRaw => packets(
                &namespace.run(&["nft", "--terse", "list", "counters"])?,
                |line| line.trim().strip_prefix("packets ")?.split(' ').next(),
            ),
            Self::IpsetRaw => packets(&namespace.run(&[SAVE, "-c", "-t", "raw"])?, |line| {
                line.strip_prefix('[')
                    .filter(|_| line.contains("-A PREROUTING"))?
                    .split(':')
                    .next()
            }),
        };
        let [dropped, passed] = counters[..] else {
            anyhow::bail!(
                "{} shows {} counters where two were made",
                self.name(),
                counters.len()
            );
        };
        Ok((dropped, passed))
    }
}

const IPTABLES: &str = "iptables-legacy";
const SAVE: &str = "iptables-legacy-save";

/// The numbers that a program shows, in order.
fn packets<'a>(shown: &'a str, number: impl Fn(&'a str) -> Option<&'a str>) -> Vec<u64> {
    shown
        .lines()
        .filter_map(|line| number(line)?.parse().ok())
        .collect()
}

/// `nft list counters` shows them in the order of their making.
fn nftables(namespace: &Namespace, family: &str, chain: &str, blocked: &[Ipv4Net]) -> Result<()> {
    let elements: Vec<String> = blocked.iter().map(Ipv4Net::to_string).collect();
    let elements = elements.join(", ");
    let rules = format!(
        "table {family} bench {{\n\
         counter dropped {{}}\n\
         counter passed {{}}\n\
         set blocked {{ type ipv4_addr; flags interval; elements = {{ {elements} }} }}\n\
         chain first {{ {chain}\n ip saddr @blocked counter name dropped drop\n counter name passed\n }}\n\
         }}\n"
    );
    let file = text(&rules)?;
    namespace.run(&["nft", "-f", path(&file)?])?;
    Ok(())
}

fn ipset(namespace: &Namespace, blocked: &[Ipv4Net]) -> Result<()> {
    let mut lines = format!(
        "create blocked hash:net family inet maxelem {}\n",
        blocked.len().max(1024)
    );
    for net in blocked {
        lines += &format!("add blocked {net}\n");
    }
    let file = text(&lines)?;
    namespace.run(&["ipset", "-file", path(&file)?, "restore"])?;
    let rule = [IPTABLES, "-t", "raw", "-A", "PREROUTING"];
    namespace.run(
        &[
            &rule[..],
            &["-m", "set", "--match-set", "blocked", "src", "-j", "DROP"],
        ]
        .concat(),
    )?;
    namespace.run(&rule)?;
    Ok(())
}

fn text(text: &str) -> Result<NamedTempFile> {
    let mut file = NamedTempFile::new().context("making a file for rules")?;
    file.write_all(text.as_bytes()).context("writing rules")?;
    Ok(file)
}

fn path(file: &NamedTempFile) -> Result<&str> {
    file.path()
        .to_str()
        .context("the folder for temporary files has no plain name")
}
