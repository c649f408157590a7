//! What vanishes beneath a daemon: the link that it attached, and its state directory. Commands and faces tell what is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use geofence_tests::bpf::detach_link;
use geofence_tests::daemon::Daemon;
use geofence_tests::edge::{LISTEN, PATIENCE};
use geofence_tests::frames::between;
use geofence_tests::memory_limit::MemoryLimit;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::probe::crosses;
use geofence_tests::require_root;
use geofence_tests::site::{RUSSIAN, Site};
use geofence_tests::wait::poll;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::signal::Signal;

#[test]
fn reload_after_a_detachment_says_that_nothing_is_filtered() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new("block = [\"RU\"]\n")?;
    let daemon = site.run_within(&limit)?;
    let answer = site.edge.ask(&["reload"])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    site.edge.detach(&["--interface", "edge0"])?;
    ensure!(site.edge.passes(RUSSIAN)?, "nothing filters");
    for words in [vec!["reload"], vec!["reload", "--json"]] {
        let answer = site.edge.ask(&words)?;
        ensure!(
            answer.code == Some(1)
                && answer
                    .stdout
                    .contains("edge0 is NOT PROTECTED: the filter was detached"),
            "{answer:?}"
        );
    }
    for words in [
        &["apply", "--confirm-within", "60s"][..],
        &["revert"],
        &["apply", "--confirm-within", "60s"],
        &["confirm"],
    ] {
        let answer = site.edge.ask(words)?;
        ensure!(
            answer.stdout.contains("edge0 is NOT PROTECTED"),
            "{words:?}: {answer:?}"
        );
    }
    daemon.interrupt(PATIENCE).map(drop)
}

#[test]
fn link_that_was_detached_beneath_its_pin_is_attached_again() -> Result<()> {
    require_root!();
    let site = Site::new("block = [\"RU\"]\n")?;
    let mut daemon = site.run(&[])?;
    for entry in std::fs::read_dir(site.edge.pins().join("links"))? {
        detach_link(&entry?.path())?;
    }
    // The kernel is asked, so the answer is never that of a filter which is gone.
    let answer = site.edge.ask(&["reload"])?;
    ensure!(answer.code == Some(0), "{answer:?}");
    ensure!(
        !site.edge.passes(RUSSIAN)?,
        "{answer:?}, and nothing filters"
    );
    daemon.wait_line("edge0 returned with index", PATIENCE)?;
    // What leaves is judged again as well.
    let status = site.edge.ask(&["status"])?;
    ensure!(
        status.code == Some(0) && status.stdout.contains("edge0: protected"),
        "{status:?}"
    );
    daemon.interrupt(PATIENCE).map(drop)
}

/// Exchanges two names in one step.
fn exchange(one: &Path, other: &Path) -> Result<()> {
    let flags = RenameFlags::RENAME_EXCHANGE;
    Ok(renameat2(AT_FDCWD, one, AT_FDCWD, other, flags)?)
}

/// Another address of the country that is blocked.
const EXCEPTED: &str = "77.88.8.9";

fn add_exception(site: &Site, id: &str, from: &str) -> Result<()> {
    let words = "--to any --owner o --reason r".split(' ');
    let words: Vec<&str> = ["exception", "add", id, "--from", from]
        .into_iter()
        .chain(words)
        .collect();
    site.done(&words).map(drop)
}

/// Ends a daemon whose filter stays.
fn terminate(mut daemon: Daemon) -> Result<()> {
    daemon.signal(Signal::SIGTERM)?;
    daemon.wait(PATIENCE).map(drop)
}

/// What the status and the health say is not in place.
fn said(site: &Site) -> Result<[String; 2]> {
    let status = site.edge.ask(&["status"])?;
    ensure!(status.stdout.contains("edge0: protected"), "{status:?}");
    Ok([status.stdout, site.edge.get("/healthz")?.body])
}

