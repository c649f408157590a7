//! A filter whose pins are in a mount namespace of their own, as `ip netns exec` makes one: it is said that they do not
//! last, and the filter can be detached from outside.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use geofence_tests::daemon::{Daemon, binary};
use geofence_tests::edge::{Edge, LISTEN, PATIENCE};
use geofence_tests::require_root;
use geofence_tests::wait::poll;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What `ip netns exec` does before it runs a program.
const PRIVATE: &str =
    "mount --make-rslave / && umount -l /sys && mount -t sysfs sysfs /sys && exec \"$@\"";
/// Runs a program that may end, and keeps the mount namespace. Neither outlives the process that is started.
const KEEP: &str = "setpriv --pdeathsig KILL -- \"$@\"; exec sleep 600";

/// Runs a program in a mount namespace of its own.
fn run_privately(edge: &Edge, program: &[&str], words: &[&str]) -> Result<Daemon> {
    let mut command = edge.pair.edge.command("unshare");
    command
        .args(["--mount", "sh", "-c", PRIVATE, "sh"])
        .args(program)
        .arg(binary()?)
        .args(words);
    Daemon::spawn(&edge.pair.edge, command)
}

fn start(edge: &Edge, program: &[&str]) -> Result<Daemon> {
    let words = ["run", "--interface", edge.interface(), "--listen", LISTEN];
    let mut daemon = run_privately(edge, program, &words)?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    Ok(daemon)
}

#[test]
fn pins_that_do_not_last_are_reported_and_detach_finds_them_at_the_daemon() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let mut daemon = start(&edge, &[])?;
    daemon.wait_line(
        "the filter does not outlive the last process in it",
        PATIENCE,
    )?;
    ensure!(!edge.pins().exists(), "the pins are visible from outside");
    let status = edge.ask(&["status", "--json"])?.json()?;
    ensure!(status["private_pins"] == true, "{status}");
    let said = edge.ask(&["status"])?.stdout;
    ensure!(said.contains("nsenter --net="), "{said}");
    edge.ensure_passes(&[("77.88.8.8", false)])?;

    let said = edge.detach(&["--interface", edge.interface()])?;
    assert_eq!(said, format!("detached from {}\n", edge.interface()));
    edge.ensure_passes(&[("77.88.8.8", true)])?;
    // The daemon knows that an operator did it, and does not attach again.
    let status = edge.ask(&["status", "--json"])?.json()?;
    assert_eq!(status["interfaces"][0]["standing"], "detached");
    assert_eq!(edge.program(edge.interface())?, None);
    Ok(())
}

#[test]
fn detach_finds_the_links_through_the_interface_when_no_daemon_runs() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let _daemon = start(&edge, &["sh", "-c", KEEP, "sh"])?;
    let status = edge.ask(&["status", "--json"])?.json()?;
    let process = status["process"].as_i64().context("no process")?;
    kill(Pid::from_raw(i32::try_from(process)?), Signal::SIGKILL)?;
    let gone = poll(PATIENCE, || {
        let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        Ok((state.is_empty() || state.contains(") Z ")).then_some(()))
    })?;
    gone.context("the daemon does not end")?;
    // The shell keeps the mount namespace, so the filter is still there.
    edge.ensure_passes(&[("77.88.8.8", false)])?;
    let said = edge.detach(&["--interface", edge.interface()])?;
    assert_eq!(said, format!("detached from {}\n", edge.interface()));
    assert_eq!(edge.program(edge.interface())?, None);
    let egress = edge
        .pair
        .edge
        .run(&["tc", "-json", "filter", "show", "dev", "edge0", "egress"])?;
    ensure!(!egress.contains("geofence"), "{egress}");
    edge.ensure_passes(&[("77.88.8.8", true)])?;
    Ok(())
}

#[test]
fn doctor_reports_a_private_mount_namespace() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let doctor = run_privately(&edge, &[], &["doctor", edge.interface(), "--json"])?;
    let said = poll(PATIENCE, || {
        let said = doctor.stdout();
        Ok(said.ends_with('\n').then_some(said))
    })?;
    let said = said.context("doctor says nothing")?;
    ensure!(
        said.contains("\"private_pins\":true") && said.contains("nsenter --net="),
        "{said}"
    );
    Ok(())
}

#[test]
fn last_words_tell_that_the_filter_ends_with_the_mount_namespace() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let mut daemon = start(&edge, &[])?;
    edge.ensure_passes(&[("77.88.8.8", false)])?;
    daemon.signal(Signal::SIGTERM)?;
    let said = daemon.wait(PATIENCE)?.stderr;
    let (_, last) = said.split_once("terminated: ").context("no last words")?;
    ensure!(
        last.contains("ends with the last process of this mount namespace")
            && last.contains("NOTHING IS FILTERED")
            && !last.contains("stays attached"),
        "{last}"
    );
    // The kernel frees the links some time after the last process has ended.
    let passes = poll(PATIENCE, || Ok(edge.passes("77.88.8.8")?.then_some(())))?;
    passes.context("the filter outlives its mount namespace")
}
