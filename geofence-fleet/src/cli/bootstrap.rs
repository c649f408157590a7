//! `geofence-fleet bootstrap`: certificates, the engine's users, and what a node needs.

use std::io::Write;
use std::path::PathBuf;

use anyhow::ensure;
use clap::{Args, Subcommand};
use geofence_user::cli::Outcome;

use super::options::{DEFAULT_GROUP, SettingsArgs, runtime};
use crate::authority::{Authority, Member, SETTINGS, add_node, enable_roles, group_of};
use crate::engine::Engine;
use crate::keys::{Keys, Name};

/// Set up a fleet: certificates, the engine's users, and what each node needs
#[derive(Args, Debug)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Create the certificate authority of a new fleet, and certificates for the engine's members and the operator
    ///
    /// Also writes the key that signs releases, and the operator's settings. Keep the directory secret: its files give
    /// full control of the fleet.
    Init {
        /// Directory to create
        #[arg(value_name = "DIRECTORY")]
        directory: PathBuf,
        /// Name of the fleet
        #[arg(long, value_name = "NAME", default_value = "main")]
        fleet: Name,
        /// Member of the engine, with the addresses or host names that it has; repeat it for several
        #[arg(long, value_name = "NAME=HOST[,HOST]", required = true)]
        member: Vec<Member>,
    },
    /// Create the engine's users, and enable its authentication
    Roles {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Create the engine's user for a node, and a directory to copy to the node as /etc/geofence-fleet
    Node {
        /// Name of the node
        #[arg(value_name = "NAME")]
        node: Name,
        /// Group whose policy the node follows [default: the one that it is in, or `default` for a new node]
        #[arg(long, value_name = "NAME")]
        group: Option<Name>,
        /// Directory to create [default: a directory beside the settings, with the name of the node]
        #[arg(long, value_name = "DIRECTORY")]
        into: Option<PathBuf>,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Move a node to another group; it then follows the policy of that group
    Move {
        /// Name of the node
        #[arg(value_name = "NAME")]
        node: Name,
        /// Group whose policy the node follows from now on
        #[arg(long, value_name = "NAME")]
        group: Name,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

pub(super) fn bootstrap(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    match &arguments.verb {
        Verb::Init {
            directory,
            fleet,
            member,
        } => {
            Authority::create(directory, fleet, member)?;
            let directory = directory.display();
            writeln!(
                out,
                "created the certificate authority of the fleet {fleet} in {directory}"
            )?;
            for Member { name, .. } in member {
                writeln!(
                    out,
                    "member {name}: copy authority.pem, peers.pem, member-{name}.* and peer-{name}.* to it"
                )?;
            }
            writeln!(
                out,
                "next, when the engine runs: geofence-fleet bootstrap roles --settings {directory}/{SETTINGS}"
            )?;
        }
        Verb::Roles { settings } => {
            let settings = settings.load()?;
            let root = Authority::of(&settings).as_root(&settings);
            runtime()?.block_on(async {
                let mut engine = Engine::connect(&root).await?;
                enable_roles(&mut engine, &Keys::of(&settings.fleet)).await
            })?;
            writeln!(out, "the engine now authenticates its clients")?;
        }
        Verb::Node {
            node,
            group,
            into,
            settings,
        } => {
            let settings = settings.load()?;
            let authority = Authority::of(&settings);
            let beside = settings.authority.with_file_name(node.as_str());
            let into = into.clone().unwrap_or(beside);
            let root = authority.as_root(&settings);
            let keys = Keys::of(&settings.fleet);
            runtime()?.block_on(async {
                let mut engine = Engine::connect(&root).await?;
                let known = group_of(&mut engine, &keys, node).await?;
                let group = group.clone().or(known);
                let group = group.map_or_else(|| DEFAULT_GROUP.parse(), Ok)?;
                authority.node(&settings, node, &into)?;
                anyhow::Ok(add_node(&mut engine, &keys, node, &group).await?)
            })?;
            let into = into.display();
            writeln!(out, "copy {into} to {node} as /etc/geofence-fleet")?;
        }
        Verb::Move {
            node,
            group,
            settings,
        } => {
            let settings = settings.load()?;
            let root = Authority::of(&settings).as_root(&settings);
            let keys = Keys::of(&settings.fleet);
            runtime()?.block_on(async {
                let mut engine = Engine::connect(&root).await?;
                ensure!(
                    group_of(&mut engine, &keys, node).await?.is_some(),
                    "the fleet has no node {node}: `geofence-fleet nodes` lists them, and `geofence-fleet bootstrap \
                     node` adds one"
                );
                Ok(add_node(&mut engine, &keys, node, group).await?)
            })?;
            writeln!(
                out,
                "{node} follows the policy of the group {group} from now on"
            )?;
        }
    }
    Ok(Outcome::Yes)
}
