//! The files of `conf.d` beside the configuration, beside a running daemon.

use std::fs;

use anyhow::{Result, ensure};
use geofence_tests::require_root;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::{FAILED, SUCCEEDED, reload, site, wait_metric};

#[test]
fn new_changed_and_removed_files_of_conf_d_each_cause_a_reload() -> Result<()> {
    require_root!();
    let site = site()?;
    let directory = site.path("conf.d");
    fs::create_dir(&directory)?;
    let _daemon = site.run(&[])?;
    assert_eq!(site.passes()?, [false, true]);
    let file = directory.join("50-germany.toml");
    // An editor's file is none.
    fs::write(directory.join(".50-germany.toml"), "nonsense")?;

    site.write("conf.d/50-germany.toml", "block = [\"DE\"]\n")?;
    wait_metric(&site, SUCCEEDED, 1.0)?;
    assert_eq!(site.passes()?, [true, false], "a new file");
    site.write("conf.d/50-germany.toml", "block = [\"RU\", \"DE\"]\n")?;
    wait_metric(&site, SUCCEEDED, 2.0)?;
    assert_eq!(site.passes()?, [false, false], "a changed file");
    fs::remove_file(&file)?;
    wait_metric(&site, SUCCEEDED, 3.0)?;
    assert_eq!(site.passes()?, [false, true], "a removed file");

    // What is no file is refused by its name, and nothing waits for it.
    let pipe = directory.join("60-pipe.toml");
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR)?;
    let answer = reload(&site, &[])?;
    ensure!(
        answer.code == Some(1)
            && answer.stderr.contains("60-pipe.toml")
            && answer.stderr.contains("a pipe, not a regular file"),
        "{answer:?}"
    );
    ensure!(site.edge.get("/healthz")?.body.contains("degraded"));
    ensure!(site.edge.metric(FAILED)? >= 1.0);
    assert_eq!(site.passes()?, [false, true]);
    fs::remove_file(&pipe)?;
    let answer = reload(&site, &[])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    Ok(())
}
