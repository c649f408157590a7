//! Confines the agent with Landlock: it writes to its own directory, connects to the engine and to servers of contents,
//! listens on no further port, and runs no program.

use std::collections::BTreeSet;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};

use crate::settings::Settings;

/// The newest version of Landlock that is used; an older kernel restricts what it can.
const KNOWN: ABI = ABI::V6;

/// Confines this thread and those that it starts; returns whether the kernel can.
pub(super) fn confine(settings: &Settings) -> Result<bool, RulesetError> {
    let write = AccessFs::from_write(KNOWN);
    let mut rules = Ruleset::default()
        .handle_access(write | AccessFs::Execute)?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?;
    if let Ok(directory) = PathFd::new(&settings.state) {
        rules = rules.add_rule(PathBeneath::new(directory, write))?;
    }
    for port in ports(settings) {
        rules = rules.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    let status = rules.restrict_self()?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// The ports that the agent connects to.
fn ports(settings: &Settings) -> BTreeSet<u16> {
    const HTTPS: u16 = 443;
    let endpoints = settings.endpoints.iter();
    let ports = endpoints.filter_map(|url| {
        let authority = url.strip_prefix("https://")?.split('/').next()?;
        let (_, port) = authority.rsplit_once(':')?;
        // An IPv6 address without a port ends in a bracket.
        port.parse().ok()
    });
    ports
        .chain(settings.content_ports.iter().copied())
        .chain([HTTPS])
        .collect()
}
