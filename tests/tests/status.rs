//! `geofence status` on one screen, and what the log says at the start and at the end.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use geofence_tests::edge::{Edge, PATIENCE};
use geofence_tests::frames::between;
use geofence_tests::packet_socket::PacketSocket;
use geofence_tests::require_root;
use geofence_tests::wait::poll;
use nix::sys::signal::Signal;
use tempfile::TempDir;

#[test]
fn status_shows_the_policy_in_words_rates_and_what_needs_attention() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let daemon = edge.run(&[])?;
    let outside = PacketSocket::open(&edge.pair.peer, &edge.pair.peer_interface)?;
    let own = edge.pair.edge_addresses()[0];
    let frame = between("77.88.8.8".parse()?, own).tcp(40_000, 22).syn();
    let frame = frame.build();
    let shown = poll(PATIENCE, || {
        outside.send_many(&vec![frame.clone(); 50])?;
        let answer = edge.ask(&["status"])?;
        let shows_rates = answer.stdout.contains("\ncountries  RU ");
        Ok(shows_rates.then_some(answer))
    })?;
    let answer = shown.context("no rates")?;
    ensure!(answer.code == Some(0), "{answer:?}");
    for part in [
        "enforce mode: packets from BY, CN, KP, RU, UA are dropped; mail passes\n",
        "\nnow        ",
        "\nreasons    country_blocked ",
        "edge0: protected, native mode\n",
        "\nattention  ",
        "; the requested policy became active at ",
    ] {
        ensure!(answer.stdout.contains(part), "{part}{}", answer.stdout);
    }
    let json = edge.ask(&["status", "--json"])?.json()?;
    for key in [
        "policy",
        "rates",
        "attention",
        "mode",
        "interfaces",
        "reloads",
        "shortfalls",
    ] {
        ensure!(!json[key].is_null(), "{key} is missing in {json}");
    }
    edge.pair
        .edge
        .run(&["ip", "link", "del", edge.interface()])?;
    let answer = edge.ask(&["status"])?;
    ensure!(answer.code == Some(1), "{answer:?}");
    ensure!(
        answer
            .stdout
            .contains("\nATTENTION  edge0 is not protected\n"),
        "{}",
        answer.stdout
    );
    daemon.interrupt(PATIENCE)?;
    Ok(())
}

#[test]
fn the_log_says_at_start_and_end_what_is_blocked_in_which_mode_and_where() -> Result<()> {
    require_root!();
    let edge = Edge::new()?;
    let policy =
        "enforce mode: packets from BY, CN, KP, RU, UA are dropped; mail passes; attached to edge0";
    let mut daemon = edge.run(&[])?;
    let ready = daemon.wait_line("ready: metrics on ", PATIENCE)?;
    ensure!(ready.contains(policy), "{ready}");
    daemon.signal(Signal::SIGTERM)?;
    let said = daemon.wait(PATIENCE)?.stderr;
    let end = said.lines().find(|line| line.contains("terminated: "));
    ensure!(end.is_some_and(|line| line.contains(policy)), "{said}");
    Ok(())
}

/// A journal of our own: the socket to which entries go, and the directory that takes the place of /run/systemd.
fn journal() -> Result<(UnixDatagram, TempDir)> {
    let place = tempfile::tempdir()?;
    let directory = place.path().join("journal");
    std::fs::create_dir(&directory)?;
    let socket = UnixDatagram::bind(directory.join("socket"))?;
    socket.set_nonblocking(true)?;
    Ok((socket, place))
}

#[test]
fn an_error_of_several_lines_is_one_entry_of_the_journal() -> Result<()> {
    require_root!();
    let (socket, place) = journal()?;
    let broken = place.path().join("geofence.toml");
    std::fs::write(&broken, "block = [\"UK\"]\ninterfaces = [\"edge0\"]\n")?;
    let script = "mkdir -p /run/systemd && mount --bind \"$1\" /run/systemd && \
                  JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$2\" run --config \"$3\"";
    let ended = Command::new("unshare")
        .args(["--mount", "sh", "-c", script, "sh"])
        .args([place.path(), &geofence_tests::daemon::binary()?, &broken])
        .stderr(Stdio::piped())
        .output()?;
    ensure!(ended.status.code() == Some(78), "{ended:?}");
    ensure!(ended.stderr.is_empty(), "{ended:?}");
    let mut entries = Vec::new();
    let mut entry = vec![0; 1 << 16];
    while let Ok(length) = socket.recv(&mut entry) {
        entries.push(String::from_utf8_lossy(&entry[..length]).into_owned());
    }
    let about = entries
        .iter()
        .filter(|entry| entry.contains("is not a country"));
    let about: Vec<_> = about.collect();
    ensure!(about.len() == 1, "{entries:?}");
    // The line of the file and the advice are in the same entry, of the priority of an error.
    for part in [
        "block = [\"UK\"]",
        "did you mean \"GB\"",
        "PRIORITY\n\u{1}\0\0\0\0\0\0\x003\n",
    ] {
        ensure!(about[0].contains(part), "{part} is not in {}", about[0]);
    }
    Ok(())
}
