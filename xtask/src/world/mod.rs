//! `cargo xtask world`: the world map of the status page, made again from Natural Earth's shapes as npm has them.
//!
//! The two files it writes belong together: the README says where the shapes come from.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::{process, workspace};

/// Natural Earth's countries as TopoJSON.
const PACKAGE: &str = "world-atlas";
/// The release that the checked-in map was made from; another one may draw other borders.
const RELEASE: &str = "2.0.2";
/// The shapes, and finer ones for the places of small countries.
const SOURCES: [&str; 2] = ["package/countries-110m.json", "package/countries-50m.json"];
const SCRIPT: &str = "xtask/src/world/map.mjs";
/// A page carries the map, so it stays small.
const BYTES_MAX: usize = 150 << 10;

/// Makes the map again.
pub(crate) fn run() -> Result<ExitCode> {
    for program in ["npm", "node", "tar"] {
        if process::find(program).is_none() {
            bail!(
                "{program} is missing; this command needs npm, node and tar (Debian's npm and nodejs)"
            );
        }
    }
    let scratch = workspace::scratch(&format!("world-{}", std::process::id()))?;
    let made = make(
        &scratch,
        &workspace::root().join("geofence-user/data/world"),
    );
    std::fs::remove_dir_all(&scratch).with_context(|| format!("removing {}", scratch.display()))?;
    made.map(|()| ExitCode::SUCCESS)
}

fn make(scratch: &Path, data: &Path) -> Result<()> {
    // npm takes a directory with a manifest above it for the project it works for.
    let mut npm = process::command("npm");
    npm.args(["pack", "--silent", "--pack-destination"])
        .arg(scratch)
        .arg(format!("{PACKAGE}@{RELEASE}"))
        .current_dir(scratch);
    process::capture(&mut npm)?;
    let archive = scratch.join(format!("{PACKAGE}-{RELEASE}.tgz"));
    let mut tar = process::command("tar");
    tar.arg("-xzf").arg(archive).arg("-C").arg(scratch);
    process::capture(&mut tar)?;
    let mut node = process::command("node");
    node.arg(workspace::root().join(SCRIPT))
        .args(SOURCES.map(|source| scratch.join(source)));
    let map = process::capture(&mut node)?;
    if map.len() > BYTES_MAX {
        bail!(
            "the map has {} bytes, and the page may carry {BYTES_MAX}",
            map.len()
        );
    }
    std::fs::create_dir_all(data).with_context(|| format!("creating {}", data.display()))?;
    for (name, content) in [
        ("world.txt", map.as_slice()),
        ("README.md", readme().as_bytes()),
    ] {
        let path = data.join(name);
        std::fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    process::answer(&format!("the map has {} bytes", map.len()));
    Ok(())
}

fn readme() -> String {
    format!(
        "# The world map\n\n\
         <!-- Written by `cargo xtask world`; changes made by hand are lost. -->\n\n\
         `world.txt` has the shapes of the map on geofence's [page](../../../docs/monitoring.md#the-page): the view \
         box, then\n\
         a line for each country with its ISO 3166-1 code and its path in SVG. Countries too small for a shape have a \
         dot.\n\n\
         The shapes are those of [Natural Earth](https://www.naturalearthdata.com/) at 1:110 million, in the \
         projection\n\
         Equal Earth; the places of the dots are from 1:50 million. Natural Earth is in the public domain. Its borders \
         are those\n\
         that are in force on the ground, whatever the claims: Crimea is drawn with Russia. They decide nothing here: \
         packets are\n\
         judged by the GeoIP database alone.\n\n\
         | | |\n\
         | --- | --- |\n\
         | source | npm package `{PACKAGE}` {RELEASE}, files `countries-110m.json` and `countries-50m.json` |\n\
         | licence of the shapes | public domain |\n\
         | licence of the package | ISC, Copyright 2013-2019 Michael Bostock |\n\n\
         `cargo xtask world` makes the file again, and this page with it.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readme_beside_the_map_is_the_one_that_the_command_writes() {
        let stored = workspace::root().join("geofence-user/data/world/README.md");
        assert_eq!(std::fs::read_to_string(stored).unwrap(), readme());
    }
}
