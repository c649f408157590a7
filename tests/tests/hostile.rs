//! Files and requests that would wedge or starve a daemon: each is refused by name, and filter and socket go on.

use std::fs::{self, File};
use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::{Answer, PATIENCE};
use geofence_tests::memory_limit::MemoryLimit;
use geofence_tests::require_root;
use geofence_tests::site::{CONFIG, Site};
use geofence_tests::wait::{poll, soon};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

#[path = "hostile/requests.rs"]
mod requests;

const CONFIGURATION: &str = "block = [\"RU\"]\n";
const FILTERED: [bool; 2] = [false, true];
/// How long a refusal may take at most on a machine without much else to do.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

/// Checks that the filter filters and the daemon answers on both of its faces.
fn ensure_alive(site: &Site) -> Result<()> {
    ensure!(site.passes()? == FILTERED, "the filter has changed");
    // It exits with 1 while the last reload has failed.
    site.edge.ask(&["status", "--json"])?.json()?;
    ensure!(site.edge.get("/livez")?.status == 200);
    ensure!(site.edge.get("/healthz")?.status == 200);
    Ok(())
}

/// Runs a command that must be refused soon.
fn refused(site: &Site, words: &[&str]) -> Result<Answer> {
    let answer = soon(REFUSED_WITHIN, || site.edge.ask(words))
        .with_context(|| format!("{words:?}, refused"))?;
    ensure!(answer.code == Some(1), "{words:?}: {answer:?}");
    Ok(answer)
}

/// Makes a pipe, a sparse file of 4 GiB and a directory; returns their names and how a refusal calls each.
fn no_files(site: &Site) -> Result<[(&'static str, &'static str); 3]> {
    mkfifo(&site.path("pipe"), Mode::S_IRUSR | Mode::S_IWUSR)?;
    File::create(site.path("sparse"))?.set_len(4 << 30)?;
    fs::create_dir(site.path("directory"))?;
    Ok([
        ("pipe", "a pipe, not a regular file"),
        ("sparse", "more than"),
        ("directory", "a directory, not a regular file"),
    ])
}

#[test]
fn applied_file_that_is_no_regular_file_is_refused_by_name() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new(CONFIGURATION)?;
    let daemon = site.run_within(&limit)?;
    for (name, said) in no_files(&site)? {
        let answer = refused(&site, &["apply", &site.word(name)?])?;
        ensure!(
            answer.stderr.contains(name) && answer.stderr.contains(said),
            "{answer:?}"
        );
        ensure_alive(&site)?;
    }
    let answer = refused(&site, &["apply", "/dev/zero"])?;
    ensure!(answer.stderr.contains("/dev/zero"), "{answer:?}");
    ensure_alive(&site)?;
    ensure!(daemon.peak()? < 256 << 20, "{} bytes", daemon.peak()?);
    Ok(())
}

#[test]
fn configuration_replaced_by_a_pipe_is_refused_and_read_again_when_it_is_back() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new(CONFIGURATION)?;
    let _daemon = site.run_within(&limit)?;
    for (name, said) in no_files(&site)? {
        if name == "directory" {
            fs::remove_file(site.path(CONFIG))?;
        }
        fs::rename(site.path(name), site.path(CONFIG))?;
        let answer = refused(&site, &["reload"])?;
        ensure!(answer.stderr.contains(said), "{answer:?}");
        ensure_alive(&site)?;
    }
    fs::remove_dir(site.path(CONFIG))?;
    site.configure(CONFIGURATION)?;
    site.done(&["reload"])?;
    ensure_alive(&site)
}

#[test]
fn list_and_database_that_are_no_regular_files_are_refused() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new(CONFIGURATION)?;
    let _daemon = site.run_within(&limit)?;
    for (name, said) in no_files(&site)? {
        for key in [
            format!("databases = [\"{name}\"]\n"),
            format!("asn-database = \"{name}\"\n"),
            format!("[[list]]\nname = \"l\"\nformat = \"plain\"\nfile = \"{name}\"\n"),
        ] {
            site.write("next.toml", format!("{CONFIGURATION}{key}"))?;
            let answer = refused(&site, &["apply", &site.word("next.toml")?])?;
            let is_named = answer.stderr.contains(said) || answer.stderr.contains("is larger than");
            ensure!(is_named, "{key}: {answer:?}");
        }
        ensure_alive(&site)?;
    }
    Ok(())
}

#[test]
fn half_written_files_are_removed_at_the_start() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new(CONFIGURATION)?;
    site.run_within(&limit)?.kill(Duration::from_secs(10))?;
    let half = site.edge.state().join("image.new");
    fs::write(&half, "half")?;
    let _daemon = site.run_within(&limit)?;
    ensure!(!half.exists(), "{} is still there", half.display());
    Ok(())
}

#[test]
fn second_daemon_of_an_instance_is_refused_after_its_run_directory_was_removed() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new(CONFIGURATION)?;
    let _daemon = site.run_within(&limit)?;
    let directory = site.edge.socket();
    let directory = directory.parent().context("a socket in a directory")?;
    fs::remove_dir_all(directory)?;
    let config = site.word(CONFIG)?;
    let words = [
        "run",
        "--config",
        &config,
        "--interface",
        site.edge.interface(),
    ];
    let answer = site.edge.ask(&words)?;
    ensure!(answer.code == Some(2), "{answer:?}");
    ensure!(
        answer.stderr.contains("already runs as instance"),
        "{answer:?}"
    );
    ensure!(site.passes()? == FILTERED);
    // The loss of the socket is a shortfall.
    let health = poll(PATIENCE, || {
        let health = site.edge.get("/healthz")?;
        Ok(health.body.contains("control.sock").then_some(health))
    })?;
    let health = health.context("no shortfall")?;
    ensure!(health.body.contains("degraded"), "{health:?}");
    Ok(())
}