#[test]
fn lost_state_directory_is_reported_by_every_face_and_taken_up_when_it_returns() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new("block = [\"RU\"]\n")?;
    let mut daemon = site.run_within(&limit)?;
    add_exception(&site, "x", "192.0.2.7")?;
    let state = site.edge.state();
    // A file in its place keeps a daemon from making it again, with and without Landlock.
    let file = state.with_added_extension("file");
    fs::write(&file, "")?;
    exchange(&state, &file)?;
    let gone = format!("THE STATE DIRECTORY {} IS GONE", state.display());
    daemon.wait_line(&gone, PATIENCE)?;
    let report = poll(PATIENCE, || {
        let [status, health] = said(&site)?;
        let is_reported =
            status.contains(&gone) && health.contains(&gone) && health.contains("degraded");
        Ok(is_reported.then_some(status))
    })?;
    let report = report.context("the faces do not tell that it is gone")?;
    ensure!(report.contains("Restart geofence"), "{report}");
    let shortfalls = "geofence_shortfalls{part=\"state\"}";
    ensure!(site.edge.metric(shortfalls)? == 1.0 && site.edge.metric("geofence_degraded")? == 1.0);
    exchange(&state, &file)?;
    daemon.wait_line("the active image is saved", PATIENCE)?;
    let [status, health] = said(&site)?;
    ensure!(
        !status.contains("DEGRADED") && health.contains("\"ok\""),
        "{status} {health}"
    );
    ensure!(site.edge.metric(shortfalls)? == 0.0);
    terminate(daemon)?;
    // Removed for good, it takes a restart by the commands that are named, and the exceptions hold until then.
    let mut daemon = site.run_within(&limit)?;
    add_exception(&site, "y", EXCEPTED)?;
    exchange(&state, &file)?;
    fs::remove_dir_all(&file)?;
    daemon.wait_line(&gone, PATIENCE)?;
    // A reload changes the policy all the same, and says what is missing.
    let answer = site.edge.ask(&["reload"])?;
    ensure!(
        answer.code == Some(1) && answer.stdout.contains(&gone),
        "{answer:?}"
    );
    site.edge
        .ensure_passes(&[(RUSSIAN, false), (EXCEPTED, true)])?;
    let [status, _] = said(&site)?;
    let advice = status.split_once("Restart geofence with `");
    let advice = advice.context("no advice")?.1;
    let (end, rest) = advice.split_once("` and then `").context("one command")?;
    let (begin, _) = rest.split_once('`').context("an end of the command")?;
    let machine = &site.edge.pair.edge;
    fs::remove_file(&state)?;
    machine.run(&["sh", "-c", end])?;
    daemon.wait(PATIENCE)?;
    ensure!(!site.edge.passes(RUSSIAN)?, "the restart leaves a gap");
    let mut command = machine.command("sh");
    command.args(["-c", &format!("exec {begin}")]);
    let mut daemon = Daemon::spawn(machine, command)?;
    daemon.wait_healthy(LISTEN.parse()?, PATIENCE)?;
    ensure!(
        state.join("image").is_file(),
        "the image is not saved again"
    );
    ensure!(
        !said(&site)?[0].contains("DEGRADED"),
        "it is still reported"
    );
    daemon.interrupt(PATIENCE).map(drop)
}

#[test]
fn removed_state_directory_is_made_again_where_writing_is_not_confined() -> Result<()> {
    require_root!();
    let Some(limit) = MemoryLimit::for_test() else {
        return Ok(());
    };
    let site = Site::new("block = [\"RU\"]\n")?;
    let mut daemon = site.run_within(&limit)?;
    add_exception(&site, "y", EXCEPTED)?;
    let state = site.edge.state();
    fs::remove_dir_all(&state)?;
    let status = site.edge.ask(&["status", "--json"])?.json()?;
    if status["privilege"]["writing_confined"] == true {
        daemon.wait_line("IS GONE", PATIENCE)?;
        return Ok(());
    }
    daemon.wait_line("geofence has recreated it", PATIENCE)?;
    for name in ["image", "exceptions.toml"] {
        let is_there = poll(PATIENCE, || Ok(state.join(name).is_file().then_some(())))?;
        is_there.with_context(|| format!("{name} is not written again"))?;
    }
    site.done(&["reload"])?;
    site.edge
        .ensure_passes(&[(RUSSIAN, false), (EXCEPTED, true)])?;
    daemon.interrupt(PATIENCE).map(drop)
}

#[test]
fn last_words_tell_whether_the_filter_goes_on() -> Result<()> {
    require_root!();
    let site = Site::new("block = [\"RU\"]\n")?;
    let end = |mut daemon: Daemon| -> Result<String> {
        daemon.signal(Signal::SIGTERM)?;
        let said = daemon.wait(PATIENCE)?.stderr;
        let (_, last) = said.split_once("terminated").context("no last words")?;
        Ok(last.to_owned())
    };
    let last = end(site.run(&[])?)?;
    ensure!(last.contains("the filter stays attached"), "{last}");
    ensure!(!site.edge.passes(RUSSIAN)?, "it does not");

    let daemon = site.run(&[])?;
    site.edge.detach(&["--interface", "edge0"])?;
    let last = end(daemon)?;
    ensure!(
        last.contains("NOTHING IS FILTERED: edge0 is NOT PROTECTED: the filter was detached")
            && !last.contains("stays attached"),
        "{last}"
    );

    // One of two.
    let machine = &site.edge.pair.edge;
    let make = "ip link add spare9 type veth peer name spare8";
    machine.run(&make.split(' ').collect::<Vec<_>>())?;
    machine.run(&["ip", "link", "set", "spare9", "up"])?;
    site.configure("block = [\"RU\"]\nxdp-mode = \"generic\"\n")?;
    let two = ["--interface", "edge0", "--interface", "spare9"];
    let daemon = site.run(&two)?;
    machine.run(&["ip", "link", "del", "spare9"])?;
    let last = end(daemon)?;
    ensure!(
        last.contains("the filter goes on")
            && last.contains("attached to edge0)")
            && last.contains("spare9 is NOT PROTECTED: it is gone"),
        "{last}"
    );
    ensure!(!site.edge.passes(RUSSIAN)?, "it does not go on");
    Ok(())
}

