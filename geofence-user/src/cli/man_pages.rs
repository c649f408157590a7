//! `geofence man-pages`: writes a manual page for each command, for the packages.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Command};
use clap_mangen::Man;

use super::outcome::Outcome;

/// The section of commands for administrators.
const SECTION: &str = "8";

/// Write the manual pages of all commands to a directory
#[derive(Args, Debug)]
pub struct Arguments {
    /// Directory to write to
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

/// Writes the pages of this command line and prints their paths.
pub(super) fn man_pages(
    arguments: &Arguments,
    mut command: Command,
    out: &mut dyn Write,
) -> anyhow::Result<Outcome> {
    let directory = &arguments.directory;
    fs::create_dir_all(directory)
        .with_context(|| format!("creating the directory {}", directory.display()))?;
    command.build();
    write(&command, directory, out)?;
    Ok(Outcome::Yes)
}

/// Writes the page of a command, and those of the commands below it.
fn write(command: &Command, directory: &Path, out: &mut dyn Write) -> anyhow::Result<()> {
    let title = command
        .get_display_name()
        .unwrap_or_else(|| command.get_name());
    let path = directory.join(format!("{title}.{SECTION}"));
    let mut page = Vec::new();
    let man = Man::new(command.clone())
        .title(title.to_uppercase())
        .section(SECTION)
        .manual("geofence");
    man.render(&mut page)?;
    fs::write(&path, page).with_context(|| format!("writing {}", path.display()))?;
    writeln!(out, "{}", path.display())?;
    let shown = command.get_subcommands().filter(|one| !one.is_hide_set());
    for command in shown.filter(|one| one.get_name() != "help") {
        write(command, directory, out)?;
    }
    Ok(())
}