#[test]
fn list_that_covers_the_internet_or_grows_tenfold_is_refused_and_the_last_good_one_stays()
-> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let list = "[[list]]\nname = \"l\"\nformat = \"plain\"\nfile = \"l.txt\"\n";
    let site = Site::new(&format!("{CONFIGURATION}{list}"))?;
    let few: String = (0..200).map(|last| format!("5.9.0.{last}\n")).collect();
    site.write("l.txt", &few)?;
    let daemon = site.run_within(&limit)?;
    let all: String = (1..224_u32)
        .filter(|first| ![10, 100, 127, 169, 172, 192, 198, 203].contains(first))
        .map(|first| format!("{first}.0.0.0/8\n"))
        .collect();
    site.write("l.txt", all)?;
    site.edge.ask(&["reload"])?;
    let (_, lists) = site.ask(&["list"])?;
    ensure!(lists.contains("max-share ="), "{lists}");
    ensure_alive(&site)?;

    let before = daemon.peak()?;
    let many: String = (0..2_000_000_u32)
        .map(|at| format!("{}\n", std::net::Ipv4Addr::from(0x0509_0000 + at)))
        .collect();
    site.write("l.txt", &many)?;
    site.edge.ask(&["reload"])?;
    let (_, lists) = site.ask(&["list"])?;
    ensure!(lists.contains("more than 2000 entries"), "{lists}");
    ensure_alive(&site)?;
    let grown = daemon.peak()?.saturating_sub(before);
    ensure!(
        grown < 3 * many.len() as u64,
        "{grown} bytes for {}",
        many.len()
    );
    Ok(())
}

#[test]
fn hostile_files_leave_a_daemon_with_200_mib_of_memory_alive() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let list = "[[list]]\nname = \"l\"\nformat = \"plain\"\nfile = \"l.txt\"\n";
    let site = Site::new(&format!("{CONFIGURATION}{list}"))?;
    let few: String = (0..200).map(|last| format!("5.9.0.{last}\n")).collect();
    site.write("l.txt", &few)?;
    let daemon = site.run_within(&limit)?;

    let many: String = (0..2_000_000_u32)
        .map(|at| format!("{}\n", std::net::Ipv4Addr::from(0x0509_0000 + at)))
        .collect();
    site.write("l.txt", &many)?;
    site.edge.ask(&["reload"])?;
    ensure_alive(&site)?;
    // Text that is large and no list, and a file whose length alone is hostile.
    site.write("l.txt", "# no address\n".repeat(16 << 20))?;
    site.edge.ask(&["reload"])?;
    ensure_alive(&site)?;
    File::create(site.path("l.txt"))?.set_len(300 << 20)?;
    site.edge.ask(&["reload"])?;
    ensure_alive(&site)?;
    site.write("l.txt", &few)?;

    // A database of zeros: 1 GiB in a zstd file of some kilobytes.
    let mut packed = zstd::Encoder::new(Vec::new(), 1)?;
    std::io::copy(&mut std::io::repeat(0).take(1 << 30), &mut packed)?;
    site.write("bomb.mmdb", packed.finish()?)?;
    site.write(
        "next.toml",
        format!("databases = [\"bomb.mmdb\"]\n{CONFIGURATION}"),
    )?;
    let answer = refused(&site, &["apply", &site.word("next.toml")?])?;
    ensure!(answer.stderr.contains("unpacks to more than"), "{answer:?}");
    ensure_alive(&site)?;
    File::create(site.path("bomb.mmdb"))?.set_len(900 << 20)?;
    refused(&site, &["apply", &site.word("next.toml")?])?;
    ensure_alive(&site)?;
    site.done(&["reload"])?;
    daemon.kill(Duration::from_secs(10))?;
    Ok(())
}

#[test]
fn start_with_200_mib_of_memory_goes_without_a_list_that_has_no_room() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let list = "[[list]]\nname = \"l\"\nformat = \"plain\"\nfile = \"l.txt\"\n";
    let site = Site::new(&format!("{CONFIGURATION}{list}"))?;
    let few: String = (0..200).map(|last| format!("5.9.0.{last}\n")).collect();
    let many: String = (0..2_000_000_u32)
        .map(|at| format!("{}\n", std::net::Ipv4Addr::from(0x0509_0000 + at)))
        .collect();
    // Nothing is kept yet, so the list is empty.
    site.write("l.txt", &many)?;
    let mut daemon = site.run_within(&limit)?;
    daemon.wait_line("the memory limit of this process leaves no room", PATIENCE)?;
    ensure_alive(&site)?;
    daemon.kill(Duration::from_secs(10))?;
    // A text that is kept is used instead.
    site.write("l.txt", &few)?;
    site.run_within(&limit)?.kill(Duration::from_secs(10))?;
    site.write("l.txt", &many)?;
    let daemon = site.run_within(&limit)?;
    let (_, lists) = site.ask(&["list"])?;
    ensure!(
        lists.contains(" 200 ") && lists.contains("last good"),
        "{lists}"
    );
    ensure_alive(&site)?;
    daemon.kill(Duration::from_secs(10))?;
    // Without a limit the list is taken up, and is too large with it at the next start.
    site.done(&["update", "l", "--force", "--config", &site.word(CONFIG)?])?;
    site.run(&[])?.kill(Duration::from_secs(10))?;
    let daemon = site.run_within(&limit)?;
    ensure_alive(&site)?;
    daemon.kill(Duration::from_secs(10))?;
    Ok(())
}