#[test]
fn status_without_a_daemon_says_that_a_link_is_gone_whose_pin_is_not() -> Result<()> {
    require_root!();
    let site = Site::new("block = [\"RU\"]\n")?;
    site.run(&[])?.kill(PATIENCE)?;
    let status = site.edge.ask(&["status"])?.stdout;
    ensure!(
        status.contains("not running; the filter stays attached"),
        "{status}"
    );
    // The interface takes its link along, and the pin stays.
    let machine = &site.edge.pair.edge;
    machine.run(&["ip", "link", "del", "edge0"])?;
    let status = site.edge.ask(&["status"])?.stdout;
    ensure!(
        status.contains("NOT PROTECTED, gone") && !status.contains("stays attached"),
        "{status}"
    );
    Ok(())
}

/// The pin of the egress link.
fn egress_pin(site: &Site) -> Result<PathBuf> {
    for entry in fs::read_dir(site.edge.pins().join("links"))? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_string_lossy();
        if name.starts_with("egress-") {
            return Ok(path);
        }
    }
    bail!("no egress link is pinned")
}

/// Whether a mail server in Russia is answered to, which the egress program records.
fn is_mail_answered(site: &Site, port: u16) -> Result<bool> {
    let pair = &site.edge.pair;
    let inside = PacketSocket::open(&pair.edge, &pair.edge_interface)?;
    let outside = PacketSocket::open(&pair.peer, &pair.peer_interface)?;
    let (here, there) = (pair.edge_address_for(RUSSIAN.parse()?), RUSSIAN.parse()?);
    let opening = between(here, there).tcp(port, 25).syn().build();
    inside.send(&opening)?;
    outside.receive_until(PATIENCE, |frame| frame == opening)?;
    let answer = between(there, here).tcp(25, port).syn().ack();
    crosses(&outside, &inside, &answer.build(), PATIENCE)
}

#[test]
fn egress_program_that_another_tool_takes_off_is_noticed_and_attached_again() -> Result<()> {
    require_root!();
    let site = Site::new("block = [\"RU\"]\n")?;
    let mut daemon = site.run(&[])?;
    ensure!(is_mail_answered(&site, 50_000)?, "before");
    let pin = egress_pin(&site)?;
    detach_link(&pin)?;
    daemon.wait_line("detached the egress program from edge0", PATIENCE)?;
    ensure!(is_mail_answered(&site, 50_001)?, "after a detachment");

    // Where it cannot be attached again, every face says so: a directory has the name of the pin.
    let blocked = poll(PATIENCE, || {
        fs::remove_file(&pin)?;
        Ok(fs::create_dir(&pin).ok())
    })?;
    blocked.context("the pin returns at once")?;
    let protected = "geofence_interface_protected{interface=\"edge0\"}";
    let lost = poll(PATIENCE, || {
        Ok((site.edge.metric(protected)? == 0.0).then_some(()))
    })?;
    lost.context("it counts as protected")?;
    let reason = "another program detached the egress program, and geofence cannot attach it again";
    let reload = site.edge.ask(&["reload"])?;
    ensure!(
        reload.code == Some(1) && reload.stdout.contains(reason),
        "{reload:?}"
    );
    let status = site.edge.ask(&["status"])?;
    ensure!(
        status.code == Some(1)
            && status.stdout.contains("edge0: NOT PROTECTED")
            && status.stdout.contains(reason),
        "{status:?}"
    );
    let health = site.edge.get("/healthz")?;
    ensure!(health.status == 503, "{}", health.body);
    ensure!(!site.edge.passes(RUSSIAN)?, "ingress still judges");
    fs::remove_dir(&pin)?;
    let back = poll(PATIENCE, || {
        Ok((site.edge.metric(protected)? == 1.0).then_some(()))
    })?;
    back.context("it is not attached again")?;
    ensure!(is_mail_answered(&site, 50_002)?, "after it came back");

    // Without a daemon, the status says it, and the next start puts it back.
    terminate(daemon)?;
    detach_link(&pin)?;
    let status = site.edge.ask(&["status"])?.stdout;
    ensure!(
        status.contains("NOT PROTECTED, bare (another program detached the egress program"),
        "{status}"
    );
    let _daemon = site.run(&[])?;
    ensure!(is_mail_answered(&site, 50_003)?, "after a restart");
    Ok(())
}
