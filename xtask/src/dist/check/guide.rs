//! The commands of the guide, which a check runs as they stand there.

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

const PAGE: &str = "docs/getting-started.md";
const SECTION: &str = "## In five minutes, from a package";

/// The commands of the section about the package, one a line.
pub(super) fn commands() -> Result<String> {
    let path = workspace::root().join(PAGE);
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let (_, section) = text
        .split_once(SECTION)
        .with_context(|| format!("{PAGE} has no `{SECTION}`"))?;
    let commands = of(section
        .split_once("\n## ")
        .map_or(section, |(section, _)| section));
    ensure!(!commands.is_empty(), "`{SECTION}` of {PAGE} has no command");
    Ok(commands)
}

/// The commands in the blocks of a text that are for root.
fn of(text: &str) -> String {
    let blocks = text.split("```console\n").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split_once("```").map(|(block, _)| block));
    let lines = blocks
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("# "));
    let commands = lines.filter_map(|line| line.split("  #").next());
    commands
        .map(|command| format!("{}\n", command.trim_end()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_the_blocks_without_comments() {
        let text = "# no\n```console\n# one --x   # why\nanswer\n# two\n```\n```toml\n# no\n```\n";
        assert_eq!(of(text), "one --x\ntwo\n");
    }

    #[test]
    fn the_guide_has_commands_to_install_watch_and_enforce() {
        let commands = commands().unwrap();
        for part in [
            "./geofence_*.deb",
            "geofence init",
            "--mode monitor",
            "enable --now geofence",
        ] {
            assert!(commands.contains(part), "no {part} in\n{commands}");
        }
    }
}
